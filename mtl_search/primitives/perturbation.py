"""Additive perturbation (Juefei-Xu et al., CVPR 2018, arXiv 1806.01817)."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import NonlinearPrimitive, NonlinearVectorPrimitive

TILE = 8
"""Height and width of the mask that is repeated over a picture: larger than any kernel of a bank reaches."""


class Perturbation(NonlinearPrimitive, NonlinearVectorPrimitive):
    """``ReLU(x + N)`` with a fixed noise mask ``N``. Without the ReLU it would be a bias and nothing else.

    The paper's mask has the shape of the input, which ties a network to one resolution; ours is an 8x8 tile for each
    channel, repeated over the picture; on vectors a number for each feature. Its entries are uniform in -1 to 1, the
    scale of a normalised channel.
    """

    name = "perturbation"
    native = "perturbation"

    def buffer(self, channels: int, generator: Generator) -> Tensor:
        return 2 * torch.rand(channels, TILE, TILE, generator=generator) - 1

    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        height, width = x.shape[-2:]
        tiles = (-(-height // TILE), -(-width // TILE))
        mask = buffer.repeat(1, *tiles)[:, :height:stride, :width:stride]
        return (x[:, :, ::stride, ::stride] + mask).relu_()

    def drawn(self, features: int, generator: Generator) -> Tensor:
        return 2 * torch.rand(features, generator=generator) - 1

    def apply(self, x: Tensor, frozen: Tensor) -> Tensor:
        return (x + frozen[:, None]).relu_()
