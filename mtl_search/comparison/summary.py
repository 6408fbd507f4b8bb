"""What each entrant of a comparison came to, over its seeds: means, intervals, differences to one of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from mtl_search.comparison.results import (
    REFERENCE,
    Comparison,
    Outcome,
    is_twin,
    outcome_folder,
    reference_headlines,
)
from mtl_search.errors import RunFolderError
from mtl_search.internal.layout import DETAILS
from mtl_search.metrics.intervals import Bounds, Interval, interval, paired_difference
from mtl_search.metrics.relative_gain import delta_m_bounds
from mtl_search.metrics.scores import bounds, quality_bounds, shown
from mtl_search.runs.folder import Run

HARD_SHARING = "hard_sharing"
"""The entrant that costs of training are told in multiples of."""
MATCHED = "matched:"


@dataclass(frozen=True)
class EntrantSummary:
    """An entrant, and what came out of its complete trainings.

    :param key: Name of the entrant in ``comparison.json``.
    :param about: What ``comparison.json`` says of the entrant: plain data.
    :param outcomes: The entrant's complete trainings, by seed.
    :param details: ``details`` of each complete training, in the order of ``outcomes``.
    :param gain_bounds: Seed -> the least and the most that Delta_m can be over the single-task networks of that seed.
    """

    key: str
    about: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    details: tuple[Mapping[str, Any], ...] = field(repr=False)
    gain_bounds: Mapping[int, Bounds] = field(repr=False)

    @property
    def label(self) -> str:
        """Its name for reading: ``trial 17``, ``interrogate 0.3``."""
        if self.about["kind"] == "control":
            return f"{self.about['recipe']} {self.about['trial']}"
        if self.is_pick:
            return f"trial {self.about['trial']}"
        return self.key.replace("_", " ").replace("@", " ")

    @property
    def is_pick(self) -> bool:
        """Whether it comes from the front of the search."""
        return bool(self.about["kind"] == "pick")

    @property
    def method(self) -> str:
        """Name of its method."""
        return str(self.about["method"])

    @property
    def balancing(self) -> str:
        """Name of its balancing."""
        balancing = self.about["balancing"]
        return str(balancing["name"] if isinstance(balancing, Mapping) else balancing)

    @property
    def matched(self) -> list[str]:
        """The baselines whose parameters it was picked to match."""
        return [name.removeprefix(MATCHED) for name in self.about.get("picks", []) if name.startswith(MATCHED)]

    @property
    def accuracy(self) -> Interval | None:
        """Mean quality over tasks, at most 1; ``None`` without a complete training."""
        return self.over_seeds([outcome.accuracy for outcome in self.outcomes], self.quality_bounds)

    @property
    def quality_bounds(self) -> Bounds:
        """The least and the most that its mean quality over tasks can be."""
        return quality_bounds(self.outcomes[0].scores if self.outcomes else ())

    @property
    def delta_m(self) -> Interval | None:
        """Gain over single-task networks in percent, of the seeds that these were trained with, too.

        Seed by seed, so that the reference's own spread is in the interval; see
        :func:`~mtl_search.comparison.results.with_delta_m`. The single-task networks themselves are at 0 by definition,
        without an interval. ``None`` without a common seed.
        """
        values = {outcome.seed: outcome.delta_m for outcome in self.outcomes if outcome.delta_m is not None}
        if not values:
            return None
        if self.key == REFERENCE:
            return Interval(0.0, None, None, len(values))
        least, most = zip(*(self.gain_bounds[seed] for seed in values), strict=True)
        return interval(list(values.values()), (_mean_or_none(least), _mean_or_none(most)))

    def score(self, name: str) -> Interval | None:
        """One score, ``<task>/<metric>``."""
        return self.over_seeds([outcome.scores.get(name) for outcome in self.outcomes], bounds(name))

    def over_seeds(self, values: Sequence[float | None], limits: Bounds = (None, None)) -> Interval | None:
        """Mean and interval within these limits, unless a value is missing."""
        known = [value for value in values if value is not None]
        return interval(known, limits) if known and len(known) == len(values) else None

    def mean(self, cost: str) -> float:
        """Mean over seeds of a cost, a field of :class:`~.results.Outcome`; needs a complete training."""
        return fmean(getattr(outcome, cost) for outcome in self.outcomes)

    def phases(self) -> dict[str, dict[str, float]]:
        """Name of each phase of its training -> ``epochs``, ``samples``, ``seconds``, ``macs``: means over seeds."""
        found: dict[str, dict[str, float]] = {}
        names = dict.fromkeys(name for details in self.details for name in details["phases"])
        for name in names:
            of_seeds = [details["phases"].get(name, {}) for details in self.details]
            found[name] = {
                cost: fmean(of_seed.get(cost, 0) for of_seed in of_seeds)
                for cost in ("epochs", "samples", "seconds", "macs")
            }
        return found


@dataclass(frozen=True)
class Difference:
    """How an entrant differs from another one in mean quality, on the same seeds.

    :param entrant: The entrant that is compared with the other one.
    :param points: Entrant minus the other, in points (hundredths of the quality); ``None`` without a common seed.
    """

    entrant: EntrantSummary
    points: Interval | None


def entrants_of(comparison: Comparison) -> list[EntrantSummary]:
    """All entrants in the order they were asked for, those without a complete training too, but no twins.

    :raises RunFolderError: If the details of a complete training cannot be read.
    """
    gains = _gain_bounds(comparison)
    return [_entrant(comparison, about, gains) for about in comparison.request["entrants"] if not is_twin(about)]


def twins_of(comparison: Comparison) -> dict[str, EntrantSummary]:
    """Entrant -> its twin, the same trained at equal compute; see :mod:`~mtl_search.comparison.budget`.

    :raises RunFolderError: As :func:`entrants_of`.
    """
    gains = _gain_bounds(comparison)
    twins = [about for about in comparison.request["entrants"] if is_twin(about)]
    return {about["twin_of"]: _entrant(comparison, about, gains) for about in twins}


def _gain_bounds(comparison: Comparison) -> dict[int, Bounds]:
    references = reference_headlines(comparison.outcomes)
    return {seed: delta_m_bounds(list(scores), list(scores.values())) for seed, scores in references.items()}


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _entrant(comparison: Comparison, about: Mapping[str, Any], gains: Mapping[int, Bounds]) -> EntrantSummary:
    outcomes = comparison.of(about["key"])
    details = tuple(comparison.details(about["key"], outcome.seed) for outcome in outcomes)
    for outcome, own in zip(outcomes, details, strict=True):
        if _tells_of(own) != _tells_of(details[0]):
            place = outcome_folder(comparison.path, about["key"], outcome.seed) / DETAILS
            raise RunFolderError(
                f"{place}: tells of other tasks or layers than that of seed {outcomes[0].seed}. "
                "Put it back from a copy."
            )
    return EntrantSummary(about["key"], about, outcomes, details, gains)


def _tells_of(details: Mapping[str, Any]) -> Any:
    """The tasks and layers that details are about, in which the seeds of an entrant are alike."""
    shares = {task: set(layers) for task, layers in details.get("share", {}).items()}
    return shares, set(details.get("branch_points", {}))


def score_names(comparison: Comparison) -> list[str]:
    """The scores that stand for the tasks: the headline of each, and what was measured in a simulation."""
    return shown(name for outcome in comparison.outcomes for name in outcome.scores)


def by_key(entrants: Sequence[EntrantSummary], key: str) -> EntrantSummary | None:
    """The entrant of that name, if it has a complete training."""
    return next((one for one in entrants if one.key == key and one.outcomes), None)


def single_task(entrants: Sequence[EntrantSummary]) -> EntrantSummary | None:
    """The networks for one task each, if they were trained."""
    return by_key(entrants, REFERENCE)


def anchor(run: Run, entrants: Sequence[EntrantSummary]) -> EntrantSummary | None:
    """The entrant that all others are compared with.

    The pick with the best accuracy *in the search*, on the validation split: nothing is chosen by the numbers that are
    compared. Without picks the entrant with the best accuracy here, which is.
    """
    trained = [one for one in entrants if one.outcomes]
    picks = [one for one in trained if one.is_pick]
    if picks:
        return max(picks, key=lambda pick: run.trial(pick.about["trial"]).accuracy or -math.inf)
    return max(trained, key=_mean_accuracy, default=None)


def _mean_accuracy(entrant: EntrantSummary) -> float:
    return entrant.accuracy.mean if entrant.accuracy else -math.inf


def nearest_in_size(entrant: EntrantSummary, others: Sequence[EntrantSummary]) -> EntrantSummary | None:
    """Of the others the one whose number of learnable parameters is nearest, as a ratio."""
    own = math.log(entrant.mean("learnable_parameters"))
    return min(
        (one for one in others if one.outcomes),
        key=lambda one: abs(math.log(one.mean("learnable_parameters")) - own),
        default=None,
    )


def difference(entrant: EntrantSummary, other: EntrantSummary) -> Difference:
    """Entrant minus other, seed by seed, over the seeds that both completed."""
    least, most = entrant.quality_bounds
    limits = (None, None) if least is None or most is None else (least - most, most - least)
    points = difference_of(qualities_by_seed(entrant), qualities_by_seed(other), limits)
    return Difference(entrant, points and points.scaled(100))


def difference_of(
    own: Mapping[int, float], theirs: Mapping[int, float], limits: Bounds = (None, None)
) -> Interval | None:
    """Mean and interval of own minus theirs over the seeds that both have; ``None`` without any.

    :param own: Seed -> value of the one that is looked at.
    :param theirs: Seed -> value of the other one, which is subtracted.
    :param limits: The least and the most that a difference can be.
    """
    seeds = sorted(own.keys() & theirs.keys())
    if not seeds:
        return None
    return paired_difference([own[seed] for seed in seeds], [theirs[seed] for seed in seeds], limits)


def qualities_by_seed(entrant: EntrantSummary) -> dict[int, float]:
    """Seed -> mean quality over tasks, of the complete trainings."""
    return {outcome.seed: outcome.accuracy for outcome in entrant.outcomes if outcome.accuracy is not None}
