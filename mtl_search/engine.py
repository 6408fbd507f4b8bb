"""Runs jobs one after the other in this process, or on Ray Tune workers. The only home of Ray.

The engine asks a *source* for jobs and tells it what became of them. On Ray, a job is a Tune trial, and one step of the
trial is one report (an epoch). Workers are reused from job to job.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from mtl_search.architecture import Architecture
from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.evaluation import Entrant, Evaluate, Report
from mtl_search.experiment import Search, Training

RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "1e9",
}
"""No usage statistics, no output, no files of Tune's own; Ctrl+C reaches us. Ray reads these when it is imported."""

os.environ.update(RAY_SETTINGS)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

OBJECT_STORE_BYTES = 256 * 2**20
DATASET_ROOM = 3
"""The object store of a local cluster holds this many times the dataset, and the bytes above."""


@dataclass(frozen=True)
class Job:
    """One training to be done.

    :param number: Number of the trial.
    :param what: What to train.
    :param seed: Seed of the training.
    """

    number: int
    what: Architecture | Entrant
    seed: int


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
        for report in self.evaluate(job.what, self.dataset, self.training, job.seed):
            yield report
            if report.done:
                return
        raise RuntimeError("the evaluation ended without a last report")


class Source(Protocol):
    """Where jobs come from, and where their results go."""

    def ask(self) -> Job | Wait | None:
        """The next job; ``None`` when there is none left."""

    def report(self, number: int, report: Report) -> None:
        """What is known of a job after an epoch, also after its last."""

    def fail(self, number: int, reason: str) -> None:
        """That a job ended by an error."""


@contextmanager
def engine(
    work: Work, settings: Search, workers: int, address: str | None = None
) -> Iterator[Callable[[Source], None]]:
    """What does all jobs of a source, ready to start: in this process with no workers, else on Ray Tune workers.

    :param settings: Processors and GPUs of each job.
    :param workers: Jobs at the same time.
    :param address: Of a running Ray cluster; a local one is started, and stopped at the end, without it.
    :raises UserError: If there is no cluster at the address.
    :raises KeyboardInterrupt: On SIGINT or SIGTERM, after the workers were stopped.
    """
    with signals_interrupt():
        if workers:
            with _cluster(work, settings, workers, address) as folder:
                yield lambda source: _run_on_ray(source, work, settings, workers, folder)
        else:
            yield lambda source: _run_here(source, work)


def _run_here(source: Source, work: Work) -> None:
    """Do all jobs in this process, one by one: for debugging."""
    threads = torch.get_num_threads()
    try:
        while (job := source.ask()) is not None:
            assert isinstance(job, Job), "with nothing under way there is nothing to wait for"
            _do(job, source, work)
    finally:
        torch.set_num_threads(threads)


def _do(job: Job, source: Source, work: Work) -> None:
    """Do one job. An error of the training is told to the source; one of the source ends the run."""
    reports = work.reports(job)
    while True:
        try:
            report = next(reports)
        except StopIteration:
            source.fail(job.number, "RuntimeError: the evaluation ended without a last report")
            return
        except Exception as error:
            source.fail(job.number, reason_of(error))
            return
        source.report(job.number, report)
        if report.done:
            return


def _run_on_ray(source: Source, work: Work, settings: Search, workers: int, folder: Path) -> None:
    """Do all jobs on Ray Tune workers.

    :param folder: For what Tune writes.
    """
    try:
        tune.run(
            JobTrainable,
            config={"work": ray.put(work)},
            search_alg=_Bridge(source),
            num_samples=-1,
            max_concurrent_trials=workers,
            resources_per_trial={"cpu": settings.cpus, "gpu": settings.gpus},
            reuse_actors=True,
            max_failures=0,
            raise_on_failed_trial=False,
            storage_path=str(folder / "tune"),
            trial_dirname_creator=lambda trial: trial.trial_id,
            verbose=0,
        )
    except _Carrier as carrier:
        raise carrier.cause from None


def reason_of(error: BaseException) -> str:
    """An exception as the one line that stands in the table of trials."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text[:500]}" if text else name


class JobTrainable(tune.Trainable):
    """One worker process: fetches the work once, then does one job after the other."""

    def setup(self, config: dict[str, Any]) -> None:
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
                self.reports = self.work.reports(self.config["job"][0])
            report = next(self.reports)
        except Exception as error:
            return {"done": True, "failure": reason_of(error)}
        weights = ray.put(dict(report.weights)) if report.weights else None
        return {"done": report.done, "report": [replace(report, weights={})], "weights": [weights]}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return None


class _Carrier(BaseException):
    """Carries an exception of ours through Tune, which catches every ``Exception``."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Bridge(Searcher):
    """Shows a source to Ray Tune. Tune asks it for a job only when a worker is free."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        with _carried():
            job = self.source.ask()
        if job is None:
            return Searcher.FINISHED
        if isinstance(job, Wait):
            return None
        self.numbers[trial_id] = job.number
        return {"job": [job]}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        with _carried():
            self.source.report(self.numbers[trial_id], result["report"][0])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self.numbers.pop(trial_id, None)
        if number is None:
            return
        with _carried():
            if error or result is None:
                self.source.fail(number, "the worker process died")
            elif "failure" in result:
                self.source.fail(number, result["failure"])
            else:
                weights = ray.get(result["weights"][0]) if result["weights"][0] is not None else {}
                self.source.report(number, replace(result["report"][0], weights=weights))

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Tune asks for a snapshot of the searcher; ours is the run's folder."""


@contextmanager
def _carried() -> Iterator[None]:
    try:
        with _uninterrupted():
            yield
    except Exception as error:
        raise _Carrier(error) from error


@contextmanager
def _cluster(work: Work, settings: Search, workers: int, address: str | None) -> Iterator[Path]:
    """A local cluster, or the one at ``address``; gives a folder for Tune, of which nothing is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="mtl-"))
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    try:
        if address:
            _join(address, quiet)
        else:
            data = sum(split.inputs.nbytes for split in work.dataset.splits.values())
            _let_workers_import_what_we_can()
            ray.init(
                address="local",
                num_cpus=workers * settings.cpus,
                object_store_memory=OBJECT_STORE_BYTES + DATASET_ROOM * data,
                include_dashboard=False,
                _temp_dir=str(folder),
                **quiet,
            )
        with _no_worker_deaths_printed():
            yield folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _let_workers_import_what_we_can() -> None:
    """Put our import path into the environment that the workers of a local cluster inherit."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)


def _join(address: str, quiet: dict[str, Any]) -> None:
    host, colon, port = address.rpartition(":")
    try:
        if colon and "://" not in address:
            socket.create_connection((host, int(port)), timeout=5).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError, ConnectionError, RuntimeError) as error:
        raise UserError(f"--address {address}: there is no Ray cluster to join: {reason_of(error)}.") from error


@contextmanager
def _no_worker_deaths_printed() -> Iterator[None]:
    """Ray prints the death of a worker in spite of ``log_to_driver=False``; the source is told, and that is enough."""
    module: Any = ray._private.worker
    module._worker_logs_enabled = False
    try:
        yield
    finally:
        module._worker_logs_enabled = True


class _Held:
    """A signal that came while a source was writing."""

    depth = 0
    signalled = False


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A signal waits for the end of what is done here: a file half written or a lock half released helps nobody."""
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
    if _Held.signalled and not _Held.depth:
        _Held.signalled = False
        raise KeyboardInterrupt


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does. Signals can be handled in the main thread only."""

    def interrupt(number: int, frame: object) -> None:
        if _Held.depth:
            _Held.signalled = True
        else:
            raise KeyboardInterrupt

    _Held.signalled = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
