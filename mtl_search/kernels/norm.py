"""Batch normalisation and the ReLU after it: ``norm.h`` for autograd.

The moments of a batch are made first, where features are made (:mod:`mtl_search.kernels.bank`) or by :func:`moments`.
What reads the features normalises them as it reads, or takes them from :attr:`Normed.features`.
"""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_search.kernels.autograd import once
from mtl_search.kernels.features import empty
from mtl_search.kernels.library import library


class Moments(NamedTuple):
    """Mean and (biased) variance of every channel of a batch."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Normed:
    """Features of which the norm (Ioffe & Szegedy, ICML 2015), and the ReLU after it, are made where they are read.

    :param raw: What is normalised, ``[batch, channels, height, width]``, channels innermost, float32 or float64, for
        which there must be a library.
    :param mean: Of every channel of the batch, ``[channels]``.
    :param deviation: Its ``sqrt(variance + epsilon)``.
    :param weight: Scale, ``[channels]``.
    :param bias: Offset, ``[channels]``.
    :param activate: Whether there is a ReLU.
    """

    raw: Tensor
    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    activate: bool

    @cached_property
    def features(self) -> Tensor:
        """What they are: as ``raw``."""
        made = _Normalised.apply(self.raw, self.weight, self.bias, self.mean, self.deviation, self.activate)  # type: ignore[no-untyped-call]
        assert isinstance(made, Tensor)
        return made


class CNorm(ctypes.Structure):
    """``Norm`` of ``norm.h``."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("pixels", "channels", "relu", "threads")),
        *((name, ctypes.c_void_p) for name in ("mean", "deviation", "weight", "bias")),
    ]


def c_norm(raw: Tensor, *of_channels: Tensor, activate: bool = False) -> CNorm:
    """A norm as the kernels take it.

    :param of_channels: Mean, deviation, weight and bias; none, where moments are made.
    """
    values, threads = raw.numel() // raw.shape[1], torch.get_num_threads()
    return CNorm(values, raw.shape[1], activate, threads, *(tensor.data_ptr() for tensor in of_channels))


def moments(raw: Tensor) -> Moments:
    """Of a batch as :class:`Normed` has it; they have no gradients."""
    made = Moments(raw.new_empty(raw.shape[1]), raw.new_empty(raw.shape[1]))
    lib = library(raw.dtype)
    assert lib is not None
    lib.norm_moments(ctypes.byref(c_norm(raw)), *_data(raw, *made))
    return made


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, raw: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor, activate: bool
    ) -> Tensor:
        ctx.save_for_backward(raw, mean, deviation, weight, bias)
        ctx.activate = activate
        made = empty(raw, raw.shape)
        lib = library(raw.dtype)
        assert lib is not None
        norm = c_norm(raw, mean, deviation, weight, bias, activate=activate)
        lib.norm_forward(ctypes.byref(norm), *_data(raw, made))
        return made

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        raw, *of_channels = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_raw, of_weight, of_bias = empty(raw, raw.shape), *(torch.empty_like(of_channels[0]) for _ in range(2))
        lib = library(raw.dtype)
        assert lib is not None
        norm = c_norm(raw, *of_channels, activate=ctx.activate)
        lib.norm_backward(ctypes.byref(norm), *_data(raw, gradient, of_raw, of_weight, of_bias))
        return of_raw, of_weight, of_bias, None, None, None


def _data(*tensors: Tensor) -> tuple[ctypes.c_void_p, ...]:
    return tuple(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)
