"""What the fault tests search, and what must hold of a run whatever happened to it."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from made_processes import Driver
from made_runs import PLAIN
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.front import near_front
from mtl_search.runs.trial import State, Trial

TRIALS, EPOCHS = 5, 4
SETTINGS: dict[str, object] = {
    "dataset.train": 1200,
    "dataset.val": 200,
    "dataset.test": 50,
    "training.epochs": EPOCHS,
    "search.trials": TRIALS,
    "search.early_stopping": "{grace: 1, factor: 2}",
}
SETTINGS |= dict(change.split("=", 1) for change in PLAIN)  # where hard sharing is ahead all others are stopped
SEARCH = ["search", "quickstart", *(f"--set={key}={value}" for key, value in SETTINGS.items())]


def epochs_noted(folder: Path) -> list[tuple[int, int]]:
    """Trial and epoch of every row of a run's ``epochs.csv``, in the order in which they were written."""
    table = folder / "epochs.csv"
    if not table.exists():
        return []
    with table.open() as file:
        return [(int(row["trial"]), int(row["epoch"])) for row in csv.DictReader(file)]


def wait_until_noted(driver: Driver, folder: Path, rows: int) -> None:
    """Wait until that many epochs were trained."""
    driver.wait_for(lambda: len(epochs_noted(folder)) >= rows)


def trials_ended(folder: Path) -> int:
    """How many trials have ended; none before the folder is that of a run, to which its experiment comes last."""
    return len(load_run(folder).trials) if (folder / "experiment.yaml").exists() else 0


def rows_within_a_trial(run: Run) -> int:
    """How many epochs were noted when a trial that trains to the end, not the first one, had trained one of them."""
    late = next(trial.number for trial in run.complete if trial.number > 0)
    return next(place for place, row in enumerate(run.epochs, 1) if row.trial == late)


def timeless(run: Run) -> list[Trial]:
    return [replace(trial, seconds=0) for trial in run.trials]


def assert_whole(run: Run, trials: int = TRIALS) -> None:
    """Every trial asked for has ended once; nothing is under way, in the table, in the journal or on the disk."""
    with (run.path / "trials.csv").open() as file:
        numbers = [int(row["trial"]) for row in csv.DictReader(file)]
    assert sorted(numbers) == list(range(len(numbers))), "a row for every number, none twice"
    trained = [trial for trial in run.trials if trial.state is not State.INFEASIBLE]
    assert len(trained) == trials
    assert len({trial.architecture for trial in run.trials}) == len(run.trials), "no architecture twice"
    assert not run.under_way
    for trial in run.trials:
        epochs = sorted(row.epoch for row in run.epochs if row.trial == trial.number)
        assert epochs == list(range(1, trial.epochs + 1)), "no epoch is missing"
    assert {trial.epochs for trial in run.complete} <= {run.experiment.training.epochs}
    storage = JournalStorage(JournalFileBackend(str(run.path / "journal.log")))
    states = Counter(trial.state for trial in optuna.load_study(study_name="search", storage=storage).trials)
    assert states[TrialState.RUNNING] == states[TrialState.WAITING] == 0
    near = near_front(run.complete, run.experiment.objectives)
    assert {int(folder.name) for folder in (run.path / "checkpoints").iterdir()} == {one.number for one in near}
    assert not list(run.path.rglob("*.tmp"))
    assert not list(run.path.rglob("training.safetensors"))


def assert_same_as(undisturbed: Run, folder: Path) -> Run:
    """A run that was disturbed ends with the same numbers as one that was not."""
    run = load_run(folder)
    assert_whole(run)
    assert timeless(run) == timeless(undisturbed)
    return run


def assert_epochs_trained_twice(folder: Path, most: int) -> None:
    """No more was trained again than what stood behind the last checkpoints."""
    twice = [row for row, count in Counter(epochs_noted(folder)).items() if count > 1]
    assert len(twice) <= most, twice
