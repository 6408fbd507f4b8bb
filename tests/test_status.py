"""Where a run stands, from its folder."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import made_runs
from made_runs import ended, made_experiment, made_trials, write_run
from mtl_search.files import alone_in
from mtl_search.run_folder import EpochRow, load_run
from mtl_search.run_writer import RunWriter
from mtl_search.status import broke_constraints_at_last, seconds_left, status
from mtl_search.trial import State, Trial

EPOCHS = 5


def begun(seconds_ago: float) -> dict[str, object]:
    started = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    session = {"started": started.isoformat(), "finished": None, "epochs_before": 0}
    return {**made_runs.ENVIRONMENT, "finished": None, "sessions": [session]}


def written(folder: Path, trials: list[Trial], asked: int, seconds_ago: float = 60) -> None:
    """A search under way: these trials ended, and a further one has trained two epochs."""
    experiment = made_experiment([f"search.trials={asked}", f"training.epochs={EPOCHS}"])
    writer = RunWriter(folder, begun(seconds_ago), sorted(trials[0].scores))
    writer.begin(experiment)
    rows = [(trial.number, epoch) for trial in trials for epoch in range(1, trial.epochs + 1)]
    for trial in trials:
        writer.start(trial.number, trial.architecture)
    writer.start(len(trials), experiment.search_space.sample(99))
    for number, epoch in [*rows, (len(trials), 1), (len(trials), 2)]:
        writer.add_epoch(EpochRow(number, epoch, 1.0, 1.0, None, {}), None)
    for trial in trials:
        writer.add(trial)


def test_the_time_left_is_that_of_the_epochs_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    written(folder, made_trials(made_experiment(), complete=2), asked=6)
    assert seconds_left(load_run(folder)) is None, "nobody works on it"
    with alone_in(folder):
        found = seconds_left(load_run(folder))
    assert found == pytest.approx(60 / 12 * (4 * EPOCHS - 2), rel=0.05)


def test_trials_that_were_stopped_shorten_the_time_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first, second = made_trials(made_experiment(), complete=2)
    written(folder, [first, replace(second, state=State.STOPPED, epochs=1)], asked=6)
    with alone_in(folder):
        found = seconds_left(load_run(folder))
    assert found == pytest.approx(60 / 8 * (4 * 3 - 2), rel=0.05)


def test_a_run_that_was_cut_off_is_told_from_one_that_ended(tmp_path: Path) -> None:
    folder, trials = tmp_path / "run", made_trials(made_experiment(), complete=2)
    written(folder, trials, asked=6)
    with alone_in(folder):
        live = status(load_run(folder))
    assert (live["running"], live["ended_early"], live["under_way"]) == (True, False, [{"trial": 2, "epochs": 2}])
    cut = status(load_run(folder))
    assert (cut["running"], cut["ended_early"]) == (False, True)
    done = status(write_run(tmp_path / "done", made_experiment(["search.trials=2"]), trials))
    assert (done["running"], done["ended_early"], done["states"]) == (False, False, {"COMPLETE": 2})


def test_candidates_that_broke_constraints_at_last_are_counted(tmp_path: Path) -> None:
    experiment = made_experiment()
    trials = [
        ended(0, State.INFEASIBLE, "macs 2 > 1", experiment),
        *(replace(trial, number=trial.number + 1) for trial in made_trials(experiment, complete=2)),
    ]
    last = [ended(number, State.INFEASIBLE, "macs 2 > 1", experiment) for number in (3, 4, 5)]
    assert broke_constraints_at_last(write_run(tmp_path / "some", experiment, trials)) == 0
    assert broke_constraints_at_last(write_run(tmp_path / "more", experiment, [*trials, *last])) == 3
