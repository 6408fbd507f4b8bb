"""Shift by one pixel, or by one position of a sequence (Wu et al., CVPR 2018, arXiv 1711.08141)."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, LinearSequencePrimitive

CENTRE = 4
"""Place of the middle among the nine taps of a kernel: the only one that moves nothing."""


class Shift(LinearPrimitive, LinearSequencePrimitive):
    """Moves each channel by one pixel in one of eight directions, drawn for each channel; zeros move in.

    In a sequence there are two directions: towards the end and towards the beginning.

    Repeated in a bank, each draw moves in another direction.
    """

    name = "shift"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        directions = torch.rand(channels, 8, generator=generator).argsort(dim=1)
        places = directions[:, torch.arange(count) % 8].T
        places = places + (places >= CENTRE)
        return torch.nn.functional.one_hot(places, 9).float().view(count, channels, 3, 3)

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        first = torch.randint(0, 2, (channels,), generator=generator)
        sides = (first + torch.arange(count)[:, None]) % 2
        return torch.nn.functional.one_hot(2 * sides, 3).float()
