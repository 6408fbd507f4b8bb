"""Searches with real workers: what they leave behind, whatever happens on the way."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from safetensors.torch import load_file

from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import ExperimentError, RunFolderError, StorageError
from mtl_search.evaluation import Evaluate, EvaluationOptions, Report
from mtl_search.networks.network import build_model
from mtl_search.reporting.search_page import write_report
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.front import near_front
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.trial_rows import COLUMNS
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.settings import Training
from mtl_search.training.scoring import scores_on

SMALL = ["dataset.train=600", "dataset.val=200", "dataset.test=50", "training.epochs=1", "search.trials=6"]
SIX = [*SMALL, "space.granularity=network", "space.bank=[linear]", "space.shared_ratio=[1.0, 0.5]"]
SIX += ["space.branch_depth=[1]", "space.width_multiplier=[0.5, 1.0, 1.5]"]
"""A space of six architectures: three widths, all or half of the channels shared."""


def made_report(accuracy: float, epoch: int = 1, done: bool = True) -> Report:
    scores = {f"{task}/{metric}": accuracy for task in ("left", "right") for metric in ("accuracy", "loss")}
    return Report(epoch, 0.5 * epoch, 1.0, scores=scores if done else {}, done=done)


def accuracy_of(architecture: Architecture) -> float:
    return 0.5 + 0.1 * architecture.width_multiplier - 0.02 * architecture.layers[0].shared_ratio


def succeed(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(accuracy_of(architecture))


def raise_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(0.0, done=False)
    if architecture.width_multiplier == 1:
        raise ValueError("no luck,\nwith this one")
    yield made_report(accuracy_of(architecture), epoch=2)


def die_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    if architecture.width_multiplier == 1:
        os._exit(3)
    yield made_report(accuracy_of(architecture))


def score_nan_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(float("nan") if architecture.width_multiplier == 1 else accuracy_of(architecture))


def score_infinite_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(float("inf") if architecture.width_multiplier == 1 else accuracy_of(architecture))


def score_nothing_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    if architecture.width_multiplier == 1:
        yield Report(1, 0.5, 1.0, done=True)
    yield made_report(accuracy_of(architecture))


def stop_short_for_width_one(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    yield made_report(0.0, done=False)
    if architecture.width_multiplier != 1:
        yield made_report(accuracy_of(architecture))


def sleep_a_second(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """Its start goes into the report, as a score of the left task."""
    started = time.time()
    time.sleep(1)
    report = made_report(accuracy_of(architecture))
    yield replace(report, scores={**report.scores, "left/loss": started})


FAILURES: dict[str, tuple[Evaluate, str]] = {
    "error": (raise_for_width_one, "ValueError: no luck, with this one"),
    "NaN": (score_nan_for_width_one, "the scores are not finite: left/accuracy = nan"),
    "infinite": (score_infinite_for_width_one, "the scores are not finite: left/accuracy = inf"),
    "no scores": (score_nothing_for_width_one, "the evaluation gave no score left/accuracy"),
    "no last report": (stop_short_for_width_one, "RuntimeError: the evaluation ended without a last report"),
}


@pytest.fixture(autouse=True, scope="module")
def workers_find_this_module() -> Iterator[None]:
    """Ray's workers look for modules where the started script lies, which is pytest's place, not this one's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=600, val=200, test=50)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six real trainings on two workers."""
    return searched(dataset, tmp_path_factory.mktemp("real") / "run", SMALL, workers=2)


def searched(
    dataset: Dataset, out: Path, changes: Sequence[str], workers: int = 0, evaluate: Evaluate | None = None
) -> Run:
    experiment: Experiment = made_experiment(changes)
    if evaluate is None:
        return search(experiment, dataset, workers=workers, out=out)
    return search(experiment, dataset, workers=workers, out=out, evaluate=evaluate)


def journal_states(run: Run) -> list[TrialState]:
    storage = JournalStorage(JournalFileBackend(str(run.path / "journal.log")))
    return [trial.state for trial in optuna.load_study(study_name="search", storage=storage).trials]


def timeless(run: Run) -> list[Trial]:
    return [replace(trial, seconds=0) for trial in run.trials]


def assert_nothing_is_pickled(run: Run) -> None:
    names = {path.suffix for path in run.path.rglob("*") if path.is_file()}
    assert names <= {".yaml", ".json", ".csv", ".log", ".safetensors"}


def assert_checkpoints_are_those_near_the_front(run: Run) -> None:
    kept = {int(folder.name) for folder in (run.path / "checkpoints").iterdir()}
    assert kept == {trial.number for trial in near_front(run.complete, run.experiment.objectives)}
    assert kept >= {trial.number for trial in run.front}


def assert_checkpoint_gives_the_recorded_scores(run: Run, trial: Trial, dataset: Dataset) -> None:
    model = build_model(trial.architecture, dataset.tasks, dataset.input_shape, seed=99)
    model.load_state_dict(load_file(run.path / "checkpoints" / str(trial.number) / "weights.safetensors"))
    assert scores_on(model, dataset.tasks, dataset, "val", torch.device("cpu")) == pytest.approx(trial.scores)


def assert_only_width_one_failed(run: Run, reason: str) -> None:
    """Four of six are complete, two failed with the reason, in the table and in the journal."""
    assert len(run.trials) == 6
    for trial in run.trials:
        fails = trial.architecture.width_multiplier == 1
        assert trial.state is (State.FAILED if fails else State.COMPLETE)
        assert trial.error.startswith(reason) if fails else not trial.error
        assert (trial.accuracy is None) == fails
    assert {trial.architecture.width_multiplier for trial in run.front} == {0.5, 1.5}
    states = journal_states(run)
    assert states.count(TrialState.COMPLETE) == 4
    assert states.count(TrialState.FAIL) >= 2
    assert set(states) == {TrialState.COMPLETE, TrialState.FAIL}


def test_the_folder_holds_what_the_design_says(run: Run) -> None:
    assert {path.name for path in run.path.iterdir()} == {
        "experiment.yaml",
        "environment.json",
        "trials.csv",
        "epochs.csv",
        "journal.log",
        "architectures",
        "checkpoints",
    }
    assert {path.name for path in (run.path / "architectures").iterdir()} == {f"{n}.json" for n in range(6)}
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["started"] <= environment["finished"]
    assert_nothing_is_pickled(run)


def test_the_table_has_a_row_for_every_trial(run: Run, dataset: Dataset) -> None:
    with (run.path / "trials.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == [*COLUMNS, *dataset.score_names]
    assert sorted(int(row[0]) for row in rows) == list(range(6))
    assert {row[1] for row in rows} == {"COMPLETE"}
    for trial in run.trials:
        assert trial.accuracy == (trial.scores["left/accuracy"] + trial.scores["right/accuracy"]) / 2
        assert trial.epochs == 1
        assert trial.seconds > 0
        assert run.experiment.search_space.contains(trial.architecture)
    assert len({trial.architecture for trial in run.trials}) == 6


def test_checkpoints_are_the_fronts_and_give_its_scores(run: Run, dataset: Dataset) -> None:
    assert_checkpoints_are_those_near_the_front(run)
    assert run.front
    for trial in run.front:
        assert_checkpoint_gives_the_recorded_scores(run, trial, dataset)


def test_no_suggestion_stays_open(run: Run) -> None:
    assert journal_states(run) == [TrialState.COMPLETE] * 6


@pytest.mark.slow
def test_same_seed_same_result_on_one_worker_and_on_none(dataset: Dataset, tmp_path: Path) -> None:
    changes = [*SMALL, "search.trials=4"]
    here = searched(dataset, tmp_path / "here", changes)
    for name in ("one", "again"):
        assert timeless(searched(dataset, tmp_path / name, changes, workers=1)) == timeless(here)
    other = searched(dataset, tmp_path / "other", [*changes, "search.seed=1"])
    assert timeless(other) != timeless(here)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_trial_does_not_end_the_search(failure: str, dataset: Dataset, tmp_path: Path) -> None:
    evaluate, reason = FAILURES[failure]
    run = searched(dataset, tmp_path / "run", SIX, evaluate=evaluate)
    assert_only_width_one_failed(run, reason)


@pytest.mark.parametrize("failure", ["error", "NaN"])
@pytest.mark.slow
def test_a_failed_trial_does_not_end_the_search_on_workers(failure: str, dataset: Dataset, tmp_path: Path) -> None:
    evaluate, reason = FAILURES[failure]
    run = searched(dataset, tmp_path / "run", SIX, workers=2, evaluate=evaluate)
    assert_only_width_one_failed(run, reason)


@pytest.mark.slow
def test_a_dead_worker_does_not_end_the_search(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", SIX, workers=2, evaluate=die_for_width_one)
    assert_only_width_one_failed(run, "the worker process died 3 times")


def test_a_space_ends_after_all_of_its_architectures(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", [*SIX, "search.trials=50"], evaluate=succeed)
    assert len(run.complete) == len(run.trials) == run.experiment.search_space.size == 6
    assert TrialState.RUNNING not in journal_states(run)


def test_infeasible_architectures_are_not_trained(dataset: Dataset, tmp_path: Path) -> None:
    everything = searched(dataset, tmp_path / "all", SIX, evaluate=succeed)
    costs = sorted(trial.learnable_parameters for trial in everything.trials)
    changes = [*SIX, f"constraints.learnable_parameters={costs[2]}"]
    run = searched(dataset, tmp_path / "run", changes, evaluate=succeed)
    infeasible = [trial for trial in run.trials if trial.state is State.INFEASIBLE]
    assert len(run.trials) == 6
    assert sorted(trial.learnable_parameters for trial in run.complete) == costs[:3]
    assert sorted(trial.learnable_parameters for trial in infeasible) == costs[3:]
    for trial in infeasible:
        assert trial.error == f"learnable_parameters {trial.learnable_parameters:,} > {costs[2]:,}"
        assert (trial.epochs, trial.accuracy, trial.scores) == (0, None, {})
    assert TrialState.RUNNING not in journal_states(run)


@pytest.mark.parametrize("name", ["total_parameters", "macs"])
@pytest.mark.thin(2)
def test_other_known_costs_are_limited_alike(name: str, dataset: Dataset, tmp_path: Path) -> None:
    everything = searched(dataset, tmp_path / "all", SIX, evaluate=succeed)
    limit = sorted(getattr(trial, name) for trial in everything.trials)[2]
    run = searched(dataset, tmp_path / "run", [*SIX, f"constraints.{name}={limit}"], evaluate=succeed)
    assert len(run.trials) == 6
    for trial in run.trials:
        broken = getattr(trial, name) > limit
        assert trial.state is (State.INFEASIBLE if broken else State.COMPLETE)
        assert trial.error == (f"{name} {getattr(trial, name):,} > {limit:,}" if broken else "")


def test_latency_is_measured_where_a_limit_depends_on_it(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", [*SIX, "constraints.latency_ms=0.0001"], evaluate=succeed)
    assert {trial.state for trial in run.trials} == {State.INFEASIBLE}
    for trial in run.trials:
        assert trial.latency_ms is not None
        assert trial.error == f"latency_ms {trial.latency_ms:,} > 0.0001"
    unlimited = searched(dataset, tmp_path / "unlimited", SIX, evaluate=succeed)
    assert {trial.latency_ms for trial in unlimited.trials} == {None}
    assert "latency_ms" not in (tmp_path / "unlimited" / "trials.csv").read_text()


def test_latency_can_be_an_objective(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", [*SIX, "objectives=[accuracy, latency_ms]"], evaluate=succeed)
    assert len(run.complete) == 6
    fastest = min(run.complete, key=lambda trial: trial.latency_ms or 0.0)
    assert fastest in run.front
    assert write_report(run).exists()


def test_points_are_the_first_trials(dataset: Dataset, tmp_path: Path) -> None:
    points = "search.points=[{width_multiplier: 1.5, shared_ratio: 0.5}, {width_multiplier: 1.0}]"
    run = searched(dataset, tmp_path / "run", [*SIX, points], evaluate=succeed)
    first, second = (run.trial(number).architecture for number in (0, 1))
    assert (first.width_multiplier, first.layers[0].shared_ratio) == (1.5, 0.5)
    assert (second.width_multiplier, second.layers[0].shared_ratio) == (1.0, 1.0)


@pytest.mark.slow
def test_learning_curves_hold_every_epoch(dataset: Dataset, tmp_path: Path) -> None:
    changes = [*SMALL, "search.trials=2", "training.epochs=3"]
    curves = searched(dataset, tmp_path / "curves", [*changes, "search.learning_curves=true"])
    assert [(row.trial, row.epoch) for row in curves.epochs] == [(t, e) for t in (0, 1) for e in (1, 2, 3)]
    assert all(set(row.scores) == set(dataset.score_names) for row in curves.epochs)
    assert all(curves.trial(row.trial).scores == row.scores for row in curves.epochs if row.epoch == 3)
    plain = searched(dataset, tmp_path / "plain", changes)
    assert [bool(row.scores) for row in plain.epochs] == [False, False, True] * 2
    assert timeless(plain) == timeless(curves)


def test_infeasible_architectures_do_not_count_as_trials(dataset: Dataset, tmp_path: Path) -> None:
    changes = [*SMALL, "constraints.learnable_parameters=6000", "search.sampler=random"]
    run = searched(dataset, tmp_path / "run", changes, evaluate=succeed)
    assert len(run.complete) == 6
    assert max(trial.learnable_parameters for trial in run.complete) <= 6000
    assert len(run.trials) > 6


def test_impossible_constraints_are_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"`constraints\.macs` must leave something to search, but got 10"):
        searched(dataset, tmp_path / "run", [*SIX, "constraints.macs=10"], evaluate=succeed)
    assert not (tmp_path / "run").exists()


def test_a_used_folder_is_refused_and_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="must be new or empty, but it holds files already"):
        searched(dataset, tmp_path, SIX, evaluate=succeed)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_error_of_the_folder_is_no_failed_trial(dataset: Dataset, tmp_path: Path) -> None:
    """The search ends, instead of blaming the training."""
    folder = tmp_path / "run"

    def remove_the_table(
        architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        (folder / "trials.csv").unlink()
        yield made_report(0.5)

    with pytest.raises(StorageError, match=r"can no longer be written: No such file or directory .*trials\.csv"):
        searched(dataset, folder, SIX, evaluate=remove_the_table)


def test_the_test_split_is_not_given_to_trials(dataset: Dataset, tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def look(
        architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        seen.append(set(dataset.splits))
        yield made_report(0.5)

    searched(dataset, tmp_path / "run", SIX, evaluate=look)
    assert seen == [{"train", "val"}] * 6


def processes_with(mark: str) -> list[int]:
    """Processes that inherited the mark in their environment, whatever session they are in."""
    folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return [int(folder.name) for folder in folders if mark in environment_of(folder)]


def environment_of(process: Path) -> str:
    try:
        return (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def wait_for(condition: Callable[[], bool], seconds: float, driver: subprocess.Popen[str]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and driver.poll() is None:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.slow
def test_an_interrupted_search_leaves_a_readable_folder_and_no_process(tmp_path: Path) -> None:
    folder, mark = tmp_path / "run", uuid.uuid4().hex
    settings = ["--trials", "200", "--workers", "2", "--epochs", "3", "--out", str(folder)]
    driver = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mtl_search.cli",
            "search",
            "quickstart",
            *settings,
            "--set",
            "dataset.train=2000",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "MTL_SEARCH_TEST": mark},
    )
    try:
        table = folder / "trials.csv"
        assert wait_for(lambda: table.exists() and len(table.read_text().splitlines()) > 1, 90, driver)
        assert len(processes_with(mark)) > 2
        os.killpg(driver.pid, signal.SIGINT)
        _, shown = driver.communicate(timeout=30)
        assert driver.returncode == 130, shown
        assert "interrupted after" in shown
        assert "Traceback" not in shown
        end = time.monotonic() + 10
        while processes_with(mark) and time.monotonic() < end:
            time.sleep(0.2)
        assert processes_with(mark) == []
    finally:
        for process in processes_with(mark):
            os.kill(process, signal.SIGKILL)
    assert load_run(folder).complete
    status = subprocess.run(
        [sys.executable, "-m", "mtl_search.cli", "status", str(folder), "--json"],
        capture_output=True,
        text=True,
    )
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["states"]["COMPLETE"] == len(load_run(folder).complete)
    assert TrialState.COMPLETE in journal_states(load_run(folder))
