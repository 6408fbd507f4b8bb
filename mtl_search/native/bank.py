"""Banks of primitives and the learned recombination of their responses, in one pass: ``bank.h`` for autograd.

Of a tile of pixels all responses are made, multiplied with the weights and forgotten; they are made again for the
gradients. So a step keeps the input alone, and takes ``k/9`` of the multiply-accumulates of a folded convolution for
``k`` primitives.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mtl_search.native.library import library

KINDS = ("linear", "max_pool", "perturbation")
"""What the kernels know, in their order."""


class _Bank(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_long) for name in ("batch", "height", "width", "channels", "groups", "stride")),
        *((name, ctypes.c_long) for name in ("outputs", "primitives", "threads")),
        *((name, ctypes.POINTER(ctypes.c_long)) for name in ("kinds", "taps", "down", "right")),
        ("frozen", ctypes.c_void_p),
    ]


class _Output(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("channels", ctypes.c_long), ("add", ctypes.c_long)]


@dataclass(frozen=True)
class NativePrimitive:
    """A primitive as the kernels take it.

    :param kind: One of :data:`KINDS`.
    :param taps: How far down and to the right each pixel is that it reads, at most nine.
    :param frozen: ``[rows, channels]``: a row for each tap of a linear primitive, the 8x8 mask of a perturbation, no
        rows for max pooling.
    """

    kind: str
    taps: Sequence[tuple[int, int]]
    frozen: Tensor


@dataclass(frozen=True)
class NativeBank:
    """A bank as the kernels take it."""

    members: tuple[NativePrimitive, ...]

    @cached_property
    def frozen(self) -> Tensor:
        """All frozen values, ``[rows, channels]``."""
        return torch.cat([member.frozen for member in self.members]).contiguous()

    @cached_property
    def tables(self) -> list[list[int]]:
        """Kinds, numbers of taps, and how far down and to the right each tap is."""
        taps = [tap for member in self.members for tap in member.taps]
        kinds, counts = [KINDS.index(member.kind) for member in self.members], [len(one.taps) for one in self.members]
        return [kinds, counts, [down for down, _ in taps], [right for _, right in taps]]


def recombine(
    x: Tensor, primitives: NativeBank, weights: Sequence[Tensor], stride: int, groups: int = 1
) -> list[Tensor]:
    """The features of a batch as several learned weights read them through a bank.

    :param x: ``[batch, groups * channels, height, width]``, float32 or float64, for which there must be a library.
    :param weights: ``[groups * outputs, primitives, channels]`` each; one, if there are several groups.
    :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]`` each, channels innermost.
    """
    sizes = [len(weight) // groups for weight in weights]
    made: tuple[Tensor, ...] = _Recombined.apply(x, torch.cat(list(weights)), None, primitives, stride, groups, sizes)  # type: ignore[no-untyped-call]
    return list(made)


def recombine_into(made: Tensor, x: Tensor, primitives: NativeBank, weight: Tensor, stride: int, groups: int) -> Tensor:
    """What :func:`recombine` makes, added to ``made`` in its place, which must have its channels innermost."""
    sizes = [len(weight) // groups]
    (total,) = _Recombined.apply(x, weight, made, primitives, stride, groups, sizes)  # type: ignore[no-untyped-call]
    assert isinstance(total, Tensor)
    return total


class _Recombined(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        into: Tensor | None,
        primitives: NativeBank,
        stride: int,
        groups: int,
        sizes: Sequence[int],
    ) -> tuple[Tensor, ...]:
        x, weight = _innermost(x), weight.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.primitives, ctx.stride, ctx.groups = primitives, stride, groups
        size = [-(-pixels // stride) for pixels in x.shape[2:]]
        outputs = [_empty(x, [len(x), groups * count, *size]) for count in sizes] if into is None else [into]
        bank = _bank(x, primitives, stride, groups, sum(sizes))
        lib = library(x.dtype)
        assert lib is not None
        lib.bank_forward(ctypes.byref(bank), _data(x), _data(weight), *_outputs(outputs, groups, add=into is not None))
        if into is not None:
            ctx.mark_dirty(into)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        given = [_innermost(gradient) for gradient in gradients]
        of_x, of_weight = _empty(x, x.shape) if ctx.needs_input_grad[0] else None, torch.empty_like(weight)
        bank = _bank(x, ctx.primitives, ctx.stride, ctx.groups, len(weight) // ctx.groups)
        lib = library(x.dtype)
        assert lib is not None
        lib.bank_backward(
            *(ctypes.byref(bank), _data(x), _data(weight), *_outputs(given, ctx.groups)),
            *(None if of_x is None else _data(of_x), _data(of_weight)),
        )
        return of_x, of_weight, given[0] if ctx.needs_input_grad[2] else None, None, None, None, None


def _innermost(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(*shape, dtype=like.dtype, memory_format=torch.channels_last)


def _data(x: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data_ptr())


def _bank(x: Tensor, primitives: NativeBank, stride: int, groups: int, outputs: int) -> _Bank:
    batch, channels, height, width = x.shape
    assert primitives.frozen.shape[1] == channels
    assert primitives.frozen.dtype == x.dtype
    return _Bank(
        *(batch, height, width, channels // groups, groups, stride, outputs, len(primitives.members)),
        torch.get_num_threads(),
        *((ctypes.c_long * len(table))(*table) for table in primitives.tables),
        primitives.frozen.data_ptr(),
    )


def _outputs(tensors: Sequence[Tensor], groups: int, add: bool = False) -> tuple[Any, ctypes.c_long]:
    told = [_Output(tensor.data_ptr(), tensor.shape[1] // groups, add) for tensor in tensors]
    return (_Output * len(told))(*told), ctypes.c_long(len(told))
