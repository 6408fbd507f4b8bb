"""How entrants stand against hard sharing at equal budgets: parameters, inference, training compute.

At equal parameters, or equal multiply-accumulates of a forward pass: against the curve that hard sharing makes over its
widths. Between two widths it is taken as straight over the logarithm of the cost, seed by seed, so that the spread of
both is in the interval (ours: the literature compares with the nearest width). At equal training compute: twins against
the twin of hard sharing, see :mod:`~mtl_search.comparison.budget`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mtl_search.comparison.summary import (
    HARD_SHARING,
    EntrantSummary,
    by_key,
    difference,
    difference_of,
    qualities_by_seed,
)
from mtl_search.metrics.intervals import Interval

SIZES = ("learnable_parameters", "macs")
"""The costs of a network."""
NEAR = 1.1
"""A width whose cost is within this factor stands for the same cost, where the curve does not reach it. On the
curve's logarithmic scale that is 14 % of a doubling."""


@dataclass(frozen=True)
class Standing:
    """One entrant against hard sharing.

    :param entrant: The entrant that is set against hard sharing.
    :param points: Budget (``learnable_parameters``, ``macs``, ``training_macs``) -> entrant minus hard sharing there in
        points; ``None`` where hard sharing was not trained there.
    :param twin: The entrant's training at equal compute; ``None`` where there is none.
    """

    entrant: EntrantSummary
    points: Mapping[str, Interval | None]
    twin: EntrantSummary | None


def equal_budgets(entrants: Sequence[EntrantSummary], twins: Mapping[str, EntrantSummary]) -> list[Standing]:
    """Every trained entrant that is not on the curve of hard sharing itself, in their order.

    :param entrants: All entrants of the comparison, without twins.
    :param twins: Entrant -> its twin.
    """
    curve = hard_sharing_curve(entrants)
    others = [one for one in entrants if one.outcomes and one not in curve]
    return [Standing(one, _points(one, curve, twins), _trained(twins.get(one.key))) for one in others]


def hard_sharing_curve(entrants: Sequence[EntrantSummary]) -> list[EntrantSummary]:
    """Hard sharing and what differs from it in width alone, trained."""
    base = by_key(entrants, HARD_SHARING)
    if base is None:
        return []
    alike = [one for one in entrants if one.outcomes and one.method == HARD_SHARING and not one.is_pick]
    return [one for one in alike if one.about["options"] == base.about["options"] and one.balancing == base.balancing]


def at_cost(curve: Sequence[EntrantSummary], cost: str, amount: float) -> dict[int, float] | None:
    """Seed -> quality that the curve has at a cost; ``None`` where it does not reach it.

    :param curve: Entrants that differ in width alone.
    :param cost: Name of the cost along the curve: ``learnable_parameters`` or ``macs``.
    """
    line = sorted(curve, key=lambda one: one.mean(cost))
    for small, large in pairwise(line):
        low, high = small.mean(cost), large.mean(cost)
        if low <= amount <= high and low < high:
            share = math.log(amount / low) / math.log(high / low)
            below, above = qualities_by_seed(small), qualities_by_seed(large)
            return {seed: (1 - share) * below[seed] + share * above[seed] for seed in below.keys() & above.keys()}
    near = [one for one in line if 1 / NEAR <= one.mean(cost) / amount <= NEAR]
    nearest = min(near, key=lambda one: abs(math.log(one.mean(cost) / amount)), default=None)
    return None if nearest is None else qualities_by_seed(nearest)


def _points(
    one: EntrantSummary, curve: Sequence[EntrantSummary], twins: Mapping[str, EntrantSummary]
) -> dict[str, Interval | None]:
    found: dict[str, Interval | None] = {}
    for cost in SIZES:
        there = at_cost(curve, cost, one.mean(cost))
        points = None if there is None else difference_of(qualities_by_seed(one), there)
        found[cost] = points and points.scaled(100)
    own, base = _trained(twins.get(one.key)), _trained(twins.get(HARD_SHARING))
    return {**found, "training_macs": difference(own, base).points if own and base else None}


def _trained(entrant: EntrantSummary | None) -> EntrantSummary | None:
    return entrant if entrant is not None and entrant.outcomes else None
