"""Non-learnable primitives: one file each, one class each, registered under the file's name.

A linear primitive is a frozen depth-wise kernel, and gives just that; the network decides how to apply it. Any other
primitive gives its operation. What is random in a primitive is drawn once from a generator, and kept in a buffer.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor


class Primitive(ABC):
    """A frozen operation that treats every channel by itself and keeps the number of channels."""

    name: ClassVar[str]
    """What it is called in a space; the name of its file."""


class LinearPrimitive(Primitive):
    """A primitive that is a frozen depth-wise convolution with zero padding."""

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
    """A primitive that is not linear, and so cannot be folded into the convolution that follows."""

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


def fixed_kernel(rows: list[list[float]], count: int, channels: int) -> Tensor:
    """The same kernel for every channel and draw, ``[count, channels, size, size]``."""
    kernel = torch.tensor(rows)
    return kernel.expand(count, channels, *kernel.shape).clone()
