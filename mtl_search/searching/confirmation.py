"""Confirms what a search found: trains the promising trials again, with other seeds."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mtl_search.datasets import Dataset
from mtl_search.evaluation import Report, entrant_of, mean_quality, worst_quality, wrong_scores
from mtl_search.execution.jobs import Job, Source
from mtl_search.internal.seeds import derived_seed
from mtl_search.runs.chances import promising
from mtl_search.runs.confirmations import Confirmation
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.status import hours_spent
from mtl_search.runs.writer import RunWriter
from mtl_search.searching.loop import SearchLoop
from mtl_search.searching.progress import Progress
from mtl_search.spaces.experiment import Experiment


def confirmation_seed(seed: int, number: int) -> int:
    """The seed of the n-th confirmation of a trial, from 0; none that a comparison takes, which counts from 0.

    :param seed: Seed of the search; those of the confirmations follow from it.
    """
    return derived_seed(seed, f"confirmation {number}")


def searching_part(experiment: Experiment) -> Experiment:
    """The experiment with the budget that is left to the search itself: what confirming takes is kept back."""
    search = experiment.search
    if search.confirm is None:
        return experiment
    trials = search.trials - search.confirm.trainings
    hours = {} if search.hours is None else {"hours": search.hours * trials / search.trials}
    return experiment.changed({"search": {"trials": trials, "confirm": None, **hours}})


def confirm(campaign: SearchLoop, run_jobs: Callable[[Source], None]) -> None:
    """Do the trainings that confirm what a search found, once it has ended; nothing where none are wanted."""
    source = Confirming(load_run(campaign.writer.path), campaign.dataset, campaign.writer, campaign.progress)
    if source.wanted:
        run_jobs(source)


class Confirming:
    """The trainings that confirm what a search found. A source for the engine.

    Which trials are promising is computed from ``trials.csv`` alone, so one that was cut off goes on alike. A training
    that was cut off begins again.

    :param run: The run as it stands after the search.
    :param dataset: What is trained on, and measured on its split ``val``.
    :param writer: Writes the files of the run's folder.
    :param progress: Shows how many confirmations are done.
    """

    def __init__(self, run: Run, dataset: Dataset, writer: RunWriter, progress: Progress) -> None:
        self.run, self.dataset, self.writer, self.progress = run, dataset, writer, progress
        self.wanted = wanted(run)
        self.next = self.ended = 0
        hours = run.experiment.search.hours
        self.deadline = math.inf if hours is None else time.monotonic() + 3600 * (hours - hours_spent(run))

    def ask(self) -> Job | None:
        """The next training; ``None`` after the last, and when the time is up."""
        if self.next == len(self.wanted) or time.monotonic() >= self.deadline:
            return None
        number, self.next = self.next, self.next + 1
        trial = self.run.trial(self.wanted[number].trial)
        what = entrant_of(trial.proposal) if trial.training else trial.architecture
        return Job(number, what, self.wanted[number].seed)

    def report(self, number: int, report: Report) -> bool:
        """An epoch of a training, or its end; whether it is to go on."""
        if not report.done:
            return time.monotonic() < self.deadline
        tasks, experiment = self.dataset.tasks, self.run.experiment
        if wrong := wrong_scores(tasks, report):
            self.fail(number, wrong)
            return False
        worst = worst_quality(tasks, report.scores) if experiment.measures_worst_task else None
        accuracy = mean_quality(tasks, report.scores, experiment.task_weights)
        self._end(
            replace(
                self.wanted[number],
                epochs=report.epoch,
                seconds=report.seconds,
                accuracy=accuracy,
                scores=dict(report.scores),
                worst_task=worst,
            )
        )
        return False

    def fail(self, number: int, reason: str) -> None:
        """A training ended by an error; nothing is learned from it."""
        self._end(replace(self.wanted[number], error=reason))

    def _end(self, found: Confirmation) -> None:
        self.writer.add_confirmation(found)
        self.ended += 1
        told = f"FAILED: {found.error}" if found.accuracy is None else f"{found.accuracy:.1%}"
        before = self.run.trial(found.trial).accuracy
        self.progress.say(
            f"[{self.ended}/{len(self.wanted)} confirmations] trial {found.trial} again, another seed: {told}"
            + (f" (was {before:.1%})" if before is not None else "")
        )


def wanted(run: Run) -> Sequence[Confirmation]:
    """The confirmations that a run is still to have, each as it is before it is trained."""
    settings = run.experiment.search.confirm
    if settings is None:
        return []
    done = {(one.trial, one.seed) for one in run.again}
    seeds = [confirmation_seed(run.experiment.search.seed, number) for number in range(settings.seeds)]
    trials = promising(run.beliefs_of_search, settings.top)
    each = [Confirmation(trial, seed) for seed in seeds for trial in trials]
    return [one for one in each if (one.trial, one.seed) not in done]
