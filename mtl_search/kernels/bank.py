"""Banks of primitives and the learned recombination of their responses, in one pass: ``bank.h`` for autograd.

Of a tile of pixels all responses are made, multiplied with the weights and forgotten; they are made again for the
gradients. So a step keeps the input alone, and takes ``k/9`` of the multiply-accumulates of a folded convolution for
``k`` primitives. Where these are linear, 3x3 and without a stride, ``winograd.h`` takes ``25/81`` of them by minimal
filtering (Winograd, 1980; Lavin & Gray, CVPR 2016), if that is less. It is exact, too; float32 rounds a little more.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_search.kernels.autograd import once
from mtl_search.kernels.features import empty
from mtl_search.kernels.library import library
from mtl_search.kernels.norm import CNorm, Moments, Normed, c_norm

KINDS = ("linear", "max_pool", "perturbation")
"""What the kernels know, in their order."""


class _Bank(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_long) for name in ("batch", "height", "width", "channels", "groups", "stride")),
        *((name, ctypes.c_long) for name in ("outputs", "primitives", "threads")),
        *((name, ctypes.POINTER(ctypes.c_long)) for name in ("kinds", "taps", "down", "right")),
        ("frozen", ctypes.c_void_p),
        ("norm", ctypes.POINTER(CNorm)),
    ]


class _Output(ctypes.Structure):
    _fields_ = [
        *(("data", ctypes.c_void_p), ("channels", ctypes.c_long), ("add", ctypes.c_long)),
        *(("mean", ctypes.c_void_p), ("variance", ctypes.c_void_p)),
    ]


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


class Measured(NamedTuple):
    """Features, and their moments where these were made with them."""

    features: Tensor
    moments: Moments | None


def recombine(
    x: Tensor | Normed,
    primitives: NativeBank,
    weights: Sequence[Tensor],
    stride: int,
    groups: int = 1,
    measured: Sequence[bool] = (),
) -> list[Measured]:
    """The features of a batch as several learned weights read them through a bank.

    :param x: ``[batch, groups * channels, height, width]``, float32 or float64, for which there must be a library.
    :param weights: ``[groups * outputs, primitives, channels]`` each; one, if there are several groups.
    :param measured: Of each weight, whether moments are made; none, if left out.
    :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]`` each, channels innermost.
    """
    outputs = tuple(len(weight) // groups for weight in weights)
    plan = _Plan(primitives, stride, groups, outputs, tuple(measured) or (False,) * len(weights))
    return _applied(x, torch.cat(list(weights)), None, plan)


def recombine_into(
    made: Tensor, x: Tensor | Normed, primitives: NativeBank, weight: Tensor, stride: int, groups: int
) -> Measured:
    """What :func:`recombine` makes, added to ``made`` in its place, which must have its channels innermost."""
    (total,) = _applied(x, weight, made, _Plan(primitives, stride, groups, (len(weight) // groups,), (True,)))
    return total


def takes_blocks(x: Tensor, primitives: NativeBank, outputs: int, stride: int, groups: int = 1) -> bool:
    """Whether it is made by minimal filtering of blocks of pixels.

    :param outputs: Channels of all outputs, of one group.
    """
    lib = library(x.dtype)
    assert lib is not None
    return bool(lib.takes_blocks(ctypes.byref(_bank(x, _Plan(primitives, stride, groups, (outputs,), (False,)), []))))


@dataclass(frozen=True)
class _Plan:
    """What is done with the features, of which the ReLU may be left to do.

    :param outputs: Channels of each output, of one group.
    :param measured: Whether its moments are made.
    """

    primitives: NativeBank
    stride: int
    groups: int
    outputs: tuple[int, ...]
    measured: tuple[bool, ...]
    activate: bool = False


def _applied(x: Tensor | Normed, weight: Tensor, into: Tensor | None, plan: _Plan) -> list[Measured]:
    of_norm: list[Tensor | None] = [None] * 4
    if isinstance(x, Normed):
        plan, of_norm = replace(plan, activate=x.activate), [x.mean, x.deviation, x.weight, x.bias]
        x = x.raw
    made: tuple[Tensor, ...] = _Recombined.apply(x, weight, into, *of_norm, plan)  # type: ignore[no-untyped-call]
    features, rest = made[: len(plan.outputs)], iter(made[len(plan.outputs) :])
    told = [Moments(next(rest), next(rest)) if measured else None for measured in plan.measured]
    return [Measured(*one) for one in zip(features, told, strict=True)]


class _Recombined(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        into: Tensor | None,
        mean: Tensor | None,
        deviation: Tensor | None,
        norm_weight: Tensor | None,
        norm_bias: Tensor | None,
        plan: _Plan,
    ) -> tuple[Tensor, ...]:
        x, weight = _innermost(x), weight.contiguous()
        of_norm = (mean, deviation, norm_weight, norm_bias)
        ctx.save_for_backward(x, weight, *of_norm)
        ctx.plan = plan
        size = [-(-pixels // plan.stride) for pixels in x.shape[2:]]
        sizes = [plan.groups * count for count in plan.outputs]
        outputs = [empty(x, [len(x), count, *size]) for count in sizes] if into is None else [into]
        moments = [
            Moments(x.new_empty(count), x.new_empty(count)) if measured else None
            for count, measured in zip(sizes, plan.measured, strict=True)
        ]
        lib = library(x.dtype)
        assert lib is not None
        told = _outputs(outputs, plan.groups, moments, add=into is not None)
        lib.bank_forward(ctypes.byref(_bank(x, plan, of_norm)), _data(x), _data(weight), *told)
        if into is not None:
            ctx.mark_dirty(into)
        made = [tensor for one in moments if one is not None for tensor in one]
        ctx.mark_non_differentiable(*made)
        return (*outputs, *made)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *of_norm = ctx.saved_tensors
        plan: _Plan = ctx.plan
        given = [_innermost(gradient) for gradient in gradients[: len(plan.outputs)]]
        has_norm = of_norm[0] is not None
        of_x = empty(x, x.shape) if ctx.needs_input_grad[0] or has_norm else None
        of_weight, of_channels = torch.empty_like(weight), x.new_empty(2, x.shape[1]) if has_norm else None
        lib = library(x.dtype)
        assert lib is not None
        lib.bank_backward(
            *(ctypes.byref(_bank(x, plan, of_norm)), _data(x), _data(weight)),
            *_outputs(given, plan.groups, [None] * len(given)),
            *(_data(of_x), _data(of_weight), _data(of_channels)),
        )
        of_scale, of_offset = (None, None) if of_channels is None else of_channels
        of_into = given[0] if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_into, None, None, of_scale, of_offset, None


def _innermost(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _data(x: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if x is None else x.data_ptr())


def _bank(x: Tensor, plan: _Plan, of_norm: Sequence[Tensor | None]) -> _Bank:
    batch, channels, height, width = x.shape
    frozen = plan.primitives.frozen
    assert frozen.shape[1] == channels
    assert frozen.dtype == x.dtype
    of_channels = [tensor for tensor in of_norm if tensor is not None]
    return _Bank(
        *(batch, height, width, channels // plan.groups, plan.groups, plan.stride, sum(plan.outputs)),
        *(len(plan.primitives.members), torch.get_num_threads()),
        *((ctypes.c_long * len(table))(*table) for table in plan.primitives.tables),
        frozen.data_ptr(),
        ctypes.pointer(c_norm(x, *of_channels, activate=plan.activate)) if of_channels else None,
    )


def _outputs(
    tensors: Sequence[Tensor], groups: int, moments: Sequence[Moments | None], add: bool = False
) -> tuple[Any, ctypes.c_long]:
    told = [
        _Output(tensor.data_ptr(), tensor.shape[1] // groups, add, *(part.data_ptr() for part in one or ()))
        for tensor, one in zip(tensors, moments, strict=True)
    ]
    return (_Output * len(told))(*told), ctypes.c_long(len(told))
