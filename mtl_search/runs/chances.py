"""How likely a trial is truly what it is taken for: the best, the knee, one of the front."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtl_search.metrics.pareto import COSTS, axis_value, direction_of, front_mask
from mtl_search.metrics.posterior import DRAWS
from mtl_search.runs.belief import Beliefs
from mtl_search.runs.front import front_of, knee_among


@dataclass(frozen=True)
class Chances:
    """Number of each complete trial -> the chance that it is truly this, if all means over seeds were known.

    :param best: Chance that it is the best of the front in the first quality.
    :param knee: Chance that it is the knee of the front; these add up to the chance that it has one.
    :param front: Chance that it is on the front.
    """

    best: Mapping[int, float]
    knee: Mapping[int, float]
    front: Mapping[int, float]


def chances(beliefs: Beliefs) -> Chances | None:
    """The chances of the complete trials, by drawing means as they may be; ``None`` where nothing is known of these.

    Qualities are drawn independently of one another.
    """
    experiment, trials = beliefs.experiment, beliefs.complete
    limits = experiment.constraints.qualities()
    names = list(dict.fromkeys([*experiment.objectives, *limits]))
    qualities = [name for name in names if name not in COSTS]
    if not trials or any(beliefs.of(name).source == "trained" for name in qualities):
        return None
    signs = {name: 1.0 if direction_of(name) == "minimize" else -1.0 for name in names}
    losses = {
        name: signs[name] * (beliefs.of(name).draws(place, DRAWS) if name in qualities else _costs(beliefs, name))
        for place, name in enumerate(names)
    }
    kept = np.ones((DRAWS, len(trials)), bool)
    for name, limit in limits.items():
        kept &= losses[name] <= signs[name] * limit
    kept |= ~kept.any(axis=1, keepdims=True)
    wanted = np.stack([losses[name] for name in experiment.objectives], axis=2)
    return _counted(wanted, kept, [name in COSTS for name in experiment.objectives], [one.number for one in trials])


def _counted(wanted: NDArray[np.float64], kept: NDArray[np.bool_], is_cost: list[bool], numbers: list[int]) -> Chances:
    """
    :param wanted: ``[draws, trials, objectives]``, losses.
    :param kept: ``[draws, trials]``: which keep the limits.
    """
    best, knee, front = (np.zeros(len(numbers)) for _ in range(3))
    quality = is_cost.index(False)
    for losses, inside in zip(wanted, kept, strict=True):
        places = np.flatnonzero(inside)
        places = places[front_mask(losses[places], ["minimize"] * len(is_cost))]
        front[places] += 1
        best[places[losses[places, quality].argmin()]] += 1
        bent = knee_among(losses[places], is_cost)
        if bent is not None:
            knee[places[bent]] += 1
    shares = (dict(zip(numbers, (counts / len(wanted)).tolist(), strict=True)) for counts in (best, knee, front))
    return Chances(*shares)


def _costs(beliefs: Beliefs, name: str) -> NDArray[np.float64]:
    """``[draws, trials]``, on the axis of the cost."""
    row = [axis_value(name, float(trial.value(name) or 0.0)) for trial in beliefs.complete]
    return np.broadcast_to(np.array(row), (DRAWS, len(row)))


def promising(beliefs: Beliefs, top: int) -> list[int]:
    """The numbers of the complete trials that most likely are the best or the knee, the likeliest first.

    Where nothing is known of means: the best of the front, and what comes after it in quality.

    :param top: How many; fewer where there are fewer.
    """
    experiment, found = beliefs.experiment, chances(beliefs)
    quality = next(name for name in experiment.objectives if name not in COSTS)
    sign = 1.0 if direction_of(quality) == "minimize" else -1.0
    losses = {trial.number: sign * float(beliefs.value(trial, quality) or 0.0) for trial in beliefs.complete}
    if found is not None:
        wanted = {number: found.best[number] + found.knee[number] for number in losses}
    else:
        limits = experiment.constraints.qualities()
        front = front_of(beliefs.complete, experiment.objectives, limits, beliefs.value)
        wanted = {number: float(number in {trial.number for trial in front}) for number in losses}
    return sorted(losses, key=lambda number: (-wanted[number], losses[number], number))[:top]
