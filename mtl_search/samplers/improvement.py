"""Expected improvement of the hypervolume where some objectives are known and others are predicted."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NODES, WEIGHTS = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(8))
"""Of Gauss-Legendre quadrature on -1..1: with eight nodes exact for polynomials of degree 15."""
WAYS = 256
"""Directions over which the hypervolume is a mean: quasi-random ones, of which so many know that of 15 points to
0.4 % over two objectives, and to 0.9 % over three."""
TAIL = 4.0
"""Standard deviations beyond which a prediction is taken as certain: 3 of 100,000 lie farther out on one side."""


def directions(objectives: int, count: int = WAYS) -> Tensor:
    """Directions that cover the positive orthant evenly, of unit length: ``[count, objectives]``."""
    uniform = torch.quasirandom.SobolEngine(objectives, scramble=True, seed=0).draw(count, dtype=torch.float64)
    # 1e-6: no direction is along an axis, where a reach would be divided by 0
    normal = torch.special.ndtri(0.5 + uniform.clamp(1e-6, 1 - 1e-6) / 2)
    return normal / normal.norm(dim=1, keepdim=True)


def reached(points: Tensor, ways: Tensor) -> Tensor:
    """How far along each direction some point dominates: ``[points, objectives], [ways, objectives] -> [ways]``.

    :param points: Gains over the reference point, higher is better; what is no gain dominates nothing.
    """
    if len(points) == 0:
        return torch.zeros(len(ways), dtype=ways.dtype)
    return (points.clamp(min=0)[:, None] / ways).amin(dim=2).amax(dim=0)


def expected_improvement(
    known: Tensor, means: Sequence[Tensor], deviations: Sequence[Tensor], so_far: Tensor, ways: Tensor
) -> Tensor:
    """By how much each candidate is expected to enlarge the dominated hypervolume, but for a constant factor: ``[n]``.

    The hypervolume is the mean, over directions v of the positive orthant, of the reach s(v) to the power of the number
    of objectives, where s(v) = max over points of min over objectives of gain / v (Zhang & Golovin, ICML 2020, lemma
    5). So the expectation is an integral over one variable for each direction, the product of the predicted
    objectives' chances to be farther out. Predictions are independent and normal: our reading.

    :param known: ``[n, known objectives]``, gains over the reference point.
    :param means: Expected gains, for each predicted objective ``[n]``, gains likewise.
    :param deviations: Standard deviations of the predictions, in the layout of ``means``.
    :param so_far: The reach of what is known, ``[ways]``, see :func:`reached`.
    :param ways: ``[ways, objectives]``, the known ones first.
    """
    power, split = ways.shape[1], known.shape[1]
    farthest = (known.clamp(min=0)[:, None] / ways[:, :split]).amin(dim=2) if split else torch.full((1, 1), math.inf)
    certain = farthest
    predicted = [
        (mean[:, None], deviation[:, None], way)
        for mean, deviation, way in zip(means, deviations, ways[:, split:].T, strict=True)
    ]
    for mean, deviation, way in predicted:
        farthest = torch.minimum(farthest, (mean + TAIL * deviation) / way)
        certain = torch.minimum(certain, (mean - TAIL * deviation) / way)
    farthest = torch.maximum(farthest, so_far)
    certain = torch.minimum(torch.maximum(certain, so_far), farthest)
    half, middle = (farthest - certain) / 2, (farthest + certain) / 2
    inside = torch.zeros_like(half)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        place = middle + half * node
        chance = weight * power * place ** (power - 1)
        for mean, deviation, way in predicted:
            chance = chance * torch.special.ndtr((mean - way * place) / deviation)
        inside += chance
    return (certain**power - so_far**power + half * inside).mean(dim=1)
