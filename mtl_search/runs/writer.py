"""Writes a run's folder, so that a reader never sees half of a file, and a crash costs the last epoch at most."""

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from mtl_search.datasets._saving import Saving
from mtl_search.errors import RunFolderError, StorageError
from mtl_search.internal.files import append_line, cut_torn_line, write_json, write_text
from mtl_search.internal.layout import (
    ARCHITECTURES,
    CHECKPOINT,
    CHECKPOINTS,
    CONFIRMATIONS,
    ENVIRONMENT,
    EPOCHS,
    EXPERIMENT,
    FORMAT,
    NUMBER,
    RUN,
    SPLITS,
    TRIALS,
    VALUES,
    WEIGHTS,
    Layout,
    half_written,
)
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.runs.confirmations import CONFIRMATION_COLUMNS, Confirmation
from mtl_search.runs.epochs import EPOCH_COLUMNS, EpochRow
from mtl_search.runs.folder import check_free
from mtl_search.runs.rows import csv_line, once, read_table, written_seconds
from mtl_search.runs.splits import splits_text
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.trial_rows import COLUMNS
from mtl_search.runs.weights import save_checkpoint, save_weights
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import TRAINING, Proposal
from mtl_search.training.checkpoint import Checkpoint

NOTED_EVERY = 60.0
"""Seconds after which the time of a session is noted again: so much is not counted of one that is killed."""


class RunWriter:
    """Writes the files of one run; it belongs to the process that holds the folder's lock.

    :param path: Path of the run's folder.
    :param environment: Versions, hardware, seed, source revision, start.
    :param scores: The names ``<task>/<metric>`` that trials will report.
    :param own: Columns that this run has besides: ``latency_ms``, where something depends on it, and
        ``training.<setting>`` for every setting that the search chooses.
    :param rows: Split -> its rows, of data in a file of the user's own.
    :param qualities: Qualities with a column of their own: ``worst_task``, where something depends on it.
    """

    def __init__(
        self,
        path: str | Path,
        environment: Mapping[str, Any],
        scores: Sequence[str],
        own: Sequence[str] = (),
        rows: Mapping[str, Collection[Any]] | None = None,
        qualities: Sequence[str] = (),
    ) -> None:
        self.path = Path(path).absolute()
        self.environment, self.rows = {"format": FORMAT, **environment}, rows
        self.began = self.noted = time.monotonic()
        self.columns = [*COLUMNS, *own, *qualities, *scores]
        self.epoch_columns = [*EPOCH_COLUMNS, *qualities, *scores]
        self.confirmation_columns = [*CONFIRMATION_COLUMNS, *qualities, *scores]

    def begin(self, experiment: Experiment, data: Saving | None = None) -> None:
        """Make the folder of a new run; the experiment comes last, so that a folder that has one has all.

        :param data: A dataset that is to be written into the folder, for nothing else holds it.
        :raises RunFolderError: If it is already used or cannot be written; nothing is written then.
        """
        make_folder(self.path)
        try:
            (self.path / ARCHITECTURES).mkdir()
            (self.path / CHECKPOINTS).mkdir()
            write_json(self.path / ENVIRONMENT, self.environment)
            write_text(self.path / TRIALS, csv_line(self.columns))
            write_text(self.path / EPOCHS, csv_line(self.epoch_columns))
            if experiment.search.confirm is not None:
                write_text(self.path / CONFIRMATIONS, csv_line(self.confirmation_columns))
            self._write_splits()
            if data is not None:
                data.write()
            write_text(self.path / EXPERIMENT, experiment.to_yaml(self.path))
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot be written: {error.strerror}.") from error

    def go_on(self, experiment: Experiment) -> None:
        """Take up a run that was cut off: with the experiment as it is now, and without what was half written."""
        with self._writing():
            if not (self.path / EPOCHS).exists():
                write_text(self.path / EPOCHS, csv_line(self.epoch_columns))
            if experiment.search.confirm is not None and not (self.path / CONFIRMATIONS).exists():
                write_text(self.path / CONFIRMATIONS, csv_line(self.confirmation_columns))
            self._take_up_tables()
            for table in (TRIALS, EPOCHS, CONFIRMATIONS):
                if (self.path / table).exists():
                    cut_torn_line(self.path / table)
            for folder in (ARCHITECTURES, CHECKPOINTS):  # what holds no file is lost in some copies
                (self.path / folder).mkdir(exist_ok=True)
            remove_half_written(self.path)
            write_text(self.path / EXPERIMENT, experiment.to_yaml(self.path))
            write_json(self.path / ENVIRONMENT, self.environment)
            self._write_splits()

    def _take_up_tables(self) -> None:
        """Without rows of trials that stand twice, and of epochs whose trial is not there; written on as they are."""
        trials = read_table(self.path / TRIALS, self.columns)
        epochs = read_table(self.path / EPOCHS, self.epoch_columns)
        self.columns, self.epoch_columns = trials.columns, epochs.columns
        ended = [row for _, row in once(self.path / TRIALS, trials.rows, ["trial"])]
        begun = {one.stem for one in (self.path / ARCHITECTURES).glob("*.json")}
        noted = [row for _, row in epochs.rows if row["trial"] in begun]
        if len(ended) < len(trials.rows):
            _write_table(self.path / TRIALS, self.columns, ended)
        if len(noted) < len(epochs.rows):
            _write_table(self.path / EPOCHS, self.epoch_columns, noted)
        self._take_up_confirmations({row["trial"] for row in ended if row["state"] == State.COMPLETE})

    def _take_up_confirmations(self, complete: Collection[str]) -> None:
        """Without rows that stand twice, and of trials that are not there."""
        path = self.path / CONFIRMATIONS
        if not path.exists():
            return
        table = read_table(path, self.confirmation_columns)
        self.confirmation_columns = table.columns
        kept = [row for _, row in once(path, table.rows, ["trial", "seed"]) if row["trial"] in complete]
        if len(kept) < len(table.rows):
            _write_table(path, table.columns, kept)

    def _write_splits(self) -> None:
        if self.rows:
            write_text(self.path / SPLITS, splits_text(self.rows))

    def checkpoint(self, number: int) -> Path:
        """The folder for the weights of a trial."""
        return self.path / CHECKPOINTS / str(number)

    def start(self, number: int, proposal: Proposal) -> None:
        """Write that a trial begins: its training values, where some were left open, and its architecture."""
        with self._writing():
            if proposal.values:
                write_json(self.path / ARCHITECTURES / f"{number}{VALUES}", proposal.training)
            write_text(self.path / ARCHITECTURES / f"{number}.json", proposal.architecture.to_json())

    def add_epoch(self, row: EpochRow, checkpoint: Checkpoint | None) -> None:
        """Write what is known of a trial after an epoch, and what it can go on from."""
        values: dict[str, Any] = {**vars(row), **row.scores, "seconds": written_seconds(row.seconds)}
        with self._writing():
            append_line(self.path / EPOCHS, csv_line([values.get(name) for name in self.epoch_columns]))
            if checkpoint is not None:
                save_checkpoint(self.checkpoint(row.trial), checkpoint)
            if time.monotonic() - self.noted > NOTED_EVERY:
                self._note_seconds()
                write_json(self.path / ENVIRONMENT, self.environment)

    def add_checkpoint(self, number: int, checkpoint: Checkpoint) -> None:
        """Write what a trial can go on from."""
        with self._writing():
            save_checkpoint(self.checkpoint(number), checkpoint)

    def add(self, trial: Trial) -> None:
        """Write the row of a trial that ended, in one write."""
        with self._writing():
            append_line(self.path / TRIALS, csv_line(_row(trial, self.columns)))

    def add_confirmation(self, found: Confirmation) -> None:
        """Write the row of a training that confirms a trial, in one write."""
        values: dict[str, Any] = {**vars(found), **found.scores, "seconds": written_seconds(found.seconds)}
        values["error"] = " ".join(found.error.split())
        with self._writing():
            append_line(self.path / CONFIRMATIONS, csv_line([values.get(name) for name in self.confirmation_columns]))

    def add_weights(self, number: int, weights: Mapping[str, Tensor]) -> None:
        """Write the trained weights of a trial."""
        with self._writing():
            save_weights(self.checkpoint(number), weights)

    def keep_checkpoints(self, front: Collection[int], under_way: Collection[int]) -> None:
        """Remove the weights of all trials but those of the front, and the states of all but those under way.

        Only what this run wrote: files of ours in a folder that has the number of one of its trials.
        """
        with self._writing():
            for number in self._numbers_of_checkpoints():
                folder = self.checkpoint(number)
                if number not in under_way:
                    (folder / CHECKPOINT).unlink(missing_ok=True)
                if number not in front and number not in under_way:
                    (folder / WEIGHTS).unlink(missing_ok=True)
                    _remove_if_empty(folder)

    def _numbers_of_checkpoints(self) -> list[int]:
        """The trials of this run that have a folder there; others lie there for reasons of their own."""
        names = [path.name for path in (self.path / CHECKPOINTS).iterdir() if re.fullmatch(NUMBER, path.name)]
        return [int(name) for name in names if (self.path / ARCHITECTURES / f"{name}.json").exists()]

    def finish(self, finished: str) -> None:
        """Write when the run ended."""
        self.environment["finished"] = finished
        for session in self.environment.get("sessions", [])[-1:]:
            session["finished"] = finished
        self._note_seconds()
        with self._writing():
            write_json(self.path / ENVIRONMENT, self.environment)

    def _note_seconds(self) -> None:
        """How long this session lasts, by a clock that nobody sets."""
        self.noted = time.monotonic()
        for session in self.environment.get("sessions", [])[-1:]:
            session["seconds"] = written_seconds(self.noted - self.began)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """
        :raises StorageError: If something cannot be written.
        """
        try:
            yield
        except OSError as error:
            raise StorageError(self.shown, error) from error

    @property
    def shown(self) -> str:
        """The folder as a message shows it: from where the user is, if it lies there."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)


def make_folder(path: Path) -> None:
    """Make a folder that was found free.

    :raises RunFolderError: If it holds something, or cannot be made.
    """
    check_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be written: {error.strerror}.") from error


def remove_half_written(folder: Path, layout: Layout = RUN) -> None:
    """Remove what a process that is gone had begun to write. Needs the folder's lock."""
    for path in list(half_written(folder, layout)):
        path.unlink(missing_ok=True)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    lines = [list(columns), *([row[column] for column in columns] for row in rows)]
    write_text(path, "".join(map(csv_line, lines)))


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder, unless something of the user's own lies in it."""
    if not any(folder.iterdir()):
        folder.rmdir()


def _row(trial: Trial, columns: Sequence[str]) -> list[Any]:
    values: dict[str, Any] = {"trial": trial.number, "state": trial.state.value, **trial.scores}
    values |= {TRAINING + name: value for name, value in trial.training.items()}
    values["error"] = " ".join(trial.error.split())
    values["seconds"] = written_seconds(trial.seconds)
    values |= {"latency_ms": trial.latency_ms, WORST_TASK: trial.worst_task}
    for name in COLUMNS:
        values.setdefault(name, getattr(trial, name, None))
    return [values.get(column) for column in columns]
