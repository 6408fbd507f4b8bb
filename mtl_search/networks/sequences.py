"""What a layer of a ``sequence`` backbone applies before the learned recombination: a bank on sequences.

A linear primitive on sequences is a frozen kernel of three positions for each channel. A bank of ``k`` of them and a
learned recombination is one convolution with the kernel ``W[o, c] = sum_p w[o, p, c] * K_p[c]``, as on images, with
``k/3`` of its parameters. What is not linear, or reads the whole sequence, is applied first, once for all tasks that
read the same features, and has a 1x1 convolution of its own.

Features are ``[batch, channels, 1, length]``, so that convolutions are those of images with kernels one pixel high:
torch computes them faster than those of one dimension (measured on a processor: two and a half times).
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_inputs import TAPS, check_bank_is_for
from mtl_search.networks.inputs import Mask
from mtl_search.networks.kernel_drawing import INDEPENDENCE
from mtl_search.networks.operators import Operator
from mtl_search.primitives import LinearSequencePrimitive, Primitive, UnfoldedSequencePrimitive
from mtl_search.spaces.banks import CONVOLUTION, primitives_of


class SequenceConvolution(Operator):
    """An ordinary convolution over three positions: nothing is frozen.

    :param dilation: Distance of the taps.
    """

    taps = TAPS

    def __init__(self, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation

    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        return [x]

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        return _convolved(features[0], weight.mT, self.dilation, groups)

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        padded, start = F.pad(x, [self.dilation] * 2), place * self.dilation
        return padded[..., start : start + x.shape[3]]

    def fixed_parameters(self) -> int:
        return 0


class SequenceBank(Operator):
    """A bank of primitives on sequences with everything that is frozen in them.

    :param names: Names of the bank's primitives, in the order of the learned weights.
    :param channels: Number of channels of one stream.
    :param streams: Streams with frozen values of their own; 1 where all are treated alike.
    :param length: Positions of the longest sequence.
    :param generator: What the frozen values are drawn from.
    :param dilation: Distance of the taps of linear primitives. Others stay as they are (ours).
    :raises UserError: If its kernels depend on each other, or a primitive that draws nothing stands in it twice.
    """

    kernels: Tensor
    """``[linear primitives, streams * channels, size]``, of unit energy."""

    def __init__(
        self, names: Sequence[str], channels: int, streams: int, length: int, generator: Generator, dilation: int = 1
    ) -> None:
        super().__init__()
        self.channels, self.taps, self.dilation = channels, len(names), dilation
        self.primitives: list[Primitive] = [PRIMITIVES.get(name)() for name in names]
        kinds = [isinstance(primitive, LinearSequencePrimitive) for primitive in self.primitives]
        self.linear = [place for place, is_linear in enumerate(kinds) if is_linear]
        self.others = [place for place, is_linear in enumerate(kinds) if not is_linear]
        self.register_buffer("kernels", _draw([names[place] for place in self.linear], streams * channels, generator))
        for place in self.others:
            drawn = [self._operation(place).draw(channels, length, generator) for _ in range(streams)]
            self.register_buffer(f"primitive{place}", torch.stack(drawn))
            if not drawn[0].numel() and names.count(names[place]) > 1:
                raise UserError(
                    f"`{names[place]}` stands in the bank {'+'.join(names)} more than once, and says the same each "
                    "time, so that learned weights are wasted: leave it out the second time."
                )
        self._check_independence(names)

    def _check_independence(self, names: Sequence[str]) -> None:
        count, _, size = self.kernels.shape
        dependent = count > size
        if 0 < count <= size:
            smallest = torch.linalg.svdvals(self.kernels.double().transpose(0, 1))[:, -1]
            dependent = bool((smallest < INDEPENDENCE).any())
        if dependent:
            raise UserError(
                f"the kernels of the bank {'+'.join(names)} depend on each other, so that learned weights are wasted: "
                "leave one of its primitives out."
            )

    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        """The features themselves, for all linear primitives, and what each other one says."""
        made = [self._said(place, x, slice(None), mask) for place in self.others]
        if not self.linear and all(one.shape[3] < x.shape[3] for one in made):
            made[0] = made[0].expand(-1, -1, -1, x.shape[3])
        return [x, *made] if self.linear else made

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        """What is the same at all positions is computed for one of them."""
        kernels = [weight[:, place, :, None] for place in self.others]
        if self.linear:
            kernels.insert(0, self._folded(weight, groups))
        parts = [_convolved(x, kernel, self.dilation, groups) for x, kernel in zip(features, kernels, strict=True)]
        parts.sort(key=lambda part: part.shape[3], reverse=True)
        total = parts[0]
        for part in parts[1:]:
            total = total.add_(part)
        return total

    def _folded(self, weight: Tensor, groups: int) -> Tensor:
        """One kernel for all linear primitives, ``[outputs, channels, size]``."""
        of_linear = weight[:, self.linear] if self.others else weight
        by_stream = of_linear.unflatten(0, (groups, -1))
        kernels = self.kernels.unflatten(1, (-1, self.channels)).expand(-1, groups, -1, -1)
        return torch.einsum("gopc,pgcs->gocs", by_stream, kernels).flatten(0, 1)

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        """``channels`` are those of one stream, or all of them."""
        if place not in self.linear:
            return self._said(place, x, channels, mask).expand(-1, -1, -1, x.shape[3])
        kernel = self.kernels[self.linear.index(place)][channels]
        kernel = kernel.repeat(x.shape[1] // len(kernel), 1)
        return _convolved(x, kernel[:, None], self.dilation, x.shape[1])

    def _said(self, place: int, x: Tensor, channels: slice, mask: Mask) -> Tensor:
        """What a primitive that is not folded says of features, ``[batch, channels, 1, length or 1]``."""
        streams = x[:, :, 0].mT.unflatten(2, (-1, self.channels)).movedim(2, 0)
        drawn = self.get_buffer(f"primitive{place}")
        if len(drawn) > 1:
            first = (channels.start or 0) // self.channels
            drawn = drawn[first : first + len(streams)]
        made = self._operation(place).respond(streams, None if mask is None else mask[:, 0].mT, drawn)
        return made.movedim(0, 2).flatten(2).mT[:, :, None]

    def fixed_parameters(self) -> int:
        taps = sum(getattr(self.primitives[place], "size", TAPS) for place in self.linear) * self.kernels.shape[1]
        return taps + sum(self.get_buffer(f"primitive{place}").numel() for place in self.others)

    def _operation(self, place: int) -> UnfoldedSequencePrimitive:
        primitive = self.primitives[place]
        assert isinstance(primitive, UnfoldedSequencePrimitive)
        return primitive


def make_sequence_operator(
    bank: str, channels: int, streams: int, length: int, generator: Generator, dilation: int = 1
) -> Operator:
    """The operator of a bank on sequences, or of ``conv``; the parameters are those of :class:`SequenceBank`.

    :raises UserError: As :class:`SequenceBank`, or if a primitive of the bank is not for sequences.
    """
    check_bank_is_for(bank, "sequences")
    if bank == CONVOLUTION:
        return SequenceConvolution(dilation)
    return SequenceBank(primitives_of(bank), channels, streams, length, generator, dilation)


def _convolved(x: Tensor, kernel: Tensor, dilation: int, groups: int) -> Tensor:
    """A convolution over the positions, with zeros at both ends.

    :param kernel: ``[groups * outputs, channels, size]``
    """
    size = kernel.shape[2]
    return F.conv2d(x, kernel[:, :, None], None, 1, (0, dilation * (size // 2)), (1, dilation), groups)


def _draw(names: Sequence[str], channels: int, generator: Generator) -> Tensor:
    """Kernels of unit energy, ``[primitives, channels, size]``: of one position where that is all that any reads."""
    kinds = {name: PRIMITIVES.get(name)() for name in dict.fromkeys(names)}
    widest = max((kind.size for kind in kinds.values()), default=1)
    drawn: dict[str, list[Tensor]] = {}
    for name, kind in kinds.items():
        count = names.count(name)
        kernels = kind.taps(count, channels, generator)
        if kind.size not in (1, TAPS) or list(kernels.shape) != [count, channels, kind.size]:
            raise UserError(
                f"`{name}` must draw taps [{count}, {channels}, 1 or {TAPS}], as its `size` says, but got "
                f"{list(kernels.shape)} for a size of {kind.size}."
            )
        around = (widest - kind.size) // 2
        drawn[name] = list(F.pad(kernels / kernels.norm(dim=2, keepdim=True), (around, around)).unbind())
    ordered = [drawn[name].pop(0) for name in names]
    return torch.stack(ordered) if ordered else torch.zeros(0, channels, widest)
