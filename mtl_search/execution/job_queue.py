"""What stands between a source of jobs and Ray Tune: who works on what, and what is to be done again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray

from mtl_search.evaluation import Report
from mtl_search.execution.jobs import Job, Source, Wait
from mtl_search.execution.worker_deaths import Death
from mtl_search.internal.signals import uninterrupted


@dataclass
class RunningJob:
    """A job under way.

    :param job: The training as it was given out; it starts from the last checkpoint that was reported.
    :param lives: How often it may still be given out again.
    """

    job: Job
    lives: int


class JobQueue:
    """Gives out the jobs of a source, takes in what workers report, gives a job out again when its worker has died."""

    def __init__(self, source: Source, retries: int) -> None:
        self.source, self.retries = source, retries
        self.under_way: dict[str, RunningJob] = {}
        self.again: list[RunningJob] = []
        self.last: dict[str, dict[str, Any]] = {}
        self.deaths: dict[str, Death] = {}

    def ask(self, trial_id: str) -> Job | Wait | None:
        """The next job. There is none to wait for only when nothing is under way: what is may come back."""
        if self.again:
            self.under_way[trial_id] = self.again.pop(0)
            return self.under_way[trial_id].job
        with carried():
            job = self.source.ask()
        if isinstance(job, Job):
            self.under_way[trial_id] = RunningJob(job, self.retries)
        return Wait() if job is None and self.under_way else job

    def goes_on(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Take in what a job reports on its way; whether it goes on."""
        try:
            report: Report = unpacked(result["report"])
        except ray.exceptions.RayError:
            report = result["report"][0]  # its worker is dying, and the checkpoint with it: the one before stays
        under = self.under_way[trial_id]
        if report.checkpoint is not None:
            under.job = replace(under.job, options=replace(under.job.options, start=report.checkpoint))
        with carried():
            if self.source.report(under.job.number, report):
                return True
        del self.under_way[trial_id]
        return False

    def end(self, trial_id: str, died: bool) -> None:
        """Take in the end of a job."""
        under = self.under_way.pop(trial_id, None)
        if under is None:
            return
        result = self.last.pop(trial_id, {})
        if "failure" in result:
            self._fail(under, result["failure"])
        elif died or "report" not in result:
            self._lost(under, self.deaths.pop(trial_id, Death()))
        else:
            try:
                report = unpacked(result["report"])
            except ray.exceptions.RayError:
                self._lost(under, Death())
                return
            with carried():
                self.source.report(under.job.number, report)

    def _lost(self, under: RunningJob, death: Death) -> None:
        if under.lives and not death.final:
            self.again.append(replace(under, lives=under.lives - 1))
        else:
            self._fail(under, death.told(times=1 if death.final else self.retries + 1))

    def _fail(self, under: RunningJob, reason: str) -> None:
        with carried():
            self.source.fail(under.job.number, reason)


class Carrier(BaseException):
    """Carries an exception of ours through Tune, which catches every ``Exception``."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def carried() -> Iterator[None]:
    """A signal waits for what a source does; an exception of it goes through Tune."""
    try:
        with uninterrupted():
            yield
    except Exception as error:
        raise Carrier(error) from error


def packed(thing: Report | Job) -> list[Any]:
    """A report or a job for the way through Tune, which copies and keeps what it is given: tensors go beside it.

    Lists, because Tune takes mappings apart.
    """
    if isinstance(thing, Job):
        options = replace(thing.options, start=None)
        start = thing.options.start
        return [replace(thing, options=options), None if start is None else ray.put(start)]
    light = replace(thing, weights={}, checkpoint=None)
    if not thing.weights and thing.checkpoint is None:
        return [light, None]
    return [light, ray.put((dict(thing.weights), thing.checkpoint))]


def unpacked(packed: list[Any]) -> Any:
    """What :func:`packed` was given.

    :raises ray.exceptions.RayError: If the tensors went down with their worker.
    """
    thing, beside = packed
    if isinstance(thing, Job):
        return thing if beside is None else replace(thing, options=replace(thing.options, start=ray.get(beside)))
    if beside is None:
        return thing
    weights, checkpoint = ray.get(beside)
    return replace(thing, weights=weights, checkpoint=checkpoint)
