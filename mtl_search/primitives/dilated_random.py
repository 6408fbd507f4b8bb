"""Fixed random 3x3 kernels with dilation 2."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive
from mtl_search.primitives.random import orthogonal_kernels


class DilatedRandom(LinearPrimitive):
    """As ``random``, with taps two pixels apart: it sees 5x5 pixels."""

    name = "dilated_random"
    dilation = 2

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return orthogonal_kernels(count, channels, generator)
