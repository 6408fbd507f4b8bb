"""Banks of primitives and the learned recombination of their responses, in one pass.

Of a tile of pixels all responses are made, multiplied with the weights and forgotten; they are made again for the
gradients. So a step keeps the input alone, and takes ``k/9`` of the multiply-accumulates of a folded convolution for
``k`` primitives. Where these are linear, 3x3 and without a stride, ``winograd.h`` takes ``25/81`` of them by minimal
filtering (Winograd, 1980; Lavin & Gray, CVPR 2016), if that is less. It is exact, too; float32 rounds a little more.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mtl_search.kernels.bank_operators import Norm, Settings, c_bank, recombine_directly
from mtl_search.kernels.frozen import FrozenBank
from mtl_search.kernels.library import library
from mtl_search.kernels.norm import LazyNorm, Moments


class Measured(NamedTuple):
    """Features, and their moments where these were made with them.

    :param features: ``[batch, channels, height, width]``
    :param moments: ``None`` where nobody made them.
    """

    features: Tensor
    moments: Moments | None


def recombined(
    x: Tensor | LazyNorm,
    bank: FrozenBank,
    weights: Sequence[Tensor],
    stride: int,
    groups: int = 1,
    measured: Sequence[bool] = (),
) -> list[Measured]:
    """The features of a batch as several learned weights read them through a bank.

    :param x: ``[batch, groups * channels, height, width]``, float32 or float64, for which there must be a library.
    :param bank: The primitives and their frozen values; each has values for the channels of all groups.
    :param weights: ``[groups * outputs, primitives, channels]`` each; one, if there are several groups.
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    :param measured: For each weight, whether the moments of its features are made too; none are if left out.
    :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]`` each, channels innermost.
    :raises ValueError: If shapes or types do not fit.
    :raises MemoryError: If there is none left.
    """
    taken, norm, settings = _arguments(x, bank, stride, groups)
    outputs, wanted = [len(weight) // groups for weight in weights], list(measured) or [False] * len(weights)
    weight = weights[0].contiguous() if len(weights) == 1 else torch.cat(list(weights))
    made = recombine_directly(None, taken, weight, *norm, *settings, outputs, wanted)
    features, rest = made[: len(outputs)], iter(made[len(outputs) :])
    told = [Moments(next(rest), next(rest)) if one else None for one in wanted]
    return [Measured(*one) for one in zip(features, told, strict=True)]


def recombined_into(
    total: Tensor, x: Tensor | LazyNorm, bank: FrozenBank, weight: Tensor, stride: int, groups: int
) -> Measured:
    """What :func:`recombined` makes, added to ``total`` in its place, with the moments of the sum.

    :param total: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]``, channels innermost.
    :param x: ``[batch, groups * channels, height, width]``, float32 or float64, for which there must be a library.
    :param bank: The primitives and their frozen values; each has values for the channels of all groups.
    :param weight: ``[groups * outputs, primitives, channels]``
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    """
    taken, norm, settings = _arguments(x, bank, stride, groups)
    made, mean, variance = recombine_directly(total, taken, weight.contiguous(), *norm, *settings)
    return Measured(made, Moments(mean, variance))


def takes_blocks(x: Tensor, bank: FrozenBank, outputs: int, stride: int, groups: int = 1) -> bool:
    """Whether it is made by minimal filtering of blocks of pixels.

    :param x: ``[batch, groups * channels, height, width]``
    :param bank: The primitives and their frozen values; each has values for the channels of all groups.
    :param outputs: Number of output channels of one group, over all weights together.
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    """
    lib = library(x.dtype)
    assert lib is not None
    _, norm, settings = _arguments(x, bank, stride, groups)
    return bool(lib.takes_blocks(ctypes.byref(c_bank(x, settings, outputs, norm))))


def _arguments(x: Tensor | LazyNorm, bank: FrozenBank, stride: int, groups: int) -> tuple[Tensor, Norm, Settings]:
    activate, norm = False, list[Tensor | None]([None] * 4)
    if isinstance(x, LazyNorm):
        activate, norm, x = x.activate, [x.mean, x.deviation, x.weight, x.bias], x.raw
    return _innermost(x), norm, Settings(bank.frozen, *bank.tables, stride, groups, activate)


def _innermost(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
