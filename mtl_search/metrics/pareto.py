"""Dominance between points of several objectives: front, hypervolume, knee.

Dominance and hypervolume come from moocore (López-Ibáñez et al.), which is exact.
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtl_search.errors import FieldError
from mtl_search.metrics.scores import is_error

Direction = Literal["maximize", "minimize"]

COSTS = ("learnable_parameters", "fixed_parameters", "total_parameters", "macs", "latency_ms")
"""Objectives that are known before anything is trained; lower is better."""

LEAST_BEND = 0.1
"""How much a front must bend to have a knee, in parts of its extent. A training of the example on Multi-Fashion has a
standard deviation of 0.5 points on a front of 7, which is 0.07: what bends less may be straight. Where a front bends so
much in its middle, an equal step in cost buys 1.5 times as much before the knee as after it, (1.1 / 0.9) ** 2."""

LEAST_MS = 0.001
"""Milliseconds that a latency counts as at least, on its logarithmic axis: no network takes less than a microsecond."""


def direction_of(objective: str) -> Direction:
    """Whether an objective is to be maximised (``accuracy``, ``<task>/accuracy``) or minimised (costs, errors)."""
    return "minimize" if objective in COSTS or is_error(objective) else "maximize"


def axis_value(objective: str, value: float) -> float:
    """Where a value stands on the axis of its objective, on which hypervolumes are measured.

    Costs have a logarithmic axis, to base 10: half of the parameters are as much a gain for a small network as for a
    large one.
    """
    if objective not in COSTS:
        return value
    return math.log10(max(value, LEAST_MS if objective == "latency_ms" else 1.0))


def front_mask(points: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.bool_]:
    """Which points no other point dominates.

    :param points: Objectives of each point, ``[points, objectives]``, finite.
    :param directions: ``minimize`` or ``maximize``, one per objective.
    :returns: ``[points]``, True on the front. Of equal points on the front all are True.
    :raises FieldError: If the shape does not fit ``directions`` or a value is not finite.
    """
    losses = _as_losses(points, directions)
    if len(losses) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(losses, keep_weakly=True), dtype=bool)


def hypervolume(points: ArrayLike, reference_point: ArrayLike, directions: Sequence[Direction]) -> float:
    """The volume that ``points`` dominate, up to the reference point.

    :param points: Objectives of each point, ``[points, objectives]``, finite. Points that are no better than the
        reference point add nothing.
    :param reference_point: ``[objectives]``, the worst value of each objective that counts.
    :param directions: ``minimize`` or ``maximize``, one per objective.
    :returns: The product of the objectives' units; 0 for no points.
    :raises FieldError: As :func:`front_mask`.
    """
    losses = _as_losses(points, directions)
    reference = _as_losses(np.asarray(reference_point, dtype=float)[None], directions)[0]
    return float(moocore.hypervolume(losses, ref=reference)) if len(losses) else 0.0


def knee(points: ArrayLike, directions: Sequence[Direction]) -> int:
    """The index of the point where giving up a little of one objective stops to pay in the others.

    Every objective is scaled to 0..1 over the points of the front; the knee is the point with the smallest sum of
    losses, which for two objectives is the one farthest from the line between the two ends (Das, 1999). There is such a
    point on every front; :func:`bend` says whether the front bends there at all.

    Points are taken as they are: a cost whose axis is logarithmic is given as :func:`axis_value` has it. On a linear
    axis most fronts bend near their cheap end, where a network has learned little.

    :param points: Objectives of each point, ``[points, objectives]``, finite; at least one.
    :param directions: ``minimize`` or ``maximize``, one per objective.
    :raises FieldError: As :func:`front_mask`, and if there are no points.
    """
    front, scaled = _scaled_front(points, directions)
    return int(front[scaled.sum(axis=1).argmin()])


def bend(points: ArrayLike, directions: Sequence[Direction]) -> float:
    """How much a front bends at its :func:`knee`: how far its sum of scaled losses is below that of the ends.

    The ends are the points that are best in one objective; for two objectives their sums are 1.

    :param points: Objectives of each point, ``[points, objectives]``, finite; at least one.
    :param directions: ``minimize`` or ``maximize``, one per objective.
    :returns: Below 1; 0 where the front has fewer than three different points, is straight, or bends the other way.
    :raises FieldError: As :func:`knee`.
    """
    _, scaled = _scaled_front(points, directions)
    sums = scaled.sum(axis=1)
    ends = sums[(scaled == 0).any(axis=1)]
    return float(ends.min() - sums.min())


def _scaled_front(points: ArrayLike, directions: Sequence[Direction]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The indices of the points on the front, and their losses, 0 the best of each objective and 1 the worst."""
    losses = _as_losses(points, directions)
    if len(losses) == 0:
        raise FieldError("points", "must hold at least one point", points)
    front = np.flatnonzero(front_mask(points, directions))
    low, high = losses[front].min(axis=0), losses[front].max(axis=0)
    return front, (losses[front] - low) / np.where(high > low, high - low, 1.0)


def best_first(points: ArrayLike, directions: Sequence[Direction]) -> list[int]:
    """The indices of points in order of merit: by non-dominated rank, within a rank the least crowded first.

    The order of NSGA-II (Deb, Pratap, Agarwal & Meyarivan, 2002): the ends of a rank come first, then the points whose
    neighbours on either side are farthest apart, over all objectives, each scaled to 0..1 within the rank. Of equal
    points the first comes first.

    :param points: Objectives of each point, ``[points, objectives]``, finite.
    :param directions: ``minimize`` or ``maximize``, one per objective.
    :raises FieldError: As :func:`front_mask`.
    """
    losses = _as_losses(points, directions)
    if len(losses) == 0:
        return []
    ranks = np.asarray(moocore.pareto_rank(losses))
    spread = np.zeros(len(losses))
    for rank in np.unique(ranks):
        members = np.flatnonzero(ranks == rank)
        spread[members] = _crowding_distance(losses[members])
    return sorted(range(len(losses)), key=lambda index: (ranks[index], -spread[index], index))


def _crowding_distance(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between the neighbours of each point, ``[points]``; infinite at the ends."""
    distance = np.zeros(len(losses))
    for values in losses.T:
        order = values.argsort(kind="stable")
        ordered = values[order]
        gaps = np.full(len(losses), np.inf)
        gaps[1:-1] = (ordered[2:] - ordered[:-2]) / max(ordered[-1] - ordered[0], np.finfo(float).tiny)
        distance[order] += gaps
    return distance


def _as_losses(points: ArrayLike, directions: Sequence[Direction]) -> NDArray[np.float64]:
    """``points`` with the maximised objectives negated, so that lower is better throughout."""
    for direction in directions:
        if direction not in get_args(Direction):
            raise FieldError("directions", "must hold `maximize` or `minimize`", direction)
    values = np.array(points, dtype=float, ndmin=2)
    if values.size == 0:
        return np.zeros((0, len(directions)))
    if values.ndim != 2 or values.shape[1] != len(directions):
        raise FieldError("points", f"must have shape [points, {len(directions)}]", values.shape)
    if not np.isfinite(values).all():
        raise FieldError("points", "must be finite", values[~np.isfinite(values).all(axis=1)][0].tolist())
    return values * np.array([1.0 if direction == "minimize" else -1.0 for direction in directions])
