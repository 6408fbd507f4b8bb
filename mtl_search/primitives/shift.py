"""Shift by one pixel (Wu et al., CVPR 2018, arXiv 1711.08141)."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive

CENTRE = 4
"""Place of the middle among the nine taps of a kernel: the only one that moves nothing."""


class Shift(LinearPrimitive):
    """Moves each channel by one pixel in one of eight directions, drawn for each channel; zeros move in.

    Repeated in a bank, each draw moves in another direction.
    """

    name = "shift"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        directions = torch.rand(channels, 8, generator=generator).argsort(dim=1)
        places = directions[:, torch.arange(count) % 8].T
        places = places + (places >= CENTRE)
        return torch.nn.functional.one_hot(places, 9).float().view(count, channels, 3, 3)
