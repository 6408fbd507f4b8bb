"""Several yes-or-no labels of each sample as one task."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtl_search.errors import FieldError
from mtl_search.internal.arrays import Array, parts
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._binary import binary_errors, binary_scores, confusion
from mtl_search.tasks._elementwise import Elementwise
from mtl_search.tasks._task import MOST_OUTPUTS
from mtl_search.tasks._weights import PositiveWeight, check_weights, of_yes, scaled_weights


@dataclass(frozen=True)
class MultiLabel(Elementwise):
    """Several yes-or-no labels of each sample, a logit each: binary cross entropy; means over labels.

    The loss is the mean over all targets that are there; accuracy and F-score are those of each label by itself,
    averaged over the labels that have a target. Targets are ``[samples, labels]``, 0 or 1, or -1 where missing.

    :param labels: Number of labels that each sample has or has not.
    :param names: Names of the labels; none where they are their numbers.
    :param positive_weight: Weight of yes in the loss against 1 for no, for every label, or ``balanced``, by which both
        count the same in each. They are scaled so that their mean over the training targets of a label is 1.
    :param weights: Learned from the data: the scaled weights of no and yes, label by label; none where they are 1.
    """

    kind = "multi_label"
    metrics = (Metric("accuracy"), Metric("f_score"), Metric("loss", higher_is_better=False))
    output_means = "a logit for each label: yes where above 0"
    labels: Annotated[int, Field(ge=1, le=MOST_OUTPUTS)] = 2
    names: tuple[str, ...] = ()
    positive_weight: PositiveWeight = None
    weights: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels < 1:
            raise FieldError("labels", "must be at least 1", self.labels)
        if len(self.names) not in (0, self.labels):
            raise FieldError("names", f"must have {self.labels} names or none", self.names)
        check_weights("positive_weight", self.positive_weight)

    @property
    def outputs(self) -> int:
        return self.labels

    def probabilities(self, output: Tensor) -> Tensor | None:
        return output.sigmoid()

    @property
    def alike(self) -> Hashable:
        return self.labels, self.weights

    def target_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        return [(self.labels,)]

    @property
    def rule(self) -> str:
        return "0 or 1, or -1 where missing"

    def wrong(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return (targets < -1) | (targets > 1)

    def learned(self, targets: Array) -> Self:
        found = [np.sum([(part == answer).sum(axis=0) for _, part in parts(targets)], axis=0) for answer in (0, 1)]
        for label in range(self.labels):
            for answer, counts in enumerate(found):
                if not counts[label]:
                    rows = f"{len(targets):,} rows"
                    name = repr(self.names[label]) if self.names else label
                    raise self.unusable(f"{answer} is in none of its {rows} of label {name}, so it cannot be learned")
        if self.positive_weight is None:
            return self
        asked = of_yes(self.positive_weight)
        return replace(self, weights=tuple(scaled_weights(asked, counts) for counts in np.stack(found, axis=1)))

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """``[tasks, batch, labels]``"""
        errors, weights = binary_errors(outputs, targets, label_smoothing), tasks[0].weights
        if not weights:
            return errors
        no, yes = torch.tensor(weights, dtype=errors.dtype, device=errors.device).T
        return errors * torch.where(targets == 1, yes, no)

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """``[tasks, labels, 5]``"""
        return confusion(outputs, targets, cls.errors(tasks, outputs, targets), known)

    def scores(self, totals: Tensor) -> dict[str, float]:
        of_labels = [found for found in map(binary_scores, totals) if found]
        if not of_labels:
            return {}
        means = {name: sum(one[name] for one in of_labels) / len(of_labels) for name in ("accuracy", "f_score")}
        return {**means, "loss": float(totals[:, 4].sum() / totals[:, :4].sum())}
