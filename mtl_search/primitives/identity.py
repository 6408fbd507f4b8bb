"""Identity: the channel itself."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearPrimitive, fixed_kernel


class Identity(LinearPrimitive):
    """Passes the channel on. A bank of this alone makes the layer a 1x1 convolution."""

    name = "identity"
    size = 1

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_kernel([[1.0]], count, channels)
