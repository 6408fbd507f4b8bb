"""Non-learnable primitives: one file each, one class each, registered under the file's name.

A linear primitive is a frozen depth-wise kernel, and gives just that; the network decides how to apply it. Any other
primitive gives its operation. What is random in a primitive is drawn once from a generator, and kept in a buffer.

Primitives are for images, for the rows of a table ("vectors"), or for both: a class of each. A linear primitive on
vectors is a frozen matrix.
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


def fixed_kernel(rows: list[list[float]], count: int, channels: int) -> Tensor:
    """The same kernel for every channel and draw, ``[count, channels, size, size]``."""
    kernel = torch.tensor(rows)
    return kernel.expand(count, channels, *kernel.shape).clone()
