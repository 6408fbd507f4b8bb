"""A search under way, without what trains: several trials at once, cut off and taken up."""

import functools
from pathlib import Path

import pytest
import torch

from made_runs import made_experiment
from mtl_search import cost
from mtl_search.cost import estimate
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.evaluation import Report
from mtl_search.execution.jobs import Job
from mtl_search.runs.folder import load_run
from mtl_search.runs.provenance import begin_environment
from mtl_search.runs.trial import State
from mtl_search.runs.writer import RunWriter
from mtl_search.samplers.study import Study
from mtl_search.searching.loop import SearchLoop
from mtl_search.searching.progress import Progress
from mtl_search.spaces.experiment import Experiment
from mtl_search.training.checkpoint import Checkpoint

EPOCHS = 4


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=100, val=50, test=50)


@pytest.fixture
def experiment() -> Experiment:
    settings = (f"training.epochs={EPOCHS}", "search.trials=4", "search.early_stopping={grace: 1, factor: 2}")
    return made_experiment([*settings, "search.sampler=random"])


def loop_in(folder: Path, experiment: Experiment, dataset: Dataset) -> SearchLoop:
    goes_on = folder.exists()
    measured = ["latency_ms"] if experiment.measures_latency else []
    writer = RunWriter(folder, begin_environment(experiment, dataset), dataset.score_names, measured)
    (writer.go_on if goes_on else writer.begin)(experiment)
    cost_of = functools.partial(estimate, tasks=dataset.tasks, input_shape=dataset.input_shape)
    study = Study(experiment.proposal_space, experiment.objectives, cost_of, "random", 0, folder / "journal.log")
    loop = SearchLoop(experiment, dataset, writer, study, Progress(experiment.search.trials, EPOCHS, None))
    if goes_on:
        loop.take_up(load_run(folder))
    return loop


def trained(loop: SearchLoop, job: Job, epoch: int, accuracy: float) -> bool:
    """Report an epoch; its checkpoint holds the number of its trial."""
    scores = dict.fromkeys(loop.dataset.score_names, accuracy)
    checkpoint = Checkpoint({"weights": torch.full((1,), float(job.number))}, {"epoch": epoch})
    return loop.report(job.number, Report(epoch, 1.0, 1.0, scores=scores, checkpoint=checkpoint))


def asked(loop: SearchLoop) -> Job:
    job = loop.ask()
    assert isinstance(job, Job)
    return job


def test_trials_under_way_go_on_from_their_own_checkpoints(
    experiment: Experiment, dataset: Dataset, tmp_path: Path
) -> None:
    before = loop_in(tmp_path / "run", experiment, dataset)
    first, second, third = (asked(before) for _ in range(3))
    for job, accuracy in ((second, 0.9), (first, 0.5)):
        assert trained(before, job, 1, accuracy) == (job is second)
    assert trained(before, second, 2, 0.9)
    after = loop_in(tmp_path / "run", experiment, dataset)
    again = [asked(after) for _ in range(2)]
    assert [job.number for job in again] == [second.number, third.number]
    start = again[0].options.start
    assert start is not None
    assert (start.epoch, start.tensors["weights"].item()) == (2, second.number)
    assert again[1].options.start is None


def test_a_rung_that_was_reached_decides_as_it_would_have(
    experiment: Experiment, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loop_in(tmp_path / "run", experiment, dataset)
    jobs = [asked(before) for _ in range(3)]
    by_cost = sorted(jobs[:2], key=lambda job: before.running[job.number].trial.learnable_parameters)
    dominated = by_cost[1].number
    accuracies = {by_cost[0].number: 0.9, dominated: 0.1, jobs[2].number: 0.95}
    with monkeypatch.context() as patch:
        patch.setattr(SearchLoop, "_passes", lambda *_: True)  # cut off after the epochs, before what they lead to
        for job in (*by_cost, jobs[2]):
            trained(before, job, 1, accuracies[job.number])
    after = loop_in(tmp_path / "run", experiment, dataset)
    assert [trial.number for trial in load_run(tmp_path / "run").trials] == [dominated]
    again = [asked(after) for _ in range(2)]
    assert [job.number for job in again] == [job.number for job in jobs if job.number != dominated]
    for job in again:
        start = job.options.start
        assert start is not None
        assert start.tensors["weights"].item() == job.number, "the state of another must not be lost with the stopped"
    assert load_run(tmp_path / "run").trial(dominated).state is State.STOPPED


def test_a_trial_that_has_trained_is_not_turned_out_by_a_slower_machine(
    experiment: Experiment, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = experiment.changed({"constraints": {"latency_ms": 10.0}})
    monkeypatch.setattr(cost, "latency_ms", lambda *_: 1.0)
    before = loop_in(tmp_path / "run", limited, dataset)
    trained_one, begun_one = asked(before), asked(before)
    assert trained(before, trained_one, 1, 0.9)
    monkeypatch.setattr(cost, "latency_ms", lambda *_: 100.0)
    after = loop_in(tmp_path / "run", limited, dataset)
    assert asked(after).number == trained_one.number
    assert load_run(tmp_path / "run").trial(begun_one.number).state is State.INFEASIBLE
    assert after.started == 1
