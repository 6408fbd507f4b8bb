"""Max pooling over 3x3, or over three positions of a sequence."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mtl_search.primitives import NonlinearPrimitive, UnfoldedSequencePrimitive


class MaxPool(NonlinearPrimitive, UnfoldedSequencePrimitive):
    """The largest value of the 3x3 neighbourhood, or of three positions; what is beyond the border does not count."""

    name = "max_pool"
    native = "max_pool"

    def buffer(self, channels: int, generator: Generator) -> Tensor:
        return torch.empty(channels, 0)

    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        return torch.nn.functional.max_pool2d(x, 3, stride, padding=1)

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.empty(0)

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        there = x if mask is None else x.masked_fill(~mask, -torch.inf)
        around = F.pad(there, (0, 0, 1, 1), value=-torch.inf)
        largest = torch.maximum(torch.maximum(around[:, :, :-2], there), around[:, :, 2:])
        return largest if mask is None else largest.masked_fill(~mask, 0)
