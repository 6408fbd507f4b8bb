"""The one door to the kernels: what a network asks for, whether they do it or torch.

They do it in a training step on the processor, where there is a compiler; see :mod:`mtl_search.kernels.library`. What
they make is what torch makes, up to rounding.
"""

from collections.abc import Sequence
from typing import Protocol, overload

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.kernels.bank import Measured as Measured
from mtl_search.kernels.bank import recombined, recombined_into
from mtl_search.kernels.frozen import FrozenBank as FrozenBank
from mtl_search.kernels.frozen import FrozenPrimitive as FrozenPrimitive
from mtl_search.kernels.library import trains
from mtl_search.kernels.norm import LazyNorm as LazyNorm
from mtl_search.kernels.norm import Moments as Moments
from mtl_search.kernels.norm import moments

Activations = Tensor | LazyNorm
"""Features as a layer makes them: what they are, or with the norm left to what reads them."""


class Recombined(Protocol):
    """What learned weights read features through: the operators of :mod:`mtl_search.networks.operators`."""

    def frozen_bank(self, channels: int) -> FrozenBank | None:
        """It as a bank that there are kernels for.

        :param channels: Channels of what it is applied to.
        :returns: ``None`` where there are none for it.
        """

    def features(self, x: Tensor, stride: int, mask: Tensor | None = None) -> list[Tensor]:
        """What torch's operations read: of ``[batch, channels, height, width]``, a tensor for each."""

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        """The recombination by torch's operations, of what :meth:`features` returned."""


def recombine(
    operator: Recombined,
    x: Activations,
    weights: Sequence[Tensor],
    stride: int,
    groups: int = 1,
    branches: Sequence[int] | None = None,
    measured: Sequence[bool] = (),
    mask: Tensor | None = None,
) -> list[Measured]:
    """The features of a batch as several learned weights read them through an operator.

    :param operator: What the weights read the features through.
    :param x: ``[batch, groups * channels, height, width]``
    :param weights: ``[groups * outputs, taps, channels that an output reads]`` each.
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    :param branches: For each weight, the number of equal parts of its outputs that read windows of their own; as many
        as groups if left out.
    :param measured: For each weight, whether a norm comes next, and moments are wanted where they cost little.
    :param mask: Which positions of sequences are none of padding.
    :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]`` each.
    """
    bank = _bank_of(operator, x)
    if bank is not None and (groups == 1 or len(weights) == 1):
        return recombined(x, bank, weights, stride, groups, measured)
    features = operator.features(materialize(x), stride, mask)
    parts = zip(weights, branches or [groups] * len(weights), strict=True)
    return [Measured(operator.convolve(features, one, stride, groups, count), None) for one, count in parts]


def recombine_into(
    total: Tensor | None,
    operator: Recombined,
    x: Activations,
    weight: Tensor,
    stride: int,
    groups: int,
    mask: Tensor | None = None,
) -> Measured:
    """The features of several groups as a learned weight of each reads them, for a norm; in their place in a sum.

    :param total: What they are added to; ``None`` where that is nothing.
    :param operator: What the weight reads the features through.
    :param x: ``[batch, groups * channels, height, width]``
    :param weight: ``[groups * outputs, taps, channels that an output reads]``
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    :param mask: Which positions of sequences are none of padding.
    :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]``
    """
    bank = _bank_of(operator, x)
    if bank is None:
        made = operator.convolve(operator.features(materialize(x), stride, mask), weight, stride, groups)
        return Measured(made if total is None else total.add_(made), None)
    if total is None:
        (measured,) = recombined(x, bank, [weight], stride, groups, [True])
        return measured
    return recombined_into(total.contiguous(memory_format=torch.channels_last), x, bank, weight, stride, groups)


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float,
    epsilon: float,
    activate: bool = False,
    known: Moments | None = None,
) -> Activations:
    """Batch normalisation (Ioffe & Szegedy, ICML 2015), left to what reads the features where that can do it.

    :param x: ``[batch, channels, height, width]``
    :param running_mean: ``[channels]``, brought up to date in a training step.
    :param running_var: ``[channels]``, brought up to date in a training step.
    :param weight: The learned scale, ``[channels]``.
    :param bias: The learned offset, ``[channels]``.
    :param training: Whether the moments are those of the batch, instead of the running ones.
    :param momentum: Share of a batch in the running moments.
    :param epsilon: What is added to the variance.
    :param activate: Whether a ReLU comes next.
    :param known: The moments of ``x``, if they were made with it.
    """
    values = x.numel() // max(1, x.shape[1])
    if training and values > 1 and trains(x) and x.is_contiguous(memory_format=torch.channels_last):
        mean, variance = known or moments(x.detach())
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (values / (values - 1)), momentum)
        return LazyNorm(x, mean, (variance + epsilon).sqrt_(), weight, bias, activate)
    made = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, epsilon)
    return F.relu(made, inplace=True) if activate else made


@overload
def materialize(x: Activations) -> Tensor: ...
@overload
def materialize(x: Activations | None) -> Tensor | None: ...
def materialize(x: Activations | None) -> Tensor | None:
    """Features as they are, for what does not normalise them itself.

    :param x: ``[batch, channels, height, width]``
    """
    return x.features if isinstance(x, LazyNorm) else x


def _bank_of(operator: Recombined, x: Activations) -> FrozenBank | None:
    """The bank that kernels apply to features; ``None`` where torch does it."""
    raw = x.raw if isinstance(x, LazyNorm) else x
    return operator.frozen_bank(raw.shape[1]) if trains(raw) else None
