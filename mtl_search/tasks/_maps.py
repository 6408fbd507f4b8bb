"""Yes or no for every pixel, scored at the best of many thresholds."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.internal.arrays import Array
from mtl_search.tasks._binary import binary_errors
from mtl_search.tasks._elementwise import Elementwise, added
from mtl_search.tasks._task import class_counts

LEVELS = 256
"""Thresholds: 0, 1/256, ... of the probability, as of a map of 8 bits."""


@dataclass(frozen=True)
class BinaryMap(Elementwise):
    """Yes or no for every pixel, one logit. Targets are ``[samples, height, width]``, 0 or 1, or -1 where missing.

    The F-score is that at the one threshold for all samples at which it is highest, of 256 evenly spaced ones.
    """

    dense = True
    output_means = "a logit for each pixel"
    beta_squared: ClassVar[float] = 1.0
    """Weight of the recall in the F-score, against 1 for the precision."""

    @property
    def outputs(self) -> int:
        return 1

    def probabilities(self, output: Tensor) -> Tensor | None:
        return output.sigmoid()

    @property
    def alike(self) -> Hashable:
        return None

    @property
    def rule(self) -> str:
        return "0 or 1, or -1 where missing"

    def wrong(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return (targets < -1) | (targets > 1)

    def learned(self, targets: Array) -> Self:
        for answer, count in enumerate(class_counts(targets, 2)):
            if not count:
                raise self.unusable(f"{answer} is in none of its {len(targets):,} rows, so it cannot be learned")
        return self

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch, height, width]``, from outputs ``[tasks, batch, 1, height, width]``."""
        return binary_errors(outputs.squeeze(2), targets, 0.0)

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """Losses, distances of probability and target, then histograms of the probability where it is no, and yes."""
        probability = outputs.squeeze(2).sigmoid()
        distance = (probability - targets).abs()
        sums = torch.stack([added(cls.errors(tasks, outputs, targets), known), added(distance, known)], dim=1)
        bins = (probability * LEVELS).long().clamp(max=LEVELS - 1)
        of_task = torch.arange(len(tasks), device=bins.device).view(-1, 1, 1, 1)
        nowhere = 2 * LEVELS * len(tasks)
        cells = torch.where(known, (2 * of_task + targets.long()) * LEVELS + bins, nowhere).flatten()
        counts = torch.bincount(cells, minlength=nowhere + 1)[:nowhere].view(len(tasks), -1)
        return torch.cat([sums, counts.double()], dim=1)

    def measured(self, totals: Tensor) -> tuple[float, float, float] | None:
        """Best F-score, mean distance, mean loss; ``None`` where no target was there."""
        losses, distance = totals[:2].tolist()
        negative, positive = totals[2:].view(2, LEVELS)
        count = float(totals[2:].sum())
        if not count:
            return None
        alarms, hits = (part.flip(0).cumsum(dim=0) for part in (negative, positive))
        found = self.beta_squared * positive.sum() + hits + alarms
        # counts are whole: the clamp only keeps 0 / 0 from being no number
        best = ((1 + self.beta_squared) * hits / found.clamp(min=1e-12)).max()
        return float(best), distance / count, losses / count
