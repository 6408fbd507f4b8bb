"""What balancings are tried on: losses of a few numbers, and two small networks."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mtl_search.balancing import Balancing, LossBalancing, make_balancing
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.networks.network import build_model
from mtl_search.networks.paths import PathNetwork
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.settings import BalancingSettings, Training
from mtl_search.tasks import Classification
from mtl_search.testing._rules import seeded
from mtl_search.training.trainer import Trainer

SHAPE = (3, 16, 18)
TASKS = (Classification("a", 3), Classification("b", 4))
TRAINING = Training(epochs=4, batch_size=50, learning_rate=2e-2, device="cpu")
RATE = 0.05
"""Of plain gradient descent."""


class Losses(nn.Module, ABC):
    """Tasks with losses that depend on parameters."""

    @abstractmethod
    def losses(self) -> Tensor:
        """``[tasks]``, with their graph."""


class Disagreeing(Losses):
    """A trunk, a head for each of some tasks that disagree about the trunk, and losses of very different size."""

    def __init__(self, tasks: int = 3) -> None:
        super().__init__()
        rng = seeded()
        self.trunk = nn.Parameter(torch.randn(6, 5, generator=rng))
        self.heads = nn.ParameterList(torch.randn(6, generator=rng) for _ in range(tasks))
        self.inputs = torch.randn(20, 5, generator=rng)
        self.targets = torch.randn(tasks, 20, generator=rng)
        self.sizes = torch.tensor([1.0, 4.0, 0.3])[:tasks]

    def losses(self) -> Tensor:
        features = torch.tanh(self.inputs @ self.trunk.T)
        errors = torch.stack([features @ head for head in self.heads]) - self.targets
        return self.sizes * errors.square().mean(dim=1)


class Agreeing(Disagreeing):
    """The same with tasks that are all the same."""

    def __init__(self, tasks: int = 3) -> None:
        super().__init__(tasks)
        self.sizes[:], self.targets[:] = 1, self.targets[0].clone()
        self.heads = nn.ParameterList(self.heads[0].detach().clone() for _ in range(tasks))


class Alone(Losses):
    """Two tasks that share nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ParameterList(torch.full((3,), float(number)) for number in (1, 2))

    def losses(self) -> Tensor:
        return torch.stack([one.square().sum() for one in self.own])


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """The gradient that was written; zeros where none was."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@dataclass(frozen=True)
class BalancingCase:
    """A balancing under a name that trainings know it by."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def made(self) -> Balancing:
        """For one training."""
        return make_balancing(self.name, self.options)

    def started(self, model: Losses, seed: int = 0) -> Balancing:
        """Before the first step with a network."""
        balancing = self.made()
        balancing.start(list("abc")[: len(model.losses())], list(model.parameters()), seed)
        return balancing

    def trained(self, seed: int = 0) -> Tensor:
        """What tasks share after a few steps."""
        model = Disagreeing()
        descend(self.started(model, seed), model)
        return model.trunk.detach()

    @cached_property
    def draws(self) -> bool:
        """Whether the seed decides."""
        return not torch.equal(self.trained(0), self.trained(1))


def backward(balancing: Balancing, model: Losses) -> None:
    """The gradients of a step."""
    for parameter in [*model.parameters(), *balancing.parameters()]:
        parameter.grad = None
    balancing.backward(model.losses())


def step(balancing: Balancing, model: Losses) -> None:
    """Along the gradients that were written, of the network and of what is learned besides; they are gone then."""
    with torch.no_grad():
        for parameter in [*model.parameters(), *balancing.parameters()]:
            if parameter.grad is not None:
                parameter.sub_(RATE * parameter.grad)
                parameter.grad = None


def descend(balancing: Balancing, model: Losses, count: int = 6) -> None:
    """So many steps, each of which is an epoch."""
    for _ in range(count):
        backward(balancing, model)
        step(balancing, model)
        balancing.end_epoch(model.losses().detach())


def without_last(model: Losses) -> tuple[Tensor, Tensor]:
    """The losses where the last task has no target, and which tasks are present."""
    present = torch.tensor([True, True, False])
    return torch.where(present, model.losses(), 0), present


def weights_of(balancing: Balancing, model: Losses) -> Tensor:
    """What the losses are weighed by, ``[tasks]``; ones where gradients are combined."""
    if not isinstance(balancing, LossBalancing):
        return torch.ones(len(model.losses()))
    losses = model.losses().detach().requires_grad_()
    (weights,) = torch.autograd.grad(balancing.combine(losses), losses)
    return weights


def hard_sharing_network() -> nn.Module:
    """One trunk of convolutions, for two tasks."""
    return PathNetwork(_architecture().backbone, [(0, 0), (0, 0)], TASKS, SHAPE)


def etr_nlp_network() -> nn.Module:
    """A network of primitives, in which the tasks' own weights lie stacked in one parameter."""
    return build_model(_architecture(), TASKS, SHAPE, 0)


def losses_of(model: nn.Module, sizes: tuple[float, float] = (1, 1)) -> Tensor:
    """Two losses of such a network, each times a factor."""
    outputs = model(torch.randn(16, *SHAPE, generator=seeded(2)))
    return torch.stack([size * output.square().mean() for size, output in zip(sizes, outputs.values(), strict=True)])


def balanced_networks_train(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, list[float], bool]]:
    """Trains both networks on digits: which it was, the loss of every epoch, and whether all weights are finite.

    :param options: Options of the balancing; the tasks are called ``a`` and ``b`` here, too.
    """
    dataset, balancing = _digits(), BalancingSettings(name=name, **options)
    architecture = _architecture((2, 2), (8, 8))
    hard = PathNetwork(architecture.backbone, [(0, 0), (0, 0)], dataset.tasks, dataset.input_shape)
    etr_nlp = build_model(architecture, dataset.tasks, dataset.input_shape, 0)
    models: dict[str, nn.Module] = {"hard sharing": hard, "a network of primitives": etr_nlp}
    for network, model in models.items():
        training = TRAINING.model_copy(update={"balancing": balancing})
        losses = [epoch.loss for epoch in Trainer(model, dataset.tasks, dataset, training, 0).epochs()]
        finite = bool(torch.tensor(losses).isfinite().all())
        yield network, losses, finite and all(bool(one.isfinite().all()) for one in model.parameters())


@functools.cache
def _digits() -> Dataset:
    """Two digits in a picture, with tasks of other names."""
    found = load_dataset("multi_mnist", train=400, val=10, test=10)
    names = dict(zip(("a", "b"), (task.name for task in found.tasks), strict=True))
    tasks = tuple(replace(task, name=name) for name, task in zip(names, found.tasks, strict=True))
    splits = {
        split: replace(data, targets={name: data.targets[old] for name, old in names.items()})
        for split, data in found.splits.items()
    }
    return replace(found, tasks=tasks, splits=splits)


def _architecture(strides: tuple[int, int] = (1, 2), widths: tuple[int, int] = (8, 12)) -> Architecture:
    stages = tuple(Stage(width, 1, stride) for width, stride in zip(widths, strides, strict=True))
    return Architecture(Backbone(stages, "plain", 0), tuple(LayerChoice("linear", 0.5, 1) for _ in stages))
