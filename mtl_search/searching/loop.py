"""One search under way: proposes candidates, books what became of them, writes the run's folder."""

import math
import time
from dataclasses import replace

from mtl_search.datasets import Dataset
from mtl_search.evaluation import EvaluationOptions, Report, entrant_of, wrong_scores
from mtl_search.execution.jobs import Job
from mtl_search.internal.layout import CHECKPOINT, CHECKPOINTS
from mtl_search.metrics.pareto import COSTS, direction_of
from mtl_search.runs.environment import now
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.weights import load_checkpoint
from mtl_search.runs.writer import RunWriter
from mtl_search.samplers.study import Study
from mtl_search.searching.callbacks import Callbacks
from mtl_search.searching.early_stopping import SuccessiveHalving
from mtl_search.searching.ended import EndedTrials
from mtl_search.searching.progress import Progress
from mtl_search.searching.running import RunningTrial, begun, epoch_row, excess, scored
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import Proposal
from mtl_search.training.checkpoint import Checkpoint

INFEASIBLE_IN_A_ROW = 500
"""Candidates in a row that break a constraint, after which the search gives up. They cost a millisecond each, so many
may be tried: where less than one candidate in a hundred keeps the constraints, 500 find one 99 times in a hundred."""


class SearchLoop:
    """One search under way. A source for the engine.

    :param experiment: The experiment to search: space, objectives, budget.
    :param dataset: The dataset that candidates are trained on, and scored on its split ``val``.
    :param writer: Writes the files of the run's folder.
    :param study: The study that proposes candidates and learns from their ends.
    :param progress: Shows trials and the front as they come.
    :param hours_spent: Hours that earlier calls took of the experiment's ``search.hours``.
    :param callbacks: What the user wants to be told; none if left out.
    """

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        writer: RunWriter,
        study: Study,
        progress: Progress,
        hours_spent: float = 0.0,
        callbacks: Callbacks | None = None,
    ) -> None:
        self.experiment, self.dataset, self.writer = experiment, dataset, writer
        self.study, self.progress = study, progress
        self.callbacks = callbacks or Callbacks()
        self.ended_trials = EndedTrials(experiment, study)
        self.running: dict[int, RunningTrial] = {}
        self.again: list[int] = []
        """Trials that were cut off and wait for a worker to go on."""
        self.started = 0
        """Trials that were let in by the constraints."""
        self.numbers = 0
        """The number of the next trial."""
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
        untold = self.study.remember([trial.proposal for trial in ended], list(run.under_way.values()))
        for remark in self.study.remarks:
            self.progress.say(remark)
        cut_off = {number: self._begun(number, proposal) for number, proposal in sorted(run.under_way.items())}
        known = {**cut_off, **{trial.number: trial for trial in ended}}
        for row in run.epochs:
            self._record(row, known[row.trial])
        for trial in ended:
            self.ended_trials.add(trial, rows.get(trial.number, {}), tell=trial.proposal in untold)
            self.progress.end(trial, self.ended_trials.front, shown=False)
        self.numbers = 1 + max((*run.ended, *run.under_way), default=-1)
        self.started = sum(trial.state is not State.INFEASIBLE for trial in ended)
        self.running = {number: RunningTrial(trial, {}) for number, trial in cut_off.items()}
        for number in cut_off:
            # One that has trained was let in before; a latency that is measured again must not turn it out.
            if number in rows or self._keeps_constraints(number):
                self.started += 1
                self._take_up_trial(number, rows.get(number, {}))
        self._keep_checkpoints()

    def _take_up_trial(self, number: int, curve: dict[int, EpochRow]) -> None:
        """Let a trial wait for its next worker, unless it had reached a rung that stops it."""
        running, checkpoint = self.running[number], self._checkpoint(number)
        reached = checkpoint.epoch if checkpoint else 0
        if checkpoint is None and (curve or (self.writer.checkpoint(number) / CHECKPOINT).exists()):
            self._say_it_begins_again(number)
        running.curve = {epoch: row for epoch, row in curve.items() if epoch <= reached}
        row = running.curve.get(reached)
        if row is not None:
            running.note(row)
            if not self._passes(row):
                self._stop(number, row)
                return
        self.again.append(number)

    @property
    def over(self) -> bool:
        """Whether the time is up, or the target is reached."""
        return self.ended_trials.reached or time.monotonic() >= self.deadline

    def ask(self) -> Job | None:
        """The next candidate that keeps the constraints; those that do not are booked as infeasible."""
        if self.over or (self.exhausted and not self.again):
            return None
        if self.again:
            number = self.again.pop(0)
            self.progress.start(number)
            start = self._checkpoint(number)
            self.running[number].start = start.epoch if start else 0
            return self._job(number, replace(self.options, start=start))
        for _ in range(INFEASIBLE_IN_A_ROW):
            if self.started == self.experiment.search.trials:
                return None
            proposal = self.study.ask()
            if proposal is None:
                break
            number, self.numbers = self.numbers, self.numbers + 1
            self.writer.start(number, proposal)
            self.running[number] = RunningTrial(self._begun(number, proposal), {})
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
        row = epoch_row(number, report, self.experiment, self.dataset)
        running = self.running[number]
        running.note(row)
        if report.done:
            self._note(running, row, None)
            self._complete(number, row, report)
            return False
        if report.epoch <= running.start:
            running.start = 0
            self._say_it_begins_again(number)
        self.progress.epoch(row)
        if report.epoch < self.experiment.training.epochs:
            self._note(running, row, report.checkpoint)
            self._record(row, running.trial)
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
        self.ended_trials.check_failures(reason)

    @property
    def ended(self) -> int:
        """Trials that were trained and ended, however they did."""
        return self.started - len(self.running)

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
        trial = self.running[number].trial
        what = entrant_of(trial.proposal) if trial.training else trial.architecture
        return Job(number, what, self.experiment.search.seed, options)

    def _note(self, running: RunningTrial, row: EpochRow, checkpoint: Checkpoint | None) -> None:
        """Write what is known of a trial after an epoch, and tell the callbacks."""
        running.curve[row.epoch] = row
        self.writer.add_epoch(row, checkpoint)
        self.callbacks.call("on_epoch", running.trial, row)

    def _complete(self, number: int, row: EpochRow, report: Report) -> None:
        trial = scored(replace(self.running[number].trial, state=State.COMPLETE), row)
        if trial in self.ended_trials.near_with(trial):
            self.writer.add_weights(number, report.weights)
        self._end(number, State.COMPLETE, row)

    def _stop(self, number: int, row: EpochRow) -> None:
        """End a trial that others are ahead of."""
        self._end(number, State.STOPPED, row)

    def _keeps_constraints(self, number: int) -> bool:
        """Whether a trial that is yet to be trained keeps every constraint; it ends as infeasible if not."""
        trial, limits = self.running[number].trial, self.experiment.constraints.limits()
        over = excess(trial, self.experiment)
        broken = [f"{name} {trial.value(name):,} > {limits[name]:,}" for name in over if over[name] > 0]
        if broken:
            self._end(number, State.INFEASIBLE, error="; ".join(broken))
        return not broken

    def _end(self, number: int, state: State, row: EpochRow | None = None, error: str = "") -> None:
        """Write the row of a trial, then tell the sampler; a crash in between is found when the run is taken up."""
        running = self.running.pop(number)
        trial = replace(running.trial, state=state, error=error)
        if row is not None:
            trial = scored(trial, row)
        self.writer.add(trial)
        self.ended_trials.add(trial, running.curve, tell=True)
        if state is not State.INFEASIBLE:
            self._keep_checkpoints()
        self.progress.end(trial, self.ended_trials.front)
        self.callbacks.call("on_trial", trial)

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

    def _begun(self, number: int, proposal: Proposal) -> Trial:
        return begun(number, proposal, self.experiment, self.dataset)

    def _keep_checkpoints(self) -> None:
        self.writer.keep_checkpoints({trial.number for trial in self.ended_trials.near}, set(self.running))
