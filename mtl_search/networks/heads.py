"""What stands at the end of a task's path through a backbone: a linear head, or the decoder of a dense task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor, nn

from mtl_search.internal.seeds import generator
from mtl_search.networks.decoder import Decoder
from mtl_search.networks.geometry import Features
from mtl_search.networks.inputs import Mask, mask_of, pooled
from mtl_search.spaces.architecture import scaled
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task


class LinearHead(nn.Module):
    """A linear layer on pooled features.

    :param channels: Channels of the features.
    :param backbone: How they are pooled: see :func:`~mtl_search.networks.inputs.pooled`.
    """

    def __init__(self, channels: int, backbone: Backbone, outputs: int, weights: Generator) -> None:
        super().__init__()
        self.grid, self.sequences = backbone.head_pool, backbone.reads == "sequences"
        self.linear = nn.Linear(channels * backbone.head_cells, outputs)
        drawn = torch.randn(self.linear.weight.shape, generator=weights) * self.linear.in_features**-0.5
        self.linear.weight = nn.Parameter(drawn)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """``[batch, channels, height, width]`` to ``[batch, outputs]``."""
        return self.linear(pooled(x, self.grid, self.sequences, mask).flatten(1))


class TaskHeads(nn.ModuleList):
    """A head for each task, that reads nothing but the features of this task.

    :param taps: Places of the backbone whose features decoders read, finest first; heads read the last one.
    :param tasks: The tasks that are predicted, each with a head.
    :param seed: Seed of the initial weights; those of a head depend on its number only.
    """

    def __init__(
        self,
        backbone: Backbone,
        taps: Mapping[int, Features],
        tasks: Sequence[Task],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        *_, last = taps.values()
        channels = scaled(backbone.decoder, width_multiplier)
        weights = [generator(seed, f"head {number}") for number in range(len(tasks))]
        super().__init__(
            Decoder(list(taps.values()), [task], channels, rng)
            if task.dense
            else LinearHead(last.shared, backbone, task.outputs, rng)
            for task, rng in zip(tasks, weights, strict=True)
        )
        self.taps = tuple(taps)

    def places(self, task: int) -> tuple[int, ...]:
        """The places whose features the head of a task reads, in their order."""
        return self.taps if isinstance(self[task], Decoder) else self.taps[-1:]

    def readers(self, place: int) -> list[int]:
        """Numbers of the tasks whose heads read the features at a place."""
        return [task for task in range(len(self)) if place in self.places(task)]

    def read(self, task: int, features: Sequence[Tensor], x: Tensor) -> Tensor:
        """The output of a task: ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.

        :param features: Those at its :meth:`places`.
        :param x: The input of the network, whose height and width maps have, and whose padding is left out.
        """
        head = self[task]
        if not isinstance(head, Decoder):
            (last,) = features
            output: Tensor = head(last, mask_of(x))
            return output
        (output,) = head([(feature, None) for feature in features], (x.shape[2], x.shape[3])).values()
        return output

    @torch.no_grad()
    def start_alike(self) -> None:
        """Let all give zeros, and decoders have the same weights up to their last layer, that of zeros.

        Drawn by lot, they would pull shared features apart even where tasks are the same.
        """
        decoders = [head for head in self if isinstance(head, Decoder)]
        for decoder in decoders:
            decoder.levels.load_state_dict(decoders[0].levels.state_dict())
        for head in self:
            ends = (head.weight, head.bias) if isinstance(head, Decoder) else head.parameters()
            for parameter in ends:
                nn.init.zeros_(parameter)
