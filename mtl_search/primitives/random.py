"""Fixed random kernels of 3x3 pixels, or of three positions of a sequence."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, LinearSequencePrimitive


class Random(LinearPrimitive, LinearSequencePrimitive):
    """Kernels with Gaussian entries.

    Repeated in a bank, the draws of a channel are orthogonal, as far as there is room: nine on images, three on
    sequences.
    """

    name = "random"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return orthogonal_kernels(count, channels, generator)

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        drawn = torch.randn(channels, 3, max(count, 3), generator=generator)
        basis = torch.linalg.qr(drawn[:, :, :3]).Q
        return torch.cat([basis, drawn[:, :, 3:]], dim=2).permute(2, 0, 1)[:count]


def orthogonal_kernels(count: int, channels: int, generator: Generator) -> Tensor:
    """``[count, channels, 3, 3]`` of unit energy; in each channel the first nine are orthogonal to each other."""
    drawn = torch.randn(channels, 9, max(count, 1), generator=generator)
    basis = torch.linalg.qr(drawn[:, :, :9]).Q
    kernels = torch.cat([basis, drawn[:, :, 9:]], dim=2)
    return kernels.permute(2, 0, 1).reshape(count, channels, 3, 3)
