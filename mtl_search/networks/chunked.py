"""The forms ``joined`` and ``filtered`` of a bank: a few samples at a time, while they are in the processor's cache."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.kernels.autograd import once
from mtl_search.networks.operators import Bank
from mtl_search.primitives import LinearPrimitive

FEATURES_AT_A_TIME = 3 << 17
"""Features that are held at a time: 1.5 MiB of them."""
SMALLEST_BATCH = 16
"""With less in a batch, a 1x1 convolution of torch is a slower matrix product, on one thread."""


def joined(bank: Bank, x: Tensor, stride: int, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """The features as several learned weights read them, by one convolution with all weights folded into it.

    :param bank: Of one term.
    :param x: ``[batch, channels, height, width]``
    :param weights: ``[outputs, taps, channels]`` each.
    :returns: ``[batch, outputs, ceil(height / stride), ceil(width / stride)]`` each.
    """
    (term,) = bank.terms
    kernel = bank.fold(term, torch.cat(list(weights)))
    return _in_parts(x, kernel, _Plan((), term.size, term.dilation, stride, [len(weight) for weight in weights]))


def filtered(bank: Bank, x: Tensor, stride: int, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    """As :func:`joined`, by the primitives of any bank and then one 1x1 convolution for all weights."""
    filters = _filters(bank, stride)
    order = [place for filter_ in filters for place in filter_.places]
    kernel = torch.cat([weight[:, order].flatten(1) for weight in weights])[:, :, None, None]
    return _in_parts(x, kernel, _Plan(filters, 1, 1, 1, [len(weight) for weight in weights]))


def _in_parts(x: Tensor, kernel: Tensor, plan: "_Plan") -> Sequence[Tensor]:
    made: tuple[Tensor, ...] = _InParts.apply(x, kernel, plan)  # type: ignore[no-untyped-call]
    return made


@dataclass(frozen=True)
class _Plan:
    """How an input becomes outputs: filtered, if there are filters, then convolved.

    :param size: Height and width of the kernel.
    :param dilation: Distance of its taps.
    :param stride: Of the convolution.
    :param outputs: Channels of each output.
    """

    filters: Sequence["_Together | _Alone"]
    size: int
    dilation: int
    stride: int
    outputs: Sequence[int]

    def parts(self, x: Tensor) -> Iterator[slice]:
        """A few samples at a time."""
        features = math.prod(x.shape[1:]) * max(1, sum(len(filter_.places) for filter_ in self.filters))
        stride = self.filters[0].stride if self.filters else self.stride
        count = max(1, FEATURES_AT_A_TIME * stride // features)
        return (slice(start, start + count) for start in range(0, len(x), count))

    def filtered(self, x: Tensor) -> Tensor:
        """What is convolved."""
        return _stacked([filter_.apply(x) for filter_ in self.filters]) if self.filters else x

    def pull_back(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of ``x``, from that of what is convolved."""
        if not self.filters:
            return gradient
        shares = gradient.split([filter_.channels for filter_ in self.filters], dim=1)
        found = [filter_.pull_back(x, share) for filter_, share in zip(self.filters, shares, strict=True)]
        return functools.reduce(Tensor.add_, found)

    def convolved(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The outputs, stacked along the channels."""
        if self.size > 1:
            return F.conv2d(x, kernel, None, self.stride, self._padding, self.dilation)
        return _as_images(F.conv2d(_as_rows(x), kernel), x)

    def gradients(self, gradient: Tensor, x: Tensor, kernel: Tensor, of_x: bool) -> tuple[Tensor, Tensor]:
        """The gradients of ``x``, where it is asked for, and of the kernel, from that of the outputs."""
        padding = [self._padding] * 2
        settings = ([self.stride] * 2, padding, [self.dilation] * 2, False, [0, 0], 1, (of_x, True, False))
        backward = torch.ops.aten.convolution_backward
        if self.size > 1:
            return backward(gradient, x, kernel, None, *settings)[:2]
        found, of_kernel, _ = backward(_as_rows(gradient), _as_rows(x), kernel, None, *settings)
        return _as_images(found, x) if of_x else found, of_kernel

    @property
    def _padding(self) -> int:
        return self.dilation * (self.size // 2)


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, plan: _Plan) -> tuple[Tensor, ...]:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, kernel)
        ctx.plan = plan
        outputs: list[Tensor] = []
        for part in plan.parts(x):
            made = plan.convolved(plan.filtered(x[part]), kernel)
            outputs = outputs or [_empty(len(x), size, made) for size in plan.outputs]
            for output, piece in zip(outputs, made.split(list(plan.outputs), dim=1), strict=True):
                output[part] = piece
        return tuple(outputs)

    @staticmethod
    @once
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        plan: _Plan = ctx.plan
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_kernel = torch.zeros_like(kernel)
        for part in plan.parts(x):
            filtered = plan.filtered(x[part])
            gradient = _stacked([gradient[part] for gradient in gradients])
            of_filtered, of_part = plan.gradients(gradient, filtered, kernel, of_x is not None)
            of_kernel += of_part
            if of_x is not None:
                of_x[part] = plan.pull_back(x[part], of_filtered)
        return of_x, of_kernel, None


@dataclass(frozen=True)
class _Together:
    """Linear primitives of equal dilation, applied as one depth-wise convolution.

    :param places: Their places in the bank.
    :param kernels: ``[len(places) * channels, 1, 3, 3]``
    """

    places: tuple[int, ...]
    kernels: Tensor
    dilation: int
    stride: int

    @property
    def channels(self) -> int:
        """Responses that it gives."""
        return len(self.kernels)

    def apply(self, x: Tensor) -> Tensor:
        """``[batch, len(places) * channels, ...]``"""
        repeated = _stacked([x] * len(self.places))
        return F.conv2d(repeated, self.kernels, None, self.stride, self.dilation, self.dilation, self.channels)

    def pull_back(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of ``x``, from that of its responses."""
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if self.stride == 1:
            mirrored = self.kernels.flip(2, 3)
            each = F.conv2d(gradient, mirrored, None, 1, self.dilation, self.dilation, self.channels)
        else:
            repeated, padding = _stacked([x] * len(self.places)), [self.dilation] * 2
            each, _, _ = torch.ops.aten.convolution_backward(
                *(gradient, repeated, self.kernels, None),
                *([self.stride] * 2, padding, padding, False, [0, 0], self.channels),
                (True, False, False),
            )
        return functools.reduce(Tensor.add_, each.chunk(len(self.places), dim=1))


@dataclass(frozen=True)
class _Alone:
    """One primitive as it is; its gradient is torch's.

    :param channels: Responses that it gives.
    """

    places: tuple[int]
    bank: Bank
    stride: int
    channels: int

    def apply(self, x: Tensor) -> Tensor:
        """``[batch, channels, ...]``"""
        return self.bank.response(self.places[0], x, self.stride, slice(None))

    def pull_back(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of ``x``, from that of the response."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (of_leaf,) = torch.autograd.grad(self.apply(leaf), leaf, gradient)
        return of_leaf


def _filters(bank: Bank, stride: int) -> list[_Together | _Alone]:
    """In the order in which their responses are stacked."""
    together: dict[int, list[int]] = {}
    alone: list[int] = []
    for place, primitive in enumerate(bank.primitives):
        reach = bank.dilation * primitive.dilation if isinstance(primitive, LinearPrimitive) else 0
        if reach and (stride == 1 or reach == 1):
            together.setdefault(reach, []).append(place)
        else:
            alone.append(place)
    joined = [
        _Together(tuple(places), torch.cat([bank.padded(place, 3) for place in places])[:, None], dilation, stride)
        for dilation, places in together.items()
    ]
    return [*joined, *(_Alone((place,), bank, stride, bank.channels) for place in alone)]


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _as_rows(x: Tensor) -> Tensor:
    """Pixels of images, as a batch of at least :data:`SMALLEST_BATCH` rows where there are as many.

    :param x: ``[batch, channels, height, width]``, channels innermost.
    :returns: ``[rows, channels, 1, pixels of a row]``, channels innermost.
    """
    batch, channels, height, width = x.shape
    pixels = batch * height * width
    rows = next(count for count in itertools.count(min(SMALLEST_BATCH, pixels)) if pixels % count == 0)
    return x.permute(0, 2, 3, 1).reshape(rows, 1, pixels // rows, channels).permute(0, 3, 1, 2)


def _as_images(rows: Tensor, like: Tensor) -> Tensor:
    """What :func:`_as_rows` made, as images again; its channels are its own."""
    batch, _, height, width = like.shape
    return rows.permute(0, 2, 3, 1).reshape(batch, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def _empty(batch: int, channels: int, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return torch.empty(batch, channels, height, width, dtype=like.dtype, memory_format=torch.channels_last)
