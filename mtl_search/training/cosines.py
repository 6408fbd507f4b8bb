"""How much the tasks of a training agree: the cosines between their gradients, layer by layer."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import Parameter

from mtl_search.internal.gradients import layer_cosines, of_present
from mtl_search.training.trainer import Trainer

COSINE_BATCHES = 4
"""Batches of training samples over which the cosines between the tasks' gradients are averaged: one tells of its
samples as much as of the tasks, and each takes a backward pass for every task."""


@runtime_checkable
class Layered(Protocol):
    """A network that says which parameters belong to which layer."""

    def layer_parameters(self) -> dict[str, list[Parameter]]:
        """Name of the layer -> its parameters."""


class CosineObserver:
    """Follows how much the tasks agree, layer by layer: the cosines between their gradients after every epoch.

    Between those tasks that have a target in a batch.

    Always on the same few batches of training samples, with batch statistics; the network is left as it was.
    """

    def __init__(self) -> None:
        self.found: list[dict[str, float | None]] = []
        """An entry per epoch: name of the layer -> mean cosine over batches and pairs of tasks."""

    def __call__(self, trainer: Trainer) -> None:
        buffers = {name: value.clone() for name, value in trainer.model.named_buffers()}
        size = trainer.settings.batch_size
        assert isinstance(trainer.model, Layered)
        layers = trainer.model.layer_parameters()
        seen = [
            layer_cosines(_losses(trainer, slice(number * size, (number + 1) * size)), layers)
            for number in range(min(COSINE_BATCHES, trainer.steps))
        ]
        with torch.no_grad():
            for name, value in trainer.model.named_buffers():
                value.copy_(buffers[name])
        self.found.append({name: _mean([one[name] for one in seen]) for name in layers})


def _losses(trainer: Trainer, samples: slice) -> Tensor:
    """Of the tasks that have a target among these samples; of all, which are zeros, if none has."""
    inputs, targets = trainer.data.batch(samples)
    losses = trainer.losses(inputs, targets)
    there = of_present(losses, targets.present)
    return there if len(there) else losses


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
