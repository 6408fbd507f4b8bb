"""A trial that fails is one row with its reason; the search goes on, unless all of them fail alike."""

import csv
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import made_processes
from made_faults import SEARCH, SETTINGS, TRIALS, assert_whole
from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import AllFailedError
from mtl_search.evaluation import EvaluationOptions, Report, evaluate_by_epoch
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training

GIB = 2**30


@pytest.fixture(autouse=True, scope="module")
def workers_find_this_module() -> Iterator[None]:
    here = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(here), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=1200, val=200, test=50)


def is_third(architecture: Architecture) -> bool:
    """Whether it is one of the architectures that something happens to: about a third of the space."""
    return architecture.width_multiplier == 1.5


def allocate_beyond_a_limit(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """The system refuses memory in the middle of a training."""
    for report in evaluate_by_epoch(architecture, dataset, training, seed, options):
        yield report
        if is_third(architecture):
            before = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (8 * GIB, before[1]))
            try:
                torch.ones(16 * GIB)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, before)


def run_out_of_cuda_memory(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """What torch raises on a GPU, without one."""
    for report in evaluate_by_epoch(architecture, dataset, training, seed, options):
        yield report
        if is_third(architecture):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def hold_more_than_the_machine_gives(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """Until Ray's watch over the memory ends the worker."""
    if is_third(architecture):
        held = [np.ones(GIB // 16) for _ in range(6)]
        time.sleep(60)
        del held
    yield from evaluate_by_epoch(architecture, dataset, training, seed, options)


def fail_always(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    raise FileNotFoundError(f"no such thing, attempt at {time.perf_counter()}")
    yield


def searched(dataset: Dataset, folder: Path, evaluate: object, workers: int, trials: int = TRIALS) -> Run:
    changes = [f"{key}={value}" for key, value in SETTINGS.items() if key != "search.early_stopping"]
    experiment = made_experiment([*changes, f"search.trials={trials}", "search.sampler=random"])
    return search(experiment, dataset, workers=workers, out=folder, evaluate=evaluate)  # type: ignore[arg-type]


def assert_only_a_third_failed(run: Run, reason: str) -> None:
    assert_whole(run, trials=8)
    failed = [trial for trial in run.trials if trial.state is State.FAILED]
    assert failed
    assert all(is_third(trial.architecture) == (trial.state is State.FAILED) for trial in run.trials)
    assert all(reason in trial.error for trial in failed), [trial.error for trial in failed]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.slow
def test_memory_that_the_system_refuses_is_a_failure(workers: int, dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", allocate_beyond_a_limit, workers, trials=8)
    assert_only_a_third_failed(run, "you tried to allocate 68719476736 bytes")


@pytest.mark.slow
def test_memory_that_a_gpu_lacks_is_a_failure(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(dataset, tmp_path / "run", run_out_of_cuda_memory, workers=0, trials=8)
    assert_only_a_third_failed(run, "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.mark.alone
def test_a_worker_that_ray_ends_for_its_memory_is_a_failure(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, available = (
        int(line.split()[1]) * 1024
        for name in ("MemTotal", "MemAvailable")
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith(f"{name}:")
    )
    if available < 8 * GIB:
        pytest.skip("needs 8 GiB of memory that nobody uses")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(total - available + 2 * GIB) / total:.3f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    run = searched(dataset, tmp_path / "run", hold_more_than_the_machine_gives, workers=1, trials=8)
    assert_only_a_third_failed(run, "out of memory")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    wild = ["--set", "training.learning_rate=1e6", "--set", "training.weight_decay=1e6", "--trials", "3"]
    status, shown = made_processes.run([*SEARCH, *wild, "--workers", "0", "--out", str(folder)])
    assert status == 1
    assert "3 of 3 trials failed: 0, 1, 2" in shown
    errors = [trial.error for trial in load_run(folder).trials]
    assert all(
        error.startswith("DivergedError: training diverged: the loss was not finite at step") for error in errors
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.thin(2)
def test_trials_that_all_fail_alike_end_the_search(workers: int, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(AllFailedError, match="all of the first 5 trials failed alike: FileNotFoundError: no such"):
        searched(dataset, tmp_path / "run", fail_always, workers, trials=50)
    with (tmp_path / "run" / "trials.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["FAILED"] * 5
