"""Learning to Branch (Guo, Lee & Ulbricht, ICML 2020, arXiv 2006.01895)."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.seeds import generator
from mtl_search.methods import DECIMALS, Epochs, Method, MethodContext, TrainedModel
from mtl_search.methods._phase import PhaseTrainer
from mtl_search.networks.inputs import opened
from mtl_search.networks.paths import Path, PathNetwork
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.tasks import Targets, Task
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import Epoch

TIE = 0.1
"""A smaller margin is a tie: of parents with .55 and .45 a draw takes the less likely one in 45 % of the steps."""


@dataclass(frozen=True)
class LearningToBranch(Method):
    """Searches a tree by Gumbel-softmax: every module draws its parent at the place before; then trains the tree.

    Two phases. ``search`` trains the weights of all modules, and the logits that parents are drawn by, together on the
    sum of the losses. Then every module keeps its likeliest parent, what no task reaches is dropped, and ``training``
    trains what is left from scratch.

    Our reading: as many modules at each place as there are tasks; the heads draw their parents, too, so that the last
    place may be shared; the temperature falls geometrically over the steps. The temperatures and the rate are ours,
    not checked against the paper's.

    :param search_epochs: Epochs of the search; as many as the training has if left out.
    :param first_temperature: Temperature of the Gumbel-softmax in the first step: high is nearly uniform in its
        gradients.
    :param last_temperature: Temperature of the Gumbel-softmax in the last step.
    :param rate: Learning rate of the logits, in that of the weights. They start at 0 and have few steps.
    """

    name = "learning_to_branch"
    measured_as_built = False
    search_epochs: Epochs | None = None
    first_temperature: Annotated[float, Field(gt=0)] = 5.0
    last_temperature: Annotated[float, Field(gt=0)] = 0.5
    rate: Annotated[float, Field(gt=0)] = 10.0

    def build(self, context: MethodContext) -> "BranchingNetwork":
        return BranchingNetwork(
            context.backbone, context.tasks, context.input_shape, context.seed, context.width_multiplier
        )

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        network = self.build(context)
        probabilities = []
        for epoch in _Search(network, context, self).epochs():
            probabilities.append(network.probabilities())
            yield epoch
        paths = likeliest_paths(network.logits)
        model = context.path_network(paths)
        yield from context.trainer(model).epochs()
        names = [*(shape.name for shape in context.shapes[1:]), "heads"]
        margins = [[[_margin(row) for row in place] for place in of_epoch] for of_epoch in probabilities]
        return TrainedModel(
            model,
            {
                "paths": {task.name: list(path) for task, path in zip(context.tasks, paths, strict=True)},
                "parent_probabilities": [dict(zip(names, of_epoch, strict=True)) for of_epoch in probabilities],
                "parent_margins": [dict(zip(names, of_epoch, strict=True)) for of_epoch in margins],
                "ties": ties(dict(zip(names, margins[-1], strict=True)), network.logits, context),
            },
        )

    def rebuild(self, context: MethodContext, details: Mapping[str, Any]) -> PathNetwork:
        return context.network_of(details["paths"])


class BranchingNetwork(PathNetwork):
    """A module for every place and task, and logits for the parent of each. The modules are those of single tasks.

    In training mode every pass draws the parents; in evaluation mode they are the likeliest. Both compute all modules:
    the gradient of a choice needs what was not chosen.

    :ivar logits: ``[places, tasks, tasks]``: of the choice of each module, row by row, at the places after the first,
        and of each head, in the last entry.
    :ivar temperature: Of the Gumbel-softmax.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        places = backbone.layers + bool(backbone.entry)
        paths = [(number,) * places for number in range(len(tasks))]
        super().__init__(backbone, paths, tasks, input_shape, seed, width_multiplier)
        self.logits = nn.Parameter(torch.zeros(places, len(tasks), len(tasks)))
        self.temperature = 1.0
        self.rng = generator(seed, "parents")

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As :meth:`PathNetwork.forward`."""
        choices = self._drawn() if self.training else one_hot(self.logits)
        start, mask = opened(x)
        features: list[Tensor] = []
        tapped: dict[int, list[Tensor]] = {}
        for number, place in enumerate(self.places):
            assert isinstance(place, nn.ModuleDict)
            modules = place.values()
            chosen = choices[number - 1] if number else ()
            read = [_chosen(features, choice) for choice in chosen] or [start] * len(modules)
            features = [module(one, mask=mask) for module, one in zip(modules, read, strict=True)]
            if number in self.heads.taps:
                tapped[number] = features
        ancestors = self._ancestors(choices)
        return {
            name: self.heads.read(
                task, [_chosen(tapped[place], ancestors[place][task]) for place in self.heads.places(task)], x
            )
            for task, name in enumerate(self.paths)
            if only is None or name in only
        }

    def _ancestors(self, choices: Tensor) -> list[Tensor]:
        """Of every place ``[tasks, modules]``: which of its modules lies on the way to a task, from the choices.

        The head of a task reads its module at the last place; its decoder, if it is dense, further ones of its path.
        """
        found = [choices[-1]]
        for of_place in choices[:-1].flip(0):
            found.append(found[-1] @ of_place)
        return found[::-1]

    def probabilities(self) -> list[list[list[float]]]:
        """``[place][module][parent]``, for the report."""
        likely = self.logits.detach().softmax(dim=2).cpu()
        return [[[round(value, DECIMALS) for value in row] for row in place] for place in likely.tolist()]

    def _drawn(self) -> Tensor:
        """Parents drawn by lot, one-hot; the gradient is that of the relaxed choice (straight-through)."""
        # so that no logarithm is infinite, nor 0: in float32 nothing else is so near to 0 or 1
        uniform = torch.rand(self.logits.shape, generator=self.rng).clamp_(1e-9, 1 - 1e-7)
        gumbel = -(-uniform.log()).log()
        soft = ((self.logits + gumbel.to(self.logits.device)) / self.temperature).softmax(dim=2)
        return one_hot(soft) - soft.detach() + soft


class _Search(PhaseTrainer):
    """Trains weights and logits together on the sum of the losses, at a falling temperature.

    The balancing is for the training: a module is shared by other tasks in every step, as parents are drawn.
    """

    def __init__(self, network: BranchingNetwork, context: MethodContext, method: LearningToBranch) -> None:
        epochs = method.search_epochs or context.training.epochs
        super().__init__(
            network,
            context.with_training(epochs=epochs, balancing=BalancingSettings()),
            groups=[Group([network.logits], rate=method.rate)],
            phase="search",
        )
        self.network = network
        self.first, self.last = method.first_temperature, method.last_temperature

    def step(self, inputs: Tensor, targets: Targets) -> Tensor:
        done = self.schedule.last_epoch / max(1, self.steps * self.settings.epochs - 1)
        self.network.temperature = self.first * (self.last / self.first) ** done
        return super().step(inputs, targets)


def one_hot(values: Tensor) -> Tensor:
    """1 where the last dimension has its largest value, the first one of equals, and 0 elsewhere."""
    return F.one_hot(values.argmax(dim=-1), values.shape[-1]).to(values.dtype)


def likeliest_paths(logits: Tensor) -> list[Path]:
    """The path of every task where each module, and each head, has its likeliest parent.

    Modules are numbered anew at each place, in the order in which the tasks reach them: what is the same tree is the
    same network, with the same initial weights.

    :param logits: ``[places, tasks, tasks]``, see :class:`BranchingNetwork`.
    """
    return list(zip(*(_renumbered(place) for place in zip(*_ways(logits), strict=True)), strict=True))


def ties(margins: Mapping[str, Sequence[float]], logits: Tensor, context: MethodContext) -> list[str]:
    """The choices that were a tie, of those that some task's path depends on: ``layer 1 of a, b`` is that of the parent
    of the module at layer 1 that the tasks a and b have, ``heads of a`` that of the head of a.

    :param margins: Name of the place, ``heads`` last -> of each module how far its likeliest parent is above the next.
    :param logits: Logits of the parents, ``[places, tasks, tasks]``, as :func:`likeliest_paths` has them.
    """
    tasks, ways = [task.name for task in context.tasks], _ways(logits)
    chosen = [[*way[1:], task] for task, way in enumerate(ways)]
    return [
        f"{name} of {', '.join(task for task, way in zip(tasks, chosen, strict=True) if way[place] == module)}"
        for place, (name, of_modules) in enumerate(margins.items())
        for module in sorted({way[place] for way in chosen})
        if of_modules[module] < TIE and len(tasks) > 1
    ]


def _ways(logits: Tensor) -> list[list[int]]:
    """Of each task its modules, input to output, numbered as in the search."""
    *parents, of_heads = logits.argmax(dim=2).tolist()
    ways = []
    for node in of_heads:
        way = [node]
        for of_place in reversed(parents):
            way.append(of_place[way[-1]])
        ways.append(way[::-1])
    return ways


def _margin(probabilities: Sequence[float]) -> float:
    """How far the largest is above the next; of a single one, 1."""
    first, second, *_ = [*sorted(probabilities, reverse=True), 0.0]
    return round(first - second, DECIMALS)


def _renumbered(modules: Sequence[int]) -> list[int]:
    """Numbers from 0 in the order of first appearance."""
    order = list(dict.fromkeys(modules))
    return [order.index(module) for module in modules]


def _chosen(features: Sequence[Tensor], choice: Tensor) -> Tensor:
    """The features of the chosen parent, with a gradient for the choice."""
    weights = choice.to(features[0].dtype)
    chosen = features[0] * weights[0]
    for feature, weight in zip(features[1:], weights[1:], strict=True):
        chosen = torch.addcmul(chosen, feature, weight)
    return chosen
