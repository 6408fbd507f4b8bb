"""Fixed random features of every position of a sequence: a random projection and a ReLU."""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mtl_search.primitives import UnfoldedSequencePrimitive


class ReluProjection(UnfoldedSequencePrimitive):
    """``ReLU(W x)`` at every position, with a frozen matrix of Gaussian entries; the only one that mixes channels.

    Their variance is 2 / channels, so that the response has the energy of the input (He et al., ICCV 2015).
    """

    name = "relu_projection"

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.randn(channels, channels, generator=generator) * (2 / channels) ** 0.5

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        return F.relu(x @ drawn[:, None].mT)

    def values(self, channels: int, length: int) -> int:
        return channels**2

    def products(self, channels: int, length: int) -> int:
        return length * channels**2
