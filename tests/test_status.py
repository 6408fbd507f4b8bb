"""Where a run stands, from its folder."""

import itertools
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import made_runs
from made_runs import ended, made_experiment, made_trials, write_run
from mtl_search.internal.files import alone_in
from mtl_search.runs import writer as run_writer
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.status import broke_constraints_at_last, ended_because, hours_spent, seconds_left, status
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.writer import RunWriter

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
        writer.start(trial.number, trial.proposal)
    writer.start(len(trials), experiment.proposal_space.sample(99))
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
    assert (live.running, live.ended_early, live.under_way) == (True, False, [{"trial": 2, "epochs": 2}])
    cut = status(load_run(folder))
    assert (cut.running, cut.ended_early) == (False, True)
    done = status(write_run(tmp_path / "done", made_experiment(["search.trials=2"]), trials))
    assert (done.running, done.ended_early, done.states) == (False, False, {"COMPLETE": 2})


def test_candidates_that_broke_constraints_at_last_are_counted(tmp_path: Path) -> None:
    experiment = made_experiment()
    trials = [
        ended(0, State.INFEASIBLE, "macs 2 > 1", experiment),
        *(replace(trial, number=trial.number + 1) for trial in made_trials(experiment, complete=2)),
    ]
    last = [ended(number, State.INFEASIBLE, "macs 2 > 1", experiment) for number in (3, 4, 5)]
    assert broke_constraints_at_last(write_run(tmp_path / "some", experiment, trials)) == 0
    assert broke_constraints_at_last(write_run(tmp_path / "more", experiment, [*trials, *last])) == 3


def with_sessions(folder: Path, sessions: list[dict[str, object]], changes: list[str]) -> Run:
    writer = RunWriter(folder, {**made_runs.ENVIRONMENT, "sessions": sessions}, ["left/accuracy"])
    writer.begin(made_experiment(changes))
    return load_run(folder)


@pytest.mark.parametrize("finished", [None, "2026-01-01T00:00:00+00:00", "2036-01-01T00:00:00+00:00"])
def test_a_clock_that_jumps_breaks_no_budget(finished: str | None, tmp_path: Path) -> None:
    """Back by two years, or forward by eight: a session lasts as long as it noted."""
    session = {"started": "2028-01-01T00:00:00+00:00", "finished": finished, "seconds": 1800.0}
    run = with_sessions(tmp_path / "run", [session, session], ["search.hours=1"])
    assert hours_spent(run) == 1.0
    assert ended_because(run) == "the 1 hours are over"


def test_sessions_from_before_they_noted_their_time_are_read(tmp_path: Path) -> None:
    sessions: list[dict[str, object]] = [
        {"started": "2026-01-02T10:00:00+00:00", "finished": "2026-01-02T10:30:00+00:00"},
        {"started": "2026-01-02T11:00:00+00:00", "finished": "2026-01-02T10:00:00+00:00"},
        {"started": "2026-01-02T12:00:00+00:00", "finished": None},
    ]
    run = with_sessions(tmp_path / "run", sessions, [])
    written = datetime.fromisoformat("2026-01-02T12:15:00+00:00").timestamp()
    for name in ("trials.csv", "epochs.csv"):
        os.utime(run.path / name, (written, written))
    assert hours_spent(run) == 0.75


def test_the_time_left_is_what_earlier_sessions_left_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    written(folder, made_trials(made_experiment(), complete=2), asked=6)
    environment = json.loads((folder / "environment.json").read_text())
    earlier = {"started": "2026-01-02T10:00:00+00:00", "seconds": 3540.0}
    environment["sessions"].insert(0, earlier)
    (folder / "environment.json").write_text(json.dumps(environment))
    experiment = load_run(folder).experiment.changed({"search": {"hours": 1.0}})
    (folder / "experiment.yaml").write_text(experiment.to_yaml())
    with alone_in(folder):
        assert seconds_left(load_run(folder)) == 0.0, "60 s were left, and this session has worked for 60"


def test_a_session_notes_how_long_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(1000.0, 50.0)
    monkeypatch.setattr(run_writer.time, "monotonic", lambda: next(clock))
    writer = RunWriter(tmp_path / "run", begun(0), ["left/accuracy"])
    writer.begin(made_experiment())
    writer.start(0, made_experiment().proposal_space.sample(0))
    noted = []
    for epoch in (1, 2, 3):
        writer.add_epoch(EpochRow(0, epoch, 1.0, 1.0, None, {}), None)
        noted.append(load_run(tmp_path / "run").environment["sessions"][-1].get("seconds"))
    assert noted == [None, 150.0, 150.0], "after 50, 100 and 200 seconds; at most once a minute"
    writer.finish("2026-01-02T10:00:00+00:00")
    assert load_run(tmp_path / "run").environment["sessions"][-1]["seconds"] == 250.0
