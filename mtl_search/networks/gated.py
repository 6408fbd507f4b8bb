"""The networks of InterroGate (Bejnordi et al., arXiv 2402.16848): gated while it trains, pruned when it is done.

At every place of a backbone task ``t`` has a module of its own, that makes ``phi_t``, and there is a shared one, that
makes ``psi``. A gate for every task and channel chooses between them, and what all tasks chose is mixed for the next
shared module:

    phi'_t = G_t * phi_t + (1 - G_t) * psi        psi' = sum over t of softmax over t (beta)_t * phi'_t

The next place makes ``phi_t`` from ``phi'_t`` and ``psi`` from ``psi'``; the head of a task reads the last ``phi'_t``,
the decoder of a dense one that at the end of every resolution.
Code for the paper was never published: the equations are as they are widely cited; one gate for the output of a
residual block, so that its skip stays consistent, and a mix everywhere but at the last place are our reading.
"""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.seeds import generator
from mtl_search.networks.decoder import Decoder, Level
from mtl_search.networks.heads import LinearHead, TaskHeads
from mtl_search.networks.network import channels_last
from mtl_search.networks.norm import Norm
from mtl_search.networks.paths import ConvModule, ModuleShape, module_shapes, taps_of
from mtl_search.networks.pointwise import make_convolution
from mtl_search.spaces.architecture import Backbone
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

    :param tasks: What to predict.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param seed: Of the initial weights and gates. A task's own modules and head are those of one network per task.
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
        lot = generator(seed, "gates")
        drawn = [SPREAD * torch.randn(count, shape.outputs, generator=lot) for shape in self.shapes]
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
        mixed = channels_last(x)
        own = dict.fromkeys(range(len(self.tasks)), mixed)
        for place in range(len(self.shapes)):
            if place == len(self.mixing):
                own = {number: own[number] for number in wanted}
            own = self._chosen(place, own, mixed)
            for number in set(wanted).intersection(self.heads.readers(place)):
                read[number].append(own[number])
            if place < len(self.mixing):
                mixed = mix([*own.values()], self.mixing[place].softmax(dim=0))
        return {self.tasks[number].name: self.heads.read(number, features, x) for number, features in read.items()}

    def _chosen(self, place: int, own: dict[int, Tensor], mixed: Tensor) -> dict[int, Tensor]:
        """``phi'`` of some tasks at a place, from theirs before it and the mix before it."""
        psi = self.shared[place](mixed)
        gates = open_gates(self.gates[place])[:, :, None, None].to(psi.dtype)
        return {number: torch.lerp(psi, self.own(place, number)(x), gates[number]) for number, x in own.items()}

    def own(self, place: int, task: int) -> ConvModule:
        """The module that a task has for itself at a place."""
        modules = self.places[place]
        assert isinstance(modules, nn.ModuleList)
        module = modules[task]
        assert isinstance(module, ConvModule)
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


@dataclass(frozen=True)
class Kept:
    """What is left of a place when nobody computes what nobody reads.

    :param order: All channels, in the order in which they are now: those with the same gates stand together, so that a
        task's features are a few whole pieces of what its own module and the shared one make.
    :param own: Channels that each task's own module makes, in this order.
    :param shared: Channels that the shared module makes, likewise.
    :param mixes: Whether the shared features that are read next are a mix, instead of those of the shared module.
    """

    order: tuple[int, ...]
    own: tuple[tuple[int, ...], ...]
    shared: tuple[int, ...]
    mixes: bool


def kept_channels(gates: Gates, readers: Sequence[Collection[int]] | None = None) -> tuple[Kept, ...]:
    """What is read, found from the last place to the first.

    Before a place, a task's features are read if its own module makes anything there; all tasks' are, through the mix,
    if the shared module does.

    :param readers: Of every place the tasks whose heads read the features there; all, and the last place, if left out.
    """
    tasks, kept = range(len(gates[0])), []
    readers = readers or [*([()] * (len(gates) - 1)), tasks]
    read, mix_is_read = set[int](), False
    for of_tasks, heads in zip(reversed(gates), reversed(readers), strict=True):
        read |= set(heads)
        order = sorted(range(len(of_tasks[0])), key=lambda channel: [gates[channel] for gates in of_tasks])
        own = tuple(tuple(c for c in order if task in read and of_tasks[task][c]) for task in tasks)
        shared = tuple(c for c in order if not all(of_tasks[task][c] for task in read))
        kept.append(Kept(tuple(order), own, shared, mixes=mix_is_read and any(own)))
        mix_is_read = bool(shared)
        read = set(tasks) if mix_is_read else {task for task in tasks if own[task]}
    return tuple(reversed(kept))


class PrunedNetwork(nn.Module):
    """A gated network whose gates are fixed, without what no task reads: plain convolutions, and no gates.

    It is given by the gates alone; its tensors are loaded from a ``state_dict``, or by
    :func:`mtl_search.methods.interrogate.prune`.

    :param gates: See :data:`Gates`, for the modules of the backbone.
    :param tasks: What to predict.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    """

    def __init__(
        self,
        backbone: Backbone,
        gates: Gates,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.names = tuple(task.name for task in tasks)
        self.shapes = module_shapes(backbone, input_shape, width_multiplier)
        self.heads = TaskHeads(backbone, taps_of(self.shapes, input_shape), tasks, 0, width_multiplier)
        self.kept = kept_channels(gates, [self.heads.readers(place) for place in range(len(self.shapes))])
        places = list(zip(self.shapes, self.kept, strict=True))
        before = [tuple(range(input_shape[0])), *(kept.order for kept in self.kept)]
        self.places = nn.ModuleList(
            nn.ModuleDict({str(task): SlicedModule(shape, own, reads) for task, own in enumerate(kept.own) if own})
            for (shape, kept), reads in zip(places, before, strict=False)
        )
        self.shared = nn.ModuleDict(
            {
                str(place): SlicedModule(shape, kept.shared, before[place])
                for place, (shape, kept) in enumerate(places)
                if kept.shared
            }
        )
        self.joints = [[_joint(kept, task) for task in range(len(tasks))] for kept in self.kept]
        self.mixing = nn.ParameterDict(
            {
                str(place): nn.Parameter(torch.full((len(self.names), shape.outputs), 1 / len(self.names)))
                for place, (shape, kept) in enumerate(places)
                if kept.mixes
            }
        )

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the tasks, in one pass.

        :param x: ``[batch, channels, height, width]``, or rows ``[batch, features]``.
        :param only: Names of the tasks to compute; all if left out.
        :returns: Name of the task -> ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.
        """
        features = _Features(self, channels_last(x))
        return {
            name: self.heads.read(number, [features.of_task(at, number) for at in self.heads.places(number)], x)
            for number, name in enumerate(self.names)
            if only is None or name in only
        }

    def take_heads(self, heads: nn.ModuleList) -> None:
        """Copy the heads of a network whose channels stand in the order of the backbone."""
        for head, whole in zip(self.heads, heads, strict=True):
            head.load_state_dict(whole.state_dict())
            if isinstance(head, LinearHead):
                order = list(self.kept[-1].order)
                of_cells = head.linear.weight.unflatten(1, (len(order), -1))
                head.linear.weight.copy_(of_cells[:, order].flatten(1))
            else:
                assert isinstance(head, Decoder)
                for level, place in zip(head.levels, self.heads.taps, strict=True):
                    assert isinstance(level, Level)
                    level.shared_weight.copy_(level.shared_weight[:, list(self.kept[place].order)])

    def own(self, place: int, task: int) -> "SlicedModule | None":
        """What is left of the module that a task has for itself at a place."""
        modules = self.places[place]
        assert isinstance(modules, nn.ModuleDict)
        if str(task) not in modules:
            return None
        module = modules[str(task)]
        assert isinstance(module, SlicedModule)
        return module

    def layer_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Name of the place -> the parameters of all modules, and mixing weights, there."""
        found = {shape.name: list(place.parameters()) for shape, place in zip(self.shapes, self.places, strict=True)}
        for place, shape in enumerate(self.shapes):
            if str(place) in self.shared:
                found[shape.name] += self.shared[str(place)].parameters()
            if str(place) in self.mixing:
                found[shape.name].append(self.mixing[str(place)])
        return found


class _Features:
    """The features of one forward pass of a pruned network, each computed when it is first read."""

    def __init__(self, network: PrunedNetwork, x: Tensor) -> None:
        self.network, self.x = network, x
        self.known: dict[tuple[str, int], Tensor] = {}

    def of_task(self, place: int, task: int) -> Tensor:
        """``phi'`` of a task at a place, all channels."""
        if place < 0:
            return self.x
        key = (str(task), place)
        if key not in self.known:
            pieces = self.network.joints[place][task]
            own = self.network.own(place, task)
            made = {} if own is None else {True: own(self.of_task(place - 1, task))}
            if not all(piece.own for piece in pieces):
                made[False] = self.shared(place)
            parts = [made[piece.own][:, piece.start : piece.stop] for piece in pieces]
            self.known[key] = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return self.known[key]

    def shared(self, place: int) -> Tensor:
        """``psi`` at a place, the channels that are kept."""
        key = ("shared", place)
        if key not in self.known:
            self.known[key] = self.network.shared[str(place)](self.mixed(place - 1))
        return self.known[key]

    def mixed(self, place: int) -> Tensor:
        """``psi'`` at a place, all channels."""
        if place < 0:
            return self.x
        if not self.network.kept[place].mixes:
            return self.shared(place)
        tasks = range(len(self.network.names))
        return mix([self.of_task(place, task) for task in tasks], self.network.mixing[str(place)])


class SlicedModule(ConvModule):
    """A module that makes some of its output channels only, from inputs in another order.

    In a residual block the last convolution, its norm and the projection are sliced. The others make what is read next,
    which is everything.

    :param kept: The channels that it makes, in their order.
    :param before: The channels that it reads, in their order.
    """

    def __init__(self, shape: ModuleShape, kept: Sequence[int], before: Sequence[int]) -> None:
        super().__init__(shape, generator(0, "sliced"))
        last, outputs = self.convolutions[-1], len(kept)
        assert isinstance(last, nn.Conv2d)
        size, step, apart = last.kernel_size[0], last.stride[0], last.dilation[0]
        self.convolutions[-1] = make_convolution(last.in_channels, outputs, size, step, apart)
        self.norms[-1] = Norm(outputs)
        if self.projection is not None:
            self.projection = make_convolution(shape.inputs, outputs, 1)
            self.projection_norm = Norm(outputs)
        self.channels, self.before = list(kept), list(before)
        skips = shape.residual and self.projection is None
        self.pick = _picked([self.before.index(channel) for channel in kept], len(before)) if skips else None

    def _normed(self, convolution: nn.Conv2d, norm: Norm, x: Tensor, stream: int) -> Tensor:
        """Once it is trained, the norm is part of the convolution."""
        if self.training:
            return super()._normed(convolution, norm, x, stream)
        scale = norm.weight * (norm.running_var + norm.epsilon).rsqrt()
        kernel = convolution.weight * scale[:, None, None, None]
        offset = norm.bias - norm.running_mean * scale
        return F.conv2d(x, kernel, offset, convolution.stride, convolution.padding, convolution.dilation)

    def _skip(self, x: Tensor, stream: int) -> Tensor:
        return super()._skip(x, stream) if self.pick is None else self.pick(x)

    def take(self, module: ConvModule) -> None:
        """Copy what is kept of a whole module."""
        before_last = range(len(self.convolutions) - 1)
        whole = tuple(f"{part}.{number}." for number in before_last for part in ("convolutions", "norms"))
        reads = ("convolutions.0.", "projection.")
        self.load_state_dict(
            {
                name: _columns(value if name.startswith(whole) else value[self.channels], self.before, name, reads)
                for name, value in module.state_dict().items()
            }
        )


def _columns(weight: Tensor, before: Sequence[int], name: str, reads: tuple[str, ...]) -> Tensor:
    """The weight of what reads the inputs of a module, for these in their order; others as they are."""
    return weight[:, before] if name.startswith(reads) else weight


class Pick(nn.Module):
    """Chooses channels, in a given order."""

    channels: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("channels", torch.tensor(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, any, height, width]`` to ``[batch, channels, height, width]``; quickest with channels last."""
        innermost = x.permute(0, 2, 3, 1)
        picked = innermost.flatten(0, 2).index_select(1, self.channels)
        return picked.view(*innermost.shape[:3], len(self.channels)).permute(0, 3, 1, 2)


def mix(features: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The weighted sum of all tasks' features.

    :param features: ``[batch, channels, height, width]`` for each task.
    :param weights: ``[tasks, channels]``
    """
    weights = weights[:, :, None, None].to(features[0].dtype)
    total = features[0] * weights[0]
    for one, weight in zip(features[1:], weights[1:], strict=True):
        total = torch.addcmul(total, one, weight)
    return total


@dataclass(frozen=True)
class Piece:
    """Channels next to each other that come from one module.

    :param own: Whether from the task's own, else from the shared one.
    :param start: The first, in the order of what the module makes.
    :param stop: The one behind the last.
    """

    own: bool
    start: int
    stop: int


def _joint(kept: Kept, task: int) -> list[Piece]:
    """The pieces that a task's features are made of; those of a task that nobody reads may be incomplete."""
    own = set(kept.own[task])
    made = {True: kept.own[task], False: kept.shared}
    pieces = []
    for is_own, run in itertools.groupby(kept.order, key=own.__contains__):
        channels = [channel for channel in run if channel in made[is_own]]
        if channels:
            start = made[is_own].index(channels[0])
            pieces.append(Piece(is_own, start, start + len(channels)))
    return pieces


def _picked(channels: Sequence[int], inputs: int) -> nn.Module:
    """What picks channels out of ``inputs``; nothing is done where those are all, in their order."""
    return nn.Identity() if list(channels) == list(range(inputs)) else Pick(channels)


def _module(shape: ModuleShape, place: int, number: int, seed: int) -> ConvModule:
    return ConvModule(shape, generator(seed, f"module {place}.{number}"))
