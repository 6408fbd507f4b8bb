"""The distance of every pixel."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.errors import UserError
from mtl_search.internal.arrays import Array, parts
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._elementwise import Elementwise, added

HALF = 16
"""Bits of half a number."""


@dataclass(frozen=True)
class Depth(Elementwise):
    """The distance of every pixel: absolute error (L1), as in Eigen et al. (NeurIPS 2014) also relative to the target.

    Targets are ``[samples, height, width]``, float32 in any unit, NaN or at most 0 where missing.

    :param median: Median of the training targets, the best constant. Learned from the data.
    :param spread: The absolute error of the median. Learned from the data.
    """

    kind = "depth"
    metrics = (Metric("abs_error", higher_is_better=False), Metric("rel_error", higher_is_better=False))
    integer = False
    dense = True
    output_means = "the depth, in the units of the targets"
    median: float | None = None
    spread: float | None = None

    @property
    def outputs(self) -> int:
        return 1

    @property
    def output_scale(self) -> tuple[float, float]:
        return (0.0, 1.0) if self.median is None or self.spread is None else (self.median, self.spread)

    @property
    def alike(self) -> Hashable:
        return None

    @property
    def constant_error(self) -> float:
        if self.spread is None:
            raise UserError(f"task `{self.name}`: has learned no spread yet; `make_dataset` does it.")
        return self.spread

    @classmethod
    def known(cls, targets: Any) -> Any:
        return targets > 0

    def learned(self, targets: Array) -> Self:
        middle = _median(targets)
        errors = count = 0.0
        for _, part in parts(targets):
            there = part[self.known(part)]
            errors += float(np.abs(there - middle).sum(dtype=np.float64))
            count += len(there)
        if not errors:
            raise self.unusable(f"all targets are {middle:g}, from row 0 to row {len(targets) - 1}")
        return replace(self, median=float(middle), spread=errors / count)

    @classmethod
    def filled(cls, targets: Tensor, known: Tensor) -> Tensor:
        return torch.where(known, targets, 1)

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch, height, width]``, from outputs ``[tasks, batch, 1, height, width]``."""
        return (outputs.squeeze(2) - targets).abs()

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """Absolute errors, relative ones, and their number, ``[tasks, 3]``."""
        errors = cls.errors(tasks, outputs, targets)
        return torch.stack([added(errors, known), added(errors / targets, known), added(known, known)], dim=1)

    def scores(self, totals: Tensor) -> dict[str, float]:
        absolute, relative, count = totals.tolist()
        return {"abs_error": absolute / count, "rel_error": relative / count} if count else {}


def _median(targets: Array) -> np.float32:
    """The median of the depths that are there, exactly: numbers above 0 are in the order of their bits.

    The first pass counts the upper half of the bits, the second the lower half of those near the middle.
    """
    upper = _counts(bits >> HALF for bits in _bits(targets))
    ranks = ((upper[-1] - 1) // 2, upper[-1] // 2)
    places = [int(np.searchsorted(upper, rank, side="right")) for rank in ranks]
    lower = {place: _counts(_lower(targets, place)) for place in set(places)}
    middle = []
    for rank, place in zip(ranks, places, strict=True):
        within = rank - (upper[place - 1] if place else 0)
        middle.append(place << HALF | int(np.searchsorted(lower[place], within, side="right")))
    return np.array(middle, np.uint32).view(np.float32).mean()


def _counts(halves: Iterator[NDArray[np.int32]]) -> NDArray[np.int64]:
    """How many are up to 0, up to 1, ..."""
    counts = np.zeros(2**HALF, np.int64)
    for part in halves:
        counts += np.bincount(part, minlength=2**HALF)
    return counts.cumsum()


def _lower(targets: Array, upper: int) -> Iterator[NDArray[np.int32]]:
    """The lower halves of the bits of those depths whose upper half this is."""
    return (bits[bits >> HALF == upper] & (2**HALF - 1) for bits in _bits(targets))


def _bits(targets: Array) -> Iterator[NDArray[np.int32]]:
    """The bits of the depths that are there, a part of the samples at a time."""
    return (part[Depth.known(part)].view(np.int32) for _, part in parts(targets))
