"""Batch normalisation and the ReLU after it, in one pass each way: ``norm.h`` for autograd."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mtl_search.native.library import library


class _Norm(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("pixels", "channels", "relu", "threads")]


def normalise(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, activate: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalisation in training (Ioffe & Szegedy, ICML 2015), and ReLU if asked for.

    :param x: ``[batch, channels, height, width]``, channels innermost, float32 or float64, for which there must be a
        library.
    :param weight: Scale, ``[channels]``.
    :param bias: Offset, ``[channels]``.
    :returns: As ``x``; mean and (biased) variance of every channel.
    """
    made, mean, deviation = _Normalised.apply(x, weight, bias, epsilon, activate)  # type: ignore[no-untyped-call]
    return made, mean, deviation.square() - epsilon


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, activate: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, deviation = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
        lib = library(x.dtype)
        assert lib is not None
        lib.norm_forward(
            *(ctypes.byref(_norm(x, activate)), *_data(x, weight, bias), ctypes.c_double(epsilon)),
            *_data(y, mean, deviation),
        )
        ctx.save_for_backward(x, weight, bias, mean, deviation)
        ctx.activate = activate
        ctx.mark_non_differentiable(mean, deviation)
        return y, mean, deviation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, deviation = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x, of_weight, of_bias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        lib = library(x.dtype)
        assert lib is not None
        lib.norm_backward(
            *(ctypes.byref(_norm(x, ctx.activate)), *_data(x, weight, bias, mean, deviation, gradient)),
            *_data(of_x, of_weight, of_bias),
        )
        return of_x, of_weight, of_bias, None, None


def _norm(x: Tensor, activate: bool) -> _Norm:
    return _Norm(x.numel() // x.shape[1], x.shape[1], activate, torch.get_num_threads())


def _data(*tensors: Tensor) -> tuple[ctypes.c_void_p, ...]:
    return tuple(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)
