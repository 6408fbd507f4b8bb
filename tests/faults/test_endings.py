"""Whatever ends a search, it goes on from its folder and ends with the numbers of one that was never disturbed."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import made_processes
from made_faults import (
    SEARCH,
    TRIALS,
    assert_epochs_trained_twice,
    assert_same_as,
    assert_whole,
    epochs_noted,
    rows_within_a_trial,
    timeless,
    wait_until_noted,
)
from made_processes import Driver, command_of, driver
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State

ON_A_WORKER, HERE = ["--workers", "1"], ["--workers", "0"]
either_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


def resumed(folder: Path, *options: str) -> tuple[int, str]:
    return made_processes.run(["resume", str(folder), *HERE, *options])


@pytest.mark.slow
def test_the_undisturbed_search_stops_some_trials_and_completes_others(undisturbed: Run) -> None:
    assert_whole(undisturbed)
    assert {trial.state for trial in undisturbed.trials} == {State.COMPLETE, State.STOPPED}
    assert all(trial.state is State.COMPLETE for trial in undisturbed.front)


@either_signal
@pytest.mark.slow
def test_a_signal_leaves_a_whole_folder_and_says_how_to_go_on(number: int, undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(folder)]) as search:
        wait_until_noted(search, folder, rows_within_a_trial(undisturbed))
        search.signal(number)
        status, shown = search.end()
        assert search.wait_until_all_are_gone()
    assert status == 130, shown
    assert f"go on with: mtl-search resume {folder}" in shown
    assert "Traceback" not in shown
    cut = load_run(folder)
    assert cut.under_way
    status, shown = resumed(folder)
    assert status == 0, shown
    assert_same_as(undisturbed, folder)
    assert_epochs_trained_twice(folder, most=1)
    assert len(load_run(folder).environment["sessions"]) == 2


def wait_until_ray_starts(search: Driver) -> None:
    search.wait_for(lambda: any("gcs_server" in command_of(pid) for pid in search.processes()))


@either_signal
@pytest.mark.slow
def test_a_signal_while_ray_starts_leaves_nothing(number: int, tmp_path: Path) -> None:
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(tmp_path / "run")]) as search:
        wait_until_ray_starts(search)
        search.signal(number)
        status, shown = search.end()
        assert search.wait_until_all_are_gone()
    assert status == 130, shown
    assert shown.strip() == "interrupted before the search began"
    assert not (tmp_path / "run").exists()


@either_signal
@pytest.mark.slow
def test_a_signal_while_resuming_starts_says_how_to_go_on(number: int, undisturbed: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed.path, tmp_path / "run"))
    before = timeless(load_run(folder))
    with driver(["resume", str(folder), *ON_A_WORKER, "--trials", str(TRIALS + 1)]) as search:
        wait_until_ray_starts(search)
        search.signal(number)
        status, shown = search.end()
    assert status == 130, shown
    assert shown.strip() == f"interrupted before a trial began; go on with: mtl-search resume {folder}"
    assert timeless(load_run(folder)) == before


@pytest.mark.alone
def test_a_signal_while_resuming_loads_libraries_says_how_to_go_on(undisturbed: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed.path, tmp_path / "run"))
    with driver(["resume", str(folder), *HERE, "--trials", str(TRIALS + 1)]) as search:
        time.sleep(0.5)
        search.signal(signal.SIGTERM)
        status, shown = search.end()
    assert (status, shown) == (130, "interrupted; the same command goes on\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("seconds", [0.5, 2])
@pytest.mark.alone
def test_signals_while_libraries_are_loaded_end_it_at_once(seconds: float, number: int, tmp_path: Path) -> None:
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(tmp_path / "run")]) as search:
        time.sleep(seconds)
        for _ in range(2):
            search.signal(number)
        status, shown = search.end()
    assert (status, shown.strip().partition(" ")[0]) == (130, "interrupted")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("program", ["gcs_server", "raylet/raylet"])
@pytest.mark.slow
def test_a_cluster_that_is_lost_ends_it_with_one_message(program: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(folder)]) as search:
        wait_until_noted(search, folder, 2)
        for pid in search.processes():
            if program in command_of(pid):
                os.kill(pid, signal.SIGKILL)
        status, shown = search.end(seconds=60)
        assert search.wait_until_all_are_gone(seconds=10), [command_of(pid) for pid in search.processes()]
    assert status == 1, shown
    told = shown.strip().splitlines()[-1]
    assert told.startswith("error: the Ray cluster on this machine is lost: ")
    assert told.endswith(f"; go on with: mtl-search resume {folder}")
    assert "Traceback" not in shown
    assert load_run(folder).environment["finished"]


@pytest.mark.parametrize("rows", [0, 1, 4, 7])
@pytest.mark.thin(4)
def test_a_killed_driver_loses_nothing(rows: int, undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *HERE, "--out", str(folder)]) as search:
        search.wait_for(lambda: (folder / "journal.log").exists() and len(epochs_noted(folder)) >= rows)
        search.signal(signal.SIGKILL)
        search.end()
    status, shown = resumed(folder)
    assert status == 0, shown
    assert_same_as(undisturbed, folder)
    assert_epochs_trained_twice(folder, most=1)


@pytest.mark.slow
def test_a_killed_driver_on_ray_loses_nothing(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(folder)]) as search:
        wait_until_noted(search, folder, 5)
        search.signal(signal.SIGKILL)
        search.end()
        assert search.wait_until_all_are_gone(seconds=10)
    status, shown = resumed(folder)
    assert status == 0, shown
    assert_same_as(undisturbed, folder)


@pytest.mark.slow
def test_a_killed_worker_costs_an_epoch_at_most(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *ON_A_WORKER, "--out", str(folder)]) as search:
        for rows in (3, 6):
            wait_until_noted(search, folder, rows)
            for worker in search.workers():
                os.kill(worker, signal.SIGKILL)
        status, shown = search.end()
    assert status == 0, shown
    assert_same_as(undisturbed, folder)
    assert_epochs_trained_twice(folder, most=2)


@pytest.mark.slow
def test_resuming_a_search_that_is_done_changes_nothing(undisturbed: Run) -> None:
    before = (undisturbed.path / "trials.csv").read_text()
    status, shown = resumed(undisturbed.path)
    assert status == 0, shown
    assert (undisturbed.path / "trials.csv").read_text() == before


@pytest.mark.slow
def test_half_written_lines_are_no_rows(undisturbed: Run, tmp_path: Path) -> None:
    """What a machine leaves that dies while it writes."""
    folder = tmp_path / "run"
    with driver([*SEARCH, *HERE, "--out", str(folder)]) as search:
        wait_until_noted(search, folder, 5)
        search.signal(signal.SIGKILL)
        search.end()
    rows = len(load_run(folder).trials)
    for name, half in (("trials.csv", "4,COMP"), ("epochs.csv", "3,2,0.4"), ("journal.log", '{"op_code":5,"wor')):
        with (folder / name).open("a") as file:
            file.write(half)
    (folder / "architectures" / ".9.json.123.tmp").write_text("{")
    assert len(load_run(folder).trials) == rows
    status, shown = resumed(folder)
    assert status == 0, shown
    assert_same_as(undisturbed, folder)


@pytest.mark.slow
def test_the_number_of_trials_may_grow(tmp_path: Path) -> None:
    folder, larger = tmp_path / "run", tmp_path / "larger"
    assert made_processes.run([*SEARCH, *HERE, "--out", str(larger)])[0] == 0
    assert made_processes.run([*SEARCH, *HERE, "--trials", "3", "--out", str(folder)])[0] == 0
    assert_whole(load_run(folder), trials=3)
    assert resumed(folder, "--trials", str(TRIALS))[0] == 0
    assert timeless(load_run(folder)) == timeless(load_run(larger))
    status, shown = resumed(folder, "--trials", "2")
    assert status == 2
    assert f"`--trials` must be at least the {TRIALS} that were asked for, but got 2" in shown


@pytest.mark.slow
def test_the_time_ends_a_search_which_goes_on_with_more(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status, shown = made_processes.run([*SEARCH, *HERE, "--hours", "0.0006", "--out", str(folder)])
    assert status == 0, shown
    assert "ended before the last trial: the 0.0006 hours are over" in shown
    assert len(load_run(folder).trials) < TRIALS
    assert resumed(folder, "--hours", "1")[0] == 0
    assert_same_as(undisturbed, folder)


@pytest.mark.slow
def test_a_target_ends_a_search(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    target = "--set=search.target={metric: accuracy, value: 0.01}"
    status, shown = made_processes.run([*SEARCH, *HERE, target, "--out", str(folder)])
    assert status == 0, shown
    assert "the target is reached: accuracy 0.01" in shown
    assert len(load_run(folder).trials) == 1


@pytest.mark.slow
def test_two_processes_do_not_share_a_folder(undisturbed: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver([*SEARCH, *HERE, "--out", str(folder)]) as search:
        wait_until_noted(search, folder, 5)
        search.signal(signal.SIGSTOP)
        status, shown = resumed(folder)
        assert status == 2
        assert f"another process works in this folder: process {search.process.pid} on " in shown
        live = subprocess.run(
            [*search.process.args[:3], "status", str(folder), "--json"], capture_output=True, text=True, check=True
        )
        told = json.loads(live.stdout)
        assert told["running"]
        assert told["seconds_left"] > 0
        search.signal(signal.SIGKILL)
        search.end()
    assert (folder / ".lock").exists()
    status, shown = resumed(folder)
    assert status == 0, shown
    assert_same_as(undisturbed, folder)
