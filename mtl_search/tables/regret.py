"""How far a search is from the front, by what it would recommend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_search.metrics.pareto import COSTS, direction_of, front_mask
from mtl_search.metrics.posterior import Trained, posterior
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal
from mtl_search.tables.table import scaled
from mtl_search.tables.trainings import Array
from mtl_search.tables.trajectory import Observation, Trajectory

LEAST = 8
"""With fewer architectures the model is not asked, as in a run."""
CHANCE = 3.84
"""Over the number of architectures, the share of variance that chance explains in one case of 20, as in a run."""
FEATURE_COSTS = ("learnable_parameters", "macs")


@dataclass(frozen=True)
class Regret:
    """Where a search stands after some compute.

    :param spent: Compute, in trainings of a mean architecture.
    :param lost: Hypervolume that what it recommends is short of the true front's, in parts of that: 0 to 1.
    """

    spent: float
    lost: float


def regret(trajectory: Trajectory, at: Sequence[float] | None = None) -> list[Regret]:
    """The hypervolume that a search has lost against the front of means over seeds, as its compute goes on.

    What counts is what it would recommend (:func:`recommended`), valued at its means over seeds, which it never saw: a
    lucky training gains nothing, and the wrong choice by one loses. Costs have a logarithmic axis; the reference point
    is the worst of each objective among the means of the table.

    :param at: Compute after which it is asked; whenever a training was complete if left out.
    """
    asked = [one.spent for one in trajectory.observations if one.complete] if at is None else at
    table, names = trajectory.table, trajectory.objectives
    return [Regret(spent, 1 - table.volume(recommended(trajectory, spent), names)) for spent in asked]


def recommended(trajectory: Trajectory, spent: float) -> tuple[Architecture, ...]:
    """The front that a search would name after some compute, by what it has observed until then."""
    seen = trajectory.until(spent)
    if not seen:
        return ()
    architectures, values = _means(seen)
    points = np.stack([scaled(name, column) for name, column in zip(trajectory.objectives, values.T, strict=True)], 1)
    if trajectory.recommends == "model" and len(architectures) >= LEAST:
        points = _believed(trajectory, seen, architectures, points)
    on = front_mask(points, [direction_of(name) for name in trajectory.objectives])
    return tuple(architecture for architecture, is_on in zip(architectures, on, strict=True) if is_on)


def _means(seen: Sequence[Observation]) -> tuple[list[Architecture], Array]:
    """The architectures observed, and their values, means where one was observed several times."""
    of: dict[Architecture, list[tuple[float, ...]]] = {}
    for one in seen:
        of.setdefault(one.architecture, []).append(one.values)
    return list(of), np.array([np.mean(values, axis=0) for values in of.values()])


def _believed(
    trajectory: Trajectory, seen: Sequence[Observation], architectures: Sequence[Architecture], points: Array
) -> Array:
    """The points with what a model makes of their qualities; where it explains no more than chance, as observed."""
    space, table = trajectory.table.experiment.proposal_space, trajectory.table
    places = [table.place(one) for one in architectures]
    costs = [scaled(name, table.values(name)[places, 0]) for name in FEATURE_COSTS]
    choices = [list(space.features(Proposal(one))) for one in architectures]
    features = np.concatenate([np.array(choices), np.stack(costs, axis=1)], axis=1)
    counts = np.array([float(sum(one.architecture == which for one in seen)) for which in architectures])
    found = points.copy()
    for column, name in enumerate(trajectory.objectives):
        if name not in COSTS:
            model = posterior(Trained(features, points[:, column], counts))
            if model.explained > CHANCE / len(architectures):
                found[:, column] = model.mean
    return found
