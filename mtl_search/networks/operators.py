"""What a layer applies before the learned recombination: a bank of primitives, or the taps of a convolution.

A bank of linear primitives followed by a learned 1x1 recombination ``w[o, p, c]`` is one convolution with the kernel
``W[o, c] = sum_p w[o, p, c] * K_p[c]``. So the fused form folds the weights first and convolves once, instead of
filtering with each primitive, concatenating, and recombining.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.kernels.operations import FrozenBank, FrozenPrimitive
from mtl_search.networks.bank_inputs import check_bank_is_for
from mtl_search.networks.inputs import Mask
from mtl_search.networks.kernel_drawing import draw_kernels
from mtl_search.primitives import (
    LinearPrimitive,
    NonlinearPrimitive,
    Primitive,
)
from mtl_search.spaces.banks import CONVOLUTION, primitives_of


@dataclass(frozen=True)
class Term:
    """One convolution of the fused form.

    :param members: Places in the bank of the primitives that it serves.
    :param size: Height and width of its kernel.
    :param dilation: Distance of its taps.
    :param first: Whether its one primitive is applied first, and a 1x1 convolution after it, instead of folding the
        primitive into the kernel. So it is with every primitive that is not linear, and with a kernel that would have a
        convolution for itself: a depth-wise filter and a 1x1 have about a ninth of its MACs.
    """

    members: tuple[int, ...]
    size: int
    dilation: int = 1
    first: bool = False


class Operator(nn.Module, ABC):
    """Turns features before they are recombined.

    The features may be those of several streams stacked along the channels, each recombined by itself. The learned
    weight has the shape ``[outputs of all streams, taps, channels of one stream]``.
    """

    taps: int
    """Learned weights for each pair of an output and a channel that it reads."""
    windows: int = 1
    """Parts of the outputs that read channels of their own: one in ``windows`` outputs reads a window of each response.
    With 1 every output reads every channel."""

    def window(self, number: int, channels: int) -> slice:
        """Which of so many channels of a response the outputs ``number``, ``number + windows``, ... read."""
        start = number * channels // self.windows
        return slice(start, start + self.reach(channels))

    def reach(self, channels: int) -> int:
        """How many of so many channels of a response an output reads."""
        return -(-channels // self.windows)

    def frozen_bank(self, channels: int) -> FrozenBank | None:
        """It as a bank that there are kernels for, see :class:`~mtl_search.kernels.operations.Recombined`."""
        return None

    @abstractmethod
    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        """What the convolutions of the fused form read, a tensor for each.

        :param mask: Which positions of sequences are none of padding; ``x`` is 0 at the others.
        """

    @abstractmethod
    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        """The fused form: a few convolutions.

        :param features: What :meth:`features` returned for ``[batch, groups * channels, height, width]``.
        :param weight: ``[groups * outputs, taps, reach]``
        :param branches: Equal parts of the outputs, in each of which windows are counted; as many as groups if left
            out.
        :returns: ``[batch, groups * outputs, ceil(height / stride), ceil(width / stride)]``
        """

    def responses(self, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> list[Tensor]:
        """The reference form: the outputs of the primitives, one by one, ``taps`` tensors.

        :param x: ``[batch, channels, height, width]``
        :param channels: Which channels of the operator these are.
        :param mask: Which positions of sequences are none of padding.
        """
        return [self.response(place, x, stride, channels, mask) for place in range(self.taps)]

    @abstractmethod
    def fixed_parameters(self) -> int:
        """Frozen values that it holds."""

    @abstractmethod
    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        """The output of the primitive at a place of the bank; the parameters are those of :meth:`responses`."""


class Filter(Operator):
    """Turns images. Every output reads every channel."""

    terms: tuple[Term, ...]
    """The convolutions of the fused form."""

    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        everything = slice(None)
        return [self.response(term.members[0], x, stride, everything) if term.first else x for term in self.terms]

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        total: Tensor | None = None
        for term, x in zip(self.terms, features, strict=True):
            kernel = self.fold(term, weight)
            padding = term.dilation * (term.size // 2)
            step = 1 if term.first else stride
            if term.size == 1 and step > 1:
                x, step = x[:, :, ::step, ::step], 1  # the weight gradient of a strided one writes beyond its memory
            part = F.conv2d(x, kernel, None, step, padding, term.dilation, groups)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total

    @abstractmethod
    def fold(self, term: Term, weight: Tensor) -> Tensor:
        """The kernel of a term, ``[groups * outputs, channels, size, size]``."""


class Convolution(Filter):
    """An ordinary 3x3 convolution: nine taps, nothing frozen.

    :param dilation: Distance of the taps.
    """

    taps = 9  # 3 x 3

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.terms = (Term(tuple(range(self.taps)), 3, dilation),)

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        row, column = (self.dilation * part for part in divmod(place, 3))
        height, width = x.shape[-2:]
        padded = F.pad(x, [self.dilation] * 4)
        return padded[:, :, row : row + height : stride, column : column + width : stride]

    def fixed_parameters(self) -> int:
        return 0

    def fold(self, term: Term, weight: Tensor) -> Tensor:
        return weight.unflatten(1, (3, 3)).permute(0, 3, 1, 2)


class Bank(Filter):
    """A bank of primitives with everything that is frozen in them.

    :param names: Names of the bank's primitives, in the order of the learned weights.
    :param channels: Channels to hold frozen values for: those of all streams together, or of one stream, in which case
        all streams are treated alike.
    :param generator: What the frozen values are drawn from.
    :param dilation: Distance of the taps of linear primitives, in that which they have by themselves. Others stay as
        they are (ours).
    :raises UserError: If its linear kernels depend on each other in some channel: one of them is a wasted parameter.
    """

    def __init__(self, names: Sequence[str], channels: int, generator: Generator, dilation: int = 1) -> None:
        super().__init__()
        primitives = [PRIMITIVES.get(name)() for name in names]
        self.channels, self.dilation = channels, dilation
        self.taps = len(primitives)
        self.primitives: list[Primitive] = primitives
        self._frozen: list[tuple[object, FrozenBank]] = []
        """What kernels take, and what it is made from, in a list, so that it is no part of the state."""
        self.terms = fold_plan(primitives, dilation)
        linear = [place for place, primitive in enumerate(primitives) if isinstance(primitive, LinearPrimitive)]
        kernels = draw_kernels([names[place] for place in linear], channels, generator)
        for place, primitive in enumerate(primitives):
            if isinstance(primitive, NonlinearPrimitive):
                frozen = primitive.buffer(channels, generator)
            else:
                frozen = kernels[linear.index(place)]
            self.register_buffer(f"primitive{place}", frozen)

    def __getstate__(self) -> dict[str, Any]:
        """To be copied or saved: without what is made again where it is needed."""
        return {**vars(self), "_frozen": []}

    def fixed_parameters(self) -> int:
        return sum(buffer.numel() for buffer in self.buffers())

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        """A strided kernel whose taps fall on every stride-th pixel only is applied to just those pixels."""
        primitive = self.primitives[place]
        frozen = self.get_buffer(f"primitive{place}")[channels]
        if len(frozen) < x.shape[1]:
            frozen = frozen.repeat(x.shape[1] // len(frozen), *[1] * (frozen.ndim - 1))
        if isinstance(primitive, LinearPrimitive):
            dilation = primitive.dilation * self.dilation
            if stride > 1 and dilation % stride == 0:
                x, dilation, stride = x[:, :, ::stride, ::stride], dilation // stride, 1
            padding = dilation * (primitive.size // 2)
            return F.conv2d(x, frozen[:, None], None, stride, padding, dilation, groups=x.shape[1])
        assert isinstance(primitive, NonlinearPrimitive)
        return primitive(x, frozen, stride)

    def fold(self, term: Term, weight: Tensor) -> Tensor:
        """As a sum over primitives, made in the channels-last layout that the convolution wants."""
        if term.first:
            return weight[:, term.members[0], :, None, None]
        outputs, _, channels = weight.shape
        groups = self.channels // channels
        by_group = weight.view(groups, outputs // groups, self.taps, 1, channels)
        folded: Tensor | None = None
        for member in term.members:
            frozen = self.padded(member, term.size).view(groups, 1, channels, term.size**2).transpose(2, 3).contiguous()
            part = by_group[:, :, member] * frozen
            folded = part if folded is None else folded + part
        assert folded is not None
        return folded.view(outputs, term.size, term.size, channels).permute(0, 3, 1, 2)

    def frozen_bank(self, channels: int) -> FrozenBank | None:
        """Made anew when its values have changed. A primitive derived from another says by itself if it has kernels."""
        kernels = all(isinstance(one, LinearPrimitive) or vars(type(one)).get("native") for one in self.primitives)
        if not kernels or channels != self.channels:
            return None
        made_from = [(id(buffer), buffer._version, buffer.dtype) for buffer in self.buffers()]
        if not self._frozen or self._frozen[0][0] != made_from:
            members = tuple(self._frozen_primitive(place) for place in range(self.taps))
            self._frozen[:] = [(made_from, FrozenBank(members))]
        return self._frozen[0][1]

    def _frozen_primitive(self, place: int) -> FrozenPrimitive:
        primitive, frozen = self.primitives[place], self.get_buffer(f"primitive{place}").flatten(1).T
        if isinstance(primitive, NonlinearPrimitive):
            nearest = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
            taps = nearest if primitive.native == "max_pool" else []
            return FrozenPrimitive(primitive.native, taps, frozen)
        assert isinstance(primitive, LinearPrimitive)
        used = [tap for tap, values in enumerate(frozen) if values.any()] or [0]
        reach, distance = primitive.size // 2, primitive.dilation * self.dilation
        places = [divmod(tap, primitive.size) for tap in used]
        taps = [(distance * (row - reach), distance * (column - reach)) for row, column in places]
        return FrozenPrimitive("linear", taps, frozen[used])

    def padded(self, member: int, size: int) -> Tensor:
        """The kernels of a linear primitive with zeros around them, ``[channels, size, size]``."""
        kernel = self.get_buffer(f"primitive{member}")
        border = (size - kernel.shape[-1]) // 2
        return F.pad(kernel, (border,) * 4) if border else kernel


def make_operator(bank: str, channels: int, generator: Generator, dilation: int = 1) -> Filter:
    """The operator of a bank on images, or of ``conv``, over ``channels`` channels of all streams together.

    :param dilation: Distance of the taps of its kernels, in that which they have by themselves.
    :raises UserError: As :func:`~mtl_search.networks.bank_inputs.check_bank_is_for`, and if its kernels depend on each
        other.
    """
    check_bank_is_for(bank, "images")
    if bank == CONVOLUTION:
        return Convolution(dilation)
    return Bank(primitives_of(bank), channels, generator, dilation)


@functools.cache
def terms_of(bank: str) -> tuple[Term, ...]:
    """The convolutions that the fused form of a bank takes, without drawing anything."""
    if bank == CONVOLUTION:
        return Convolution().terms
    return fold_plan([PRIMITIVES.get(name)() for name in primitives_of(bank)])


def fold_plan(primitives: Sequence[Primitive], factor: int = 1) -> tuple[Term, ...]:
    """Which primitives share a convolution: linear ones of equal dilation; each other one has a 1x1 of its own.

    The identity fits into the middle of any larger kernel, so it takes a convolution only where it is alone.

    :param factor: What the dilation of every linear primitive is multiplied with.
    """
    by_dilation: dict[int, list[int]] = {}
    pointwise: list[int] = []
    for place, primitive in enumerate(primitives):
        if isinstance(primitive, LinearPrimitive):
            if primitive.size == 1:
                pointwise.append(place)
            else:
                by_dilation.setdefault(factor * primitive.dilation, []).append(place)
    if by_dilation:
        by_dilation[min(by_dilation)] += pointwise
        pointwise = []
    terms = [Term((place,), 1) for place in pointwise]
    for dilation, members in sorted(by_dilation.items()):
        alone = len(members) == 1
        terms.append(Term(tuple(members), 1, first=True) if alone else Term(tuple(members), 3, dilation))
    terms += [
        Term((place,), 1, first=True)
        for place, primitive in enumerate(primitives)
        if isinstance(primitive, NonlinearPrimitive)
    ]
    return tuple(terms)
