"""The trials of a search that have ended: what the sampler learns of them, and the front that they make."""

import re
import statistics
from collections.abc import Mapping

from mtl_search.errors import AllFailedError
from mtl_search.metrics.pareto import COSTS
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.front import front_of, near_front
from mtl_search.runs.status import reaches
from mtl_search.runs.trial import State, Trial
from mtl_search.samplers.study import Study
from mtl_search.searching.running import excess, objective_value
from mtl_search.spaces.experiment import Experiment

ALIKE = 5
"""Trials that fail with the same reason before any other end, after which the search gives up: few, so that a mistake
in the data or in one's own code costs minutes; more than one, as a single candidate may be too large for the memory."""


class EndedTrials:
    """The trials of a search that have ended.

    :param experiment: The experiment of the search: objectives, constraints, target.
    :param study: The study that proposes the candidates, told of every end.
    """

    def __init__(self, experiment: Experiment, study: Study) -> None:
        self.experiment, self.study = experiment, study
        self.complete: list[Trial] = []
        self.front: tuple[Trial, ...] = ()
        self.near: tuple[Trial, ...] = ()
        """Whose weights are kept: the means of some of them make the front."""
        self.reached = False
        """Whether a complete trial is as good as the target."""
        self._curves: dict[int, Mapping[int, EpochRow]] = {}
        self._failures: list[str] | None = []
        """Reasons of the failures so far, as long as there was no other end."""

    def add(self, trial: Trial, curve: Mapping[int, EpochRow], tell: bool) -> None:
        """Take note of a trial, and let the sampler learn from it.

        :param curve: Epoch -> what was noted after it.
        :param tell: Whether the study has still to be told; it has not if the trial ended in this process.
        """
        proposal, study = trial.proposal, self.study
        if trial.state is State.INFEASIBLE:
            learn_broken = study.tell_infeasible if tell else study.remember_infeasible
            learn_broken(proposal, excess(trial, self.experiment))
        elif trial.state is State.FAILED:
            if self._failures is not None:
                self._failures.append(trial.error)
            if tell:
                study.tell_failed(proposal, trial.error)
        elif trial.state is State.STOPPED:
            self._failures = None
            learn = study.tell_stopped if tell else study.remember_stopped
            learn(proposal, self._extrapolated(trial))
        else:
            self._failures = None
            self._complete(trial, curve)
            learn = study.tell if tell else study.remember_values
            learn(proposal, [objective_value(trial, name) for name in self.experiment.objectives])

    def near_with(self, trial: Trial) -> tuple[Trial, ...]:
        """The complete trials near the front, once another one is complete."""
        return near_front([*self.near, trial], self.experiment.objectives, self.experiment.constraints.qualities())

    def check_failures(self, reason: str) -> None:
        """Give up a search in which nothing but the same failure happened.

        :param reason: The reason of the last failure.
        :raises AllFailedError: If all trials so far failed, alike.
        """
        if self._failures and len(self._failures) == ALIKE and len({_outline(one) for one in self._failures}) == 1:
            raise AllFailedError(ALIKE, reason)

    def _complete(self, trial: Trial, curve: Mapping[int, EpochRow]) -> None:
        objectives, qualities = self.experiment.objectives, self.experiment.constraints.qualities()
        self.complete.append(trial)
        self.reached = self.reached or reaches([trial], self.experiment.search.target)
        self.front = front_of([*self.front, trial], objectives, qualities)  # what is not on it now will never be
        self.near = self.near_with(trial)
        self._curves[trial.number] = curve

    def _extrapolated(self, trial: Trial) -> list[float]:
        """The objectives of a stopped trial at the full budget: plus what complete trials gained since that epoch.

        The median gain; nothing is added before a trial is complete.
        """
        found = []
        for name in self.experiment.objectives:
            value = objective_value(trial, name)
            if name not in COSTS:
                value += statistics.median(self._gains(name, trial.epochs) or [0.0])
            found.append(value)
        return found

    def _gains(self, name: str, epoch: int) -> list[float]:
        """What complete trials gained in a quality from an epoch to their end."""
        rows = [(trial, self._curves[trial.number].get(epoch)) for trial in self.complete]
        early = [(trial.value(name), row.value(name)) for trial, row in rows if row is not None]
        return [float(end) - start for end, start in early if end is not None and start is not None]


def _outline(reason: str) -> str:
    """A reason without its numbers, which differ between failures that are alike."""
    return re.sub(r"\d+", "#", reason)
