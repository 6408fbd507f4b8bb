"""Tasks for the contract of their kind: with targets of which some are missing, alone and several at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.tasks import Task, TaskGroups
from mtl_search.testing._rules import require, seeded

SIDE = 6
"""Height and width of the maps of a dense kind."""
CPU = torch.device("cpu")
Perfect = Callable[[Task, NDArray[Any]], Tensor]
"""What a network that knows everything puts out, from a task that knows its data and its targets."""


@dataclass(frozen=True)
class TaskCase:
    """A task with complete targets."""

    task: Task
    complete: NDArray[Any]
    perfect: Perfect | None

    def targets(self, seed: int = 0, missing: float = 0.0) -> NDArray[Any]:
        """The targets with samples drawn anew, of which a share is missing, each by itself."""
        rng = np.random.default_rng(seed)
        chosen = rng.integers(0, len(self.complete), len(self.complete)) if seed else slice(None)
        targets = self.complete[chosen]
        there = self.task.known(targets)
        gone = rng.random(there.shape) < missing
        if there.ndim < targets.ndim:  # a target is a vector, along the second dimension
            gone = np.broadcast_to(gone[:, None], targets.shape)
        return np.where(gone, self.absent(targets), targets)

    def absent(self, targets: NDArray[Any]) -> Any:
        """What stands for a target that is missing."""
        return np.asarray(-1 if self.task.integer else np.nan, targets.dtype)

    def without(self, targets: NDArray[Any], samples: Any) -> NDArray[Any]:
        """The same targets without those of some samples."""
        changed = targets.copy()
        changed[samples] = self.absent(targets)
        return changed

    def learned(self, targets: NDArray[Any], name: str = "task") -> Task:
        """The task as a dataset brings it."""
        return dataset_of([replace(self.task, name=name)], {name: targets}).tasks[0]

    def outputs(self, samples: int, seed: int = 0) -> Tensor:
        """Outputs drawn at random, ``[samples, outputs, ...]``."""
        shape = (samples, self.task.outputs, *(self.complete.shape[-2:] if self.task.dense else ()))
        return 2 * torch.randn(shape, generator=seeded(seed))


@dataclass(frozen=True)
class Several:
    """Tasks of one kind that know their data, their outputs, and their targets as they are loaded."""

    tasks: list[Task]
    outputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    @property
    def groups(self) -> TaskGroups:
        """The tasks as they are computed at once."""
        return TaskGroups(self.tasks, CPU)


def several(case: TaskCase, count: int, missing: float = 0.0) -> Several:
    """So many tasks of the kind, a share of whose targets is missing."""
    raw = {f"task {number}": case.targets(number, missing) for number in range(count)}
    tasks = [case.learned(targets, name) for name, targets in raw.items()]
    outputs = {name: case.outputs(len(case.complete), seed) for seed, name in enumerate(raw)}
    return Several(tasks, outputs, {name: torch.from_numpy(targets) for name, targets in raw.items()})


def as_split(targets: Mapping[str, NDArray[Any]], side: tuple[int, ...] = (SIDE, SIDE)) -> Split:
    """Pictures with these targets."""
    samples = len(next(iter(targets.values())))
    return Split(np.random.default_rng(9).integers(0, 256, (samples, 1, *side), dtype=np.uint8), targets)


def dataset_of(tasks: Sequence[Task], targets: Mapping[str, NDArray[Any]]) -> Dataset:
    """With the same samples for training and validation."""
    first = next(iter(targets.values()))
    split = as_split(targets, first.shape[-2:] if tasks[0].dense else (SIDE, SIDE))
    return make_dataset("checked", tuple(tasks), {"train": split, "val": split})


def prepared(task: Task, targets: NDArray[Any]) -> Tensor:
    """Targets as a step has them."""
    return task.prepared(torch.from_numpy(targets))


def scores_of(task: Task, outputs: Tensor, targets: NDArray[Any], size: int | None = None) -> dict[str, float]:
    """The metrics, accumulated over batches of a size; in one batch if left out."""
    wanted = prepared(task, targets)
    size = size or len(wanted)
    parts = zip(outputs.split(size), wanted.split(size), strict=True)
    return task.scores(torch.stack([task.totals(*part) for part in parts]).sum(dim=0))


def require_scores(found: Mapping[str, float], expected: Mapping[str, float], given: str, rtol: float) -> None:
    """Raise ``BrokenRule`` unless the metrics are the same ones, in the same order, and agree."""
    near = list(found) == list(expected) and np.allclose(
        list(found.values()), list(expected.values()), rtol=rtol, atol=1e-12, equal_nan=False
    )
    require(near, given, f"{dict(found)} and not {dict(expected)}")
