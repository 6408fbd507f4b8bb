"""Dynamic weight average (Liu, Johns & Davison, CVPR 2019, arXiv 1803.10704)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from mtl_search.balancing import LossBalancing, present_share

SMALLEST = 1e-12
"""A loss that has come to zero is divided by this instead: far below any loss that still falls, far above where a
quotient overflows."""


@dataclass
class DWA(LossBalancing):
    """Losses that fell least from the last epoch but one to the last weigh most (the paper's equation 7).

    The weights are a softmax of loss / loss before, times the number of tasks. They are 1 in the first two epochs. A
    task that had no target in a whole epoch keeps its loss of the one before; where it never had one, its ratio is 1.

    :param temperature: Temperature of the softmax over the rates of the losses; the higher, the more equal the weights.
    """

    name = "dwa"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.weights = torch.ones(len(tasks), device=parameters[0].device)
        self.last: Tensor | None = None

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        return losses @ present_share(self.weights, present)

    def end_epoch(self, losses: Tensor, present: Tensor | None = None) -> None:
        if present is not None:
            losses = torch.where(present, losses, torch.nan if self.last is None else self.last)
        if self.last is not None:
            ratios = (losses / self.last.clamp(min=SMALLEST)).nan_to_num(1)
            self.weights = len(losses) * torch.softmax(ratios / self.temperature, dim=0)
        self.last = losses

    def state(self) -> dict[str, Tensor]:
        return {"weights": self.weights, **({} if self.last is None else {"last": self.last})}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.weights = state["weights"].to(self.weights)
        self.last = state["last"].to(self.weights) if "last" in state else None
