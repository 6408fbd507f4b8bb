"""One or more numbers for each sample."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mtl_search.errors import FieldError, UserError
from mtl_search.internal.arrays import Array, moments
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._elementwise import Elementwise
from mtl_search.tasks._task import MOST_OUTPUTS

CONSTANT = 1e-6
"""Targets are constant if their deviation is no more than this part of their mean: float32 tells no less apart."""
APART = 1e-3
"""Part of their mean from which on the deviation of targets is told in float32, to 4 digits of its 7."""
SAME = 1e-12
"""Targets are all the same if their squared distances from the mean are no more of their squares: float64 rounds so."""


@dataclass(frozen=True)
class Regression(Elementwise):
    """One or more numbers for each sample: squared error of scaled targets; RMSE, MAE and R2 in the targets' units.

    The network learns targets less their mean, divided by their deviation, both of the training targets. Metrics are
    those of each number by itself, averaged over the numbers that have a target, as in scikit-learn; R2 over those that
    have different ones: of one sample, or of targets that are all the same, it is undefined and left out.
    Targets are ``[samples]`` or ``[samples, size]``, float32, NaN where missing.

    :param size: Numbers for each sample.
    :param error: What is learned: the ``squared`` or the ``absolute`` error.
    :param names: Names of the numbers; none where they are counted.
    :param mean: Mean of the training targets, one for each number. Learned from the data; 0 before.
    :param deviation: Standard deviation of the training targets. Learned from the data; 1 before.
    """

    kind = "regression"
    metrics = (
        Metric("rmse", higher_is_better=False),
        Metric("mae", higher_is_better=False),
        Metric("r2"),
        Metric("loss", higher_is_better=False),
    )
    integer = False
    output_means = "a number in the units of the targets"
    size: Annotated[int, Field(ge=1, le=MOST_OUTPUTS)] = 1
    error: Literal["squared", "absolute"] = "squared"
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[Annotated[float, Field(gt=0)], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise FieldError("size", "must be at least 1", self.size)
        if self.error not in ("squared", "absolute"):
            raise FieldError("error", "must be `squared` or `absolute`", self.error)
        for name, values in (("mean", self.mean), ("deviation", self.deviation), ("names", self.names)):
            if len(values) not in (0, self.size):
                raise FieldError(name, f"must have {self.size} values or none", values)
        if any(value <= 0 for value in self.deviation):
            raise FieldError("deviation", "must be above 0", self.deviation)

    @property
    def outputs(self) -> int:
        return self.size

    def in_units(self, output: Tensor) -> Tensor:
        """In float64 where float32 would tell too few values apart."""
        told_apart = all(one >= APART * abs(mean) for mean, one in zip(self.mean, self.deviation, strict=True))
        scaled = output if told_apart else output.double()
        mean = torch.tensor(self.mean or (0.0,) * self.size, dtype=scaled.dtype, device=scaled.device)
        return scaled * self._deviations().to(scaled) + mean

    @property
    def alike(self) -> Hashable:
        return self.size, self.error

    @property
    def constant_error(self) -> float:
        """The RMSE of the mean: the deviation."""
        if not self.deviation:
            raise UserError(f"task `{self.name}`: has learned no deviation yet; `make_dataset` does it.")
        return sum(self.deviation) / self.size

    def target_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        return [(self.size,), ()] if self.size == 1 else [(self.size,)]

    def learned(self, targets: Array) -> Self:
        counts, means, deviations = moments(targets)
        for number, (count, mean, deviation) in enumerate(zip(counts, means, deviations, strict=True)):
            if deviation <= CONSTANT * abs(mean):
                name = repr(self.names[number]) if self.names else number
                what = f"all targets of number {name}" if self.size > 1 else "all targets"
                found = f"are {mean:g}" if count else "are missing"
                raise self.unusable(
                    f"{what} {found}, from row 0 to row {len(targets) - 1}, so there is nothing to learn"
                )
        return replace(self, mean=tuple(means.tolist()), deviation=tuple(deviations.tolist()))

    def undefined(self, targets: Array) -> list[str]:
        wanted = self.prepared(torch.from_numpy(np.array(targets)))
        return [] if "r2" in self.scores(self.totals(torch.zeros_like(wanted), wanted)) else ["r2"]

    def prepared(self, targets: Tensor) -> Tensor:
        """Scaled, ``[samples, size]``."""
        mean = torch.tensor(self.mean or (0.0,) * self.size, dtype=torch.float64)
        return ((targets.reshape(-1, self.size).double() - mean) / self._deviations()).float()

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch, size]``, of scaled targets."""
        difference = outputs - targets
        return difference.square() if tasks[0].error == "squared" else difference.abs()

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """Squared and absolute errors, targets, squared targets, and their number: ``[tasks, size, 5]``, all scaled."""
        wanted = targets.double()
        error = torch.where(known, outputs.double() - wanted, 0)
        parts = [error.square(), error.abs(), wanted, wanted.square(), known.double()]
        return torch.stack([part.sum(dim=1) for part in parts], dim=2)

    def scores(self, totals: Tensor) -> dict[str, float]:
        there = totals[:, 4] > 0
        if not bool(there.any()):
            return {}
        deviations = self._deviations()[there]
        squared, absolute, total, squares, count = totals[there].unbind(dim=1)
        learned = squared if self.error == "squared" else absolute
        spread = squares - total.square() / count
        varies = spread > SAME * squares
        r2 = {"r2": float((1 - squared[varies] / spread[varies]).mean())} if bool(varies.any()) else {}
        return {
            "rmse": float((deviations * (squared / count).sqrt()).mean()),
            "mae": float((deviations * absolute / count).mean()),
            **r2,
            "loss": float(learned.sum() / count.sum()),
        }

    def _deviations(self) -> Tensor:
        return torch.tensor(self.deviation or (1.0,) * self.size, dtype=torch.float64)
