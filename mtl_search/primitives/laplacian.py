"""The Laplacian over four neighbours."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, fixed_kernel


class Laplacian(LinearPrimitive):
    """Second derivative: how much the pixel differs from its four neighbours."""

    name = "laplacian"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], count, channels)
