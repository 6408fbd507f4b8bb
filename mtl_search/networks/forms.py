"""The exact forms of a bank in a step of training on the processor, and which of them is the fastest.

``folded``
    Each weight that reads the bank is folded with it into a convolution of its own.
``joined``
    All weights are folded into one convolution. With a stride the gradients of few outputs are slow, and so it gains.
``filtered``
    The primitives first, then one 1x1 convolution for all weights: ``k/9`` of the multiply-accumulates of the folded
    form for ``k`` primitives, but ``k`` times the features. It gains where there are many outputs, as with many tasks,
    and with primitives that do not fold; how many are enough depends on the processor.
``native``
    By kernels in C (:mod:`mtl_search.kernels`), for all weights: responses are made for a few pixels and multiplied
    while they are in the cache, or, where linear 3x3 primitives without a stride make up a convolution, blocks of
    pixels go through minimal filtering, as far as that takes fewer operations. Norms before and after the bank are
    made with it. It is taken where there is a C compiler: with AVX2 it is 1.3 to 4 times as fast as the fastest of
    the others.

``joined`` and ``filtered`` take a few samples at a time, while they are in the processor's cache, and filter again for
the gradients: what a step keeps is the input alone, and so it is with ``native``. ``benchmarks/forms.py`` measures
all of them.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.kernels.autograd import can_stand_in, once
from mtl_search.kernels.bank import Measured, recombine, recombine_into
from mtl_search.kernels.library import library, trains
from mtl_search.kernels.norm import Normed
from mtl_search.networks.norm import Made, ready
from mtl_search.networks.operators import Bank, Operator, Term
from mtl_search.primitives import LinearPrimitive

Form = Literal["folded", "joined", "filtered", "native"]

FEATURES_AT_A_TIME = 3 << 17
"""Features that are held at a time: 1.5 MiB of them."""
SMALLEST_BATCH = 16
"""With less in a batch, a 1x1 convolution of torch is a slower matrix product, on one thread."""


@dataclass(frozen=True)
class Timings:
    """What parts of a layer take on a processor, fitted to what ``benchmarks/forms.py`` measures.

    Nanoseconds on one thread, forward and backward, for an output pixel of a sample, but for the last two.

    :param folded_mac: Of a multiply-accumulate of a 3x3 convolution.
    :param filtered_mac: Of one of a 1x1 convolution after filters.
    :param response: Of a response of a primitive that is made twice, without a stride.
    :param kept_response: Of one that is made once and kept.
    :param copy: Of an output that is copied.
    :param stride_power: A response takes ``stride**stride_power`` times as long: more pixels are read for each one.
    :param stride_outputs: A strided convolution takes as long as one without a stride for so many outputs more.
    """

    folded_mac: float
    filtered_mac: float
    response: float
    kept_response: float
    copy: float
    stride_power: float
    stride_outputs: float


AVX2 = Timings(
    folded_mac=0.039,
    filtered_mac=0.047,
    response=9.9,
    kept_response=1.2,
    copy=1.7,
    stride_power=1.6,
    stride_outputs=20,
)
AVX512 = Timings(
    folded_mac=0.0126,
    filtered_mac=0.0171,
    response=1.24,
    kept_response=0.71,
    copy=0.56,
    stride_power=2.4,
    stride_outputs=37,
)


def timings_here() -> Timings:
    """By the instructions that torch uses: the same on every start, so that a training goes on in the same form."""
    return AVX512 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else AVX2


def fastest(
    terms: Sequence[Term], channels: int, outputs: Sequence[int], stride: int, timings: Timings | None = None
) -> Form:
    """The form that trains fastest, by a model of the time that each takes.

    Only how they compare matters: what is not folded in any form counts in all of them.

    :param terms: Of the bank.
    :param channels: That it reads.
    :param outputs: Of each weight that reads it.
    :param timings: Those of this machine, if left out.
    """
    timings = timings or timings_here()
    total = sum(outputs)
    times: dict[Form, float] = {"folded": 0, "filtered": total * timings.copy}
    for term in terms:
        responses = len(term.members) * channels
        times["filtered"] += 3 * responses * total * timings.filtered_mac
        times["filtered"] += responses * stride**timings.stride_power * timings.response
        if term.first:
            of_channel = 3 * total * timings.filtered_mac + stride * timings.kept_response
            times["folded"] += of_channel * channels + total * timings.copy
        else:
            times["folded"] += sum(_convolution(channels, count, term.size, stride, timings) for count in outputs)
    if can_be_joined(terms) and len(outputs) > 1:
        times["joined"] = _convolution(channels, total, terms[0].size, stride, timings) + total * timings.copy
    return min(times, key=lambda form: times[form])


def has_native_form(operator: Operator | None) -> bool:
    """Whether an operator is a bank that kernels on this machine can train."""
    return isinstance(operator, Bank) and operator.has_kernels and library(torch.float32) is not None


def form_now(form: Form, made: Made) -> Form:
    """The form to take: what is fastest to train is not always there, and not the fastest without gradients."""
    x = made.raw if isinstance(made, Normed) else made
    if form == "native":
        return form if trains(x) else "folded"
    return form if can_stand_in(x) and len(x) > 0 else "folded"


def can_be_joined(terms: Sequence[Term]) -> bool:
    """Whether a bank is one 3x3 convolution, and so may be in the form ``joined``."""
    return len(terms) == 1 and terms[0].size > 1 and not terms[0].first


def _convolution(channels: int, outputs: int, size: int, stride: int, timings: Timings) -> float:
    counted = outputs + (timings.stride_outputs if stride > 1 else 0)
    return 3 * size**2 * channels * counted * timings.folded_mac


def recombined(
    form: Form, bank: Bank, made: Made, stride: int, weights: Sequence[Tensor], normed: Sequence[bool] = ()
) -> list[Measured]:
    """The features of one stream as several learned weights read them through a bank: the same in every form.

    :param form: ``joined`` is for banks that :func:`can_be_joined`.
    :param made: ``[batch, channels, height, width]``
    :param weights: ``[outputs, taps, channels]`` each.
    :param normed: Of each weight, whether a norm comes next, and moments are wanted where they cost little.
    :returns: ``[batch, outputs, ceil(height / stride), ceil(width / stride)]`` each.
    """
    if form == "native":
        return recombine(made, bank.native(), weights, stride, measured=normed)
    return [Measured(features, None) for features in _recombined_by_torch(form, bank, ready(made), stride, weights)]


def _recombined_by_torch(form: Form, bank: Bank, x: Tensor, stride: int, weights: Sequence[Tensor]) -> Sequence[Tensor]:
    if form == "folded":
        features = bank.features(x, stride)
        return [bank.convolve(features, weight, stride, 1) for weight in weights]
    sizes = [len(weight) for weight in weights]
    if form == "joined":
        (term,) = bank.terms
        kernel = bank.fold(term, torch.cat(list(weights)))
        plan = _Plan((), term.size, term.dilation, stride, sizes)
    else:
        filters = _filters(bank, stride)
        order = [place for filter_ in filters for place in filter_.places]
        kernel = torch.cat([weight[:, order].flatten(1) for weight in weights])[:, :, None, None]
        plan = _Plan(filters, 1, 1, 1, sizes)
    made: tuple[Tensor, ...] = _InParts.apply(x, kernel, plan)  # type: ignore[no-untyped-call]
    return made


def recombined_own(
    form: Form, operator: Operator, own: Made, stride: int, weight: Tensor, tasks: int, made: Tensor | None = None
) -> Measured:
    """The tasks' own features as a learned weight of each reads them, ``folded`` or ``native``, for a norm.

    :param own: ``[batch, tasks * channels, height, width]``
    :param weight: ``[tasks * outputs, taps, reach]``
    :param made: What it is added to, in its place, if anything.
    :returns: ``[batch, tasks * outputs, ceil(height / stride), ceil(width / stride)]``
    """
    if form == "native":
        assert isinstance(operator, Bank)
        if made is not None and made.is_contiguous(memory_format=torch.channels_last):
            return recombine_into(made, own, operator.native(), weight, stride, tasks)
        (measured,) = recombine(own, operator.native(), [weight], stride, tasks, measured=[made is None])
        return measured if made is None else Measured(made.add_(measured.features), None)
    from_own = operator.convolve(operator.features(ready(own), stride), weight, stride, tasks)
    return Measured(from_own if made is None else made.add_(from_own), None)


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
