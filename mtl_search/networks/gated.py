"""The network of InterroGate (Bejnordi et al., arXiv 2402.16848) while it trains: gated.

At every place of a backbone task ``t`` has a module of its own, that makes ``phi_t``, and there is a shared one, that
makes ``psi``. A gate for every task and channel chooses between them, and what all tasks chose is mixed for the next
shared module:

    phi'_t = G_t * phi_t + (1 - G_t) * psi        psi' = sum over t of softmax over t (beta)_t * phi'_t

The next place makes ``phi_t`` from ``phi'_t`` and ``psi`` from ``psi'``; the head of a task reads the last ``phi'_t``,
the decoder of a dense one that at the end of every resolution. :mod:`mtl_search.networks.pruned` is what is left of it.
Code for the paper was never published: the equations are as they are widely cited; one gate for the output of a
residual block, so that its skip stays consistent, and a mix everywhere but at the last place are our reading.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_search.internal.seeds import generator
from mtl_search.networks.heads import TaskHeads
from mtl_search.networks.inputs import Mask, opened
from mtl_search.networks.paths import ConvModule, EmbeddingModule, ModuleShape, make_module, module_shapes, taps_of
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task

SPREAD = 1.0
"""Standard deviation of the gates' values before training: on both sides of the threshold, and so far from each other
that a penalty common to all closes one after the other, not all at once (ours)."""

Gates = Sequence[Sequence[Sequence[int]]]
"""``gates[place][task][channel]``: 1 where the task has the channel for itself, 0 where it takes the shared one."""


class _OpenGates(torch.autograd.Function):
    """1 where the sigmoid is at least a half, else 0; backward as if it were the sigmoid (Bengio et al., 2013)."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(alpha)
        return (alpha >= 0).to(alpha.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        soft = ctx.saved_tensors[0].sigmoid()
        return gradients[0] * soft * (1 - soft)


def open_gates(alpha: Tensor) -> Tensor:
    """``1[sigmoid(alpha) >= 0.5]``, of the same shape, with the straight-through gradient of the sigmoid."""
    return _OpenGates.apply(alpha)  # type: ignore[no-untyped-call]


class GatedNetwork(nn.Module):
    """The network that is trained: every module once for each task and once shared, and gates between them.

    :param tasks: The tasks that are predicted, each with a head.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param seed: Seed of the initial weights and gates. A task's own modules and head are those of one network per task.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbone, self.tasks, self.input_shape = backbone, tuple(tasks), input_shape
        self.width_multiplier = width_multiplier
        self.shapes = module_shapes(backbone, input_shape, width_multiplier)
        count = len(self.tasks)
        self.places = nn.ModuleList(
            nn.ModuleList(_module(shape, place, number, seed) for number in range(count))
            for place, shape in enumerate(self.shapes)
        )
        self.shared = nn.ModuleList(_module(shape, place, count, seed) for place, shape in enumerate(self.shapes))
        rng = generator(seed, "gates")
        drawn = [SPREAD * torch.randn(count, shape.outputs, generator=rng) for shape in self.shapes]
        self.gates = nn.ParameterList(nn.Parameter(values) for values in drawn)
        """``[tasks, channels]`` for every place: alpha."""
        self.mixing = nn.ParameterList(nn.Parameter(torch.zeros(count, shape.outputs)) for shape in self.shapes[:-1])
        """``[tasks, channels]`` for every place but the last: beta."""
        self.heads = TaskHeads(backbone, taps_of(self.shapes, input_shape), self.tasks, seed, width_multiplier)

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the tasks.

        :param x: ``[batch, channels, height, width]``, or rows ``[batch, features]``.
        :param only: Names of the tasks to compute; all if left out. The mix reads all tasks up to the last place.
        :returns: Name of the task -> ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.
        """
        wanted = [number for number, task in enumerate(self.tasks) if only is None or task.name in only]
        read: dict[int, list[Tensor]] = {number: [] for number in wanted}
        mixed, mask = opened(x)
        specific = dict.fromkeys(range(len(self.tasks)), mixed)
        for place in range(len(self.shapes)):
            if place == len(self.mixing):
                specific = {number: specific[number] for number in wanted}
            specific = self._chosen(place, specific, mixed, mask)
            for number in set(wanted).intersection(self.heads.readers(place)):
                read[number].append(specific[number])
            if place < len(self.mixing):
                mixed = mix([*specific.values()], self.mixing[place].softmax(dim=0))
        return {self.tasks[number].name: self.heads.read(number, features, x) for number, features in read.items()}

    def _chosen(self, place: int, specific: dict[int, Tensor], mixed: Tensor, mask: Mask) -> dict[int, Tensor]:
        """``phi'`` of some tasks at a place, from theirs before it and the mix before it."""
        psi = self.shared[place](mixed, mask=mask)
        gates = open_gates(self.gates[place])[:, :, None, None].to(psi.dtype)
        return {
            number: torch.lerp(psi, self.specific(place, number)(x, mask=mask), gates[number])
            for number, x in specific.items()
        }

    def specific(self, place: int, task: int) -> ConvModule | EmbeddingModule:
        """The module that a task has for itself at a place."""
        modules = self.places[place]
        assert isinstance(modules, nn.ModuleList)
        module = modules[task]
        assert isinstance(module, ConvModule | EmbeddingModule)
        return module

    def chosen(self) -> list[list[list[int]]]:
        """The gates as they stand, see :data:`Gates`."""
        return [(alpha.detach() >= 0).int().tolist() for alpha in self.gates]

    def layer_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Name of the place -> the parameters of all modules, gates and mixing weights there."""
        parts: list[list[nn.Parameter]] = [
            [*self.places[place].parameters(), *self.shared[place].parameters(), self.gates[place]]
            for place in range(len(self.shapes))
        ]
        for found, weights in zip(parts, self.mixing, strict=False):
            found.append(weights)
        return {shape.name: found for shape, found in zip(self.shapes, parts, strict=True)}


def mix(features: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The weighted sum of all tasks' features.

    :param features: ``[batch, channels, height, width]`` for each task.
    :param weights: Weight of each task's features in the sum, ``[tasks, channels]``.
    """
    weights = weights[:, :, None, None].to(features[0].dtype)
    total = features[0] * weights[0]
    for one, weight in zip(features[1:], weights[1:], strict=True):
        total = torch.addcmul(total, one, weight)
    return total


def _module(shape: ModuleShape, place: int, number: int, seed: int) -> ConvModule | EmbeddingModule:
    return make_module(shape, generator(seed, f"module {place}.{number}"))
