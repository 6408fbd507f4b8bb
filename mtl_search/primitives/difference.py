"""The difference of the neighbours in a sequence."""

from torch import Generator, Tensor

from mtl_search.primitives import LinearSequencePrimitive, fixed_taps


class Difference(LinearSequencePrimitive):
    """The position after less the one before: the central difference. At the ends zeros count."""

    name = "difference"

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        return fixed_taps([-1.0, 0.0, 1.0], count, channels)
