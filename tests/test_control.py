"""Controls of a search: what they search, what of it is compared, and that an interruption loses nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from made_comparisons import Cut
from made_runs import made_experiment
from mtl_search import write_report
from mtl_search.comparison.compare import compare
from mtl_search.comparison.control import control_experiments
from mtl_search.comparison.results import Comparison, control_folder, load_comparison
from mtl_search.comparison.summary import by_key, difference, entrants_of
from mtl_search.errors import SearchInterruptedError, UserError
from mtl_search.exporting.export import export
from mtl_search.runs.folder import Run, load_run
from mtl_search.searching.run import search

SMALL = [
    "dataset.train=200",
    "dataset.val=100",
    "dataset.test=50",
    "training.epochs=1",
    "training.batch_size=50",
    "search.trials=4",
    "search.workers=0",
    "search.sampler=random",
    "search.hours=3",
    "search.target={value: 0.99}",
    "search.points=[{bank: linear, shared_ratio: 0.5, layer0.bank: paper}, {bank: orthonormal, shared_ratio: 0.5}]",
]


def searched(folder: Path, *changes: str) -> Run:
    return search(made_experiment([*SMALL, *changes]), out=folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched(tmp_path_factory.mktemp("control") / "run")


@pytest.fixture(scope="module")
def found(run: Run) -> Comparison:
    """Trained in earnest, on a few pictures."""
    return compare(run, baselines=["hard_sharing"], picks=["smallest"], seeds=3, workers=0, control=True)


# What is searched


def test_the_routing_control_is_the_same_search_without_primitives(run: Run) -> None:
    own, control = run.experiment, control_experiments(run)["routing"]
    banks = {bank for layer in control.search_space.layers for bank in layer.bank}
    assert banks == {"conv"}
    for mine, theirs in zip(own.search_space.layers, control.search_space.layers, strict=True):
        assert (mine.shared_ratio, mine.branch_depth) == (theirs.shared_ratio, theirs.branch_depth)
    assert control.search_space.width_multiplier == own.search_space.width_multiplier
    assert control.search.points == ({"shared_ratio": 0.5},), "one, for they differ in banks alone"
    same = ("trials", "seed", "sampler", "workers", "early_stopping", "confirm")
    assert [getattr(control.search, name) for name in same] == [getattr(own.search, name) for name in same]
    assert (control.search.hours, control.search.target) == (None, None), "as many trainings, whatever they reach"
    assert (control.training, control.dataset, control.objectives) == (own.training, own.dataset, own.objectives)


def test_the_other_control_is_hard_sharing_over_widths_and_rates(run: Run) -> None:
    control = control_experiments(run)["hard_sharing"]
    assert {choice for layer in control.search_space.layers for choice in layer.bank} == {"conv"}
    assert {ratio for layer in control.search_space.layers for ratio in layer.shared_ratio} == {1.0}
    widths = control.search_space.width_multiplier
    assert (min(widths), max(widths), widths[0]) == (0.25, 1.5, 1.0)
    assert set(control.space.training) == {"learning_rate"}
    assert control.search.trials == 4


def test_what_is_open_of_the_training_is_open_in_both(tmp_path: Path) -> None:
    rates = {"low": 0.002, "high": 0.02, "log": True}
    changes = (f"space.training.learning_rate={json.dumps(rates)}", "space.training.weight_decay=[0.0, 0.01]")
    for control in control_experiments(searched(tmp_path / "run", *changes)).values():
        assert control.to_dict()["space"]["training"] == {"learning_rate": rates, "weight_decay": [0.0, 0.01]}


def test_a_space_of_convolutions_is_its_own_control(tmp_path: Path) -> None:
    run = searched(tmp_path / "run", "space.bank=conv", "search.points=[]")
    assert list(control_experiments(run)) == ["hard_sharing"]


def test_a_space_of_banks_alone_has_no_routing_to_control(tmp_path: Path) -> None:
    fixed = ["space.shared_ratio=1.0", "space.branch_depth=1", "space.width_multiplier=1.0", "search.points=[]"]
    run = searched(tmp_path / "run", *fixed, "search.trials=2")
    assert list(control_experiments(run)) == ["hard_sharing"]


def test_controls_need_a_run() -> None:
    with pytest.raises(UserError, match="`control` needs a run, whose search it does again in other spaces"):
        compare(made_experiment(SMALL), baselines=["hard_sharing"], control=True)


# What is compared


@pytest.mark.slow
def test_each_control_is_a_run_of_as_many_trainings(run: Run, found: Comparison) -> None:
    for name in ("routing", "hard_sharing"):
        control = load_run(control_folder(run.path, name))
        assert len(control.trials) == 4
        assert found.request["control"][name]["trials"] == 4


@pytest.mark.slow
def test_their_best_and_their_best_of_no_more_parameters_are_compared(run: Run, found: Comparison) -> None:
    assert run.best is not None
    for name in ("routing", "hard_sharing"):
        control = load_run(control_folder(run.path, name))
        assert control.best is not None
        abouts = [about for about in found.request["entrants"] if about.get("control") == name]
        picked = {pick: about["trial"] for about in abouts for pick in about["picks"]}
        assert picked["best"] == control.best.number
        small = [trial for trial in control.front if trial.learnable_parameters <= run.best.learnable_parameters]
        assert ("matched" in picked) == bool(small)
        if small:
            assert control.trial(picked["matched"]) in small
        for about in abouts:
            outcomes = found.of(about["key"])
            assert [one.seed for one in outcomes] == [1, 2, 3]
            assert outcomes[0].learnable_parameters == control.trial(about["trial"]).learnable_parameters


@pytest.mark.slow
def test_the_best_of_the_search_takes_part(found: Comparison) -> None:
    names = {name for about in found.request["entrants"] if about["kind"] == "pick" for name in about["picks"]}
    assert names == {"smallest", "best"}


@pytest.mark.slow
def test_the_page_begins_with_what_each_brings(run: Run, found: Comparison) -> None:
    page = write_report(run.path).with_name("report.html").read_text(encoding="utf-8")
    told: dict[str, Any] = json.loads((run.path / "report.json").read_text(encoding="utf-8"))["comparison"]
    begins = ["Primitives bring", "Routing brings", "Searching widths and rates of hard sharing brings"]
    assert [text.startswith(begin) for text, begin in zip(told["answer"], begins, strict=False)] == [True] * 3
    assert page.index("Primitives bring") < page.index("Routing brings") < page.index("<h2>")
    entrants = entrants_of(found)
    for row in told["controls"]["rows"]:
        own, other = (by_key(entrants, row[side]["entrant"]) for side in ("own", "other"))
        assert own is not None
        assert other is not None
        points = difference(own, other).points
        assert points is not None
        assert row["points"]["mean"] == pytest.approx(points.mean)
    primitives, routing, searching = told["controls"]["rows"]
    assert primitives["own"]["entrant"].startswith("trial-")
    assert primitives["other"] == routing["own"]
    assert searching["other"]["entrant"] == "hard_sharing"


@pytest.mark.slow
def test_what_a_control_found_is_exported(run: Run, found: Comparison) -> None:
    key = next(about["key"] for about in found.request["entrants"] if about.get("control") == "routing")
    path = export(run, key, format="torch")
    assert path.parent.name == f"{key}-seed1"
    assert json.loads((path.parent / "model_card.json").read_text())["made_from"]["seed"] == 1


# Interruptions


@pytest.mark.slow
def test_the_same_call_goes_on_whatever_it_was_cut_off_in(tmp_path: Path) -> None:
    run = searched(tmp_path / "run")
    calls: list[tuple[str, int]] = []
    wanted: dict[str, Any] = {"baselines": ["hard_sharing"], "picks": [], "seeds": 1, "workers": 0, "control": True}
    for at, where in ((2, "interrupted in the control `routing`"), (4, "interrupted in the control `hard_sharing`")):
        cut = Cut(at)
        with pytest.raises(SearchInterruptedError, match=where):
            compare(run, evaluate=cut, **wanted)
        calls += cut.begun
    last = Cut(-1)
    compare(run, evaluate=last, **wanted)
    calls += last.begun
    assert len(calls) == len(set(calls)), "none twice"
    searches = [load_run(control_folder(run.path, name)) for name in ("routing", "hard_sharing")]
    assert [len(one.trials) for one in searches] == [4, 4]
    done = load_comparison(run.path)
    assert done is not None
    assert done.missing == []
    assert len(calls) == 8 + len(done.outcomes)
