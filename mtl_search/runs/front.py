"""The front of a search: which of its complete trials are on it, where it bends, and which of it is the best."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mtl_search.metrics.pareto import COSTS, LEAST_BEND, axis_value, bend, direction_of, front_mask, knee
from mtl_search.runs.trial import Trial

Value = Callable[[Trial, str], float | None]
"""The value of an objective of a trial: as it was measured, or what is believed of its mean."""

SPARE = 6
"""So many others dominate a trial that no mean makes up for."""
MOST_LOST = 0.5
"""What a knee may give up of the quality that its front spans. Where a few cheap networks learn almost nothing, a front
bends below its middle, too; nobody would take one of these."""


def keeps(trial: Trial, limits: Mapping[str, float], value: Value = Trial.value) -> bool:
    """Whether a complete trial keeps limits on qualities.

    :param limits: Quality -> the least that it must be; of an error the largest.
    """
    return all(_reaches(value(trial, name), name, limit) for name, limit in limits.items())


def front_of(
    trials: Sequence[Trial],
    objectives: Sequence[str],
    limits: Mapping[str, float] | None = None,
    value: Value = Trial.value,
) -> tuple[Trial, ...]:
    """The trials that no other one dominates, cheapest first; of trials with equal values the first.

    :param limits: On qualities, as :func:`keeps` has them: the front is of the trials that keep them, but of all where
        none does.
    """
    trials = [trial for trial in trials if keeps(trial, limits or {}, value)] or trials
    if not trials:
        return ()
    on_front = front_mask(points := _points(trials, objectives, value), [direction_of(name) for name in objectives])
    first_of = {tuple(point): trial for point, trial in zip(reversed(points), reversed(trials), strict=True)}
    front = [trial for trial, on in zip(trials, on_front, strict=True) if on and trial in first_of.values()]
    return tuple(sorted(front, key=lambda trial: (trial.learnable_parameters, trial.number)))


def near_front(
    trials: Sequence[Trial], objectives: Sequence[str], limits: Mapping[str, float] | None = None
) -> tuple[Trial, ...]:
    """The trials that may come to be on the front once more is known of their means: few others dominate them.

    By values as measured. What is not among them will never be, however many trials are added.

    :param limits: Cost -> largest value allowed, as for :func:`front_of`.
    """
    trials = [trial for trial in trials if keeps(trial, limits or {})] or trials
    losses = np.array([_losses(trial, objectives, Trial.value) for trial in trials])
    no_worse = (losses[None] <= losses[:, None]).all(axis=2)
    dominators = (no_worse & ~no_worse.T).sum(axis=1)
    return tuple(trial for trial, count in zip(trials, dominators, strict=True) if count < SPARE)


def knee_of(front: Sequence[Trial], objectives: Sequence[str], value: Value = Trial.value) -> Trial | None:
    """The trial at which a front bends, on the axes of the plots: after it more cost stops to pay.

    Of several qualities the mean counts, and so of several costs, each scaled to 0..1 over the front.

    :param front: Trials of the front, at least one.
    :returns: ``None`` where the front bends less than ``LEAST_BEND`` in the upper half of its qualities.
    """
    losses = np.array([_losses(trial, objectives, value) for trial in front])
    found = knee_among(losses, [name in COSTS for name in objectives])
    return None if found is None else front[found]


def knee_among(losses: NDArray[np.float64], is_cost: Sequence[bool]) -> int | None:
    """As :func:`knee_of`, of numbers.

    :param losses: ``[points, objectives]`` of a front, on the axes of the plots, lower is better.
    :param is_cost: Whether an objective is a cost, for each of them.
    :returns: The index of the point.
    """
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    costs = np.array(is_cost)
    points = np.stack([scaled[:, ~costs].mean(axis=1), scaled[:, costs].mean(axis=1)], axis=1)
    looked_at = np.flatnonzero((points[:, 0] <= MOST_LOST) | (points == 0).any(axis=1))  # the ends say how it bends
    if bend(points[looked_at], ["minimize", "minimize"]) < LEAST_BEND:
        return None
    return int(looked_at[knee(points[looked_at], ["minimize", "minimize"])])


def best_of(front: Sequence[Trial], objectives: Sequence[str], value: Value = Trial.value) -> Trial:
    """The trial with the best first quality; of equal ones the first."""
    quality = next(name for name in objectives if name not in COSTS)
    return min(front, key=lambda trial: _losses(trial, [quality], value))


def _reaches(value: float | None, quality: str, limit: float) -> bool:
    if value is None:
        return False
    return value >= limit if direction_of(quality) == "maximize" else value <= limit


def _losses(trial: Trial, objectives: Sequence[str], value: Value) -> list[float]:
    """Values on the axes of their objectives, lower is better."""
    signs = [1.0 if direction_of(name) == "minimize" else -1.0 for name in objectives]
    (values,) = _points([trial], objectives, value)
    return [sign * axis_value(name, one) for sign, name, one in zip(signs, objectives, values, strict=True)]


def _points(trials: Sequence[Trial], objectives: Sequence[str], value: Value) -> list[list[float]]:
    points = [[value(trial, name) for name in objectives] for trial in trials]
    return [[float("nan") if one is None else float(one) for one in point] for point in points]
