"""Confirmations: trials trained again with other seeds, as ``confirmations.csv`` holds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtl_search.internal.characters import printable
from mtl_search.internal.layout import CONFIRMATIONS
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.runs.rows import once, parsed, read_table, real, real_or_none, scores, whole

CONFIRMATION_COLUMNS = ("trial", "seed", "epochs", "seconds", "accuracy", "error")
"""Columns of ``confirmations.csv``; after them stand the scores."""


@dataclass(frozen=True)
class Confirmation:
    """One more training of a trial, with another seed.

    :param trial: Number of the trial.
    :param seed: Seed of this training.
    :param epochs: Number of epochs that were trained.
    :param seconds: Seconds of training and evaluation.
    :param accuracy: Mean quality over tasks, as that of a trial; ``None`` where it ended by an error.
    :param error: Why it failed; empty otherwise.
    :param scores: Name of the score, ``<task>/<metric>`` -> value.
    :param worst_task: Quality of the task that is done worst, as that of a trial.
    """

    trial: int
    seed: int
    epochs: int = 0
    seconds: float = 0.0
    accuracy: float | None = None
    error: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    worst_task: float | None = None

    def value(self, quality: str) -> float | None:
        """The value of a quality; ``None`` where it was not measured."""
        return self.scores.get(quality) if "/" in quality else getattr(self, quality)


def read_confirmations(folder: Path, qualities: Sequence[str]) -> list[Confirmation]:
    """The confirmations of a run, in the order in which they ended; none where there is no such file.

    :param qualities: What each must have a value of.
    :raises RunFolderError: If the file cannot be read, or a row breaks a rule; the message has the line.
    """
    path = folder / CONFIRMATIONS
    if not path.exists():
        return []
    rows = once(path, read_table(path, CONFIRMATION_COLUMNS).rows, ["trial", "seed"])
    return list(parsed(path, rows, lambda row: _confirmation(row, qualities)))


def _confirmation(row: Mapping[str, str], qualities: Sequence[str]) -> Confirmation:
    accuracy, worst_task = (real_or_none(row, name) for name in ("accuracy", WORST_TASK))
    numbers = whole(row, "trial"), whole(row, "seed"), whole(row, "epochs"), real(row, "seconds", least=0)
    found = Confirmation(*numbers, accuracy, printable(row["error"]), scores(row), worst_task)
    missing = [name for name in qualities if found.value(name) is None]
    if missing and not found.error:
        raise ValueError(f"a confirmation without an error must have a value in column `{missing[0]}`.")
    return found
