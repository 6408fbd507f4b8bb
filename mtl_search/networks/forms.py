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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mtl_search.kernels.autograd import can_stand_in
from mtl_search.kernels.bank import Measured, recombine, recombine_into
from mtl_search.kernels.library import library, trains
from mtl_search.kernels.norm import Normed
from mtl_search.networks.chunked import filtered, joined
from mtl_search.networks.norm import Made, ready
from mtl_search.networks.operators import Bank, Operator, Term

Form = Literal["folded", "joined", "filtered", "native"]


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
    return joined(bank, x, stride, weights) if form == "joined" else filtered(bank, x, stride, weights)


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
