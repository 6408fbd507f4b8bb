"""Tasks of every kind, with targets drawn by lot of which some are missing, and outputs that are better than chance."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.tasks import Task, make_task

SAMPLES, SIDE = 60, 6
Targets = NDArray[Any]
Lot = np.random.Generator

OPTIONS: dict[str, dict[str, Any]] = {
    "classification": {"classes": 4},
    "multi_label": {"labels": 3},
    "regression": {"size": 2},
    "segmentation": {"classes": 3},
}


def _classes(count: int, *shape: int) -> Callable[[Lot, int], Targets]:
    return lambda rng, samples: rng.integers(0, count, (samples, *shape))


def _numbers(*shape: int) -> Callable[[Lot, int], Targets]:
    return lambda rng, samples: (7 + 3 * rng.standard_normal((samples, *shape))).astype(np.float32)


def _vectors(rng: Lot, samples: int) -> Targets:
    drawn = rng.standard_normal((samples, 3, SIDE, SIDE))
    drawn[:, 2] += 2
    return drawn.astype(np.float32)


def _distances(rng: Lot, samples: int) -> Targets:
    return (0.5 + 4 * rng.random((samples, SIDE, SIDE))).astype(np.float32)


DRAWN: dict[str, Callable[[Lot, int], Targets]] = {
    "binary": _classes(2),
    "classification": _classes(4),
    "multi_label": _classes(2, 3),
    "regression": _numbers(2),
    "segmentation": _classes(3, SIDE, SIDE),
    "depth": _distances,
    "normals": _vectors,
    "edges": _classes(2, SIDE, SIDE),
    "saliency": _classes(2, SIDE, SIDE),
}
"""Kind -> complete targets, before any is missing."""


def made_task(kind: str, name: str = "task") -> Task:
    return make_task(kind, name, **OPTIONS.get(kind, {}))


def made_targets(kind: str, seed: int = 0, missing: float = 0.0, samples: int = SAMPLES) -> Targets:
    """Targets of which this share is missing, each by itself."""
    rng = np.random.default_rng(seed)
    targets = DRAWN[kind](rng, samples)
    gone = rng.random(targets.shape) < missing
    if kind == "normals":
        gone = np.broadcast_to(gone[:, :1], targets.shape)
        return np.where(gone, np.float32(0), targets)
    return np.where(gone, np.float32(np.nan) if targets.dtype == np.float32 else -1, targets)


def absent(kind: str, targets: Targets, samples: Any) -> Targets:
    """The same targets without those of some samples."""
    changed = targets.copy()
    changed[samples] = np.nan if targets.dtype == np.float32 else -1
    return changed


def as_split(targets: dict[str, Targets]) -> Split:
    samples = len(next(iter(targets.values())))
    inputs = np.random.default_rng(9).integers(0, 256, (samples, 1, SIDE, SIDE), dtype=np.uint8)
    return Split(inputs, targets)


def learned(task: Task, targets: Targets) -> Task:
    """The task as a dataset brings it."""
    return dataset_of([task], {task.name: targets}).tasks[0]


def dataset_of(tasks: Sequence[Task], targets: dict[str, Targets]) -> Dataset:
    """With the same samples for training and validation."""
    return make_dataset("made", tuple(tasks), {"train": as_split(targets), "val": as_split(targets)})


def prepared(task: Task, targets: Targets) -> Tensor:
    """Targets as a step has them."""
    return task.prepared(torch.from_numpy(targets))


def made_outputs(task: Task, targets: Targets, seed: int = 0) -> Tensor:
    """Drawn by lot, ``[samples, outputs, ...]``."""
    shape = (len(targets), task.outputs, *((SIDE, SIDE) if task.dense else ()))
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def perfect_outputs(task: Task, targets: Targets) -> Tensor:
    """What a network that knows everything puts out."""
    wanted = prepared(task, targets)
    if task.kind in ("classification", "segmentation"):
        one_hot = torch.nn.functional.one_hot(wanted.long().clamp(min=0), task.outputs).movedim(-1, 1)
        return 60.0 * one_hot
    if task.kind in ("binary", "multi_label", "edges", "saliency"):
        logits = 60.0 * (2.0 * wanted - 1)
        return logits if task.kind == "multi_label" else logits.unsqueeze(1)
    return (wanted if task.kind in ("regression", "normals") else wanted.unsqueeze(1)).nan_to_num(1)


def scores_of(task: Task, outputs: Tensor, targets: Targets, size: int | None = None) -> dict[str, float]:
    """The metrics, accumulated over batches of a size; in one batch if left out."""
    wanted = prepared(task, targets)
    size = size or len(wanted)
    parts = zip(outputs.split(size), wanted.split(size), strict=True)
    return task.scores(torch.stack([task.totals(*part) for part in parts]).sum(dim=0))
