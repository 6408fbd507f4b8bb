"""The front of a search: which of its complete trials are on it, where it bends, and which of it is the best."""

from collections.abc import Mapping, Sequence

import numpy as np

from mtl_search.metrics.pareto import COSTS, LEAST_BEND, axis_value, bend, direction_of, front_mask, knee
from mtl_search.runs.trial import Trial

MOST_LOST = 0.5
"""What a knee may give up of the quality that its front spans. Where a few cheap networks learn almost nothing, a front
bends below its middle, too; nobody would take one of these."""


def keeps(trial: Trial, limits: Mapping[str, float]) -> bool:
    """Whether a complete trial keeps limits on qualities.

    :param limits: Quality -> the least that it must be; of an error the largest.
    """
    return all(_reaches(trial, name, limit) for name, limit in limits.items())


def front_of(
    trials: Sequence[Trial], objectives: Sequence[str], limits: Mapping[str, float] | None = None
) -> tuple[Trial, ...]:
    """The trials that no other one dominates, cheapest first; of trials with equal values the first.

    :param limits: On qualities, as :func:`keeps` has them: the front is of the trials that keep them, but of all where
        none does.
    """
    trials = [trial for trial in trials if keeps(trial, limits or {})] or trials
    if not trials:
        return ()
    on_front = front_mask(_points(trials, objectives), [direction_of(name) for name in objectives])
    first_of = {tuple(_points([trial], objectives)[0]): trial for trial in reversed(trials)}
    front = [trial for trial, on in zip(trials, on_front, strict=True) if on and trial in first_of.values()]
    return tuple(sorted(front, key=lambda trial: (trial.learnable_parameters, trial.number)))


def knee_of(front: Sequence[Trial], objectives: Sequence[str]) -> Trial | None:
    """The trial at which a front bends, on the axes of the plots: after it more cost stops to pay.

    Of several qualities the mean counts, and so of several costs, each scaled to 0..1 over the front.

    :param front: At least one trial.
    :returns: ``None`` where the front bends less than ``LEAST_BEND`` in the upper half of its qualities.
    """
    losses = np.array([_losses(trial, objectives) for trial in front])
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    is_cost = np.array([name in COSTS for name in objectives])
    points = np.stack([scaled[:, ~is_cost].mean(axis=1), scaled[:, is_cost].mean(axis=1)], axis=1)
    looked_at = np.flatnonzero((points[:, 0] <= MOST_LOST) | (points == 0).any(axis=1))  # the ends say how it bends
    if bend(points[looked_at], ["minimize", "minimize"]) < LEAST_BEND:
        return None
    return front[looked_at[knee(points[looked_at], ["minimize", "minimize"])]]


def best_of(front: Sequence[Trial], objectives: Sequence[str]) -> Trial:
    """The trial with the best first quality; of equal ones the first."""
    quality = next(name for name in objectives if name not in COSTS)
    return min(front, key=lambda trial: _losses(trial, [quality]))


def _reaches(trial: Trial, quality: str, limit: float) -> bool:
    value = trial.value(quality)
    if value is None:
        return False
    return value >= limit if direction_of(quality) == "maximize" else value <= limit


def _losses(trial: Trial, objectives: Sequence[str]) -> list[float]:
    """Values on the axes of their objectives, lower is better."""
    signs = [1.0 if direction_of(name) == "minimize" else -1.0 for name in objectives]
    (values,) = _points([trial], objectives)
    return [sign * axis_value(name, value) for sign, name, value in zip(signs, objectives, values, strict=True)]


def _points(trials: Sequence[Trial], objectives: Sequence[str]) -> list[list[float]]:
    points = [[trial.value(name) for name in objectives] for trial in trials]
    return [[float("nan") if value is None else float(value) for value in point] for point in points]
