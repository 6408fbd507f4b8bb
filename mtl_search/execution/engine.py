"""Runs jobs one after the other in this process, or on Ray Tune workers. The only home of Ray.

The engine asks a *source* for jobs and tells it what became of them. On Ray, a job is a Tune trial, and one step of the
trial is one report (an epoch). Workers are reused from job to job. A job whose worker dies is given to another worker,
with the last checkpoint that it reported.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from mtl_search.execution.ray_cluster import Cluster, joined_cluster, local_cluster, machines

# isort: split
import ray
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mtl_search.datasets import Dataset
from mtl_search.errors import reason_of
from mtl_search.evaluation import FROM_SCRATCH, Course, Entrant, Evaluate, Report
from mtl_search.execution.capacity import check_capacity, this_machine
from mtl_search.execution.worker_deaths import Death, death_of
from mtl_search.internal.arrays import held_bytes
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.internal.processors import processors as processors  # scripts ask for it here
from mtl_search.internal.signals import signals_interrupt, uninterrupted
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Search, Training

OBJECT_STORE_BYTES = 256 * 2**20
DATASET_ROOM = 3
"""The object store of a local cluster holds this many times the dataset, and the bytes above."""


@dataclass(frozen=True)
class Job:
    """One training to be done.

    :param number: Number of the trial.
    :param what: What to train.
    :param seed: Seed of the training.
    :param course: What is wanted on the way, and where to begin.
    """

    number: int
    what: Architecture | Entrant
    seed: int
    course: Course = FROM_SCRATCH


class Wait:
    """The answer of a source whose next job depends on one that is not done yet."""


@dataclass(frozen=True)
class Work:
    """What is the same for all jobs: sent to every worker once."""

    evaluate: Evaluate
    dataset: Dataset
    training: Training
    threads: int

    def reports(self, job: Job) -> Iterator[Report]:
        """Do a job, report by report up to the last one, with as many threads as it was given processors."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        for report in self.evaluate(job.what, self.dataset, self.training, job.seed, job.course):
            yield report
            if report.done:
                return
        raise RuntimeError("the evaluation ended without a last report")


class Source(Protocol):
    """Where jobs come from, and where their results go."""

    def ask(self) -> Job | Wait | None:
        """The next job; ``None`` when there is none left."""

    def report(self, number: int, report: Report) -> bool:
        """What is known of a job after an epoch, also after its last; whether it is to go on, which ends with that."""

    def fail(self, number: int, reason: str) -> None:
        """That a job ended by an error."""


@contextmanager
def engine(
    work: Work, settings: Search, workers: int | None, address: str | None = None
) -> Iterator[Callable[[Source], None]]:
    """What does all jobs of a source, ready to start: in this process with no workers, else on Ray Tune workers.

    :param settings: Processors and GPUs of each job, and how often one is done again after the death of its worker.
    :param workers: Jobs at the same time; as many as the cluster has room for with ``None``.
    :param address: Of a running Ray cluster; a local one is started, and stopped at the end, without it.
    :raises UserError: If there is no cluster at the address, or a job asks for more than any machine has.
    :raises ClusterError: If no cluster starts, or while jobs are done it is lost.
    :raises KeyboardInterrupt: On SIGINT or SIGTERM, after the workers were stopped.
    """
    torch.set_num_threads(min(torch.get_num_threads(), processors()))
    with signals_interrupt():
        if workers == 0:
            yield lambda source: _run_here(source, work)
            return
        with (
            _cluster(work, settings, workers, address) as cluster,
            _deaths_handled(),
        ):
            check_capacity(settings, machines(), f"no machine of the cluster at {address}")
            count = workers or room(settings, ray.cluster_resources())  # type: ignore[no-untyped-call]
            yield lambda source: _run_on_ray(source, work, settings, count, cluster)


def _cluster(work: Work, settings: Search, workers: int | None, address: str | None) -> AbstractContextManager[Cluster]:
    """A cluster of our own with room for the workers, or the one at ``address``."""
    if address:
        return joined_cluster(address)
    splits = work.dataset.splits.values()
    data = sum(held_bytes(array) for split in splits for array in (split.inputs, *split.targets.values()))
    cpus = (workers or processors() // settings.cpus or 1) * settings.cpus
    return local_cluster(cpus, int(this_machine()["GPU"]), OBJECT_STORE_BYTES + DATASET_ROOM * data)


def room(settings: Search, resources: Mapping[str, float]) -> int:
    """How many jobs fit at the same time; at least one.

    :param resources: ``CPU`` and ``GPU`` of all machines together.
    """
    by_cpus = resources.get("CPU", 0) // settings.cpus
    by_gpus = resources.get("GPU", 0) / settings.gpus if settings.gpus else by_cpus
    return max(1, int(min(by_cpus, by_gpus)))


def _run_here(source: Source, work: Work) -> None:
    """Do all jobs in this process, one by one: for debugging."""
    threads = torch.get_num_threads()
    try:
        while (job := _asked(source)) is not None:
            assert isinstance(job, Job), "with nothing under way there is nothing to wait for"
            _do(job, source, work)
    finally:
        torch.set_num_threads(threads)


def _asked(source: Source) -> Job | Wait | None:
    with uninterrupted():
        return source.ask()


def _do(job: Job, source: Source, work: Work) -> None:
    """Do one job. An error of the training is told to the source; one of the source ends the run."""
    reports = work.reports(job)
    goes_on = True
    while goes_on:
        try:
            report = next(reports)
        except Exception as error:
            with uninterrupted():
                source.fail(job.number, reason_of(error))
            return
        with uninterrupted():
            goes_on = source.report(job.number, report) and not report.done


def _run_on_ray(source: Source, work: Work, settings: Search, workers: int, cluster: Cluster) -> None:
    """Do all jobs on Ray Tune workers."""
    desk = _Desk(source, settings.retries)
    try:
        with cluster.watched():
            tune.run(
                JobTrainable,
                config={"work": ray.put(work), "path": tuple(sys.path)},
                search_alg=_Searcher(desk),
                scheduler=_Scheduler(desk),
                callbacks=[_Results(desk)],
                num_samples=-1,
                max_concurrent_trials=workers,
                resources_per_trial={"cpu": settings.cpus, "gpu": settings.gpus},
                reuse_actors=True,
                max_failures=0,
                raise_on_failed_trial=False,
                storage_path=str(cluster.folder / "tune"),
                trial_dirname_creator=lambda trial: trial.trial_id,
                verbose=0,
            )
    except _Carrier as carrier:
        raise carrier.cause from None


class JobTrainable(tune.Trainable):
    """One worker process: fetches the work once, then does one job after the other."""

    def setup(self, config: dict[str, Any]) -> None:
        sys.path += [path for path in config["path"] if path not in sys.path]  # last: the user's own modules are there
        self.work: Work | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        self.reports: Iterator[Report] | None = None
        return True

    def step(self) -> dict[str, Any]:
        """One report. An error of the training ends the trial, not the worker."""
        try:
            if self.work is None:
                self.work = ray.get(self.config["work"])
            if self.reports is None:
                self.reports = self.work.reports(_unpacked(self.config["job"]))
            report = next(self.reports)
            return {"done": report.done, "report": _packed(report)}
        except Exception as error:
            reason = reason_of(error)
        self.reports = None
        _let_go_of_memory()
        return {"done": True, "failure": reason}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return None


def _let_go_of_memory() -> None:
    """What a failed training held must not be missing in the next one on this worker."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _packed(thing: Report | Job) -> list[Any]:
    """A report or a job for the way through Tune, which copies and keeps what it is given: tensors go beside it.

    Lists, because Tune takes mappings apart.
    """
    if isinstance(thing, Job):
        course = replace(thing.course, start=None)
        start = thing.course.start
        return [replace(thing, course=course), None if start is None else ray.put(start)]
    light = replace(thing, weights={}, checkpoint=None)
    if not thing.weights and thing.checkpoint is None:
        return [light, None]
    return [light, ray.put((dict(thing.weights), thing.checkpoint))]


def _unpacked(packed: list[Any]) -> Any:
    """What :func:`_packed` was given.

    :raises ray.exceptions.RayError: If the tensors went down with their worker.
    """
    thing, beside = packed
    if isinstance(thing, Job):
        return thing if beside is None else replace(thing, course=replace(thing.course, start=ray.get(beside)))
    if beside is None:
        return thing
    weights, checkpoint = ray.get(beside)
    return replace(thing, weights=weights, checkpoint=checkpoint)


@dataclass
class _Under:
    """A job under way.

    :param job: As it was given out; its course starts from the last checkpoint that was reported.
    :param lives: How often it may still be given out again.
    """

    job: Job
    lives: int


class _Desk:
    """Gives out the jobs of a source, takes in what workers report, gives a job out again when its worker has died."""

    def __init__(self, source: Source, retries: int) -> None:
        self.source, self.retries = source, retries
        self.under_way: dict[str, _Under] = {}
        self.again: list[_Under] = []
        self.last: dict[str, dict[str, Any]] = {}
        self.deaths: dict[str, Death] = {}

    def ask(self, trial_id: str) -> Job | Wait | None:
        """The next job. There is none to wait for only when nothing is under way: what is may come back."""
        if self.again:
            self.under_way[trial_id] = self.again.pop(0)
            return self.under_way[trial_id].job
        with _carried():
            job = self.source.ask()
        if isinstance(job, Job):
            self.under_way[trial_id] = _Under(job, self.retries)
        return Wait() if job is None and self.under_way else job

    def goes_on(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Take in what a job reports on its way; whether it goes on."""
        try:
            report: Report = _unpacked(result["report"])
        except ray.exceptions.RayError:
            report = result["report"][0]  # its worker is dying, and the checkpoint with it: the one before stays
        under = self.under_way[trial_id]
        if report.checkpoint is not None:
            under.job = replace(under.job, course=replace(under.job.course, start=report.checkpoint))
        with _carried():
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
                report = _unpacked(result["report"])
            except ray.exceptions.RayError:
                self._lost(under, Death())
                return
            with _carried():
                self.source.report(under.job.number, report)

    def _lost(self, under: _Under, death: Death) -> None:
        if under.lives and not death.final:
            self.again.append(replace(under, lives=under.lives - 1))
        else:
            self._fail(under, death.told(times=1 if death.final else self.retries + 1))

    def _fail(self, under: _Under, reason: str) -> None:
        with _carried():
            self.source.fail(under.job.number, reason)


class _Carrier(BaseException):
    """Carries an exception of ours through Tune, which catches every ``Exception``."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Searcher(Searcher):
    """Shows the desk to Ray Tune. Tune asks it for a job only when a worker is free."""

    def __init__(self, desk: _Desk) -> None:
        super().__init__()
        self.desk = desk

    def suggest(self, trial_id: str) -> Any:
        job = self.desk.ask(trial_id)
        if job is None:
            return Searcher.FINISHED
        return None if isinstance(job, Wait) else {"job": _packed(job)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.desk.end(trial_id, error)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Tune asks for a snapshot of the searcher; ours is the run's folder."""


class _Scheduler(FIFOScheduler):
    """Shows the desk to Ray Tune, as what decides after every report whether a trial goes on."""

    def __init__(self, desk: _Desk) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.desk = desk
        self.waiting: list[Any] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that has waited longest; Tune itself looks for it among all there ever were."""
        self.waiting = [trial for trial in self.waiting if trial.status == trial.PENDING]
        return self.waiting[0] if self.waiting else None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return TrialScheduler.CONTINUE if self.desk.goes_on(trial.trial_id, result) else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note how a worker died, as far as Ray knows."""
        self.desk.deaths[trial.trial_id] = death_of(Path(trial.error_file).read_text(encoding="utf-8"))


class _Results(tune.Callback):
    """Takes the reports out of what Tune keeps of every trial to the end of the run."""

    def __init__(self, desk: _Desk) -> None:
        self.desk = desk

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        found: dict[str, Any] = {name: result.pop(name) for name in ("report", "failure") if name in result}
        if trial.trial_id in self.desk.under_way and result["done"]:
            self.desk.last[trial.trial_id] = found


@contextmanager
def _carried() -> Iterator[None]:
    """A signal waits for what a source does; an exception of it goes through Tune."""
    try:
        with uninterrupted():
            yield
    except Exception as error:
        raise _Carrier(error) from error


@contextmanager
def _deaths_handled() -> Iterator[None]:
    with _no_worker_deaths_printed(), _memory_deaths_handled():
        yield


@contextmanager
def _no_worker_deaths_printed() -> Iterator[None]:
    """Ray prints the death of a worker in spite of ``log_to_driver=False``; the source is told, and that is enough."""
    module: Any = ray._private.worker
    module._worker_logs_enabled = False
    try:
        yield
    finally:
        module._worker_logs_enabled = True


@contextmanager
def _memory_deaths_handled() -> Iterator[None]:
    """Tune gives up all of a run when Ray ends one worker for its memory, an error that it does not expect.

    While this holds it is taken for what it is, the death of a worker.
    """
    modules: list[Any] = [actor_manager, tune_controller]
    known = ray.exceptions.RayActorError
    for module in modules:
        module.RayActorError = (known, ray.exceptions.OutOfMemoryError)
    try:
        yield
    finally:
        for module in modules:
            module.RayActorError = known
