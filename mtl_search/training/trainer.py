"""Trains one network, nothing else."""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from mtl_search import cost
from mtl_search.balancing import make_balancing
from mtl_search.datasets import Dataset
from mtl_search.errors import DatasetError, DivergedError
from mtl_search.internal.seeds import generator
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Targets, Task
from mtl_search.training.augmentation import Augmentation
from mtl_search.training.batches import DeviceSplit
from mtl_search.training.checkpoint import Checkpoint, restoring
from mtl_search.training.devices import autocast, compiled, device_of
from mtl_search.training.optimiser import Group, laid_out_like, make_optimiser, make_schedule
from mtl_search.training.sample_order import drawn_order

SCHEDULED = ("lr", "betas")
"""What a schedule changes in the groups of the optimiser."""
PLACE_IN_SCHEDULE = ("last_epoch", "_step_count", "_last_lr")
"""What changes in a schedule; the rest of its state follows from the settings."""
BACKWARD_MACS = 2
"""MACs of one backward pass, in those of the forward pass."""
MEASURED = "training"
"""Name of the phase whose network is measured in the end."""


@dataclass(frozen=True)
class Epoch:
    """One epoch: a pass over the training split, or what ``epoch_length`` makes of it.

    :param number: Number of the epoch within its phase, from 1.
    :param loss: Sum over tasks of the mean loss over its steps, of those in which a task has a target.
    :param samples: Number of samples that it has seen.
    :param seconds: Since the previous epoch.
    :param macs: Multiply-accumulates spent, forward and backward.
    :param phase: What is trained: ``training`` is that of the network that is measured in the end.
    """

    number: int
    loss: float
    samples: int
    seconds: float
    macs: int = 0
    phase: str = MEASURED


class Trainer:
    """The training of one network: the common loop of all methods.

    A method that trains in its own way overrides :meth:`step` or :meth:`backward`; the budget, the optimiser and the
    order of the samples stay the same.

    :param model: Maps inputs to a dictionary of outputs, task by task. Moved to the device.
    :param tasks: The tasks that are to be predicted.
    :param dataset: Trained on its split ``train``.
    :param settings: Epochs, batch, optimiser, schedule, balancing, augmentation, device.
    :param seed: Seed of the order of the samples, and of their augmentation.
    :param groups: Parameters with a learning rate or weight decay of their own.
    :param phase: Name of the phase, in the epochs.
    :param observer: Called with the trainer after every epoch, outside the time that is counted; must change nothing.
    :raises DatasetError: If the split holds less than one batch.
    :raises FieldError: If the augmentation does not fit the inputs.
    """

    def __init__(
        self,
        model: nn.Module,
        tasks: tuple[Task, ...],
        dataset: Dataset,
        settings: Training,
        seed: int,
        groups: Sequence[Group] = (),
        phase: str = MEASURED,
        observer: "Observer | None" = None,
    ) -> None:
        self.device = device_of(settings.device)
        self.model = model.to(self.device)
        self.forward = compiled(self.model, dataset.input_shape) if settings.compile else self.model
        self.tasks, self.dataset, self.settings = tasks, dataset, settings
        self.phase, self.observer = phase, observer
        trimmed = not settings.compile  # what is compiled is for one length
        self.data = DeviceSplit(dataset.splits["train"], dataset, self.device, tasks, trimmed)
        whole = len(self.data) // settings.batch_size
        if not whole:
            raise DatasetError(f"{len(self.data)} training samples are less than one batch of {settings.batch_size}.")
        self.steps = max(1, round(whole * settings.epoch_length))
        self.order = generator(seed, "order of the samples")
        augmentation = settings.augmentation
        self.augmentation = Augmentation(augmentation, dataset.input_shape, seed) if augmentation else None
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.balancing = make_balancing(settings.balancing.name, settings.balancing.options)
        self.balancing.start([task.name for task in tasks], self.parameters, seed)
        groups = [*groups, Group(self.balancing.parameters())]
        self.optimiser = make_optimiser(self.parameters, groups, settings)
        self.schedule = make_schedule(self.optimiser, settings, self.steps * settings.epochs)
        self.done = 0

    @cached_property
    def macs_per_sample(self) -> int:
        """Multiply-accumulates of one sample's part in a step; a backward pass takes two forward ones.

        Where every task has a backward pass of its own, it goes back through what that task reads.
        """
        shape = self.dataset.input_shape
        forward = cost.count_macs(self.model, shape)
        if self.balancing.passes == 1:
            return forward * (1 + BACKWARD_MACS)
        if "only" not in inspect.signature(self.model.forward).parameters:
            return forward * (1 + BACKWARD_MACS * self.balancing.passes)
        return forward + BACKWARD_MACS * sum(cost.count_macs(self.model, shape, (task.name,)) for task in self.tasks)

    def epochs(self) -> Iterator[Epoch]:
        """Train, epoch by epoch; after :meth:`restore` those that are left.

        :raises DivergedError: At the end of the epoch in which the loss was not finite; the message says the step.
        """
        samples = self.steps * self.settings.batch_size
        start = time.perf_counter()
        for number in range(self.done + 1, self.settings.epochs + 1):
            losses, present = self._epoch()
            finite = losses.isfinite().all(dim=1)
            if not bool(finite.all()):
                first = int(finite.logical_not().nonzero()[0])
                raise DivergedError((number - 1) * self.steps + first + 1)
            if present is None:
                self.balancing.end_epoch(losses.mean(dim=0))
                loss = float(losses.sum(dim=1).mean())
            else:
                means = losses.sum(dim=0) / present.sum(dim=0).clamp(min=1)
                self.balancing.end_epoch(means, present.any(dim=0))
                loss = float(means.sum())
            seconds = time.perf_counter() - start
            self.done = number
            if self.observer is not None:
                self.observer(self)
            yield Epoch(number, loss, samples, seconds, samples * self.macs_per_sample, self.phase)
            start = time.perf_counter()

    def _epoch(self) -> tuple[Tensor, Tensor | None]:
        """The tasks' losses in all steps, and which had a target, both ``[steps, tasks]``: nothing waits for a number.

        The second is ``None`` where no target is missing.
        """
        self.model.train()
        size = self.settings.batch_size
        order = drawn_order(self.dataset.splits["train"], self.settings.sampling, self.steps * size, self.order)
        moves = self.augmentation.draw(len(order)) if self.augmentation else None
        losses = torch.zeros(self.steps, len(self.tasks), device=self.device)
        present = torch.ones_like(losses, dtype=torch.bool)
        for step, batch in enumerate(self.data.batches(order, size, moves)):
            losses[step] = self.step(*batch)
            if (there := batch[1].present) is not None:
                present[step] = there
            self.schedule.step()
        return losses, present if self.data.may_miss else None

    def step(self, inputs: Tensor, targets: Targets) -> Tensor:
        """One step of the optimiser; the tasks' losses before it, ``[tasks]``."""
        losses = self.losses(inputs, targets)
        self.optimiser.zero_grad(set_to_none=True)
        self.backward(losses, targets.present)
        self.optimiser.step()
        return losses.detach()

    def losses(self, inputs: Tensor, targets: Targets) -> Tensor:
        """The tasks' mean losses over a batch, ``[tasks]``, with their graph."""
        with autocast(self.device):
            outputs = self.forward(inputs)
        return self.losses_of(outputs, targets)

    def losses_of(self, outputs: Mapping[str, Tensor], targets: Targets) -> Tensor:
        """The tasks' mean losses of a network's outputs, ``[tasks]``."""
        return self.data.groups.losses(outputs, targets, self.settings.label_smoothing)

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        """Write the gradients of a step.

        :param present: Which tasks have a target in the batch, ``[tasks]`` bool; ``None`` for all.
        """
        self.balancing.backward(losses, present)

    def checkpoint(self) -> Checkpoint:
        """Where the training stands after an epoch, copied to the processor."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        tensors |= {f"balancing.{name}": value for name, value in self.balancing.state().items()}
        tensors["order"] = self.order.get_state()
        if self.augmentation:
            tensors["augmentation"] = self.augmentation.rng.get_state()
        schedule = self.schedule.state_dict()
        values = {
            "epoch": self.done,
            "groups": [{name: group[name] for name in SCHEDULED} for group in self.optimiser.param_groups],
            "schedule": {name: schedule[name] for name in PLACE_IN_SCHEDULE},
        }
        return Checkpoint({name: value.detach().cpu().clone() for name, value in tensors.items()}, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same network, data, settings and seed: what follows is bit for bit the same.

        Called before the first epoch.

        :raises CheckpointError: If it is the checkpoint of another training.
        """
        with restoring():
            self._restore(checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.part("model"))
        optimised = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in checkpoint.part("optimiser").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = laid_out_like(optimised[int(number)], value)
        groups = self.optimiser.state_dict()["param_groups"]
        for group, kept in zip(groups, checkpoint.values["groups"], strict=True):
            group.update({**kept, "betas": tuple(kept["betas"])})
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.schedule.load_state_dict(dict(checkpoint.values["schedule"]))
        self.balancing.restore(checkpoint.part("balancing"))
        self.order.set_state(checkpoint.tensors["order"])
        if self.augmentation:
            self.augmentation.rng.set_state(checkpoint.tensors["augmentation"])
        self.done = checkpoint.epoch


Observer = Callable[[Trainer], None]
