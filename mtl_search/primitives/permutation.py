"""Fixed permutations of the features of vectors."""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import LinearVectorPrimitive


class Permutation(LinearVectorPrimitive):
    """The features in another order, drawn by lot, such that no window of neighbours holds any of its own.

    An output that reads a window of the identity reads other features here. Repeated in a bank, the draws are one order
    turned by a window each: of them all an output reads each feature at most once. Where a vector is too short for
    that, the order is any.
    """

    name = "permutation"

    def matrices(self, count: int, features: int, window: int, generator: Generator) -> Tensor:
        place = torch.arange(features)
        apart = (place[:, None] - place).abs()
        near = torch.minimum(apart, features - apart) < window
        allowed = torch.stack([~near.roll(number * window, dims=0) for number in range(count)]).all(dim=0)
        order = _matching(allowed, generator) or torch.randperm(features, generator=generator).tolist()
        one_hot = torch.eye(features)[order]
        return torch.stack([one_hot.roll(-number * window, dims=0) for number in range(count)])

    def frozen_values(self, features: int) -> int:
        return features


def _matching(allowed: Tensor, generator: Generator) -> list[int] | None:
    """For every row a column of its own that it may have, by lot; ``None`` if there is no such choice (Kuhn, 1955).

    :param allowed: ``[rows, columns]``, bool, square.
    """
    size = len(allowed)
    ranks = torch.rand(size, size, generator=generator).masked_fill(~allowed, 2.0)
    choices = [row[: int(count)] for row, count in zip(ranks.argsort(dim=1).tolist(), allowed.sum(dim=1), strict=True)]
    row_of: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        free = next((column for column in choices[row] if column not in row_of), None)
        for column in choices[row] if free is None else [free]:
            if column not in seen:
                seen.add(column)
                if column not in row_of or place(row_of[column], seen):
                    row_of[column] = row
                    return True
        return False

    if not all(place(row, set()) for row in range(size)):
        return None
    column_of = {row: column for column, row in row_of.items()}
    return [column_of[row] for row in range(size)]
