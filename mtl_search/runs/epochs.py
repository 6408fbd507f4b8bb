"""``epochs.csv``: what was noted of every trial after each of its epochs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl_search.internal.layout import EPOCHS
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.runs.rows import parsed, read_table, real, real_or_none, scores, whole

EPOCH_COLUMNS = ("trial", "epoch", "seconds", "loss", "accuracy")
"""Columns of ``epochs.csv``; after them stand the scores, empty for epochs that were not scored."""


@dataclass(frozen=True)
class EpochRow:
    """What ``epochs.csv`` holds of an epoch.

    :param trial: Number of the trial.
    :param epoch: Number of the epoch, from 1.
    :param seconds: Since the start of the trial, on its workers.
    :param loss: Mean training loss over the steps.
    :param accuracy: Mean quality over tasks, as that of a trial; ``None`` where the epoch was not scored.
    :param scores: Name of the score, ``<task>/<metric>`` -> value.
    :param worst_task: Quality of the task that is done worst, as that of a trial.
    """

    trial: int
    epoch: int
    seconds: float
    loss: float
    accuracy: float | None
    scores: Mapping[str, float]
    worst_task: float | None = None

    def value(self, objective: str) -> float | None:
        """The value of a quality after this epoch; ``None`` where it was not scored."""
        return self.scores.get(objective) if "/" in objective else getattr(self, objective)


def read_epochs(folder: Path, qualities: Sequence[str]) -> Iterator[EpochRow]:
    """The rows of ``epochs.csv``; none where it is not there.

    :param qualities: What an epoch that was scored must have a value for.
    :raises RunFolderError: If a row cannot be read.
    """
    path = folder / EPOCHS
    if path.exists():
        yield from parsed(path, read_table(path, EPOCH_COLUMNS).rows, lambda row: _epoch(row, qualities))


def _epoch(row: Mapping[str, str], qualities: Sequence[str]) -> EpochRow:
    trial, epoch, seconds = whole(row, "trial"), whole(row, "epoch"), real(row, "seconds", least=0)
    accuracy, worst_task = (real_or_none(row, name) for name in ("accuracy", WORST_TASK))
    found = EpochRow(trial, epoch, seconds, real(row, "loss"), accuracy, scores(row), worst_task)
    missing = [name for name in qualities if found.accuracy is not None and found.value(name) is None]
    if missing:
        raise ValueError(f"an epoch that was scored must have a value in column `{missing[0]}`, but it is empty.")
    return found
