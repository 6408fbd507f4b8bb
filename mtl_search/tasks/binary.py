"""Yes or no for each sample."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.errors import FieldError
from mtl_search.internal.arrays import Array
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._binary import binary_errors, binary_scores, confusion
from mtl_search.tasks._elementwise import Elementwise
from mtl_search.tasks._task import class_counts
from mtl_search.tasks._weights import PositiveWeight, check_weights, of_yes, scaled_weights, weighed


@dataclass(frozen=True)
class Binary(Elementwise):
    """Yes or no for each sample, one logit: binary cross entropy; accuracy, F-score, balanced accuracy.

    Targets are ``[samples]``, 0 or 1, or -1 where missing.

    :param names: What 0 and 1 stand for; none where they are these numbers.
    :param positive_weight: Weight of yes in the loss against 1 for no, or ``balanced``, by which both count the same.
        The two are scaled so that their mean over the training targets is 1.
    :param weights: Learned from the data: the scaled weights of no and yes; none where both weigh the same.
    """

    kind = "binary"
    metrics = (
        Metric("accuracy"),
        Metric("f_score"),
        Metric("balanced_accuracy"),
        Metric("loss", higher_is_better=False),
    )
    output_means = "a logit: yes where above 0"
    names: tuple[str, ...] = ()
    positive_weight: PositiveWeight = None
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.names) not in (0, 2):
            raise FieldError("names", "must have 2 names or none", self.names)
        check_weights("positive_weight", self.positive_weight)

    @property
    def outputs(self) -> int:
        return 1

    def probabilities(self, output: Tensor) -> Tensor | None:
        return output.sigmoid()

    @property
    def alike(self) -> Hashable:
        return self.weights

    @property
    def rule(self) -> str:
        return "0 or 1, or -1 where missing"

    def wrong(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return (targets < -1) | (targets > 1)

    def learned(self, targets: Array) -> Self:
        counts = class_counts(targets, 2)
        for answer, count in enumerate(counts):
            if not count:
                name = repr(self.names[answer]) if self.names else answer
                raise self.unusable(f"{name} is in none of its {len(targets):,} rows, so it cannot be learned")
        if self.positive_weight is None:
            return self
        return replace(self, weights=scaled_weights(of_yes(self.positive_weight), counts))

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch]``, from outputs ``[tasks, batch, 1]``."""
        return weighed(binary_errors(outputs.squeeze(2), targets, label_smoothing), targets, tasks[0].weights)

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        return confusion(outputs.squeeze(2), targets, cls.errors(tasks, outputs, targets), known)

    def scores(self, totals: Tensor) -> dict[str, float]:
        return dict(binary_scores(totals))
