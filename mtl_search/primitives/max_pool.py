"""Max pooling over 3x3."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import NonlinearPrimitive


class MaxPool(NonlinearPrimitive):
    """The largest value of the 3x3 neighbourhood."""

    name = "max_pool"
    native = "max_pool"

    def buffer(self, channels: int, generator: Generator) -> Tensor:
        return torch.empty(channels, 0)

    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        return torch.nn.functional.max_pool2d(x, 3, stride, padding=1)
