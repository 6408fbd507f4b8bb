"""MGDA (Desideri, 2012), as used for multi-task learning by Sener & Koltun (NeurIPS 2018, arXiv 1810.04650)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_search.balancing._gramian import GramianBalancing

SHORTEST = 1e-100
"""A gradient shorter than this, all together being of length 1, counts as so long: one of zeros has no direction."""
FLAT = 1e-12
"""A slope that counts as none: products of unit vectors in double precision are some thousand times more exact."""
MOST_STEPS = 10
"""Of the solver, for each task. In 6,000 made problems of up to 40 tasks, half of them singular, one was enough."""


@dataclass
class MGDA(GramianBalancing):
    """The shortest convex combination of the gradients (Sener & Koltun, equation 3), times the number of tasks.

    No gradient then has a smaller product with it than it has with itself. Sener & Koltun find the weights by
    Frank-Wolfe (algorithm 2), exact with two tasks; with more, of unequal lengths, it is far from the shortest where it
    ends in their code, at 250 steps or one of 1e-5. Here they are exact, see :func:`shortest`. The gradients are not
    normalised before, so that the smallest weighs most.
    """

    name = "mgda"

    def weights(self, gramian: Tensor) -> Tensor:
        return shortest(gramian) * len(gramian)


def shortest(gramian: Tensor) -> Tensor:
    """Weights of the shortest convex combination of vectors: ``[vectors]``, none below 0, of sum 1.

    They are a multiple of the ``u >= 0`` with the least ``|u @ vectors|^2 + (sum(u) - 1)^2`` (Lawson & Hanson, 1974,
    chapter 23). The vectors are taken at unit length, so that short ones count as exactly as long ones.

    :param gramian: Inner products of the vectors, ``[vectors, vectors]``, double.
    """
    lengths = gramian.diagonal().sqrt().clamp(min=SHORTEST)
    shares = lengths.min() / lengths
    weights = shares * _least(gramian / torch.outer(lengths, lengths) + torch.outer(shares, shares), shares)
    return weights / weights.sum()


def _least(products: Tensor, linear: Tensor) -> Tensor:
    """The ``u >= 0`` with the least ``u @ products @ u / 2 - linear @ u``, by active sets (Lawson & Hanson, NNLS)."""
    found, free = torch.zeros_like(linear), torch.zeros_like(linear, dtype=torch.bool)
    for _ in range(MOST_STEPS * len(linear)):
        slopes = torch.where(free, 0, linear - products @ found)
        if slopes.max() <= FLAT:
            break
        free[slopes.argmax()] = True
        found, free = _least_inside(products, linear, found, free)
    return found


def _least_inside(products: Tensor, linear: Tensor, found: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """The least where only some may be above 0; those that would fall below it are no longer among them.

    :returns: It, and which are free in the end.
    """
    while True:
        numbers = free.nonzero().flatten()
        wanted = torch.zeros_like(found)
        wanted[numbers] = torch.linalg.lstsq(
            products[numbers][:, numbers], linear[numbers, None], driver="gelsd"
        ).solution[:, 0]
        below = free & (wanted <= 0)
        if not below.any():
            return wanted, free
        reach = torch.where(below, found / (found - wanted).clamp(min=SHORTEST), torch.inf)
        free = free & (reach > reach.min())
        found = torch.where(free, found + reach.min() * (wanted - found), 0)
