"""A small dense dataset: bright squares on a dim ground, the larger the nearer, with maps of all kinds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.tasks import Task, make_task

SHAPE = (1, 13, 15)
"""Odd sizes, so that no stride divides them."""
SIZES = {"train": 72, "val": 32, "test": 32}

SEGMENTATION = make_task("segmentation", "segmentation", classes=3)
DEPTH, NORMALS = make_task("depth", "depth"), make_task("normals", "normals")
EDGES, SALIENCY = make_task("edges", "edges"), make_task("saliency", "saliency")
LARGE = make_task("classification", "large", classes=2)
ALL_MAPS: tuple[Task, ...] = (SEGMENTATION, DEPTH, NORMALS, EDGES, SALIENCY)
MIXED: tuple[Task, ...] = (SEGMENTATION, LARGE, DEPTH, NORMALS)
"""With a task that is not dense between dense ones."""


def made_squares(
    tasks: Sequence[Task] = MIXED, sizes: Mapping[str, int] = SIZES, shape: tuple[int, int, int] = SHAPE
) -> Dataset:
    """The dataset with some of the tasks."""
    rng = np.random.default_rng(0)
    names = [task.name for task in tasks]
    splits = {}
    for split, count in sizes.items():
        inputs, targets = _squares(rng, count, shape)
        splits[split] = Split(inputs, {name: targets[name] for name in names})
    return make_dataset("squares", tuple(tasks), splits)


def _squares(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    _, height, width = shape
    inputs = rng.integers(0, 40, (count, *shape), dtype=np.uint8)
    classes = np.zeros((count, height, width), np.int64)
    edges = np.zeros_like(classes)
    depth = np.full((count, height, width), 5, np.float32)
    normals = np.zeros((count, 3, height, width), np.float32)
    normals[:, 2] = 1
    sides = rng.integers(3, 8, count)
    for number, side in enumerate(sides):
        kind, top, left = rng.integers(1, 3), rng.integers(0, height - side), rng.integers(0, width - side)
        square = (slice(top, top + side), slice(left, left + side))
        inputs[number, 0][square] = 100 * kind
        classes[number][square] = kind
        edges[number][square] = 1
        edges[number, top + 1 : top + side - 1, left + 1 : left + side - 1] = 0
        depth[number][square] = 10 / side
        normals[number, 0][square] = 1
    maps = {"segmentation": classes, "depth": depth, "normals": normals, "edges": edges}
    return inputs, {**maps, "saliency": (classes > 0).astype(np.int64), "large": (sides > 5).astype(np.int64)}
