"""Light decoders: a map of the size of the input for every dense task.

The encoder is tapped at the end of every resolution. A task reads there the shared features ``S`` and its own ``P_t``,
by a learned 1x1 convolution of both. From the coarsest tap to the finest its decoder makes, of few channels,

    D_k = relu(norm(1x1([S_k, P_k]) + up(3x3(D_k+1))))

with bilinear upsampling to the size of the tap; a 1x1 convolution of the last one gives the outputs, which are
upsampled to the size of the input. So it is a feature pyramid (Lin et al., CVPR 2017, arXiv 1612.03144) for each task:
our reading, the same for all methods, so that what is compared is how the encoder shares.

As in a layer, the tasks are stacked along the channels: one convolution goes from shared features to all tasks, one
grouped by tasks from their own. :func:`mtl_search.networks.reference.reference_decoder` is the definition.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.networks.geometry import Features
from mtl_search.networks.layer import State
from mtl_search.networks.norm import Norm
from mtl_search.tasks import Task


class Level(nn.Module):
    """One resolution in the decoders of all dense tasks.

    :param tap: Features of the encoder that are read.
    :param tasks: Number of dense tasks.
    :param channels: Number of channels of each task's decoder.
    :param coarsest: Whether it is the coarsest resolution, which continues no other level.
    :param weights: What the initial weights are drawn from.
    """

    def __init__(self, tap: Features, tasks: int, channels: int, coarsest: bool, weights: Generator) -> None:
        super().__init__()
        self.tap, self.tasks, self.channels = tap, tasks, channels
        outputs, inputs = tasks * channels, tap.shared + tap.specific
        if tap.shared:
            self.shared_weight = _drawn(outputs, tap.shared, 1, 1 / inputs, weights)
        if tap.specific:
            self.own_weight = _drawn(outputs, tap.specific, 1, 1 / inputs, weights)
        if not coarsest:
            self.coarser_weight = _drawn(outputs, channels, 3, 1 / (9 * channels), weights)
        self.norm = Norm(outputs)

    def forward(self, features: State, coarser: Tensor | None) -> Tensor:
        """``[batch, tasks * channels, height, width]``

        :param features: Features of the encoder at this resolution: shared ones of one stream or of each dense task,
            own ones of the dense tasks.
        :param coarser: What the next coarser level made, ``[batch, tasks * channels, height, width]``; ``None`` for the
            coarsest.
        """
        made = [
            F.conv2d(part, weight, groups=part.shape[1] // weight.shape[1])
            for part, weight in zip(features, self._laterals(), strict=True)
            if part is not None and weight is not None
        ]
        if coarser is not None:
            height, width = made[0].shape[2:]
            smooth = F.conv2d(coarser, self.coarser_weight, padding=1, groups=self.tasks)
            made.append(resized(smooth, (height, width)))
        total = made[0]
        for part in made[1:]:
            total = total + part
        return F.relu(self.norm(total), inplace=True)

    def _laterals(self) -> tuple[Tensor | None, Tensor | None]:
        shared = self.shared_weight if self.tap.shared else None
        return shared, self.own_weight if self.tap.specific else None


class Decoder(nn.Module):
    """The decoders of all dense tasks of a network.

    :param taps: Features of the encoder at each resolution, finest first.
    :param tasks: All tasks of the network; the others have no part in it.
    :param channels: Number of channels of each task's decoder, at every resolution.
    :param weights: What the initial weights are drawn from.
    """

    offset: Tensor
    factor: Tensor

    def __init__(self, taps: Sequence[Features], tasks: Sequence[Task], channels: int, weights: Generator) -> None:
        super().__init__()
        self.tasks, self.places = len(tasks), dense_places(tasks)
        self.outputs = {tasks[place].name: tasks[place].outputs for place in self.places}
        self.channels = channels
        self.levels = nn.ModuleList(
            Level(tap, len(self.places), channels, number == len(taps) - 1, weights) for number, tap in enumerate(taps)
        )
        total = sum(self.outputs.values())
        self.weight = _drawn(total, channels, 1, 1 / channels, weights)
        self.bias = nn.Parameter(torch.zeros(total))
        scales = torch.tensor([tasks[place].output_scale for place in self.places for _ in range(tasks[place].outputs)])
        self.register_buffer("offset", scales[:, 0].clone())
        self.register_buffer("factor", scales[:, 1].clone())

    def forward(self, taps: Sequence[State], size: tuple[int, int]) -> dict[str, Tensor]:
        """Maps of the dense tasks.

        :param taps: Features of the encoder at each resolution, finest first, those of all tasks stacked as in a layer.
        :param size: Height and width of the maps.
        :returns: Name of the task -> ``[batch, outputs, height, width]``.
        """
        made: Tensor | None = None
        for level, features in zip(reversed(self.levels), reversed(taps), strict=True):
            assert isinstance(level, Level)
            made = level(self._read(level, features), made)
        assert made is not None
        weight, bias = self.last_layer()
        maps: list[Tensor] = []
        for tasks, channels, rows in self._alike():
            found = F.conv2d(made[:, channels], weight[rows], bias[rows], groups=tasks)
            maps += resized(found, size).chunk(tasks, dim=1)
        return dict(zip(self.outputs, maps, strict=True))

    def last_layer(self) -> tuple[Tensor, Tensor]:
        """The kernels ``[outputs of all tasks, channels, 1, 1]`` and biases, in the units of the targets."""
        return self.weight * self.factor[:, None, None, None], self.bias * self.factor + self.offset

    def _read(self, level: Level, features: State) -> State:
        """What dense tasks read of the features of all."""
        shared, specific = features
        if shared is not None and level.tap.streams > 1:
            shared = parts_of(shared, level.tap.streams, self.places)
        return shared, None if specific is None else parts_of(specific, self.tasks, self.places)

    def _alike(self) -> Iterator[tuple[int, slice, slice]]:
        """Tasks next to each other with equal outputs: how many, their channels, and their rows of the weight."""
        task, row = 0, 0
        for outputs, run in itertools.groupby(self.outputs.values()):
            count = len(list(run))
            channels = slice(task * self.channels, (task + count) * self.channels)
            yield count, channels, slice(row, row + count * outputs)
            task, row = task + count, row + count * outputs


def dense_places(tasks: Sequence[Task]) -> list[int]:
    """Numbers of the dense tasks."""
    return [number for number, task in enumerate(tasks) if task.dense]


def parts_of(features: Tensor, parts: int, chosen: Sequence[int]) -> Tensor:
    """Some of the equal parts that features are stacked of along the channels.

    :param parts: How many there are.
    :param chosen: Numbers of those that are wanted, in their order.
    """
    if len(chosen) == parts:
        return features
    chunks = features.chunk(parts, dim=1)
    return torch.cat([chunks[number] for number in chosen], dim=1) if len(chosen) > 1 else chunks[chosen[0]]


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """``[batch, channels, any, any]`` to ``[batch, channels, *size]`` by bilinear interpolation."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _drawn(outputs: int, inputs: int, size: int, variance: float, weights: Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(outputs, inputs, size, size, generator=weights) * variance**0.5)
