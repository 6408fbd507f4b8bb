"""Jobs done by Ray Tune workers.

A job is a Tune trial, and one step of the trial is one report (an epoch). Workers are reused from job to job. A job
whose worker dies is given to another worker, with the last checkpoint that it reported.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mtl_search.execution.ray_cluster import Cluster

# isort: split
import ray
from ray import tune
from ray.air.execution._internal import actor_manager
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mtl_search.errors import reason_of
from mtl_search.evaluation import Report
from mtl_search.execution.job_queue import Carrier, JobQueue, packed, unpacked
from mtl_search.execution.jobs import Source, Wait, Work
from mtl_search.execution.worker_deaths import death_of
from mtl_search.spaces.search_settings import SearchSettings


def run_on_ray(source: Source, work: Work, settings: SearchSettings, workers: int, cluster: Cluster) -> None:
    """Do all jobs on Ray Tune workers."""
    queue = JobQueue(source, settings.retries)
    try:
        with cluster.watched():
            tune.run(
                JobTrainable,
                config={"work": ray.put(work), "path": tuple(sys.path)},
                search_alg=_Searcher(queue),
                scheduler=_Scheduler(queue),
                callbacks=[_Results(queue)],
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
    except Carrier as carrier:
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
                self.reports = self.work.reports(unpacked(self.config["job"]))
            report = next(self.reports)
            return {"done": report.done, "report": packed(report)}
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


class _Searcher(Searcher):
    """Shows the queue to Ray Tune. Tune asks it for a job only when a worker is free."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self.queue = queue

    def suggest(self, trial_id: str) -> Any:
        job = self.queue.ask(trial_id)
        if job is None:
            return Searcher.FINISHED
        return None if isinstance(job, Wait) else {"job": packed(job)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.queue.end(trial_id, error)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Tune asks for a snapshot of the searcher; ours is the run's folder."""


class _Scheduler(FIFOScheduler):
    """Shows the queue to Ray Tune, as what decides after every report whether a trial goes on."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.queue = queue
        self.waiting: list[Any] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that has waited longest; Tune itself looks for it among all there ever were."""
        self.waiting = [trial for trial in self.waiting if trial.status == trial.PENDING]
        return self.waiting[0] if self.waiting else None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return TrialScheduler.CONTINUE if self.queue.goes_on(trial.trial_id, result) else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note how a worker died, as far as Ray knows."""
        self.queue.deaths[trial.trial_id] = death_of(Path(trial.error_file).read_text(encoding="utf-8"))


class _Results(tune.Callback):
    """Takes the reports out of what Tune keeps of every trial to the end of the run."""

    def __init__(self, queue: JobQueue) -> None:
        self.queue = queue

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        found: dict[str, Any] = {name: result.pop(name) for name in ("report", "failure") if name in result}
        if trial.trial_id in self.queue.under_way and result["done"]:
            self.queue.last[trial.trial_id] = found


@contextmanager
def deaths_handled() -> Iterator[None]:
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
