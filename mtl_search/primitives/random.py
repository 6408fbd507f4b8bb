"""Fixed random 3x3 kernels."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive


class Random(LinearPrimitive):
    """Kernels with Gaussian entries. Repeated in a bank, the draws of a channel are orthogonal, up to nine of them."""

    name = "random"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return orthogonal_kernels(count, channels, generator)


def orthogonal_kernels(count: int, channels: int, generator: Generator) -> Tensor:
    """``[count, channels, 3, 3]`` of unit energy; in each channel the first nine are orthogonal to each other."""
    drawn = torch.randn(channels, 9, max(count, 1), generator=generator)
    basis = torch.linalg.qr(drawn[:, :, :9]).Q
    kernels = torch.cat([basis, drawn[:, :, 9:]], dim=2)
    return kernels.permute(2, 0, 1).reshape(count, channels, 3, 3)
