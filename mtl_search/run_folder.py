"""A run's folder: plain files, written so that a reader never sees half of one.

::

    experiment.yaml      resolved: every default written out
    environment.json     versions, hardware, seed, source revision, started, finished
    trials.csv           a row per trial that has ended
    epochs.csv           a row per epoch of every trial: the loss, and the scores where they were taken
    splits.csv           the split of every row, of data in a file of the user's own
    journal.log          Optuna's journal
    architectures/<trial>.json
    checkpoints/<trial>/weights.safetensors      of the trials on the front
    checkpoints/<trial>/training.safetensors     of the trials under way: what they go on from
    .lock                while a process works in it

Everything that is shown of a run is computed from these files, and so is the search that goes on after it was cut off.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtl_search.architecture import Architecture
from mtl_search.characters import printable
from mtl_search.errors import RunFolderError, UserError, existing_folder, reason_of, shown_path
from mtl_search.experiment import Experiment, parse_experiment, read_yaml
from mtl_search.files import is_worked_in
from mtl_search.layout import (
    ARCHITECTURES,
    CHECKPOINTS,
    ENVIRONMENT,
    EPOCHS,
    EXPERIMENT,
    LOCK,
    NUMBER,
    SPLITS,
    TRIALS,
    check_inside,
)
from mtl_search.pareto import COSTS, direction_of, front_mask, knee
from mtl_search.reading import read_json
from mtl_search.records import Environment, read_record
from mtl_search.rows import of_training, once, parsed, read_table, real, real_or_none, scores, state_of, whole
from mtl_search.trial import State, Trial

COLUMNS = (
    "trial",
    "state",
    "method",
    "seed",
    "epochs",
    "seconds",
    "accuracy",
    "delta_m",
    "learnable_parameters",
    "fixed_parameters",
    "macs",
    "error",
)
"""Columns of ``trials.csv``; after them stands a column ``<task>/<metric>`` for every score."""

EPOCH_COLUMNS = ("trial", "epoch", "seconds", "loss", "accuracy")
"""Columns of ``epochs.csv``; after them stand the scores, empty for epochs that were not scored."""


SPLITS_LIMIT = 2**30
"""Bytes of ``splits.csv``: sixty million rows."""


@dataclass(frozen=True)
class EpochRow:
    """What ``epochs.csv`` holds of an epoch.

    :param trial: Number of the trial.
    :param epoch: From 1.
    :param seconds: Since the start of the trial, on its workers.
    :param loss: Mean training loss.
    :param accuracy: As that of a trial; ``None`` where the epoch was not scored.
    :param scores: ``"<task>/<metric>"`` -> value.
    """

    trial: int
    epoch: int
    seconds: float
    loss: float
    accuracy: float | None
    scores: Mapping[str, float]

    def value(self, objective: str) -> float | None:
        """The value of a quality after this epoch; ``None`` where it was not scored."""
        return self.scores.get(objective) if "/" in objective else self.accuracy


@dataclass(frozen=True)
class Run:
    """A run, finished or not, as its folder tells it.

    :param path: The folder.
    :param experiment: What was asked for.
    :param environment: Versions, hardware, seed, times.
    :param trials: Every trial that ended, in the order of their numbers.
    :param ended: Their numbers in the order in which they ended.
    :param under_way: Architectures of the trials that began and have not ended, by their numbers.
    """

    path: Path
    experiment: Experiment
    environment: Mapping[str, Any]
    trials: tuple[Trial, ...]
    ended: tuple[int, ...] = ()
    under_way: Mapping[int, Architecture] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether a process works on it now."""
        return is_worked_in(self.path)

    @cached_property
    def epochs(self) -> tuple[EpochRow, ...]:
        """What was noted after every epoch, in that order; of an epoch that was trained twice the last.

        :raises RunFolderError: If ``epochs.csv`` cannot be read.
        """
        known = {*self.ended, *self.under_way}
        rows = {(row.trial, row.epoch): row for row in _read_epochs(self) if row.trial in known}
        return tuple(rows.values())

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What of its tables does not count, a sentence each; a search that goes on takes it out.

        :raises RunFolderError: If a table cannot be read.
        """
        twice = len(read_table(self.path / TRIALS, COLUMNS).rows) - len(self.trials)
        known = {*self.ended, *self.under_way}
        stray = sorted({row.trial for row in _read_epochs(self)} - known)
        said = []
        if twice:
            said.append(f"{TRIALS}: {twice} of its rows stand there again; a trial counts once.")
        if stray:
            said.append(
                f"{EPOCHS}: rows of trial {', '.join(map(str, stray))} do not count: nothing else is there of it."
            )
        if "experiment" in self.environment and not (self.path / EPOCHS).exists():
            said.append(f"{EPOCHS}: is not there; what was noted after each epoch is lost.")
        return tuple(said)

    def checkpoint(self, number: int) -> Path:
        """The folder for the weights of a trial."""
        return self.path / CHECKPOINTS / str(number)

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that were trained for their whole budget."""
        return tuple(trial for trial in self.trials if trial.state is State.COMPLETE)

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """The complete trials that no other one dominates in the experiment's objectives, cheapest first."""
        return front_of(self.complete, self.experiment.objectives)

    @cached_property
    def knee(self) -> Trial | None:
        """The trial of the front after which more cost stops to pay; ``None`` without complete trials."""
        if not self.front:
            return None
        points = _points(self.front, self.experiment.objectives)
        return self.front[knee(points, [direction_of(name) for name in self.experiment.objectives])]

    @property
    def task_names(self) -> list[str]:
        """As the run says; if it does not, those that have scores; empty before a trial of such a run is complete."""
        told = [printable(task["name"]) for task in self.environment.get("tasks", [])]
        return told or list(dict.fromkeys(name.partition("/")[0] for trial in self.complete for name in trial.scores))

    @property
    def qualities(self) -> list[str]:
        """The objectives that are no costs; at least one."""
        return [name for name in self.experiment.objectives if name not in COSTS]

    def trial(self, number: int) -> Trial:
        """The trial of that number.

        :raises RunFolderError: If the run has none.
        """
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise RunFolderError(f"{self.path}: there is no trial {number} among its {len(self.trials)} trials.")


def front_of(trials: Sequence[Trial], objectives: Sequence[str]) -> tuple[Trial, ...]:
    """The trials that no other one dominates, cheapest first; of trials with equal values the first."""
    if not trials:
        return ()
    on_front = front_mask(_points(trials, objectives), [direction_of(name) for name in objectives])
    first_of = {tuple(_points([trial], objectives)[0]): trial for trial in reversed(trials)}
    front = [trial for trial, on in zip(trials, on_front, strict=True) if on and trial in first_of.values()]
    return tuple(sorted(front, key=lambda trial: (trial.learnable_parameters, trial.number)))


def _points(trials: Sequence[Trial], objectives: Sequence[str]) -> list[list[float]]:
    points = [[trial.value(name) for name in objectives] for trial in trials]
    return [[float("nan") if value is None else float(value) for value in point] for point in points]


def load_run(path: str | Path) -> Run:
    """Read a run's folder.

    :raises RunFolderError: If there is no such folder, or it is not a run's; the message names the file.
    """
    folder = existing_folder(path)
    check_inside(folder)
    if not (folder / EXPERIMENT).is_file():
        raise RunFolderError(f"{path}: is not the folder of a run: it has no {EXPERIMENT}.")
    experiment = parse_experiment(read_yaml(folder / EXPERIMENT), str(folder / EXPERIMENT))
    environment = read_record(folder / ENVIRONMENT, Environment)
    trials = _read_trials(folder, experiment)
    ended = tuple(trial.number for trial in trials)
    return Run(
        folder,
        experiment,
        environment,
        tuple(sorted(trials, key=lambda trial: trial.number)),
        ended,
        _read_under_way(folder, set(ended)),
    )


def check_free(path: str | Path) -> None:
    """Refuse a folder that holds something already.

    :raises RunFolderError: If it does, is a file, or no folder at all.
    """
    folder = Path(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise RunFolderError(
            f"{path}: must be a folder, not an address. Mount the storage, and name the folder where it is mounted."
        )
    try:
        folder.stat()
    except (OSError, ValueError) as error:  # a name that is too long; one that no file can have
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise RunFolderError(f"{shown_path(path)}: cannot be a folder for a run: {reason_of(error)}.") from error
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{path}: is a file, not a folder for a run.")
    if folder.is_dir() and any(inside.name != LOCK for inside in folder.iterdir()):
        what = "a run" if (folder / EXPERIMENT).exists() else "files"
        raise RunFolderError(f"{path}: the output folder must be new or empty, but it holds {what} already.")
    if folder.is_dir():
        check_inside(folder)


def splits_text(rows: Mapping[str, Collection[Any]]) -> str:
    """``splits.csv``: a line per row, with its split.

    :param rows: Split -> its rows.
    """
    filled = {split: np.asarray(chosen) for split, chosen in rows.items() if len(chosen)}
    row = np.concatenate(list(filled.values()))
    split = np.repeat(list(filled), [len(chosen) for chosen in filled.values()])
    return pd.DataFrame({"row": row, "split": split}).sort_values("row").to_csv(index=False, lineterminator="\n")


def changed_splits(path: Path, rows: Mapping[str, Collection[Any]]) -> list[str]:
    """In what the splits of a dataset are not those of a run's folder, each as ``what: before -> now``; the first one.

    :param rows: Split -> its rows, of the dataset.
    """
    file = path / SPLITS
    if not file.exists() or (rows and splits_text(rows).encode() == file.read_bytes()):
        return []
    before = {row["row"]: row["split"] for _, row in read_table(file, ["row", "split"], SPLITS_LIMIT).rows}
    now = {str(row): split for split, chosen in rows.items() for row in chosen}
    rows_of_both = list(dict.fromkeys([*before, *now]))
    changed = [row for row in rows_of_both if before.get(row) != now.get(row)]
    if not changed:
        return []
    first = changed[0]
    more = f", and of {len(changed) - 1:,} more" if len(changed) > 1 else ""
    return [f"the split of row {first}: {before.get(first, 'none')} -> {now.get(first, 'none')}{more}"]


def _read_trials(folder: Path, experiment: Experiment) -> tuple[Trial, ...]:
    """In the order in which they ended."""
    path = folder / TRIALS
    rows = once(path, read_table(path, COLUMNS).rows, ["trial"])
    return tuple(parsed(path, rows, lambda row: _trial(row, folder, experiment)))


def _read_under_way(folder: Path, ended: Collection[int]) -> dict[int, Architecture]:
    """The trials whose architecture was written and whose row was not."""
    names = [path.name for path in (folder / ARCHITECTURES).glob("*.json")]
    numbers = sorted(int(name[: -len(".json")]) for name in names if re.fullmatch(rf"({NUMBER})\.json", name))
    found = {}
    for number in numbers:
        if number not in ended:
            try:
                found[number] = _read_architecture(folder, number)
            except UserError as error:
                again = "Put it back from a copy, or remove it: the search then goes on without this trial."
                raise RunFolderError(f"{error} {again}") from error
    return found


def _read_architecture(folder: Path, number: int) -> Architecture:
    path = folder / ARCHITECTURES / f"{number}.json"
    data = read_json(path, follow=False)
    try:
        return Architecture.from_dict(data)
    except UserError as error:
        raise RunFolderError(f"{path}: {error}") from error


def _read_epochs(run: Run) -> Iterator[EpochRow]:
    path = run.path / EPOCHS
    if path.exists():
        yield from parsed(path, read_table(path, EPOCH_COLUMNS).rows, lambda row: _epoch(row, run.qualities))


def _epoch(row: Mapping[str, str], qualities: Sequence[str]) -> EpochRow:
    trial, epoch, seconds = whole(row, "trial"), whole(row, "epoch"), real(row, "seconds", least=0)
    found = EpochRow(trial, epoch, seconds, real(row, "loss"), real_or_none(row, "accuracy"), scores(row))
    missing = [name for name in qualities if found.accuracy is not None and found.value(name) is None]
    if missing:
        raise ValueError(f"an epoch that was scored must have a value in column `{missing[0]}`, but it is empty.")
    return found


def _trial(row: Mapping[str, str], folder: Path, experiment: Experiment) -> Trial:
    number, state = whole(row, "trial"), state_of(row, list(State))
    try:
        architecture = _read_architecture(folder, number)
    except UserError as error:
        raise ValueError(
            f"{error} Put it back from a copy, or remove the line to do without trial {number}."
        ) from error
    trial = Trial(
        **of_training(row),
        number=number,
        state=state,
        architecture=architecture,
        latency_ms=real_or_none(row, "latency_ms"),
    )
    values, limits = ("accuracy", *experiment.objectives), tuple(experiment.constraints.limits())
    needed = {State.COMPLETE: values, State.STOPPED: values, State.INFEASIBLE: limits, State.FAILED: ()}
    missing = [name for name in needed[trial.state] if trial.value(name) is None]
    if missing:
        raise ValueError(f"a {trial.state.value} trial must have a value in column `{missing[0]}`, but it is empty.")
    return trial
