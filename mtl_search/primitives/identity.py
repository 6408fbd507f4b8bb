"""Identity: the channel itself."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import (
    LinearPrimitive,
    LinearSequencePrimitive,
    LinearVectorPrimitive,
    fixed_kernel,
    fixed_taps,
)


class Identity(LinearPrimitive, LinearVectorPrimitive, LinearSequencePrimitive):
    """Passes the channel on. On images, a bank of this alone makes the layer a 1x1 convolution."""

    name = "identity"
    size = 1

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[1.0]], count, channels)

    def matrices(self, count: int, features: int, window: int, generator: Generator) -> Tensor:
        return torch.eye(features).repeat(count, 1, 1)

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_taps([1.0], count, channels)

    def frozen_values(self, features: int) -> int:
        return features
