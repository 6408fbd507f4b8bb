"""The direction of the surface at every pixel."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mtl_search.errors import UserError
from mtl_search.internal.arrays import Array, parts
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._elementwise import Elementwise, added

LIMITS = (11.25, 22.5, 30.0)
"""Degrees below which the shares of angles are told: the three that the field has told since Fouhey et al. (ICCV
2013)."""
RESOLUTION = 0.01
"""Degrees: the width of a bin of the histogram of angles that the median is read from: published medians have two
decimals."""
BINS = round(180 / RESOLUTION)
NARROW = 0.1
"""Degrees from their mean direction within which targets are taken for all the same: maps of 8 bits round by more."""
SHORTEST = 1e-2
"""An output shorter than this is divided by it instead of its length, so that gradients stay finite at 0."""


@dataclass(frozen=True)
class Normals(Elementwise):
    """The direction of the surface at every pixel: 1 - cosine; angles to the target, in degrees.

    Metrics as in Fouhey et al. (ICCV 2013): mean and median angle, shares within 11.25, 22.5 and 30 degrees. The median
    is read from a histogram over all samples, off by at most half of its resolution of 0.01 degrees; the others are
    exact. Targets are ``[samples, 3, height, width]``, float32 of any length; missing where all three are 0, or NaN.

    :param spread: The mean angle between the training targets and their mean direction, which stands for the best
        constant (that of the least mean angle has no closed form). Learned from the data.
    """

    kind = "normals"
    metrics = (
        Metric("mean_angle", higher_is_better=False),
        Metric("median_angle", higher_is_better=False),
        *(Metric(f"within_{limit:g}") for limit in LIMITS),
        Metric("loss", higher_is_better=False),
    )
    integer = False
    dense = True
    output_means = "a vector in the direction of the surface normal, of length 1"
    spread: float | None = None

    @property
    def outputs(self) -> int:
        return 3

    def in_units(self, output: Tensor) -> Tensor:
        """Vectors of length 1."""
        return F.normalize(output, dim=1)

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
        return (targets != 0).any(axis=-3) & (targets == targets).all(axis=-3)

    @classmethod
    def mirrored(cls, targets: Tensor) -> Tensor:
        """The first component, that to the right or left, points the other way."""
        return targets * torch.tensor([-1, 1, 1], dtype=targets.dtype, device=targets.device).view(3, 1, 1)

    def target_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        return [(3, height, width)]

    def learned(self, targets: Array) -> Self:
        mean = np.sum([directions.sum(axis=1, dtype=np.float64) for directions in self._directions(targets)], axis=0)
        mean /= np.linalg.norm(mean)
        angles = count = 0.0
        for directions in self._directions(targets):
            angles += float(np.degrees(np.arccos(np.clip(mean @ directions, -1, 1))).sum())
            count += directions.shape[1]
        if angles / count < NARROW:
            raise self.unusable(f"all targets have one direction, from row 0 to row {len(targets) - 1}")
        return replace(self, spread=angles / count)

    def _directions(self, targets: Array) -> Iterator[NDArray[np.float32]]:
        """The targets that are there, of length 1, ``[3, targets]``, a part of the samples at a time."""
        for _, part in parts(targets):
            vectors = np.moveaxis(part, 1, 0)[:, self.known(part)]
            yield vectors / np.linalg.norm(vectors, axis=0)

    @classmethod
    def filled(cls, targets: Tensor, known: Tensor) -> Tensor:
        return torch.where(known.unsqueeze(-3), targets, 0)

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch, height, width]``, from outputs ``[tasks, batch, 3, height, width]``."""
        unit = F.normalize(outputs, dim=2, eps=SHORTEST)
        return 1 - (unit * F.normalize(targets, dim=2)).sum(dim=2)

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """Angles, losses, number, numbers within the limits, then the histogram: ``[tasks, 6 + bins]``."""
        angles = _angles(outputs, targets)
        losses = cls.errors(tasks, outputs, targets)
        parts = [angles, losses, known, *(angles < limit for limit in LIMITS)]
        sums = torch.stack([added(part, known) for part in parts], dim=1)
        bins = (angles / RESOLUTION).long().clamp(max=BINS - 1)
        of_task = torch.arange(len(tasks), device=bins.device).view(-1, 1, 1, 1)
        nowhere = len(tasks) * BINS
        cells = torch.where(known, of_task * BINS + bins, nowhere).flatten()
        counts = torch.bincount(cells, minlength=nowhere + 1)[:nowhere].view(len(tasks), BINS)
        return torch.cat([sums, counts.double()], dim=1)

    def scores(self, totals: Tensor) -> dict[str, float]:
        angles, losses, count, *within = totals[: 3 + len(LIMITS)].tolist()
        if not count:
            return {}
        shares = {f"within_{limit:g}": found / count for limit, found in zip(LIMITS, within, strict=True)}
        return {
            "mean_angle": angles / count,
            "median_angle": _median(totals[3 + len(LIMITS) :]),
            **shares,
            "loss": losses / count,
        }


def _angles(outputs: Tensor, targets: Tensor) -> Tensor:
    """In degrees, ``[tasks, batch, height, width]``; exact for small ones, too. An output of 0 is at a right angle."""
    across = torch.linalg.cross(outputs, targets, dim=2).norm(dim=2)
    along = (outputs * targets).sum(dim=2)
    angles = torch.atan2(across, along).rad2deg()
    return torch.where(outputs.any(dim=2), angles, 90.0)


def _median(counts: Tensor) -> float:
    """The median of what a histogram of angles counted: the middles of the bins of the two angles in the middle."""
    reached, count = counts.cumsum(dim=0), float(counts.sum())
    ranks = torch.tensor([(count + 1) // 2, count // 2 + 1], dtype=counts.dtype)
    return float(((torch.searchsorted(reached, ranks) + 0.5) * RESOLUTION).mean())
