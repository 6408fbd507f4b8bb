"""Comparisons: what is trained, on what, in which order; what is kept; what is refused."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from made_runs import made_experiment, made_run, write_run
from mtl_search.comparison import compare as comparison
from mtl_search.comparison.compare import compare, train_alone
from mtl_search.comparison.picks import Picks
from mtl_search.comparison.results import load_comparison, outcome_folder
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import ExperimentError, FieldError, RunFolderError, SearchInterruptedError, UserError
from mtl_search.evaluation import Entrant, EvaluationOptions, Report, entrant_of
from mtl_search.internal.files import alone_in
from mtl_search.internal.layout import OUTCOMES
from mtl_search.metrics.relative_gain import delta_m
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State
from mtl_search.runs.weights import load_weights
from mtl_search.searching.preparation import prepare
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, load_experiment
from mtl_search.spaces.settings import Training

SMALL = ["dataset.train=300", "dataset.val=100", "dataset.test=50", "training.epochs=1", "training.batch_size=50"]
SCORES = ("left/accuracy", "right/accuracy", "left/loss", "right/loss")
MADE_PARAMETERS = {"recon": 9000, "conal": 9500}


@pytest.fixture(scope="module", autouse=True)
def workers_find_this_module() -> Iterator[None]:
    """Ray's workers look for modules where the started script lies, which is pytest's place, not this one's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return load_experiment("quickstart", SMALL)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with made-up trials on small real data."""
    made = made_run(tmp_path / "made")
    return write_run(tmp_path / "run", made_experiment(SMALL), made.trials)


def accuracy_of(what: Architecture | Entrant, seed: int) -> float:
    entrant = entrant_of(what)
    return 0.5 + 0.03 * (len(entrant.method.name) % 5) + 0.01 * seed


def made_report(what: Architecture | Entrant, seed: int, value: float | None = None) -> Report:
    entrant = entrant_of(what)
    accuracy = accuracy_of(what, seed) if value is None else value
    weights = {"weight": torch.full((2,), float(seed))} if entrant.method.name == "single_task" else {}
    details = {"given": sorted((name, float(tensor.sum())) for name, tensor in entrant.given.items())}
    parameters = MADE_PARAMETERS.get(entrant.method.name, 5000)
    return Report(
        1,
        0.5,
        1.0,
        scores=dict.fromkeys(SCORES, accuracy),
        cost=Cost(parameters, 0, 10 * parameters),
        macs_of_one_task=7 * parameters,
        details=details,
        weights=weights,
        done=True,
    )


def succeed(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(what, seed)


def fail_hard_sharing(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    if entrant_of(what).method.name == "hard_sharing" and seed == 2:
        raise ValueError("no luck")
    yield made_report(what, seed)


def fail(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    raise ValueError("no luck")
    yield


def test_picks_and_baselines_are_trained_and_measured_on_the_test_split(run: Run) -> None:
    """Real trainings, in this process."""
    found = compare(run, baselines=["single_task", "hard_sharing"], picks=["smallest"], seeds=2, workers=0)
    assert found.entrants == ["single_task", "hard_sharing", f"trial-{run.front[0].number}"]
    assert found.missing == []
    assert {one.split for one in found.outcomes} == {"test"}
    assert {one.epochs for one in found.outcomes} == {1}
    assert {one.training_samples for one in found.outcomes} == {400}, "training and validation samples together"
    for entrant in found.entrants:
        assert [one.seed for one in found.of(entrant)] == [1, 2], "those after the seed of the search"
        assert all(load_weights(outcome_folder(run.path, entrant, seed)) for seed in (1, 2))
    assert found.of(found.entrants[2])[0].trial == run.front[0].number
    assert list(found.details("hard_sharing", 1)["cosines"][0]) == ["stem", "layer 0", "layer 1", "layer 2"]


def test_the_test_split_is_all_that_is_measured_on_and_not_trained_on(run: Run) -> None:
    seen = []

    def look(
        what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        seen.append({name: len(split) for name, split in dataset.splits.items()})
        yield made_report(what, seed)

    compare(run, baselines=["single_task"], picks=["best"], seeds=1, workers=0, evaluate=look)
    assert seen == [{"train": 400, "test": 50}] * 2


def test_delta_m_is_over_the_single_task_networks_of_the_same_seed(run: Run) -> None:
    found = compare(run, baselines=["single_task", "hard_sharing"], picks=[], seeds=3, workers=0, evaluate=succeed)
    references = {one.seed: one.accuracy for one in found.of("single_task")}
    for one in found.of("hard_sharing"):
        reference = references[one.seed]
        assert one.accuracy is not None
        assert reference is not None
        assert one.delta_m == pytest.approx(delta_m([one.accuracy] * 2, [reference] * 2, [True] * 2))
    assert len({one.delta_m for one in found.of("hard_sharing")}) == 3
    assert [one.delta_m for one in found.of("single_task")] == [0, 0, 0]


def test_a_seed_without_single_task_networks_has_no_delta_m(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=2, workers=0, evaluate=succeed)
    found = compare(run, baselines=["hard_sharing"], picks=[], seeds=3, workers=0, evaluate=succeed)
    assert [one.delta_m is None for one in found.of("hard_sharing")] == [False, False, True]


def test_without_single_task_networks_there_is_no_delta_m(run: Run) -> None:
    found = compare(run, baselines=["hard_sharing"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert [one.delta_m for one in found.outcomes] == [None]


def test_the_same_call_goes_on_where_it_was_interrupted(run: Run) -> None:
    calls: list[tuple[str, int]] = []

    def interrupt_third(
        what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append((entrant_of(what).method.name, seed))
        yield made_report(what, seed)

    def go(evaluate: object) -> None:
        compare(run, baselines=["single_task", "hard_sharing", "mtan"], picks=[], seeds=2, workers=0, evaluate=evaluate)

    with pytest.raises(SearchInterruptedError, match=r"3 trainings are left; the same command goes on"):
        go(interrupt_third)
    before = load_comparison(run.path)
    assert before is not None
    assert len(before.outcomes) == 3
    calls.append(("", -1))
    go(interrupt_third)
    after = load_comparison(run.path)
    assert after is not None
    assert after.missing == []
    assert [one.scores for one in after.outcomes[:3]] == [one.scores for one in before.outcomes]
    assert max(Counter(calls).values()) == 1, "none trained twice"


def test_a_failed_training_is_named_and_trained_again_by_the_same_call(run: Run) -> None:
    def go(evaluate: object) -> object:
        return compare(run, baselines=["single_task", "hard_sharing"], picks=[], seeds=2, workers=0, evaluate=evaluate)

    found = go(fail_hard_sharing)
    assert [(one.entrant, one.seed, one.error) for one in found.failed] == [("hard_sharing", 2, "ValueError: no luck")]
    assert found.missing == [("hard_sharing", 2)]
    assert [one.seed for one in found.of("hard_sharing")] == [1]
    again = go(succeed)
    assert again.missing == []
    assert again.failed == ()
    assert len(again.outcomes) == 4


def test_scores_that_are_not_finite_are_a_failure(run: Run) -> None:
    def score_nan(
        what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        yield made_report(what, seed, float("nan"))

    found = compare(run, baselines=["mtan"], picks=[], seeds=1, workers=0, evaluate=score_nan)
    assert "the scores are not finite: left/accuracy = nan" in found.failed[0].error


def test_more_seeds_and_baselines_are_added_to_what_is_there(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    found = compare(run, baselines=["hard_sharing"], picks=["best"], seeds=2, workers=0, evaluate=succeed)
    assert found.entrants[:2] == ["single_task", "hard_sharing"]
    assert found.missing == [], "the first call asked for one seed"
    assert [len(found.of(entrant)) for entrant in found.entrants] == [1, 2, 2]


@pytest.mark.slow
def test_one_who_starts_from_single_task_weights_gets_those_of_its_seed(run: Run) -> None:
    """On two workers: it has to wait for them."""
    found = compare(run, baselines=["interrogate", "single_task"], picks=[], seeds=2, workers=2, evaluate=succeed)
    assert found.missing == []
    variants = [entrant for entrant in found.entrants if entrant.startswith("interrogate@")]
    assert len(variants) == 5
    for entrant in variants:
        for seed in (1, 2):
            details = found.details(entrant, seed)
            assert details["given"] == [["weight", 2.0 * seed]]
            assert list(details["phases"]) == ["single-task initialisation"]


def test_without_single_task_networks_it_trains_its_own(run: Run) -> None:
    found = compare(run, baselines=["interrogate@0.4"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert found.details("interrogate@0.4", 1)["given"] == []


def test_a_pick_is_matched_to_a_network_that_is_known_before_training(run: Run) -> None:
    found = compare(run, baselines=["hard_sharing"], picks=["matched:hard_sharing"], seeds=1, workers=0)
    limit = found.of("hard_sharing")[0].learnable_parameters
    small = [trial for trial in run.front if trial.learnable_parameters <= limit]
    best = max(small, key=lambda trial: trial.accuracy or 0)
    assert found.entrants == ["hard_sharing", f"trial-{best.number}"]


def test_a_pick_is_matched_to_a_network_that_is_known_after_training(run: Run) -> None:
    found = compare(run, baselines=["recon"], picks=["matched:recon"], seeds=2, workers=0, evaluate=succeed)
    small = [trial for trial in run.front if trial.learnable_parameters <= MADE_PARAMETERS["recon"]]
    best = max(small, key=lambda trial: trial.accuracy or 0)
    assert found.entrants == ["recon", f"trial-{best.number}"]
    assert found.missing == []
    picked = next(entrant for entrant in found.request["entrants"] if entrant["kind"] == "pick")
    assert picked["picks"] == ["matched:recon"]


def test_a_trial_picked_twice_takes_part_once(run: Run) -> None:
    best = max(run.front, key=lambda trial: trial.accuracy or 0)
    found = compare(run, baselines=[], picks=["best", str(best.number)], seeds=1, workers=0, evaluate=succeed)
    assert found.entrants == [f"trial-{best.number}"]
    assert found.request["entrants"][0]["picks"] == ["best", str(best.number)]


def test_default_picks(run: Run) -> None:
    assert run.knee is not None
    picks = Picks(run, None, {})
    assert picks.chosen[run.knee.number][0] == "knee"
    assert sorted(name for names in picks.chosen.values() for name in names) == ["best", "knee", "smallest"]


def test_a_comparison_without_a_search(experiment: Experiment, tmp_path: Path) -> None:
    folder = tmp_path / "alone"
    found = compare(experiment, baselines=["single_task"], seeds=1, workers=0, out=folder, evaluate=succeed)
    assert found.path == folder
    assert found.entrants == ["single_task"]
    again = compare(folder, baselines=["single_task", "mtan"], seeds=1, workers=0, evaluate=succeed)
    assert again.missing == []
    assert again.entrants == ["single_task", "mtan"]


def assert_refused(run: Run, error: type[UserError], match: str, **arguments: object) -> None:
    """Refused, and nothing written."""
    before = sorted(run.path.rglob("*"))
    with pytest.raises(error, match=match):
        compare(run, **{"seeds": 1, "workers": 0, "evaluate": succeed, "baselines": [], **arguments})
    assert sorted(run.path.rglob("*")) == before


def test_wrong_input_is_refused_before_anything_is_written(run: Run) -> None:
    assert_refused(run, ExperimentError, r"`hard_sharin`.*`hard_sharing`", baselines=["hard_sharin"], picks=[])
    assert_refused(run, UserError, r"variant of baseline `interrogate`.*`0.44`", baselines=["interrogate@0.44"])
    assert_refused(run, UserError, r"there is no pick `nee`\. Did you mean `knee`", picks=["nee"])
    assert_refused(run, RunFolderError, r"there is no trial 99", picks=["99"])
    assert_refused(run, UserError, r"`hard_sharing`", baselines=["single_task"], picks=["matched:hard_sharing"])
    assert_refused(run, FieldError, r"`seeds` must be from 1 to 1,000, but got 0", seeds=0, picks=["knee"])
    assert_refused(run, UserError, r"there is nothing to compare", picks=[])


def test_a_pick_that_is_too_large_for_all_is_refused(run: Run, tmp_path: Path) -> None:
    """A baseline with fewer parameters than any architecture of the front."""
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("method: hard_sharing\nwidth_multiplier: 0.01\n", encoding="utf-8")
    match = r"no trial of the front has at most \d+ learnable parameters; the smallest has [\d,]+"
    assert_refused(run, UserError, match, baselines=[str(recipe)], picks=["matched:tiny"])


def test_a_run_without_complete_trials_has_no_picks(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty", made_experiment(SMALL), [])
    assert_refused(empty, RunFolderError, r"no trial of this run is complete", baselines=["hard_sharing"])


def test_trainings_made_in_another_way_are_not_mixed(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text("method: recon\noptions: {layers: 1}\n", encoding="utf-8")
    compare(run, baselines=[str(recipe)], picks=[], seeds=1, workers=0, evaluate=succeed)
    recipe.write_text("method: recon\noptions: {layers: 2}\n", encoding="utf-8")
    assert_refused(run, RunFolderError, r"`own` was trained with options.*1.*but got.*2", baselines=[str(recipe)])
    text = (run.path / "experiment.yaml").read_text(encoding="utf-8")
    (run.path / "experiment.yaml").write_text(text.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    changed = Run(run.path, made_experiment([*SMALL, "training.epochs=2"]), run.environment, run.trials)
    assert_refused(changed, RunFolderError, r"holds a comparison with `training`", baselines=["mtan"])


def test_a_comparison_from_before_a_setting_existed_goes_on(run: Run) -> None:
    """What it does not say had its default."""
    compare(run, baselines=["mtan"], picks=[], seeds=1, workers=0, evaluate=succeed)
    path = run.path / "comparison.json"
    asked = json.loads(path.read_text(encoding="utf-8"))
    assert asked["training"].pop("augmentation", "missing") is None
    path.write_text(json.dumps(asked), encoding="utf-8")
    comparison = compare(run, baselines=["mtan"], picks=[], seeds=2, workers=0, evaluate=succeed)
    assert len(comparison.of("mtan")) == 2
    moved = made_experiment([*SMALL, "training.augmentation.shift=1"])
    (run.path / "experiment.yaml").write_text(moved.to_yaml(), encoding="utf-8")
    assert_refused(run, RunFolderError, r"holds a comparison with `training`", baselines=["mtan"])


@pytest.mark.parametrize("split", ["test", "val"])
@pytest.mark.thin(2)
def test_one_baseline_alone(experiment: Experiment, tmp_path: Path, split: str) -> None:
    found = train_alone("hard_sharing", experiment, split=split, out=tmp_path / "out")
    assert [(one.split, one.training_samples) for one in found.outcomes] == [(split, {"test": 400, "val": 300}[split])]
    written = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert written["split"] == split


@pytest.mark.slow
def test_one_architecture_alone_equals_the_same_as_a_pick(run: Run) -> None:
    """But for rounding: alone it has all processors, in a comparison one."""
    trial = run.front[0]
    picked = compare(run, baselines=[], picks=[str(trial.number)], seeds=1, workers=0)
    alone = train_alone(trial.architecture, run.experiment, seeds=2)
    assert [one.seed for one in alone.outcomes] == [0, 1], "there is no search whose seed it must not have"
    assert alone.outcomes[1].scores == pytest.approx(picked.outcomes[0].scores, rel=1e-3)
    assert alone.outcomes[0].state is State.COMPLETE


def test_other_data_than_the_search_saw_is_refused(run: Run, tmp_path: Path) -> None:
    environment = {**run.environment, "data_digest": "00"}
    (run.path / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    other = load_run(run.path)
    match = r"its data is not what the search saw: the samples of dataset multi_mnist: 00 -> "
    assert_refused(other, RunFolderError, match, baselines=["mtan"])
    with pytest.raises(RunFolderError, match=rf"{match}.*or say `--like EXPERIMENT`"):
        train_alone(run.front[0].architecture, run.experiment, out=tmp_path / "out", run=other)
    assert not (tmp_path / "out").exists()
    assert train_alone(run.front[0].architecture, run.experiment, run=run).missing == []


def test_a_recipe_that_failed_can_be_mended(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text("method: hard_sharing\n", encoding="utf-8")
    failed = compare(run, baselines=[str(recipe)], picks=[], seeds=2, workers=0, evaluate=fail)
    assert failed.missing_now == [("own", 1), ("own", 2)]
    recipe.write_text("method: mtan\n", encoding="utf-8")
    found = compare(run, baselines=[str(recipe)], picks=[], seeds=2, workers=0, evaluate=succeed)
    assert found.missing == []
    assert {one.method for one in found.outcomes} == {"mtan"}


def test_what_an_earlier_call_left_does_not_count_for_this_one(run: Run) -> None:
    compare(run, baselines=["hard_sharing"], picks=[], seeds=2, workers=0, evaluate=fail_hard_sharing)
    found = compare(run, baselines=["mtan"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert found.missing == [("hard_sharing", 2)]
    assert found.missing_now == []


def test_a_second_process_in_the_folder_is_refused(run: Run) -> None:
    with alone_in(run.path), pytest.raises(RunFolderError, match="another process works in this folder"):
        compare(run, baselines=["mtan"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert compare(run, baselines=["mtan"], picks=[], seeds=1, workers=0, evaluate=succeed).missing == []


def test_a_pick_is_matched_to_a_baseline_that_was_trained_before(run: Run) -> None:
    compare(run, baselines=["recon"], picks=[], seeds=1, workers=0, evaluate=succeed)
    found = compare(run, baselines=[], picks=["matched:recon"], seeds=1, workers=0, evaluate=succeed)
    assert found.request["entrants"][1]["picks"] == ["matched:recon"]


def test_a_match_to_what_failed_says_so(run: Run) -> None:
    found = compare(run, baselines=["recon"], picks=["matched:recon"], seeds=1, workers=0, evaluate=fail)
    assert found.request["unresolved"] == {"matched:recon": "no training of recon is complete"}


def test_picks_want_a_run(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pick `knee` needs a run"):
        compare(experiment, baselines=["mtan"], picks=["knee"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("comparison.json", "[1, 2]"), ("comparison.json", "{}"), ("comparison.json", "{")]
)
def test_a_damaged_file_is_named(run: Run, name: str, text: str) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    (run.path / name).write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError, match=name):
        load_comparison(run.path)


def test_a_complete_training_without_a_score_is_refused(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    path = run.path / OUTCOMES
    path.write_text(path.read_text(encoding="utf-8").rstrip().rpartition(",")[0] + ",\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"line 2: a complete training has no value in column `right/loss`"):
        load_comparison(run.path)


def test_a_damaged_table_is_named(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    path = run.path / OUTCOMES
    path.write_text(path.read_text(encoding="utf-8").replace("COMPLETE", "DONE"), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"baselines\.csv: line 2"):
        load_comparison(run.path)
    shutil.rmtree(run.path)


def test_data_of_the_test_split_do_not_reach_the_training(experiment: Experiment, tmp_path: Path) -> None:
    """Other test pictures, the same trained weights."""
    data = load_dataset("multi_mnist", train=300, val=100, test=50)
    other = load_dataset("multi_mnist", train=300, val=100, test=20)
    found = []
    for number, dataset in enumerate((data, other)):
        folder = tmp_path / str(number)
        compare(experiment, dataset, baselines=["hard_sharing"], seeds=1, workers=0, out=folder)
        found.append(load_weights(outcome_folder(folder, "hard_sharing", 0)))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_comparison_begun_while_another_works_loses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one that would do its trainings while the first one loads its data is refused."""
    refused = []

    def prepare_slowly(experiment: Experiment, dataset: Dataset | None = None) -> Dataset:
        monkeypatch.setattr(comparison, "prepare", prepare)
        try:
            compare(run.path, baselines=["single_task"], picks=[], seeds=2, workers=0, evaluate=succeed)
        except RunFolderError as error:
            refused.append(str(error))
        return prepare(experiment, dataset)

    monkeypatch.setattr(comparison, "prepare", prepare_slowly)
    found = compare(run, baselines=["hard_sharing"], picks=[], seeds=2, workers=0, evaluate=succeed)
    assert len(refused) == 1, "both of them worked on the folder"
    assert "another process works in this folder: process" in refused[0]
    assert found.entrants == ["hard_sharing"]
    compare(run, baselines=["single_task"], picks=[], seeds=2, workers=0, evaluate=succeed)
    after = load_comparison(run.path)
    assert after is not None
    ended = [(one.entrant, one.seed) for one in after.outcomes]
    assert ended == [("hard_sharing", 1), ("hard_sharing", 2), ("single_task", 1), ("single_task", 2)]


def test_what_was_read_before_another_comparison_ended_is_read_again(run: Run) -> None:
    stale = load_run(run.path)
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    found = compare(stale, baselines=["hard_sharing"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert {one.entrant for one in found.outcomes} == {"single_task", "hard_sharing"}


def test_what_a_comparison_left_half_written_is_removed(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    seed = outcome_folder(run.path, "single_task", 1)
    left = [
        run.path / ".baselines.csv.1.tmp",
        run.path / ".comparison.json.99999.tmp",
        seed / ".details.json.1.tmp",
        seed / ".weights.safetensors.4711.tmp",
        run.path / "checkpoints" / "3" / ".weights.safetensors.4711.tmp",
    ]
    kept = [run.path / ".mine.1.tmp", seed / ".notes.txt.1.tmp", run.path / f".report.json.{os.getppid()}.tmp"]
    (run.path / "checkpoints" / "3").mkdir()
    for path in (*left, *kept):
        path.write_text("half")
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == [], "not ours, or of a process that lives"


def test_weights_that_another_training_starts_from_are_checked_first(run: Run) -> None:
    compare(run, baselines=["single_task"], picks=[], seeds=1, workers=0, evaluate=succeed)
    weights = outcome_folder(run.path, "single_task", 1) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    before = (run.path / OUTCOMES).read_bytes()
    both = ["single_task", "interrogate@0.3"]
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"single_task/seed1/weights\.safetensors: holds no weights: "):
            compare(run, baselines=both, picks=[], seeds=1, workers=0, evaluate=succeed)
    assert (run.path / OUTCOMES).read_bytes() == before
    weights.unlink()
    found = compare(run, baselines=both, picks=[], seeds=1, workers=0, evaluate=succeed)
    assert found.missing_now == []
