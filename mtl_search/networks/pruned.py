"""The network of InterroGate when it is trained: its gates are fixed, and what no task reads is gone."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.seeds import generator
from mtl_search.networks.decoder import Decoder, Level
from mtl_search.networks.gated import Gates, mix
from mtl_search.networks.geometry import image_shape
from mtl_search.networks.heads import LinearHead, TaskHeads
from mtl_search.networks.inputs import Mask, opened, without_padding
from mtl_search.networks.norm import Norm
from mtl_search.networks.paths import ConvModule, EmbeddingModule, ModuleShape, module_shapes, taps_of
from mtl_search.networks.pointwise import make_convolution
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task


@dataclass(frozen=True)
class KeptChannels:
    """What is left of a place when nobody computes what nobody reads.

    :param order: All channels, in the order in which they are now: those with the same gates stand together, so that a
        task's features are a few whole pieces of what its own module and the shared one make.
    :param specific: Channels that each task's own module makes, in this order.
    :param shared: Channels that the shared module makes, likewise.
    :param mixes: Whether the shared features that are read next are a mix, instead of those of the shared module.
    """

    order: tuple[int, ...]
    specific: tuple[tuple[int, ...], ...]
    shared: tuple[int, ...]
    mixes: bool


def kept_channels(gates: Gates, readers: Sequence[Collection[int]] | None = None) -> tuple[KeptChannels, ...]:
    """What is read, found from the last place to the first.

    Before a place, a task's features are read if its own module makes anything there; all tasks' are, through the mix,
    if the shared module does.

    :param readers: For each place, the numbers of the tasks whose heads read the features there; if left out, all tasks
        read those of the last place only.
    """
    tasks, kept = range(len(gates[0])), []
    readers = readers or [*([()] * (len(gates) - 1)), tasks]
    read, mix_is_read = set[int](), False
    for of_tasks, heads in zip(reversed(gates), reversed(readers), strict=True):
        read |= set(heads)
        order = sorted(range(len(of_tasks[0])), key=lambda channel: [gates[channel] for gates in of_tasks])
        specific = tuple(tuple(c for c in order if task in read and of_tasks[task][c]) for task in tasks)
        shared = tuple(c for c in order if not all(of_tasks[task][c] for task in read))
        kept.append(KeptChannels(tuple(order), specific, shared, mixes=mix_is_read and any(specific)))
        mix_is_read = bool(shared)
        read = set(tasks) if mix_is_read else {task for task in tasks if specific[task]}
    return tuple(reversed(kept))


class PrunedNetwork(nn.Module):
    """A gated network whose gates are fixed, without what no task reads: plain convolutions, and no gates.

    It is given by the gates alone; its tensors are loaded from a ``state_dict``, or by
    :func:`mtl_search.methods.interrogate.prune`.

    :param gates: See :data:`~mtl_search.networks.gated.Gates`, for the modules of the backbone.
    :param tasks: The tasks that are predicted, each with a head.
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
        before = [tuple(range(image_shape(input_shape)[0])), *(kept.order for kept in self.kept)]
        self.places = nn.ModuleList(
            nn.ModuleDict(
                {str(task): _sliced(shape, specific, reads) for task, specific in enumerate(kept.specific) if specific}
            )
            for (shape, kept), reads in zip(places, before, strict=False)
        )
        self.shared = nn.ModuleDict(
            {
                str(place): _sliced(shape, kept.shared, before[place])
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
        features = _Features(self, *opened(x))
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

    def specific(self, place: int, task: int) -> "SlicedModule | SlicedEmbedding | None":
        """What is left of the module that a task has for itself at a place."""
        modules = self.places[place]
        assert isinstance(modules, nn.ModuleDict)
        if str(task) not in modules:
            return None
        module = modules[str(task)]
        assert isinstance(module, SlicedModule | SlicedEmbedding)
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

    def __init__(self, network: PrunedNetwork, x: Tensor, mask: Mask) -> None:
        self.network, self.x, self.mask = network, x, mask
        self.known: dict[tuple[str, int], Tensor] = {}

    def of_task(self, place: int, task: int) -> Tensor:
        """``phi'`` of a task at a place, all channels."""
        if place < 0:
            return self.x
        key = (str(task), place)
        if key not in self.known:
            pieces = self.network.joints[place][task]
            specific = self.network.specific(place, task)
            made = {} if specific is None else {True: specific(self.of_task(place - 1, task), mask=self.mask)}
            if not all(piece.specific for piece in pieces):
                made[False] = self.shared(place)
            parts = [made[piece.specific][:, piece.start : piece.stop] for piece in pieces]
            self.known[key] = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
        return self.known[key]

    def shared(self, place: int) -> Tensor:
        """``psi`` at a place, the channels that are kept."""
        key = ("shared", place)
        if key not in self.known:
            self.known[key] = self.network.shared[str(place)](self.mixed(place - 1), mask=self.mask)
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
        size, step, apart = last.kernel_size[1], last.stride[1], last.dilation[1]
        self.convolutions[-1] = make_convolution(last.in_channels, outputs, size, step, apart, last.kernel_size[0])
        self.norms[-1] = Norm(outputs)
        if self.projection is not None:
            self.projection = make_convolution(shape.inputs, outputs, 1)
            self.projection_norm = Norm(outputs)
        self.channels, self.before = list(kept), list(before)
        skips = shape.residual and self.projection is None
        self.pick = _picked([self.before.index(channel) for channel in kept], len(before)) if skips else None

    def _normed(self, convolution: nn.Conv2d, norm: Norm, x: Tensor, stream: int, mask: Mask) -> Tensor:
        """Once it is trained, the norm is part of the convolution."""
        if self.training:
            return super()._normed(convolution, norm, x, stream, mask)
        scale = norm.weight * (norm.running_var + norm.epsilon).rsqrt()
        kernel = convolution.weight * scale[:, None, None, None]
        offset = norm.bias - norm.running_mean * scale
        made = F.conv2d(x, kernel, offset, convolution.stride, convolution.padding, convolution.dilation)
        return without_padding(made, mask)

    def _skip(self, x: Tensor, stream: int, mask: Mask) -> Tensor:
        return super()._skip(x, stream, mask) if self.pick is None else self.pick(x)

    def take(self, module: nn.Module) -> None:
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


class SlicedEmbedding(EmbeddingModule):
    """An embedding that makes some of its channels only.

    :param kept: The channels that it makes, in their order.
    """

    def __init__(self, shape: ModuleShape, kept: Sequence[int]) -> None:
        super().__init__(replace(shape, outputs=len(kept)), generator(0, "sliced"))
        self.channels = list(kept)

    @torch.no_grad()
    def take(self, module: nn.Module) -> None:
        """Copy what is kept of a whole embedding."""
        assert isinstance(module, EmbeddingModule)
        self.embedding.weight.copy_(module.embedding.weight[:, self.channels])


def _sliced(shape: ModuleShape, kept: Sequence[int], before: Sequence[int]) -> SlicedModule | SlicedEmbedding:
    """What is left of a module; the parameters are those of :class:`SlicedModule`."""
    return SlicedEmbedding(shape, kept) if shape.tokens else SlicedModule(shape, kept, before)


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


@dataclass(frozen=True)
class Piece:
    """Channels next to each other that come from one module.

    :param specific: Whether from the task's own, else from the shared one.
    :param start: The first, in the order of what the module makes.
    :param stop: The one behind the last.
    """

    specific: bool
    start: int
    stop: int


def _joint(kept: KeptChannels, task: int) -> list[Piece]:
    """The pieces that a task's features are made of; those of a task that nobody reads may be incomplete."""
    specific = set(kept.specific[task])
    made = {True: kept.specific[task], False: kept.shared}
    pieces = []
    for is_specific, run in itertools.groupby(kept.order, key=specific.__contains__):
        channels = [channel for channel in run if channel in made[is_specific]]
        if channels:
            start = made[is_specific].index(channels[0])
            pieces.append(Piece(is_specific, start, start + len(channels)))
    return pieces


def _picked(channels: Sequence[int], inputs: int) -> nn.Module:
    """What picks channels out of ``inputs``; nothing is done where those are all, in their order."""
    return nn.Identity() if list(channels) == list(range(inputs)) else Pick(channels)
