"""Non-learnable primitives: one file each, one class each, registered under the file's name.

A linear primitive is a frozen depth-wise kernel, and gives just that; the network decides how to apply it. Any other
primitive gives its operation. What is random in a primitive is drawn once from a generator, and kept in a buffer.

Primitives are for images, for the rows of a table ("vectors"), for sequences, or for several of these: a class of
each. A linear primitive on vectors is a frozen matrix, one on sequences a frozen kernel of three positions.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor


class Primitive(ABC):
    """A frozen operation that keeps the number of channels. On images it treats every channel by itself."""

    name: ClassVar[str]
    """What it is called in a space; the name of its file."""


class LinearPrimitive(Primitive):
    """A primitive on images that is a frozen depth-wise convolution with zero padding."""

    size: ClassVar[int] = 3
    """Height and width of the kernel: 1 or 3."""
    dilation: ClassVar[int] = 1
    """Distance of the kernel's taps in pixels."""

    @abstractmethod
    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        """Draw kernels.

        :param count: How often the primitive stands in the bank. Draws of one channel should differ.
        :returns: ``[count, channels, size, size]``, of any scale: the bank scales each to unit energy.
        """


class NonlinearPrimitive(Primitive):
    """A primitive on images that is not linear, and so cannot be folded into the convolution that follows."""

    native: ClassVar[str] = ""
    """Name of the kernel in :mod:`mtl_search.kernels.bank` that computes the same; empty if there is none."""

    @abstractmethod
    def buffer(self, channels: int, generator: Generator) -> Tensor:
        """Draw what the operation needs to keep. ``[channels, ...]``, possibly with no elements."""

    @abstractmethod
    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        """Apply the operation.

        :param x: ``[batch, channels, height, width]``
        :param buffer: What :meth:`buffer` drew for these channels.
        :returns: ``[batch, channels, ceil(height / stride), ceil(width / stride)]``
        """


class LinearVectorPrimitive(Primitive):
    """A primitive on vectors that is a frozen matrix."""

    @abstractmethod
    def matrices(self, count: int, features: int, window: int, generator: Generator) -> Tensor:
        """Draw matrices.

        :param count: How often the primitive stands in the bank.
        :param window: An output reads the same rows of all draws, at most so many that follow each other. They should
            not depend on each other as long as there is room: ``count * window <= features``.
        :returns: ``[count, features, features]``, response by input, of any scale: the bank scales each row to unit
            length.
        """

    def frozen_values(self, features: int) -> int:
        """Values of one matrix that are not 0."""
        return features**2


class NonlinearVectorPrimitive(Primitive):
    """A primitive on vectors that is not linear, and so cannot be folded into the linear layer that follows."""

    @abstractmethod
    def drawn(self, features: int, generator: Generator) -> Tensor:
        """Draw what the operation needs to keep, for one stream of features. Of any shape."""

    @abstractmethod
    def apply(self, x: Tensor, frozen: Tensor) -> Tensor:
        """Apply the operation, to several streams of features at once.

        :param x: Features of all streams, ``[streams, batch, features]``.
        :param frozen: What :meth:`drawn` drew for each, ``[streams, ...]``.
        :returns: ``[streams, batch, features]``
        """

    def frozen_values(self, features: int) -> int:
        """Values that :meth:`drawn` draws for so many features; a primitive that draws many says it without that."""
        return self.drawn(features, torch.Generator()).numel()

    def macs(self, features: int) -> int:
        """Multiply-accumulates of matrix products in it, for one sample and stream."""
        return 0


class LinearSequencePrimitive(Primitive):
    """A primitive on sequences that is a frozen depth-wise convolution over the positions, with zeros at both ends."""

    size: ClassVar[int] = 3
    """Positions that the kernel reads: 1, or 3 for the one before, the position itself and the one after."""

    @abstractmethod
    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        """Draw kernels.

        :param count: How often the primitive stands in the bank. Draws of one channel should differ.
        :returns: ``[count, channels, size]``, of any scale: the bank scales each to unit energy.
        """


class UnfoldedSequencePrimitive(Primitive):
    """Any other primitive on sequences: what is not linear, and what reads the whole sequence.

    Padding is at the end of a sequence. It must not be seen: what a primitive says of a position is the same whatever
    number of padded ones follow the last one. What it says of these is of no account, but must be finite.
    """

    constant: ClassVar[bool] = False
    """Whether it says the same at every position: it is then computed for one."""

    @abstractmethod
    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        """Draw what the operation needs to keep, for one stream of channels. Of any shape, possibly with no elements.

        :param length: Positions of the longest sequence.
        """

    @abstractmethod
    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        """Apply the operation, to several streams of features at once.

        :param x: ``[streams, batch, length, channels]``, 0 where padded; the length is at most that of :meth:`draw`.
        :param mask: ``[batch, length, 1]`` bool, which positions are none of padding; ``None`` where all are.
        :param drawn: What :meth:`draw` drew for each stream, ``[streams, ...]``.
        :returns: ``[streams, batch, length, channels]``, of a :attr:`constant` one ``[streams, batch, 1, channels]``
        """

    def values(self, channels: int, length: int) -> int:
        """Values that :meth:`draw` draws; a primitive that draws many says it without that."""
        return self.draw(channels, length, torch.Generator()).numel()

    def products(self, channels: int, length: int) -> int:
        """Multiply-accumulates of matrix products in it, for one sample and stream."""
        return 0


def fixed_taps(taps: list[float], count: int, channels: int) -> Tensor:
    """The same kernel for every channel and draw, ``[count, channels, size]``."""
    return torch.tensor(taps).expand(count, channels, len(taps)).clone()


def fixed_kernel(rows: list[list[float]], count: int, channels: int) -> Tensor:
    """The same kernel for every channel and draw, ``[count, channels, size, size]``."""
    kernel = torch.tensor(rows)
    return kernel.expand(count, channels, *kernel.shape).clone()
