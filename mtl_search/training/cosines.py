"""How much the tasks of a training agree: the cosines between their gradients, layer by layer."""

import itertools
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from mtl_search.datasets import Dataset
from mtl_search.internal.gradients import flat, layer_cosines, of_present, shared_rows, task_gradients
from mtl_search.internal.seeds import generator
from mtl_search.spaces.settings import Training
from mtl_search.training.batches import DeviceSplit
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


def pair_cosines(model: nn.Module, dataset: Dataset, settings: Training) -> dict[str, float]:
    """How much each pair of tasks agrees: the cosine between their gradients at what tasks share of a network.

    On a few batches of training samples, the same for every network, with batch statistics, which change.

    :param model: A network, on the processor.
    :param dataset: The dataset that it was trained on.
    :param settings: Settings of the training, of which the size of a batch and the smoothing of labels count.
    :returns: ``"<task> / <task>"`` -> mean over batches, -1 (opposed) to 1 (agreed); without pairs that share nothing.
    """
    model.train()
    data = DeviceSplit(dataset.splits["train"], dataset, torch.device("cpu"), dataset.tasks)
    order = torch.randperm(len(data), generator=generator(0, "batches of the cosines"))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found: dict[str, list[float]] = {}
    for samples in order.split(settings.batch_size)[:COSINE_BATCHES]:
        inputs, targets = data.batch(samples)
        losses = data.groups.losses(model(inputs), targets, settings.label_smoothing)
        gradients = task_gradients(losses, parameters)
        rows = shared_rows(gradients)
        flats = {task.name: flat(one, rows) for task, one in zip(dataset.tasks, gradients, strict=True)}
        for (first, a), (second, b) in itertools.combinations(flats.items(), 2):
            if bool(a.any()) and bool(b.any()):
                found.setdefault(f"{first} / {second}", []).append(float(torch.cosine_similarity(a, b, dim=0)))
    return {pair: sum(values) / len(values) for pair, values in found.items()}
