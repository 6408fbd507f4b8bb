"""Weights given by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from mtl_search.balancing import LossBalancing
from mtl_search.errors import UnknownNameError


@dataclass
class Fixed(LossBalancing):
    """The sum of all losses, each times a weight given by hand.

    :param weights: Name of the task -> its weight, at least 0; tasks left out have 1. They are used as they are, not
        scaled to any sum.
    """

    name = "fixed"
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        """:raises UnknownNameError: If a weight is for none of the tasks; the message holds the nearest name."""
        super().start(tasks, parameters, seed)
        for task in self.weights:
            if task not in tasks:
                raise UnknownNameError("task", task, tasks)

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        return losses @ losses.new_tensor([self.weights.get(task, 1.0) for task in self.tasks])
