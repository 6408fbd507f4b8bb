"""Kinds whose loss is the mean over their targets: of samples, labels or pixels. Several tasks are computed at once."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from mtl_search.tasks._task import Task


class Elementwise(Task):
    """The loss is the mean over all targets that are there. What a kind has to write works on stacked tasks."""

    @classmethod
    @abstractmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The loss of each target, ``[tasks, batch, ...]``.

        :param outputs: ``[tasks, batch, outputs, ...]``
        :param targets: ``[tasks, batch, ...]``, from :meth:`filled`.
        """

    @classmethod
    @abstractmethod
    def sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """The totals, ``[tasks, ...]``, double: as :meth:`totals`.

        :param known: Which targets are there, of the shape of :meth:`errors`.
        """

    @classmethod
    def filled(cls, targets: Tensor, known: Tensor) -> Tensor:
        """The targets with something harmless in place of those that are missing."""
        return torch.where(known, targets, 0)

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return self._mean_errors([self], output[None], target[None], label_smoothing, self.known(target[None]))[0]

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        return self._sums([self], output[None], target[None])[0]

    @classmethod
    def stacked_losses(
        cls,
        tasks: Sequence[Self],
        outputs: Tensor,
        targets: Tensor,
        label_smoothing: float = 0.0,
        known: Tensor | None = None,
    ) -> Tensor:
        return cls._mean_errors(tasks, outputs, targets, label_smoothing, known)

    @classmethod
    def stacked_totals(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor) -> Tensor:
        return cls._sums(tasks, outputs, targets)

    @classmethod
    def _mean_errors(
        cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float, known: Tensor | None
    ) -> Tensor:
        if known is None:
            return cls.errors(tasks, outputs, targets, label_smoothing).flatten(1).mean(dim=1)
        errors = cls.errors(tasks, outputs, cls.filled(targets, known), label_smoothing)
        counts = known.flatten(1).sum(dim=1).clamp(min=1)
        return torch.where(known, errors, 0).flatten(1).sum(dim=1) / counts

    @classmethod
    def _sums(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor) -> Tensor:
        known = cls.known(targets)
        return cls.sums(tasks, outputs, cls.filled(targets, known), known)


def added(values: Tensor, known: Tensor) -> Tensor:
    """The sum for each task over what is known, ``[tasks]``, double.

    :param values: What is added up, ``[tasks, batch, ...]``.
    """
    return torch.where(known, values.double(), 0).flatten(1).sum(dim=1)
