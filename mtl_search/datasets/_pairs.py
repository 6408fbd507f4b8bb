"""Two pictures in one: MultiMNIST (Sabour et al., NeurIPS 2017), in the layout of Lin et al. (NeurIPS 2019).

One 28x28 picture stands in the upper left corner of a 36x36 canvas, another in the lower right; where they overlap the
brighter pixel is kept. The task ``left`` asks for the class of the first, ``right`` for that of the second.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.errors import DatasetError
from mtl_search.tasks import Classification

SIDE = 36
"""Pixels of a picture's side, as in MultiMNIST (Sabour et al., NeurIPS 2017): pictures of 28 x 28 in it overlap."""
MOST = 500_000
"""Pictures of a split, which are held in memory: 650 MB. There are twelve million pairs of 3,500 digits."""

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Pictures ``[samples, 28, 28]`` and their classes ``[samples]``."""


def paired_dataset(
    name: str,
    left: Mapping[str, Labelled],
    right: Mapping[str, Labelled],
    sizes: Mapping[str, int],
    seed: int,
) -> Dataset:
    """Compose a dataset of pairs.

    :param left: Split -> the single pictures from which its left ones are drawn.
    :param right: Split -> the single pictures from which its right ones are drawn.
    :param sizes: Split -> number of pairs.
    :param seed: Seed of the draw of the pairs.
    """
    rng = np.random.default_rng(seed)
    splits = {split: _pairs(left[split], right[split], size, rng) for split, size in sizes.items()}
    return make_dataset(name, (Classification("left"), Classification("right")), splits)


def disjoint(pictures: Labelled, sizes: Mapping[str, int], seed: int) -> dict[str, Labelled]:
    """Divide single pictures by lot into splits that have none in common.

    :param sizes: Split -> number of pictures.
    :raises DatasetError: If there are fewer pictures than that.
    """
    if len(pictures[0]) < sum(sizes.values()):
        raise DatasetError(f"the splits need {sum(sizes.values()):,} single pictures, but got {len(pictures[0]):,}.")
    order = np.random.default_rng(seed).permutation(len(pictures[0]))
    parts: dict[str, Labelled] = {}
    start = 0
    for split, size in sizes.items():
        chosen = order[start : start + size]
        parts[split] = (pictures[0][chosen], pictures[1][chosen])
        start += size
    return parts


def _pairs(left: Labelled, right: Labelled, size: int, rng: np.random.Generator) -> Split:
    first, second = rng.integers(len(left[0]), size=size), rng.integers(len(right[0]), size=size)
    canvas = np.zeros((size, 1, SIDE, SIDE), dtype=np.uint8)
    height, width = left[0].shape[1:]
    canvas[:, 0, :height, :width] = left[0][first]
    corner = canvas[:, 0, -height:, -width:]
    np.maximum(corner, right[0][second], out=corner)
    return Split(canvas, {"left": left[1][first], "right": right[1][second]})
