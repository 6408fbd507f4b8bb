"""What is believed of the trials of a run: the means over seeds of their qualities, and how sure that is.

A single training is a lucky one or an unlucky one, and the best of many is most of all lucky. So the front and what is
picked from it go by means: those of a Gaussian process over the choices, the training values and the costs of the
complete trials, which learns of every training, and of each confirmation. Where it explains nothing, or there are few
trials, values stand as trained, or as means over the trainings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mtl_search.metrics.pareto import COSTS, axis_value, best_first, direction_of
from mtl_search.metrics.posterior import Array, Posterior, Trained, posterior
from mtl_search.runs.confirmations import Confirmation
from mtl_search.runs.trial import Trial
from mtl_search.spaces.experiment import Experiment

LEAST_TRIALS = 8
"""With fewer complete trials the model is not asked: with six, chance explains 64 % of the variance in one case of
20."""
NORMAL_95 = 1.96
"""Standard errors to each side of a mean that hold 95 % of a normal distribution."""
CHANCE = NORMAL_95**2
"""Over the number of trials, the share of their variance that is explained by chance in one case of 20: the square of a
correlation, 1.96 ** 2 / n. A model that explains no more is not believed."""
MOST = 300
"""Trials that the model is made from, the best ones: its cost grows with their third power. Others, which are far from
the front, keep their values as trained."""


@dataclass(frozen=True)
class Estimate:
    """What is believed of a quality of a trial.

    :param mean: Expected quality, the mean over seeds.
    :param error: Standard deviation of what is believed of the mean; ``None`` where nothing says how sure it is.
    :param trainings: How many there were of this trial.
    """

    mean: float
    error: float | None
    trainings: int = 1

    @property
    def bar(self) -> float | None:
        """Half the length of a 95 % interval."""
        return None if self.error is None else NORMAL_95 * self.error


@dataclass(frozen=True)
class Belief:
    """What is believed of one quality of the complete trials.

    :param estimates: Number of a trial -> estimate.
    :param source: ``model``; ``means`` over trainings, where a model explains nothing; or ``trained``, the values of
        single trainings.
    :param reason: Why it is no model; empty if it is one.
    :param explained: Share of the variance between trials that the others explain; ``None`` where it was not looked at.
    """

    estimates: Mapping[int, Estimate]
    source: str
    reason: str = ""
    explained: float | None = None
    model: Posterior | None = field(default=None, repr=False)
    modelled: tuple[int, ...] = ()

    def draws(self, seed: int, count: int) -> Array:
        """Means as they may be, ``[count, trials]`` in the order of the estimates. The same seed draws the same."""
        means = np.array([one.mean for one in self.estimates.values()])
        errors = np.array([one.error or 0.0 for one in self.estimates.values()])
        drawn = means + errors * np.random.default_rng(seed).standard_normal((count, len(means)))
        if self.model is not None:
            places = [list(self.estimates).index(number) for number in self.modelled]
            drawn[:, places] = self.model.draws(seed, count)
        return np.asarray(drawn)


class Beliefs:
    """What is believed of every quality that a search has as an objective or a limit, and of the mean over tasks.

    :param experiment: Experiment of the run.
    :param complete: Complete trials of the run.
    :param confirmations: Confirmations of any of these trials; those that failed tell nothing.
    """

    def __init__(
        self, experiment: Experiment, complete: Sequence[Trial], confirmations: Sequence[Confirmation] = ()
    ) -> None:
        self.experiment, self.complete = experiment, tuple(complete)
        self.confirmations = [one for one in confirmations if not one.error]
        self._found: dict[str, Belief] = {}

    def of(self, quality: str) -> Belief:
        """What is believed of a quality that every complete trial has a value of."""
        if quality not in self._found:
            self._found[quality] = self._believed(quality)
        return self._found[quality]

    def value(self, trial: Trial, objective: str) -> float | None:
        """The mean of a quality of a complete trial; of other trials, and of a cost, the value as it was measured."""
        value = trial.value(objective)
        if value is None or objective in COSTS:
            return value
        estimate = self.of(objective).estimates.get(trial.number)
        return value if estimate is None else estimate.mean

    def _believed(self, quality: str) -> Belief:
        values = {trial.number: [value] for trial in self.complete if (value := trial.value(quality)) is not None}
        for one in self.confirmations:
            if one.trial in values and (value := one.value(quality)) is not None:
                values[one.trial].append(value)
        modelled = [number for number in self._best if number in values]
        if len(modelled) < LEAST_TRIALS:
            return _without_model(values, f"there are fewer than {LEAST_TRIALS} complete trials")
        model = posterior(_trained(np.array([self._features[number] for number in modelled]), values, modelled))
        if model.explained <= CHANCE / len(modelled):
            reason = "choices and costs tell no more of it than chance would"
            return _without_model(values, reason, model.explained)
        estimates = _plain(values)
        told = zip(modelled, model.mean.tolist(), model.deviation.tolist(), strict=True)
        estimates |= {number: Estimate(mean, error, len(values[number])) for number, mean, error in told}
        return Belief(estimates, "model", "", model.explained, model, tuple(modelled))

    @cached_property
    def _best(self) -> list[int]:
        """The numbers of the trials that the model is made from."""
        inside = [trial for trial in self.complete if self.space.contains(trial.proposal)]
        if len(inside) > MOST:
            names = self.experiment.objectives
            points = [[axis_value(name, float(trial.value(name) or 0.0)) for name in names] for trial in inside]
            order = best_first(points, [direction_of(name) for name in names])[:MOST]
            inside = [inside[place] for place in sorted(order)]
        return [trial.number for trial in inside]

    @cached_property
    def _features(self) -> dict[int, list[float]]:
        return {
            trial.number: [*self.space.features(trial.proposal), *_logarithms(trial)]
            for trial in self.complete
            if trial.number in set(self._best)
        }

    @cached_property
    def space(self) -> Any:
        """What the search chose from."""
        return self.experiment.proposal_space


def _logarithms(trial: Trial) -> list[float]:
    return [axis_value(name, getattr(trial, name)) for name in ("learnable_parameters", "macs")]


def _trained(features: Array, values: Mapping[int, Sequence[float]], numbers: Sequence[int]) -> Trained:
    means = np.array([np.mean(values[number]) for number in numbers])
    counts = np.array([float(len(values[number])) for number in numbers])
    return Trained(features, means, counts, sum(_squares(values[number]) for number in numbers))


def _without_model(values: Mapping[int, Sequence[float]], reason: str, explained: float | None = None) -> Belief:
    again = any(len(some) > 1 for some in values.values())
    return Belief(_plain(values), "means" if again else "trained", reason, explained)


def _plain(values: Mapping[int, Sequence[float]]) -> dict[int, Estimate]:
    """Means over trainings; their errors by the spread of all that were trained again, taken together."""
    again = sum(len(some) - 1 for some in values.values())
    spread = math.sqrt(sum(_squares(some) for some in values.values()) / again) if again else None
    return {
        number: Estimate(float(np.mean(some)), None if spread is None else spread / math.sqrt(len(some)), len(some))
        for number, some in values.items()
    }


def _squares(values: Sequence[float]) -> float:
    """Sum of the squared distances from the mean."""
    return float(((np.array(values) - np.mean(values)) ** 2).sum())
