"""Tasks: what is predicted, how it is scored.

A kind of task says its loss, its metrics, and what its head has to put out. Classification stands here; other kinds
(dense ones too) are further classes with the same four methods.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_search.errors import FieldError


@dataclass(frozen=True)
class Task(ABC):
    """Something to predict.

    :param name: Its name in results; no ``/`` in it.
    """

    name: str

    headline = "accuracy"
    """The metric that stands for the task where one number is wanted; higher is better."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "," in self.name:
            raise FieldError("name", "must be a word without `/` and `,`", self.name)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the head puts out for one sample."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss over a batch, ``[]``. ``output`` is ``[batch, outputs]``, ``target`` is ``[batch]``."""

    @abstractmethod
    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        """Sums over a batch from which :meth:`scores` computes the metrics; sums of several batches may be added."""

    @abstractmethod
    def scores(self, totals: Tensor, samples: int) -> dict[str, float]:
        """The metrics, name -> value, from the summed totals of ``samples`` samples."""


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes for each sample; cross entropy, accuracy.

    :param classes: Number of classes. Targets are 0 to ``classes - 1``.
    """

    classes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2:
            raise FieldError("classes", "must be at least 2", self.classes)

    @property
    def outputs(self) -> int:
        return self.classes

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return torch.nn.functional.cross_entropy(output, target, label_smoothing=label_smoothing)

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        losses = torch.nn.functional.cross_entropy(output, target, reduction="sum")
        correct = (output.argmax(dim=1) == target).sum()
        return torch.stack([correct.double(), losses.double()])

    def scores(self, totals: Tensor, samples: int) -> dict[str, float]:
        correct, losses = totals.tolist()
        return {"accuracy": correct / samples, "loss": losses / samples}
