"""The optimiser and the schedule of a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from mtl_search.spaces.settings import Training


@dataclass(frozen=True)
class Group:
    """Parameters that the optimiser treats in their own way.

    :param parameters: Parameters of the network, or others that are learned with it.
    :param rate: Learning rate of the group, in units of that of all others.
    :param weight_decay: Weight decay of the group.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    weight_decay: float = 0.0


def make_optimiser(
    parameters: Sequence[nn.Parameter], own: Sequence[Group], settings: Training
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, ICLR 2019), with decay on the weights only."""
    elsewhere = {id(parameter) for group in own for parameter in group.parameters}
    common = [parameter for parameter in parameters if id(parameter) not in elsewhere]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in common if parameter.ndim > 1]},
        {"params": [parameter for parameter in common if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    rate, decay = settings.learning_rate, settings.weight_decay
    groups += [{"params": list(g.parameters), "lr": rate * g.rate, "weight_decay": g.weight_decay} for g in own]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, weight_decay=decay, fused=True)


def make_schedule(optimiser: torch.optim.Optimizer, settings: Training, steps: int) -> lr_scheduler.LRScheduler:
    if settings.schedule == "one_cycle":
        return lr_scheduler.OneCycleLR(optimiser, [group["lr"] for group in optimiser.param_groups], steps)
    if settings.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, steps)
    if settings.schedule == "step":
        return lr_scheduler.MultiStepLR(optimiser, [steps // 2], gamma=0.5)
    if settings.schedule == "poly":
        return lr_scheduler.PolynomialLR(optimiser, steps, power=0.9)
    return lr_scheduler.ConstantLR(optimiser, factor=1)


def laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """A value of the optimiser in the memory layout of its parameter: a fused step goes through both side by side."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
