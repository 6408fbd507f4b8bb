"""A run's folder: plain files, written so that a reader never sees half of one.

::

    experiment.yaml      resolved: every default written out
    environment.json     versions, hardware, seed, source revision, started, finished
    trials.csv           a row per trial
    journal.log          Optuna's journal
    architectures/<trial>.json
    checkpoints/<trial>/weights.safetensors      of the trials on the front

Everything that is shown of a run is computed from these files.
"""

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mtl_search.architecture import Architecture
from mtl_search.errors import RunFolderError
from mtl_search.experiment import Experiment, parse_experiment, read_yaml
from mtl_search.pareto import COSTS, direction_of, front_mask, knee
from mtl_search.trial import State, Trial

EXPERIMENT = "experiment.yaml"
ENVIRONMENT = "environment.json"
TRIALS = "trials.csv"
JOURNAL = "journal.log"

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


@dataclass(frozen=True)
class Run:
    """A run, finished or not, as its folder tells it.

    :param path: The folder.
    :param experiment: What was asked for.
    :param environment: Versions, hardware, seed, times.
    :param trials: Every trial that ended, in the order of their numbers.
    """

    path: Path
    experiment: Experiment
    environment: Mapping[str, Any]
    trials: tuple[Trial, ...]

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
    folder = Path(path)
    if not folder.is_dir():
        raise RunFolderError(f"{path}: there is no such folder.")
    if not (folder / EXPERIMENT).is_file():
        raise RunFolderError(f"{path}: is not the folder of a run: it has no {EXPERIMENT}.")
    experiment = parse_experiment(read_yaml(folder / EXPERIMENT), str(folder / EXPERIMENT))
    try:
        environment = json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder / ENVIRONMENT}: cannot be read: {error}.") from error
    return Run(folder, experiment, environment, _read_trials(folder))


class RunWriter:
    """Writes the files of one run.

    :param path: The folder; made here. It may exist, but must be empty.
    :param experiment: What was asked for.
    :param environment: Versions, hardware, seed, source revision, start.
    :param scores: The names ``<task>/<metric>`` that trials will report.
    :raises RunFolderError: If the folder is already used or cannot be written; nothing is written then.
    """

    def __init__(
        self, path: str | Path, experiment: Experiment, environment: Mapping[str, Any], scores: Sequence[str]
    ) -> None:
        check_free(path)
        self.path = Path(path).absolute()
        self.environment = dict(environment)
        self.columns = [*COLUMNS, *scores]
        try:
            (self.path / "architectures").mkdir(parents=True)
            (self.path / "checkpoints").mkdir()
            write_text(self.path / EXPERIMENT, experiment.to_yaml())
            write_json(self.path / ENVIRONMENT, self.environment)
            write_text(self.path / TRIALS, csv_line(self.columns))
        except OSError as error:
            raise RunFolderError(f"{path}: cannot be written: {error.strerror}.") from error

    def checkpoint(self, number: int) -> Path:
        """The folder for the weights of a trial."""
        return self.path / "checkpoints" / str(number)

    def add(self, trial: Trial) -> None:
        """Write a trial that ended: its architecture, then its row, in one write each."""
        write_text(self.path / "architectures" / f"{trial.number}.json", trial.architecture.to_json())
        append_line(self.path / TRIALS, csv_line(_row(trial, self.columns)))

    def keep_checkpoints(self, numbers: Sequence[int]) -> None:
        """Remove the weights of every trial but these."""
        for folder in (self.path / "checkpoints").iterdir():
            if folder.name.isdigit() and int(folder.name) not in numbers:
                shutil.rmtree(folder)

    def finish(self, finished: str) -> None:
        """Write when the run ended."""
        self.environment["finished"] = finished
        write_json(self.path / ENVIRONMENT, self.environment)


def check_free(path: str | Path) -> None:
    """Refuse a folder that holds something already.

    :raises RunFolderError: If it does, or is a file.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{path}: is a file, not a folder for a run.")
    if folder.is_dir() and any(folder.iterdir()):
        what = "a run" if (folder / EXPERIMENT).exists() else "files"
        raise RunFolderError(f"{path}: the output folder must be new or empty, but it holds {what} already.")


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it into its place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file as :func:`write_text` does."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append a whole line in one write and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def csv_line(values: Sequence[Any]) -> str:
    """A line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, every value as its text.

    :param columns: Columns that it must have.
    :raises RunFolderError: If it cannot be read, or has not all of them.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}.") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise RunFolderError(f"{path}: has no column `{missing[0]}`.")
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _row(trial: Trial, columns: Sequence[str]) -> list[Any]:
    values: dict[str, Any] = {"trial": trial.number, "state": trial.state.value, **trial.scores}
    values["error"] = " ".join(trial.error.split())
    values["seconds"] = round(trial.seconds, 3)
    for name in COLUMNS:
        values.setdefault(name, getattr(trial, name, None))
    return [values.get(column) for column in columns]


def _read_trials(folder: Path) -> tuple[Trial, ...]:
    trials = []
    for line, row in enumerate(read_table(folder / TRIALS, COLUMNS), start=2):
        try:
            trials.append(_trial(row, folder))
        except (ValueError, KeyError) as error:
            raise RunFolderError(f"{folder / TRIALS}: line {line}: {error}") from error
    return tuple(sorted(trials, key=lambda trial: trial.number))


def _trial(row: Mapping[Any, str], folder: Path) -> Trial:
    scores = {name: float(value) for name, value in row.items() if "/" in name and value != ""}
    return Trial(
        number=int(row["trial"]),
        state=State(row["state"]),
        architecture=Architecture.load(folder / "architectures" / f"{row['trial']}.json"),
        method=row["method"],
        seed=int(row["seed"]),
        epochs=int(row["epochs"]),
        seconds=float(row["seconds"]),
        accuracy=float(row["accuracy"]) if row["accuracy"] else None,
        delta_m=float(row["delta_m"]) if row["delta_m"] else None,
        learnable_parameters=int(row["learnable_parameters"]),
        fixed_parameters=int(row["fixed_parameters"]),
        macs=int(row["macs"]),
        error=row["error"],
        scores=scores,
    )
