"""Average pooling over 3x3, or over three positions of a sequence."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, LinearSequencePrimitive, fixed_kernel, fixed_taps


class AveragePool(LinearPrimitive, LinearSequencePrimitive):
    """The mean of the 3x3 neighbourhood, or of three positions; at the border zeros count."""

    name = "average_pool"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[1.0, 1.0, 1.0]] * 3, count, channels)

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_taps([1.0, 1.0, 1.0], count, channels)
