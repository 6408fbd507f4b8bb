"""One search under way: proposes candidates, books what became of them, writes the run's folder."""

import math
import re
import statistics
import time
from dataclasses import dataclass, replace

from mtl_search import cost
from mtl_search.datasets import Dataset
from mtl_search.errors import AllFailedError
from mtl_search.evaluation import EvaluationOptions, Report, entrant_of, mean_quality, worst_quality, wrong_scores
from mtl_search.execution.jobs import Job
from mtl_search.internal.layout import CHECKPOINT, CHECKPOINTS
from mtl_search.metrics.pareto import COSTS, direction_of
from mtl_search.networks.network import build_model
from mtl_search.runs.environment import now
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run
from mtl_search.runs.front import front_of, near_front
from mtl_search.runs.status import reaches
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.weights import load_checkpoint
from mtl_search.runs.writer import RunWriter
from mtl_search.samplers.study import Study
from mtl_search.searching.early_stopping import SuccessiveHalving
from mtl_search.searching.progress import Progress
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import Proposal
from mtl_search.training.checkpoint import Checkpoint

INFEASIBLE_IN_A_ROW = 500
"""Candidates in a row that break a constraint, after which the search gives up."""
ALIKE = 5
"""Trials that fail with the same reason before any other end, after which the search gives up."""


@dataclass
class Candidacy:
    """A candidate that is being trained.

    :param trial: As it stands now: its costs, and what is known since its last epoch.
    :param curve: Epoch -> what was noted after it.
    :param start: The epoch whose checkpoint it goes on from; 0: from the beginning.
    """

    trial: Trial
    curve: dict[int, EpochRow]
    start: int = 0


class Campaign:
    """One search under way. A source for the engine.

    :param experiment: What is asked for.
    :param dataset: What is trained on.
    :param writer: Of the run's folder.
    :param proposals: Where candidates come from.
    :param progress: What is shown.
    :param hours_spent: In earlier calls.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        writer: RunWriter,
        proposals: Study,
        progress: Progress,
        hours_spent: float = 0.0,
    ) -> None:
        self.experiment, self.dataset, self.writer = experiment, dataset, writer
        self.proposals, self.progress = proposals, progress
        self.open: dict[int, Candidacy] = {}
        self.again: list[int] = []
        self.complete: list[Trial] = []
        self.front: tuple[Trial, ...] = ()
        self.near: tuple[Trial, ...] = ()
        """Whose weights are kept: the means of some of them make the front."""
        self.curves: dict[int, dict[int, EpochRow]] = {}
        self.failures: list[str] | None = []
        """Reasons of the failures so far, as long as there was no other end."""
        self.started = self.numbers = 0
        self.reached = False
        """Whether a complete trial is as good as the target."""
        self.exhausted = False
        """Whether there is nothing left to propose."""
        self.halving = self._scheduler()
        hours = experiment.search.hours
        self.deadline = math.inf if hours is None else time.monotonic() + 3600 * (hours - hours_spent)
        self.options = EvaluationOptions(self._scored_epochs(), checkpoints=True)

    def take_up(self, run: Run) -> None:
        """Go on with a run that was cut off, from what its folder holds.

        A trial that ended and whose end the sampler was not told is told now; one that was under way goes on from its
        checkpoint, or ends if the rung that it had reached stops it.
        """
        rows: dict[int, dict[int, EpochRow]] = {}
        for row in run.epochs:
            rows.setdefault(row.trial, {})[row.epoch] = row
        ended = [run.trial(number) for number in run.ended]
        untold = self.proposals.remember([trial.proposal for trial in ended], list(run.under_way.values()))
        for remark in self.proposals.remarks:
            self.progress.say(remark)
        begun = {number: self._new(number, proposal) for number, proposal in run.under_way.items()}
        known = {**begun, **{trial.number: trial for trial in ended}}
        for row in run.epochs:
            self._record(row, known[row.trial])
        for trial in ended:
            self._book(trial, rows.get(trial.number, {}), tell=trial.proposal in untold)
            self.progress.end(trial, self.front, shown=False)
        self.numbers = 1 + max((*run.ended, *run.under_way), default=-1)
        self.started = sum(trial.state is not State.INFEASIBLE for trial in ended)
        self.open = {number: Candidacy(begun[number], {}) for number in sorted(begun)}
        for number in sorted(begun):
            # One that has trained was let in before; a latency that is measured again must not turn it out.
            if number in rows or self._keeps_constraints(number):
                self.started += 1
                self._take_up_trial(number, rows.get(number, {}))
        self._keep_checkpoints()

    def _take_up_trial(self, number: int, curve: dict[int, EpochRow]) -> None:
        """Let a trial wait for its next worker, unless it had reached a rung that stops it."""
        candidacy, checkpoint = self.open[number], self._checkpoint(number)
        reached = checkpoint.epoch if checkpoint else 0
        if checkpoint is None and (curve or (self.writer.checkpoint(number) / CHECKPOINT).exists()):
            self._say_it_begins_again(number)
        candidacy.curve = {epoch: row for epoch, row in curve.items() if epoch <= reached}
        row = candidacy.curve.get(reached)
        if row is not None:
            candidacy.trial = replace(candidacy.trial, epochs=row.epoch, seconds=row.seconds)
            if not self._passes(row):
                self._stop(number, row)
                return
        self.again.append(number)

    @property
    def over(self) -> bool:
        """Whether the time is up, or the target is reached."""
        return self.reached or time.monotonic() >= self.deadline

    def ask(self) -> Job | None:
        """The next candidate that keeps the constraints; those that do not are booked as infeasible."""
        if self.over or (self.exhausted and not self.again):
            return None
        if self.again:
            number = self.again.pop(0)
            self.progress.start(number)
            start = self._checkpoint(number)
            self.open[number].start = start.epoch if start else 0
            return self._job(number, replace(self.options, start=start))
        for _ in range(INFEASIBLE_IN_A_ROW):
            if self.started == self.experiment.search.trials:
                return None
            proposal = self.proposals.ask()
            if proposal is None:
                break
            number, self.numbers = self.numbers, self.numbers + 1
            self.writer.start(number, proposal)
            self.open[number] = Candidacy(self._new(number, proposal), {})
            if self._keeps_constraints(number):
                self.started += 1
                self.progress.start(number)
                return self._job(number, self.options)
        self.exhausted = True
        return None

    def report(self, number: int, report: Report) -> bool:
        """An epoch of a trial, after the last one of which it is complete; whether it is to go on."""
        wrong = wrong_scores(self.dataset.tasks, report)
        if wrong:
            self.fail(number, wrong)
            return False
        row = self._row(number, report)
        candidacy = self.open[number]
        candidacy.trial = replace(candidacy.trial, epochs=row.epoch, seconds=row.seconds)
        if report.done:
            candidacy.curve[row.epoch] = row
            self.writer.add_epoch(row, None)
            self._complete(number, row, report)
            return False
        if report.epoch <= candidacy.start:
            candidacy.start = 0
            self._say_it_begins_again(number)
        self.progress.epoch(number, report.epoch)
        if report.epoch < self.experiment.training.epochs:
            candidacy.curve[row.epoch] = row
            self.writer.add_epoch(row, report.checkpoint)
            self._record(row, candidacy.trial)
            if not self._passes(row):
                self._stop(number, row)
                return False
            return not self.over
        if report.checkpoint is not None:
            self.writer.add_checkpoint(number, report.checkpoint)
        return True

    def fail(self, number: int, reason: str) -> None:
        """A trial ended by an error.

        :raises AllFailedError: If all trials did, alike.
        """
        self._end(number, State.FAILED, error=reason)
        if self.failures and len(self.failures) == ALIKE and len({_outline(one) for one in self.failures}) == 1:
            raise AllFailedError(ALIKE, reason)

    @property
    def ended(self) -> int:
        """Trials that were trained and ended, however they did."""
        return self.started - len(self.open)

    def finish(self) -> None:
        """Write when the run ended."""
        self.writer.finish(now())

    def _checkpoint(self, number: int) -> Checkpoint | None:
        """What a trial can go on from."""
        found = load_checkpoint(self.writer.checkpoint(number))
        return found if found is not None and found.epoch <= self.experiment.training.epochs else None

    def _say_it_begins_again(self, number: int) -> None:
        place = f"{CHECKPOINTS}/{number}/{CHECKPOINT}"
        self.progress.say(f"{place}: is lost, damaged or of another training; trial {number} begins again.")

    def _job(self, number: int, options: EvaluationOptions) -> Job:
        trial = self.open[number].trial
        what = entrant_of(trial.proposal) if trial.training else trial.architecture
        return Job(number, what, self.experiment.search.seed, options)

    def _complete(self, number: int, row: EpochRow, report: Report) -> None:
        trial = _scored(replace(self.open[number].trial, state=State.COMPLETE), row)
        if trial in self._near_with(trial):
            self.writer.add_weights(number, report.weights)
        self._end(number, State.COMPLETE, row)

    def _stop(self, number: int, row: EpochRow) -> None:
        """End a trial that others are ahead of."""
        self._end(number, State.STOPPED, row)

    def _keeps_constraints(self, number: int) -> bool:
        """Whether a trial that is yet to be trained keeps every constraint; it ends as infeasible if not."""
        trial, limits = self.open[number].trial, self.experiment.constraints.limits()
        excess = self._excess(trial)
        broken = [f"{name} {trial.value(name):,} > {limits[name]:,}" for name in excess if excess[name] > 0]
        if broken:
            self._end(number, State.INFEASIBLE, error="; ".join(broken))
        return not broken

    def _end(self, number: int, state: State, row: EpochRow | None = None, error: str = "") -> None:
        """Write the row of a trial, then tell the sampler; a crash in between is found when the run is taken up."""
        candidacy = self.open.pop(number)
        trial = replace(candidacy.trial, state=state, error=error)
        if row is not None:
            trial = _scored(trial, row)
        self.writer.add(trial)
        self._book(trial, candidacy.curve, tell=True)
        if state is not State.INFEASIBLE:
            self._keep_checkpoints()
        self.progress.end(trial, self.front)

    def _book(self, trial: Trial, curve: dict[int, EpochRow], tell: bool) -> None:
        """Take note of the end of a trial, and let the sampler learn from it.

        :param tell: Whether the study has still to be told; it has not if the trial ended in this process.
        """
        proposal, proposals = trial.proposal, self.proposals
        if trial.state is State.INFEASIBLE:
            learn_broken = proposals.tell_infeasible if tell else proposals.remember_infeasible
            learn_broken(proposal, self._excess(trial))
        elif trial.state is State.FAILED:
            if self.failures is not None:
                self.failures.append(trial.error)
            if tell:
                proposals.tell_failed(proposal, trial.error)
        elif trial.state is State.STOPPED:
            self.failures = None
            learn = proposals.tell_stopped if tell else proposals.remember_stopped
            learn(proposal, self._extrapolated(trial))
        else:
            self.failures = None
            self.complete.append(trial)
            self.reached = self.reached or reaches([trial], self.experiment.search.target)
            self.front, self.near = self._front_with(trial), self._near_with(trial)
            self.curves[trial.number] = curve
            learn = proposals.tell if tell else proposals.remember_values
            learn(proposal, [self._value(trial, name) for name in self.experiment.objectives])

    def _front_with(self, trial: Trial) -> tuple[Trial, ...]:
        """The front once a trial is complete: what is not on it now will never be."""
        return front_of([*self.front, trial], self.experiment.objectives, self.experiment.constraints.qualities())

    def _near_with(self, trial: Trial) -> tuple[Trial, ...]:
        return near_front([*self.near, trial], self.experiment.objectives, self.experiment.constraints.qualities())

    def _extrapolated(self, trial: Trial) -> list[float]:
        """The objectives of a stopped trial at the full budget: plus what complete trials gained since that epoch.

        The median gain; nothing is added before a trial is complete.
        """
        found = []
        for name in self.experiment.objectives:
            value = self._value(trial, name)
            if name not in COSTS:
                value += statistics.median(self._gains(name, trial.epochs) or [0.0])
            found.append(value)
        return found

    def _gains(self, name: str, epoch: int) -> list[float]:
        """What complete trials gained in a quality from an epoch to their end."""
        rows = [(trial, self.curves[trial.number].get(epoch)) for trial in self.complete]
        early = [(trial.value(name), row.value(name)) for trial, row in rows if row is not None]
        return [float(end) - start for end, start in early if end is not None and start is not None]

    def _record(self, row: EpochRow, trial: Trial) -> None:
        """Let the scheduler know of an epoch that was scored."""
        if self.halving is None or row.accuracy is None:
            return
        values = [trial.value(name) if name in COSTS else row.value(name) for name in self.experiment.objectives]
        assert None not in values
        self.halving.record(row.trial, row.epoch, [float(value or 0.0) for value in values])

    def _passes(self, row: EpochRow) -> bool:
        """Whether early stopping lets a trial go on after an epoch."""
        return self.halving is None or row.accuracy is None or self.halving.goes_on(row.trial, row.epoch)

    def _scheduler(self) -> SuccessiveHalving | None:
        settings = self.experiment.search.early_stopping
        if settings is None:
            return None
        directions = [direction_of(name) for name in self.experiment.objectives]
        return SuccessiveHalving(directions, self.experiment.training.epochs, settings.grace, settings.factor)

    def _scored_epochs(self) -> tuple[int, ...]:
        if self.experiment.search.learning_curves:
            return tuple(range(1, self.experiment.training.epochs))
        return self.halving.rungs if self.halving else ()

    def _row(self, number: int, report: Report) -> EpochRow:
        row = EpochRow(number, report.epoch, report.seconds, report.loss, None, dict(report.scores))
        if not report.scores:
            return row
        tasks, weights = self.dataset.tasks, self.experiment.task_weights
        worst = worst_quality(tasks, report.scores) if self.experiment.measures_worst_task else None
        return replace(row, accuracy=mean_quality(tasks, report.scores, weights), worst_task=worst)

    def _new(self, number: int, proposal: Proposal) -> Trial:
        """A trial that begins, with what is known of it before it is trained."""
        architecture = proposal.architecture
        known = cost.estimate(architecture, self.dataset.tasks, self.dataset.input_shape)
        return Trial(
            number,
            State.FAILED,  # it has no state yet; every end sets one
            architecture,
            proposal.training,
            seed=self.experiment.search.seed,
            learnable_parameters=known.learnable_parameters,
            fixed_parameters=known.fixed_parameters,
            macs=known.macs,
            latency_ms=self._latency_ms(architecture),
        )

    def _latency_ms(self, architecture: Architecture) -> float | None:
        """Measured, where something depends on it."""
        if not self.experiment.measures_latency:
            return None
        model = build_model(architecture, self.dataset.tasks, self.dataset.input_shape)
        return round(cost.latency_ms(model, self.dataset.input_shape), 4)

    def _excess(self, trial: Trial) -> dict[str, float]:
        limits = self.experiment.constraints.limits()
        return {name: self._value(trial, name) - limit for name, limit in limits.items()}

    def _keep_checkpoints(self) -> None:
        self.writer.keep_checkpoints({trial.number for trial in self.near}, set(self.open))

    def _value(self, trial: Trial, objective: str) -> float:
        value = trial.value(objective)
        assert value is not None
        return float(value)


def _scored(trial: Trial, row: EpochRow) -> Trial:
    """A trial with what was measured after an epoch."""
    return replace(trial, accuracy=row.accuracy, worst_task=row.worst_task, scores=dict(row.scores))


def _outline(reason: str) -> str:
    """A reason without its numbers, which differ between failures that are alike."""
    return re.sub(r"\d+", "#", reason)
