"""What recombines the responses of a bank: ``bank.h`` as operators of torch's, with their checks and gradients."""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtl_search.kernels.autograd import once, register
from mtl_search.kernels.calls import call, check_features, check_values, pointer
from mtl_search.kernels.features import empty, empty_values
from mtl_search.kernels.frozen import KINDS, LINEAR, MAX_POOL, MOST_TAPS, rows_of
from mtl_search.kernels.norm import CNorm, Moments, c_norm

FURTHEST = 2**16
"""Pixels that a tap may be away: more than any picture has, and few enough for sizes not to overflow."""


class Settings(NamedTuple):
    """What the operators take besides features, weights and a norm.

    :param frozen: Frozen values of all primitives, ``[rows, groups * channels]``.
    :param kinds: Place of each primitive's kind in :data:`~mtl_search.kernels.frozen.KINDS`.
    :param taps: Number of pixels that each primitive reads.
    :param down: How far down each of these is, one primitive after the other.
    :param right: How far to the right.
    :param stride: Distance of the pixels that are computed.
    :param groups: Parts of the channels with weights of their own.
    :param activate: Whether the norm, where there is one, has a ReLU after it.
    """

    frozen: Tensor
    kinds: Sequence[int]
    taps: Sequence[int]
    down: Sequence[int]
    right: Sequence[int]
    stride: int
    groups: int
    activate: bool


NORM, SETTINGS, LAST = slice(0, 4), slice(4, 12), slice(12, 14)
"""Where the arguments of an operator behind features and weight are those of a norm, :class:`Settings`, and two
more."""
Norm = Sequence[Tensor | None]
"""Mean, deviation, weight and bias of a norm as :class:`LazyNorm` has them; each ``None`` where there is none."""


class _CBank(ctypes.Structure):
    """``Bank`` of ``bank.h``."""

    _fields_ = [
        *((name, ctypes.c_long) for name in ("batch", "height", "width", "channels", "groups", "stride")),
        *((name, ctypes.c_long) for name in ("outputs", "primitives", "threads")),
        *((name, ctypes.POINTER(ctypes.c_long)) for name in ("kinds", "taps", "down", "right")),
        ("frozen", ctypes.c_void_p),
        ("norm", ctypes.POINTER(CNorm)),
    ]


class _COutput(ctypes.Structure):
    """``Output`` of ``bank.h``."""

    _fields_ = [
        *(("data", ctypes.c_void_p), ("channels", ctypes.c_long), ("add", ctypes.c_long)),
        *(("mean", ctypes.c_void_p), ("variance", ctypes.c_void_p)),
    ]


def c_bank(x: Tensor, settings: Settings, outputs: int, norm: Norm) -> _CBank:
    """A bank as the library takes it, for features ``[batch, groups * channels, height, width]``.

    :param outputs: Channels of all outputs, of one group.
    """
    batch, channels, height, width = x.shape
    of_channels = [tensor for tensor in norm if tensor is not None]
    tables = settings.kinds, settings.taps, settings.down, settings.right
    return _CBank(
        *(batch, height, width, channels // settings.groups, settings.groups, settings.stride, outputs),
        *(len(settings.kinds), torch.get_num_threads()),
        *((ctypes.c_long * len(table))(*table) for table in tables),
        settings.frozen.data_ptr(),
        ctypes.pointer(c_norm(x, *of_channels, activate=settings.activate)) if of_channels else None,
    )


def _c_outputs(
    tensors: Sequence[Tensor], groups: int, moments: Sequence[Moments | None], add: bool = False
) -> tuple[Any, ctypes.c_long]:
    told = [
        _COutput(tensor.data_ptr(), tensor.shape[1] // groups, add, *(part.data_ptr() for part in one or ()))
        for tensor, one in zip(tensors, moments, strict=True)
    ]
    return (_COutput * len(told))(*told), ctypes.c_long(len(told))


def _check(x: Tensor, weight: Tensor, settings: Settings, outputs: Sequence[int]) -> None:
    """:raises ValueError: If the library cannot be given them."""
    check_features("x", x)
    groups, channels = settings.groups, x.shape[1]
    if min(settings.stride, groups, *outputs) < 1 or channels % groups:
        found = f"stride {settings.stride}, {groups} groups of {channels} channels, outputs {list(outputs)}"
        raise ValueError(f"stride, groups and outputs must be positive, the groups equal, but got {found}.")
    rows = _rows(*map(tuple, (settings.kinds, settings.taps, settings.down, settings.right)))
    check_values("frozen", settings.frozen, (rows, channels), x)
    check_values("weight", weight, (groups * sum(outputs), len(settings.kinds), channels // groups), x)


@functools.lru_cache(maxsize=256)  # as many banks as the networks that are trained in turn may have
def _rows(kinds: tuple[int, ...], taps: tuple[int, ...], down: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Frozen values that primitives have for each channel.

    :raises ValueError: If the library cannot be given them.
    """
    if not 0 < len(kinds) == len(taps) or not sum(taps) == len(down) == len(right) or min(taps) < 0:
        raise ValueError(f"`taps` must count those of each primitive, but got {taps} for {len(kinds)} primitives.")
    if not all(0 <= kind < len(KINDS) for kind in kinds) or max(map(abs, (0, *down, *right))) > FURTHEST:
        raise ValueError(f"`kinds` must be known and no tap further than {FURTHEST} pixels, but got {kinds}.")
    rows = first = 0
    for kind, count in zip(kinds, taps, strict=True):
        places = list(zip(down, right, strict=True))[first : first + count]
        least = {LINEAR: count > 0, MAX_POOL: (0, 0) in places}.get(KINDS[kind], not count)
        if count > MOST_TAPS or not least:
            raise ValueError(f"`{KINDS[kind]}` cannot have the taps {places}; none may have more than {MOST_TAPS}.")
        rows, first = rows + rows_of(KINDS[kind], count), first + count
    return rows


def _sizes(x: Tensor, settings: Settings, outputs: Sequence[int]) -> list[list[int]]:
    """The shape of each output."""
    pixels = [-(-size // settings.stride) for size in x.shape[2:]]
    return [[len(x), settings.groups * count, *pixels] for count in outputs]


def _recombine(x: Tensor, weight: Tensor, *rest: Any) -> list[Tensor]:
    norm, settings, (outputs, measured) = rest[NORM], Settings(*rest[SETTINGS]), rest[LAST]
    _check(x, weight, settings, outputs)
    made = [empty(x, shape) for shape in _sizes(x, settings, outputs)]
    moments = [_moments_of(one) if wanted else None for one, wanted in zip(made, measured, strict=True)]
    told = _c_outputs(made, settings.groups, moments)
    call(x.dtype, "bank_forward", ctypes.byref(c_bank(x, settings, sum(outputs), norm)), *_data(x, weight), *told)
    return [*made, *(part for one in moments if one is not None for part in one)]


def _recombine_fake(x: Tensor, weight: Tensor, *rest: Any) -> list[Tensor]:
    settings, (outputs, measured) = Settings(*rest[SETTINGS]), rest[LAST]
    made = [_innermost_like(x, shape) for shape in _sizes(x, settings, outputs)]
    return [*made, *(part for one, wanted in zip(made, measured, strict=True) if wanted for part in _moments_of(one))]


def _recombine_add(total: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    norm, settings = rest[NORM], Settings(*rest[SETTINGS])
    outputs = total.shape[1] // settings.groups
    _check(x, weight, settings, [outputs])
    check_features("total", total, _sizes(x, settings, [outputs])[0], x)
    moments = _moments_of(total)
    told = _c_outputs([total], settings.groups, [moments], add=True)
    call(x.dtype, "bank_forward", ctypes.byref(c_bank(x, settings, outputs, norm)), *_data(x, weight), *told)
    return moments.mean, moments.variance


def _recombine_backward(x: Tensor, weight: Tensor, *rest: Any) -> list[Tensor]:
    norm, settings, (gradients, of_x_wanted) = rest[NORM], Settings(*rest[SETTINGS]), rest[LAST]
    outputs = [gradient.shape[1] // settings.groups for gradient in gradients]
    _check(x, weight, settings, outputs)
    for gradient, shape in zip(gradients, _sizes(x, settings, outputs), strict=True):
        check_features("gradient", gradient, shape, x)
    of_x = empty(x, x.shape) if of_x_wanted or norm[0] is not None else None
    of_weight = empty_values(weight, *weight.shape)
    of_norm = None if norm[0] is None else empty_values(x, 2, x.shape[1])
    bank, told = c_bank(x, settings, sum(outputs), norm), _c_outputs(gradients, settings.groups, [None] * len(outputs))
    call(x.dtype, "bank_backward", ctypes.byref(bank), *_data(x, weight), *told, *_data(of_x, of_weight, of_norm))
    return [one for one in (of_weight, of_x, of_norm) if one is not None]


def _recombine_backward_fake(x: Tensor, weight: Tensor, *rest: Any) -> list[Tensor]:
    has_norm, (_, of_x_wanted) = rest[0] is not None, rest[LAST]
    of_x = [torch.empty_like(x)] if of_x_wanted or has_norm else []
    return [torch.empty_like(weight), *of_x, *([x.new_empty(2, x.shape[1])] if has_norm else [])]


def _moments_of(features: Tensor) -> Moments:
    return Moments(features.new_empty(features.shape[1]), features.new_empty(features.shape[1]))


def _innermost_like(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(*shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _data(*tensors: Tensor | None) -> tuple[ctypes.c_void_p, ...]:
    return tuple(map(pointer, tensors))


class _Recombined(torch.autograd.Function):
    """``direct``: whether the kernels are called without torch's dispatcher."""

    @staticmethod
    def forward(
        ctx: Any, direct: bool, total: Tensor | None, x: Tensor, weight: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, weight, *rest[NORM])
        ctx.settings, ctx.adds, ctx.direct = rest[SETTINGS], total is not None, direct
        make, add = (_recombine, _recombine_add) if direct else (RECOMBINE, RECOMBINE_ADD)
        with torch._C._AutoDispatchBelowAutograd():
            if total is None:
                made = make(x, weight, *rest)
                ctx.outputs = len(rest[LAST][0])
            else:
                made = [total, *add(total, x, weight, *rest)]
                ctx.outputs = 1
                ctx.mark_dirty(total)
        ctx.mark_non_differentiable(*made[ctx.outputs :])
        return tuple(made)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *norm = ctx.saved_tensors
        given = [one.contiguous(memory_format=torch.channels_last) for one in gradients[: ctx.outputs]]
        pull_back = _recombine_backward if ctx.direct else RECOMBINE_BACKWARD
        of_weight, *others = pull_back(x, weight, *norm, *ctx.settings, given, ctx.needs_input_grad[2])
        of_x = others[0] if others else None
        of_norm = others[1] if len(others) > 1 else (None, None)
        of_total = given[0] if ctx.adds else None
        gradients_told = None, of_total, of_x, of_weight, None, None, *of_norm
        return *gradients_told, *[None] * (len(ctx.needs_input_grad) - len(gradients_told))


def _recombine_autograd(*arguments: Any) -> list[Tensor]:
    return list(_Recombined.apply(False, None, *arguments))  # type: ignore[no-untyped-call]


def _recombine_add_autograd(*arguments: Any) -> tuple[Tensor, Tensor]:
    _, mean, variance = _Recombined.apply(False, *arguments)  # type: ignore[no-untyped-call]
    return mean, variance


def recombine_directly(total: Tensor | None, *arguments: Any) -> list[Tensor]:
    """What :data:`RECOMBINE` does, or with a ``total`` :data:`RECOMBINE_ADD`, whose sum comes first, with gradients.

    See :mod:`mtl_search.kernels.autograd` for why it does not go through torch's dispatcher.
    """
    return list(_Recombined.apply(True, total, *arguments))  # type: ignore[no-untyped-call]


_TAKEN = (
    "Tensor x, Tensor weight, Tensor? mean, Tensor? deviation, Tensor? norm_weight, Tensor? norm_bias, "
    "Tensor frozen, int[] kinds, int[] taps, int[] down, int[] right, int stride, int groups, bool activate"
)
RECOMBINE = register(
    f"recombine({_TAKEN}, int[] outputs, bool[] measured) -> Tensor[]",
    _recombine,
    _recombine_fake,
    _recombine_autograd,
)
"""The features, then mean and variance of those that are measured."""
RECOMBINE_ADD = register(
    f"recombine_add_(Tensor(a!) total, {_TAKEN}) -> (Tensor, Tensor)",
    _recombine_add,
    lambda total, *_: tuple(_moments_of(total)),
    _recombine_add_autograd,
)
"""Mean and variance of the sum."""
RECOMBINE_BACKWARD = register(
    f"recombine_backward({_TAKEN}, Tensor[] gradients, bool of_x_wanted) -> Tensor[]",
    _recombine_backward,
    _recombine_backward_fake,
    None,
)
"""The gradient of the weight; that of ``x``, if it is wanted or there is a norm; those of the norm's weight and bias,
``[2, channels]``, if there is one."""
