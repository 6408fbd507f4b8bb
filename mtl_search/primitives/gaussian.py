"""Gaussian smoothing over 3x3."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, fixed_kernel


class Gaussian(LinearPrimitive):
    """The binomial approximation of a Gaussian, weights 1 2 1 in both directions."""

    name = "gaussian"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], count, channels)
