"""Average pooling over 3x3."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, fixed_kernel


class AveragePool(LinearPrimitive):
    """The mean of the 3x3 neighbourhood; at the border zeros count."""

    name = "average_pool"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[1.0, 1.0, 1.0]] * 3, count, channels)
