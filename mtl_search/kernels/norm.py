"""Batch normalisation and the ReLU after it: ``norm.h`` as operators of torch's.

The moments of a batch are made first, where features are made (:mod:`mtl_search.kernels.bank`) or by :func:`moments`.
What reads the features normalises them as it reads, or takes them from :attr:`LazyNorm.features`.
"""

import ctypes
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_search.kernels.autograd import once, register
from mtl_search.kernels.calls import call, check_features, check_values, pointer
from mtl_search.kernels.features import empty


class Moments(NamedTuple):
    """Mean and (biased) variance of every channel of a batch, ``[channels]`` each."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class LazyNorm:
    """Features of which the norm (Ioffe & Szegedy, ICML 2015), and the ReLU after it, are made where they are read.

    :param raw: What is normalised, ``[batch, channels, height, width]``, channels innermost, float32 or float64, for
        which there must be a library.
    :param mean: Mean of every channel of the batch, ``[channels]``.
    :param deviation: ``sqrt(variance + epsilon)`` of every channel of the batch, ``[channels]``.
    :param weight: The learned scale, ``[channels]``.
    :param bias: The learned offset, ``[channels]``.
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
        of_channels = self.weight, self.bias, self.mean, self.deviation
        made: Tensor = _Normalised.apply(True, self.raw, *of_channels, self.activate)  # type: ignore[no-untyped-call]
        return made


class CNorm(ctypes.Structure):
    """``Norm`` of ``norm.h``."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("pixels", "channels", "relu", "threads")),
        *((name, ctypes.c_void_p) for name in ("mean", "deviation", "weight", "bias")),
    ]


def c_norm(raw: Tensor, *of_channels: Tensor, activate: bool = False) -> CNorm:
    """A norm as the library takes it.

    :param raw: What is normalised, ``[batch, channels, height, width]``.
    :param of_channels: Mean, deviation, weight and bias, ``[channels]`` each; none, where moments are made.
    :param activate: Whether a ReLU comes next.
    :raises ValueError: If one of them cannot be given to the library.
    """
    for name, tensor in zip(("mean", "deviation", "weight", "bias"), of_channels, strict=False):
        check_values(name, tensor, raw.shape[1:2], raw)
    values, threads = raw.numel() // raw.shape[1], torch.get_num_threads()
    return CNorm(values, raw.shape[1], activate, threads, *(tensor.data_ptr() for tensor in of_channels))


def moments(raw: Tensor) -> Moments:
    """The moments of ``[batch, channels, height, width]``, as :class:`LazyNorm` has it; they have no gradients."""
    return Moments(*_moments(raw))


def _moments(raw: Tensor) -> tuple[Tensor, Tensor]:
    check_features("raw", raw)
    mean, variance = _moments_of(raw)
    call(raw.dtype, "norm_moments", ctypes.byref(c_norm(raw)), *map(pointer, (raw, mean, variance)))
    return mean, variance


def _moments_of(raw: Tensor) -> tuple[Tensor, Tensor]:
    return raw.new_empty(raw.shape[1]), raw.new_empty(raw.shape[1])


def _normalise(raw: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor, activate: bool) -> Tensor:
    check_features("raw", raw)
    made = empty(raw, raw.shape)
    norm = c_norm(raw, mean, deviation, weight, bias, activate=activate)
    call(raw.dtype, "norm_forward", ctypes.byref(norm), *map(pointer, (raw, made)))
    return made


def _normalise_backward(
    raw: Tensor, gradient: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor, activate: bool
) -> tuple[Tensor, Tensor, Tensor]:
    check_features("raw", raw)
    check_features("gradient", gradient, raw.shape, raw)
    of_raw, of_weight, of_bias = empty(raw, raw.shape), torch.empty_like(weight), torch.empty_like(bias)
    norm = c_norm(raw, mean, deviation, weight, bias, activate=activate)
    tensors = raw, gradient, of_raw, of_weight, of_bias
    call(raw.dtype, "norm_backward", ctypes.byref(norm), *map(pointer, tensors))
    return of_raw, of_weight, of_bias


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, direct: bool, raw: Tensor, *rest: Any) -> Tensor:
        ctx.direct = direct
        *of_channels, ctx.activate = rest
        ctx.save_for_backward(raw, *of_channels)
        with torch._C._AutoDispatchBelowAutograd():
            made: Tensor = (_normalise if direct else NORMALISE)(raw, *rest)
        return made

    @staticmethod
    @once
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        raw, *of_channels = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        pull_back: Any = _normalise_backward if ctx.direct else NORMALISE_BACKWARD
        return None, *pull_back(raw, gradient, *of_channels, ctx.activate), None, None, None


_OF_CHANNELS = "Tensor weight, Tensor bias, Tensor mean, Tensor deviation, bool activate"
MOMENTS = register("moments(Tensor raw) -> (Tensor, Tensor)", _moments, _moments_of, None)
NORMALISE = register(
    f"normalise(Tensor raw, {_OF_CHANNELS}) -> Tensor",
    _normalise,
    lambda raw, *_: torch.empty_like(raw),
    lambda *arguments: _Normalised.apply(False, *arguments),  # type: ignore[no-untyped-call]
)
NORMALISE_BACKWARD = register(
    f"normalise_backward(Tensor raw, Tensor gradient, {_OF_CHANNELS}) -> (Tensor, Tensor, Tensor)",
    _normalise_backward,
    lambda raw, gradient, weight, bias, *_: tuple(map(torch.empty_like, (raw, weight, bias))),
    None,
)
