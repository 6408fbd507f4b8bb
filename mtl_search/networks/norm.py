"""Batch normalisation that the fused and the reference form can share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.kernels.operations import Activations, Moments, batch_norm, materialize
from mtl_search.networks.inputs import Mask, without_padding


class Norm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy, ICML 2015) over one or several streams of equal channels.

    Scale and offset are the same for all streams; the statistics are each stream's own. Of sequences padded positions
    have no part in them, and are 0 afterwards.

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

    def forward(self, x: Tensor, activate: bool = False, mask: Mask = None) -> Tensor:
        """``[batch, streams * channels, height, width]``, normalised.

        :param activate: Whether it goes through a ReLU after that.
        :param mask: Which positions are none of padding.
        """
        return materialize(self.deferred(x, activate, mask=mask))

    def deferred(self, x: Tensor, activate: bool, known: Moments | None = None, mask: Mask = None) -> Activations:
        """The same, left to what reads it where that can do it.

        :param x: ``[batch, streams * channels, height, width]``
        :param activate: Whether it goes through a ReLU after that.
        :param known: The moments of ``x``, if they were made with it.
        :param mask: Which positions are none of padding.
        """
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if self.streams > 1:
            weight, bias = weight.repeat(self.streams), bias.repeat(self.streams)
        running = self.running_mean, self.running_var
        if mask is not None:
            made = self._normalise(x, *running, weight, bias, mask)
            return F.relu(made) if activate else made
        return batch_norm(x, *running, weight, bias, self.training, self.momentum, self.epsilon, activate, known)

    def stream(self, x: Tensor, number: int, mask: Mask = None) -> Tensor:
        """``[batch, channels, height, width]`` of one stream, normalised."""
        size = len(self.weight)
        part = slice(number * size, (number + 1) * size)
        return self._normalise(x, self.running_mean[part], self.running_var[part], self.weight, self.bias, mask)

    def part(self, x: Tensor, number: int, mask: Mask = None) -> Tensor:
        """Some channels of the only stream, the ``number``-th of equal parts, normalised."""
        size = x.shape[1]
        part = slice(number * size, (number + 1) * size)
        running = self.running_mean[part], self.running_var[part]
        return self._normalise(x, *running, self.weight[part], self.bias[part], mask)

    def _normalise(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, mask: Mask) -> Tensor:
        if mask is not None and self.training:
            return self._of_positions(x, mean, var, weight, bias, mask)
        made = F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.epsilon)
        return without_padding(made, mask)

    def _of_positions(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
        """Normalised by the moments of the positions that are none of padding, which the running ones move towards."""
        count = mask.sum()
        values = without_padding(x, mask).to(weight.dtype)
        of_batch = values.sum(dim=(0, 2, 3), keepdim=True) / count
        centred = without_padding(values - of_batch, mask)
        variance = centred.square().sum(dim=(0, 2, 3), keepdim=True) / count
        with torch.no_grad():
            mean.lerp_(of_batch.flatten(), self.momentum)
            var.lerp_(variance.flatten() * (count / (count - 1).clamp(min=1)), self.momentum)
        scale = weight.view(1, -1, 1, 1) * (variance + self.epsilon).rsqrt()
        return without_padding(torch.addcmul(bias.view(1, -1, 1, 1), centred, scale), mask).to(x.dtype)
