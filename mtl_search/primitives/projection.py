"""Fixed random projections of vectors."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearVectorPrimitive


class Projection(LinearVectorPrimitive):
    """A random rotation: an orthogonal matrix, drawn uniformly. Every response is a mixture of all features.

    Repeated in a bank, the draws are the rows of one such matrix in another order, so that what one output reads of
    them all is orthogonal, as long as there are enough rows.
    """

    name = "projection"

    def matrices(self, count: int, features: int, window: int, generator: Generator) -> Tensor:
        basis, upper = torch.linalg.qr(torch.randn(features, features, generator=generator))
        rotation = basis * upper.diagonal().sign()
        return torch.stack([rotation.roll(-number * window, dims=0) for number in range(count)])
