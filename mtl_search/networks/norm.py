"""Batch normalisation that the fused and the reference form can share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.kernels.operations import Activations, Moments, batch_norm, materialize


class Norm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, ICML 2015) over one or several streams of equal channels.

    Scale and offset are the same for all streams; the statistics are each stream's own.

    :param channels: Channels of one stream.
    :param streams: Streams that are stacked along the channels.
    """

    running_mean: Tensor
    running_var: Tensor
    momentum = 0.1
    """Share of a batch in the running statistics; torch's own default, as is the next."""
    epsilon = 1e-5
    """Added to a variance, so that a channel that is the same everywhere is divided by no 0."""

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
        return materialize(self.deferred(x, activate))

    def deferred(self, x: Tensor, activate: bool, known: Moments | None = None) -> Activations:
        """The same, left to what reads it where that can do it.

        :param x: ``[batch, streams * channels, height, width]``
        :param activate: Whether it goes through a ReLU after that.
        :param known: The moments of ``x``, if they were made with it.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.streams > 1:
            weight, bias = weight.repeat(self.streams), bias.repeat(self.streams)
        running = self.running_mean, self.running_var
        return batch_norm(x, *running, weight, bias, self.training, self.momentum, self.epsilon, activate, known)

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
