"""Sparse kernels of +1 and -1: local binary convolution (Juefei-Xu et al., CVPR 2017, arXiv 1608.06049)."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive


class SparseBinary(LinearPrimitive):
    """Each tap is 0 with probability one half, else +1 or -1; at least one tap is not 0.

    The paper follows it with a ReLU before the 1x1; here the recombination comes first, so that it folds (our reading).
    """

    name = "sparse_binary"
    sparsity = 0.5
    """Share of the taps that are 0: both signs and none are about as frequent then (ours)."""

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        shape = (count, channels, 9)
        signs = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0
        order = torch.rand(shape, generator=generator)
        kept = (order >= self.sparsity) | (order == order.amax(dim=2, keepdim=True))
        return (signs * kept).view(count, channels, 3, 3)
