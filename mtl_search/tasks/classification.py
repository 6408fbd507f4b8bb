"""One of several classes for each sample."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtl_search.errors import FieldError
from mtl_search.internal.arrays import Array
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._elementwise import Elementwise, added
from mtl_search.tasks._task import MOST_OUTPUTS, class_counts
from mtl_search.tasks._weights import ClassWeights, check_weights, scaled_weights, weighed


@dataclass(frozen=True)
class Classification(Elementwise):
    """One of several classes for each sample: cross entropy; accuracy.

    Targets are ``[samples]``, 0 to ``classes - 1``, or -1 where missing.

    :param classes: Number of classes, each in at least one training sample; 10, as of digits, by default.
    :param names: Names of the classes; none where they are their numbers.
    :param class_weights: Weights of the classes in the loss: ``balanced``, by which each counts as much as any other,
        or a number for each. They are scaled so that their mean over the training targets is 1.
    :param weights: Learned from the data: the scaled weights; none where all weigh the same.
    """

    kind = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy"), Metric("loss", higher_is_better=False))
    output_means = "a logit for each class"
    classes: Annotated[int, Field(ge=2, le=MOST_OUTPUTS)] = 10
    names: tuple[str, ...] = ()
    class_weights: ClassWeights = None
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2:
            raise FieldError("classes", "must be at least 2", self.classes)
        if len(self.names) not in (0, self.classes):
            raise FieldError("names", f"must have {self.classes} names or none", self.names)
        check_weights("class_weights", self.class_weights, self.classes)

    @property
    def outputs(self) -> int:
        return self.classes

    def probabilities(self, output: Tensor) -> Tensor | None:
        return output.softmax(dim=1)

    @property
    def alike(self) -> Hashable:
        return self.classes, self.weights

    @property
    def rule(self) -> str:
        return f"0 to {self.classes - 1}, or -1 where missing"

    def wrong(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return (targets < -1) | (targets >= self.classes)

    def learned(self, targets: Array) -> Self:
        counts = class_counts(targets, self.classes)
        missing = np.flatnonzero(counts == 0)
        if len(missing):
            name = repr(self.names[missing[0]]) if self.names else missing[0]
            raise self.unusable(f"class {name} is in none of its {len(targets):,} rows, so it cannot be learned")
        return self if self.class_weights is None else replace(self, weights=scaled_weights(self.class_weights, counts))

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Cross entropy, weighed by class, ``[tasks, batch]``, from outputs ``[tasks, batch, classes]``."""
        losses = torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1), targets.long().flatten(0, 1), reduction="none", label_smoothing=label_smoothing
        )
        return weighed(losses.view(targets.shape), targets, tasks[0].weights)

    @classmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """Right answers, losses and targets, ``[tasks, 3]``."""
        right = outputs.argmax(dim=2) == targets
        errors = cls.errors(tasks, outputs, targets)
        return torch.stack([added(right, known), added(errors, known), added(known, known)], dim=1)

    def scores(self, totals: Tensor) -> dict[str, float]:
        right, losses, count = totals.tolist()
        return {"accuracy": right / count, "loss": losses / count} if count else {}
