"""Trains one network, nothing else."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl_search.datasets import Dataset, Split
from mtl_search.errors import DatasetError, DivergedError, FieldError
from mtl_search.experiment import Training
from mtl_search.seeds import generator
from mtl_search.tasks import Task

TEST_BATCH = 512
MACS_PER_STEP = 3
"""MACs of forward and backward together, in those of the forward pass (the backward pass takes about two)."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split.

    :param number: From 1.
    :param loss: Mean over its steps of the sum of the tasks' losses.
    :param samples: Samples seen.
    :param seconds: Since the previous epoch.
    """

    number: int
    loss: float
    samples: int
    seconds: float


class DeviceSplit:
    """A split where the network trains: inputs stay uint8, batches are normalised as they are made.

    :param dataset: Gives the mean and deviation of the inputs.
    """

    def __init__(self, split: Split, dataset: Dataset, device: torch.device) -> None:
        self.inputs = _tensor(split.inputs, device)
        self.targets = {name: _tensor(target, device) for name, target in split.targets.items()}
        self.mean = _tensor(dataset.mean, device).view(-1, 1, 1)
        self.scale = 1 / _tensor(dataset.std, device).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, samples: Tensor | slice) -> tuple[Tensor, dict[str, Tensor]]:
        """Normalised inputs ``[batch, channels, height, width]`` and the targets of all tasks, ``[batch]`` each."""
        inputs = self.inputs[samples].to(torch.float32, memory_format=torch.channels_last)
        inputs = inputs.sub_(self.mean).mul_(self.scale)
        return inputs, {name: target[samples] for name, target in self.targets.items()}


class Trainer:
    """The training of one network.

    :param model: Maps inputs to a dictionary of outputs, task by task. Moved to the device.
    :param tasks: What to predict.
    :param dataset: Trained on its split ``train``.
    :param settings: Epochs, batch, optimiser, schedule, device.
    :param seed: Of the order of the samples.
    :raises DatasetError: If the split holds less than one batch.
    """

    def __init__(self, model: nn.Module, tasks: tuple[Task, ...], dataset: Dataset, settings: Training, seed: int):
        self.device = device_of(settings.device)
        self.model = model.to(self.device)
        self.tasks, self.dataset, self.settings = tasks, dataset, settings
        self.data = DeviceSplit(dataset.splits["train"], dataset, self.device)
        self.steps = len(self.data) // settings.batch_size
        if not self.steps:
            raise DatasetError(f"{len(self.data)} training samples are less than one batch of {settings.batch_size}.")
        self.order = generator(seed, "order of the samples")
        self.optimiser = _optimiser(model, settings)
        self.schedule = _schedule(self.optimiser, settings, self.steps * settings.epochs)

    def epochs(self) -> Iterator[Epoch]:
        """Train, epoch by epoch.

        :raises DivergedError: At the end of the epoch in which the loss was not finite; the message says the step.
        """
        start = time.perf_counter()
        for number in range(1, self.settings.epochs + 1):
            losses = self._epoch()
            if not bool(losses.isfinite().all()):
                first = int(losses.isfinite().logical_not().nonzero()[0])
                raise DivergedError((number - 1) * self.steps + first + 1)
            now = time.perf_counter()
            samples = self.steps * self.settings.batch_size
            yield Epoch(number, float(losses.mean()), samples, now - start)
            start = now

    def _epoch(self) -> Tensor:
        """The losses of all steps, ``[steps]``, on the device: nothing waits for a number."""
        self.model.train()
        order = torch.randperm(len(self.data), generator=self.order).to(self.device)
        losses = torch.zeros(self.steps, device=self.device)
        for step, samples in enumerate(order[: self.steps * self.settings.batch_size].chunk(self.steps)):
            losses[step] = self._step(samples)
        return losses

    def _step(self, samples: Tensor) -> Tensor:
        inputs, targets = self.data.batch(samples)
        with autocast(self.device):
            outputs = self.model(inputs)
        smoothing = self.settings.label_smoothing
        losses = [task.loss(outputs[task.name].float(), targets[task.name], smoothing) for task in self.tasks]
        loss = torch.stack(losses).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.detach()


@torch.no_grad()
def scores_on(
    model: nn.Module, tasks: tuple[Task, ...], dataset: Dataset, split: str, device: torch.device
) -> dict[str, float]:
    """``"<task>/<metric>"`` -> value, over a whole split, the model in evaluation mode.

    :param split: Name of the split.
    """
    model.eval()
    data = DeviceSplit(dataset.splits[split], dataset, device)
    totals = {task.name: torch.zeros((), device=device) for task in tasks}
    for start in range(0, len(data), TEST_BATCH):
        inputs, targets = data.batch(slice(start, start + TEST_BATCH))
        with autocast(device):
            outputs = model(inputs)
        for task in tasks:
            totals[task.name] = totals[task.name] + task.totals(outputs[task.name].float(), targets[task.name])
    return {
        f"{task.name}/{metric}": value
        for task in tasks
        for metric, value in task.scores(totals[task.name], len(data)).items()
    }


def device_of(name: str) -> torch.device:
    """The device of a setting: ``auto`` takes CUDA where there is one.

    :raises FieldError: If CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise FieldError("training.device", "must be `cpu` or `auto` on a machine without CUDA", name)
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for convolutions and products on CUDA; nothing on the CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def _optimiser(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter, ICLR 2019), with decay on the weights only."""
    parameters = list(model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def _schedule(optimiser: torch.optim.Optimizer, settings: Training, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, steps)


def _tensor(array: np.typing.NDArray[np.generic], device: torch.device) -> Tensor:
    """On the device; copied where it lies in memory that workers share and may not write to."""
    writable = array if array.flags.writeable else array.copy()
    return torch.from_numpy(writable).to(device)
