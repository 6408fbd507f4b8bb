"""The mean of a whole sequence: the pooling of PoolFormer (Yu et al., CVPR 2022) over all positions."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import UnfoldedSequencePrimitive


class Mean(UnfoldedSequencePrimitive):
    """The mean over the positions that are none of padding, the same at every position."""

    name = "mean"
    constant = True

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.empty(0)

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        count = x.shape[2] if mask is None else mask.sum(dim=1, keepdim=True)
        return x.sum(dim=2, keepdim=True) / count
