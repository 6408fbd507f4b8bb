"""What a table holds: numbers by architecture, seed and epoch, and what they are numbers of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEASURED = ("learnable_parameters", "fixed_parameters", "macs", "latency_ms", "seconds")
"""What is measured of a training besides its scores: parameters; multiply-accumulates of a sample; milliseconds of a
sample in the deployed form, on one thread; seconds of the training."""


@dataclass(frozen=True)
class TaskFacts:
    """A task of a table.

    :param name: Name of the task.
    :param headline: The metric that stands for it.
    :param constant_error: Error of the best constant prediction where the headline is an error; else ``None``.
    """

    name: str
    headline: str
    constant_error: float | None = None

    def quality(self, headline: Array) -> Array:
        """How well it is done, 1 is perfect: the headline, or the skill of an error, as a search has it."""
        return headline if self.constant_error is None else 1 - headline / self.constant_error


@dataclass(frozen=True)
class Record:
    """What a table has of an architecture after an epoch: of one training, or the mean over its seeds.

    :param architecture: Id of the architecture.
    :param seed: Seed of the training; ``None`` for the mean.
    :param epoch: Epochs trained, from 1.
    :param quality: Mean quality over tasks on the validation split, 1 is perfect: the objective ``accuracy``.
    :param headlines: Task -> its headline on the validation split.
    :param losses: Task -> its loss there, of tasks whose loss is no headline.
    :param training_loss: Sum over tasks of the mean loss over the epoch's steps.
    :param test_quality: Mean quality over tasks on the test split, at the end of the training; ``None`` before.
    :param test_headlines: Task -> its headline there; empty before the end.
    :param test_losses: Task -> its loss there; empty before the end.
    :param cosines: ``(task, task)`` -> cosine between their gradients at the end, at what tasks share; empty before.
    :param costs: Name -> value of what :data:`MEASURED` lists; ``latency_ms`` only where it was measured.
    """

    architecture: str
    seed: int | None
    epoch: int
    quality: float
    headlines: Mapping[str, float]
    losses: Mapping[str, float]
    training_loss: float
    test_quality: float | None
    test_headlines: Mapping[str, float]
    test_losses: Mapping[str, float]
    cosines: Mapping[tuple[str, str], float]
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Trainings:
    """The numbers of a table; ``nan`` where there is none.

    :param tasks: Tasks, in the order of the dataset.
    :param architectures: Ids, in the order of the first axis of all arrays.
    :param choices: JSON text of each architecture.
    :param seeds: Seeds, in the order of the second axis.
    :param scores: ``<task>/<headline or loss>`` -> on the validation split, ``[architectures, seeds, epochs]``.
    :param training_loss: Sum over tasks, ``[architectures, seeds, epochs]``.
    :param test: The same at the end on the test split, ``[architectures, seeds]``.
    :param cosines: Pair of tasks -> ``[architectures, seeds]``.
    :param measured: Names of :data:`MEASURED` -> ``[architectures, seeds]``.
    :param made_by: What made it: ``experiment``, as plain data, and ``environment``.
    """

    tasks: tuple[TaskFacts, ...]
    architectures: tuple[str, ...]
    choices: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: Mapping[str, Array]
    training_loss: Array
    test: Mapping[str, Array]
    cosines: Mapping[tuple[str, str], Array]
    measured: Mapping[str, Array]
    made_by: Mapping[str, Any]

    @cached_property
    def qualities(self) -> Mapping[str, Array]:
        """Task -> quality on the validation split, ``[architectures, seeds, epochs]``."""
        return {task.name: task.quality(self.scores[f"{task.name}/{task.headline}"]) for task in self.tasks}

    @cached_property
    def quality(self) -> Array:
        """Mean over tasks, ``[architectures, seeds, epochs]``."""
        return mean_of(list(self.qualities.values()))

    @cached_property
    def test_quality(self) -> Array:
        """Mean over tasks on the test split, ``[architectures, seeds]``."""
        return mean_of([task.quality(self.test[f"{task.name}/{task.headline}"]) for task in self.tasks])

    @property
    def epochs(self) -> int:
        """Epochs of each training."""
        return int(self.training_loss.shape[2])

    def described(self) -> dict[str, Any]:
        """What a file says besides its columns, as plain data."""
        return {"tasks": [asdict(task) for task in self.tasks], **self.made_by}


def mean_of(values: Sequence[Array]) -> Array:
    """The mean over some arrays of one shape."""
    return np.asarray(np.mean(np.stack(values), axis=0))
