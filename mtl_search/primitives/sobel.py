"""The Sobel derivative, in a direction of its own in each channel."""

import math

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive


class Sobel(LinearPrimitive):
    """First derivative: ``cos(a) * Sobel_x + sin(a) * Sobel_y`` with an angle ``a`` drawn for each channel.

    Repeated in a bank, each draw is turned by 90 degrees more.
    """

    name = "sobel"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        horizontal = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        angle = 2 * math.pi * torch.rand(1, channels, 1, 1, generator=generator)
        angle = angle + 0.5 * math.pi * torch.arange(count).view(count, 1, 1, 1)
        return angle.cos() * horizontal + angle.sin() * horizontal.T
