"""Batch normalisation that the fused and the reference form can share."""

from typing import overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.kernels.library import trains
from mtl_search.kernels.norm import Moments, Normed, moments

Made = Tensor | Normed
"""Features as a layer makes them: what they are, or with the norm left to what reads them."""


class Norm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, ICML 2015) over one or several streams of equal channels.

    Scale and offset are the same for all streams; the statistics are each stream's own.

    :param channels: Channels of one stream.
    :param streams: Streams that are stacked along the channels.
    """

    running_mean: Tensor
    running_var: Tensor
    momentum = 0.1
    epsilon = 1e-5

    def __init__(self, channels: int, streams: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.streams = streams
        self.register_buffer("running_mean", torch.zeros(streams * channels))
        self.register_buffer("running_var", torch.ones(streams * channels))

    def forward(self, x: Tensor, activate: bool = False) -> Tensor:
        """``[batch, streams * channels, height, width]``, normalised.

        :param activate: Whether it goes through a ReLU after that.
        """
        return ready(self.left_to_do(x, activate))

    def left_to_do(self, x: Tensor, activate: bool, known: Moments | None = None) -> Made:
        """The same, done by what reads it where there are kernels that can.

        :param known: The moments of ``x``, if they were made with it.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.streams > 1:
            weight, bias = weight.repeat(self.streams), bias.repeat(self.streams)
        values = x.numel() // x.shape[1]
        if self.training and values > 1 and trains(x) and x.is_contiguous(memory_format=torch.channels_last):
            mean, variance = known or moments(x.detach())
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (values / (values - 1)), self.momentum)
            return Normed(x, mean, (variance + self.epsilon).sqrt_(), weight, bias, activate)
        made = self._normalise(x, self.running_mean, self.running_var, weight, bias)
        return F.relu(made, inplace=True) if activate else made

    def stream(self, x: Tensor, number: int) -> Tensor:
        """``[batch, channels, height, width]`` of one stream, normalised."""
        size = len(self.weight)
        part = slice(number * size, (number + 1) * size)
        return self._normalise(x, self.running_mean[part], self.running_var[part], self.weight, self.bias)

    def part(self, x: Tensor, number: int) -> Tensor:
        """Some channels of the only stream, the ``number``-th of equal parts, normalised."""
        size = x.shape[1]
        part = slice(number * size, (number + 1) * size)
        return self._normalise(x, self.running_mean[part], self.running_var[part], self.weight[part], self.bias[part])

    def _normalise(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.epsilon)


@overload
def ready(made: Made) -> Tensor: ...
@overload
def ready(made: Made | None) -> Tensor | None: ...
def ready(made: Made | None) -> Tensor | None:
    """Features as they are, for what does not normalise them itself."""
    return made.features if isinstance(made, Normed) else made
