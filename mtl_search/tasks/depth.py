"""The distance of every pixel."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.errors import UserError
from mtl_search.scores import Metric
from mtl_search.tasks._elementwise import Elementwise, added


@dataclass(frozen=True)
class Depth(Elementwise):
    """The distance of every pixel: absolute error (L1), as in Eigen et al. (NeurIPS 2014) also relative to the target.

    Targets are ``[samples, height, width]``, float32 in any unit, NaN or at most 0 where missing.

    :param median: Of the training targets, the best constant. Learned from the data.
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

    def learned(self, targets: NDArray[Any]) -> Self:
        there = targets[self.known(targets)]
        median = float(np.median(there))
        spread = float(np.abs(there - median).mean(dtype=np.float64))
        if not spread:
            raise self.unusable(f"all targets are {there[0]:g}, from row 0 to row {len(targets) - 1}")
        return replace(self, median=median, spread=spread)

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
