"""Callbacks: what a search tells others, in which order, and what their errors do to it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import AllFailedError, FieldError
from mtl_search.evaluation import EvaluationOptions, Report
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State, Trial
from mtl_search.searching.callbacks import Callback
from mtl_search.searching.run import resume, search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.settings import Training

SMALL = ["dataset.train=200", "dataset.val=100", "dataset.test=50", "training.batch_size=50"]
TWO = [*SMALL, "training.epochs=2", "search.trials=2", "search.workers=0", "search.sampler=random"]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=200, val=100, test=50)


class Diary(Callback):
    """Writes down everything that it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []
        self.rows: list[EpochRow] = []

    def on_begin(self, experiment: Experiment, folder: Path) -> None:
        self.lines.append(("begin", experiment.search.trials, folder.name, (folder / "experiment.yaml").exists()))

    def on_epoch(self, trial: Trial, row: EpochRow) -> None:
        self.lines.append(("epoch", trial.number, trial.state, row.epoch))
        self.rows.append(row)

    def on_trial(self, trial: Trial) -> None:
        self.lines.append(("trial", trial.number, trial.state))

    def on_end(self, run: Run) -> None:
        self.lines.append(("end", len(run.trials)))


class Broken(Callback):
    """Fails at the second epoch that it is told of."""

    calls = 0

    def on_epoch(self, trial: Trial, row: EpochRow) -> None:
        self.calls += 1
        if self.calls == 2:
            raise KeyError("no such board")


def fail(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    raise ValueError("no luck")
    yield


def told_of(number: int) -> list[tuple[object, ...]]:
    epochs: list[tuple[object, ...]] = [("epoch", number, State.RUNNING, epoch) for epoch in (1, 2)]
    return [*epochs, ("trial", number, State.COMPLETE)]


def test_a_search_tells_its_callbacks_what_its_folder_holds(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    run = search(made_experiment(TWO), dataset, out=tmp_path / "run", callbacks=[diary])
    assert diary.lines == [("begin", 2, "run", True), *told_of(0), *told_of(1), ("end", 2)]
    assert [(row.trial, row.epoch, row.accuracy) for row in diary.rows] == [
        (row.trial, row.epoch, row.accuracy) for row in run.epochs
    ]
    assert [row.accuracy for row in diary.rows if row.epoch == 2] == [trial.accuracy for trial in run.trials]


def test_a_search_that_goes_on_tells_of_what_is_new(dataset: Dataset, tmp_path: Path) -> None:
    search(made_experiment(TWO), dataset, out=tmp_path / "run")
    diary = Diary()
    resume(tmp_path / "run", dataset, trials=3, callbacks=[diary])
    assert diary.lines == [("begin", 3, "run", True), *told_of(2), ("end", 3)]


@pytest.mark.slow
def test_callbacks_are_called_here_while_workers_train(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    search(made_experiment([*TWO, "search.workers=1"]), dataset, out=tmp_path / "run", callbacks=[diary])
    assert diary.lines == [("begin", 2, "run", True), *told_of(0), *told_of(1), ("end", 2)]


def test_the_error_of_a_callback_is_told_once_and_the_search_goes_on(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, diary = Broken(), Diary()
    with caplog.at_level(logging.WARNING, logger="mtl_search"):
        run = search(made_experiment(TWO), dataset, out=tmp_path / "run", callbacks=[broken, diary])
    assert broken.calls == 2
    assert len(run.complete) == 2
    assert diary.lines[-1] == ("end", 2)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("callback Broken: on_epoch raised KeyError: 'no such board' (test_callbacks.py, line ")
    assert message.endswith("it is dropped, and the search goes on.")


def test_callbacks_hear_of_the_end_when_all_trials_fail(dataset: Dataset, tmp_path: Path) -> None:
    diary = Diary()
    five = made_experiment([*TWO, "search.trials=5"])
    with pytest.raises(AllFailedError):
        search(five, dataset, out=tmp_path / "run", callbacks=[diary], evaluate=fail)
    assert diary.lines[-2:] == [("trial", 4, State.FAILED), ("end", 5)]


def test_what_is_no_callback_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"`callbacks` must be objects of classes .* but got <class 'list'>"):
        search(made_experiment(TWO), dataset, out=tmp_path / "run", callbacks=[list])  # type: ignore[list-item]
    assert not (tmp_path / "run").exists()


def test_tensorboard_reads_back_what_the_run_holds(dataset: Dataset, tmp_path: Path) -> None:
    settings = [*TWO, "search.track=tensorboard", "search.learning_curves=true"]
    run = search(made_experiment(settings), dataset, out=tmp_path / "run")
    for trial in run.trials:
        events = EventAccumulator(str(run.path / "tensorboard" / f"trial-{trial.number}")).Reload()
        rows = [row for row in run.epochs if row.trial == trial.number]
        for name in ("loss", "accuracy", "left/accuracy", "right/loss"):
            assert [event.step for event in events.Scalars(name)] == [row.epoch for row in rows]
            found = [event.value for event in events.Scalars(name)]
            assert found == pytest.approx([row.value(name) for row in rows], rel=1e-6)
        assert [event.value for event in events.Scalars("macs")] == [trial.macs]
        plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
        chosen = HParamsPluginData.FromString(plugin.content).session_start_info.hparams
        answers = run.experiment.proposal_space.answers(trial.proposal)
        assert set(chosen) == set(answers)
        assert chosen["width_multiplier"].number_value == trial.architecture.width_multiplier


def test_tensorboard_goes_on_with_a_run(dataset: Dataset, tmp_path: Path) -> None:
    search(made_experiment([*TWO, "search.track=tensorboard"]), dataset, out=tmp_path / "run")
    resume(tmp_path / "run", dataset, trials=3)
    assert sorted(path.name for path in (tmp_path / "run" / "tensorboard").iterdir()) == [
        "trial-0",
        "trial-1",
        "trial-2",
    ]
