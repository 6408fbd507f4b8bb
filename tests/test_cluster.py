"""Searches on a real Ray cluster of three nodes, on this machine."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from made_faults import assert_whole, trials_ended
from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.evaluation import EvaluationOptions, Report, evaluate_by_epoch
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training

pytestmark = pytest.mark.slow

TRIALS = 9


def say_where(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """A real training; the node that it ran on stands where a loss would."""
    node = int(ray.get_runtime_context().get_node_id()[:8], 16)
    inputs = dataset.splits["train"].inputs
    assert not inputs.flags.owndata, "read where Ray keeps it for all workers of a node"
    for report in evaluate_by_epoch(architecture, dataset, training, seed, options):
        time.sleep(0.5)
        yield replace(report, scores={**report.scores, "left/loss": float(node)}) if report.scores else report


@pytest.fixture(autouse=True)
def workers_find_this_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes with a processor each. The first one holds the cluster together."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=600, val=200, test=50)


def searched(cluster: Cluster, dataset: Dataset, folder: Path) -> Run:
    changes = ["training.epochs=2", f"search.trials={TRIALS}", "search.workers=auto"]
    experiment = made_experiment(["dataset.train=600", "dataset.val=200", "dataset.test=50", *changes])
    return search(experiment, dataset, address=cluster.address, out=folder, evaluate=say_where)


def nodes_of(run: Run) -> set[float]:
    return {trial.scores["left/loss"] for trial in run.complete}


def test_every_node_gets_trials(cluster: Cluster, dataset: Dataset, tmp_path: Path) -> None:
    run = searched(cluster, dataset, tmp_path / "run")
    assert_whole(run, TRIALS)
    assert {trial.state for trial in run.trials} == {State.COMPLETE}, [trial.error for trial in run.trials]
    assert len(nodes_of(run)) == 3


def test_a_search_survives_the_loss_of_a_node(cluster: Cluster, dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def remove_a_node() -> None:
        while not trials_ended(folder):
            time.sleep(0.05)
        cluster.remove_node(sorted(cluster.worker_nodes, key=id)[0], allow_graceful=False)

    remover = threading.Thread(target=remove_a_node)
    remover.start()
    run = searched(cluster, dataset, folder)
    remover.join()
    assert_whole(run, TRIALS)
    assert {trial.state for trial in run.trials} == {State.COMPLETE}
