"""What a search shows on a terminal of 80 columns."""

import io

import pytest
from rich.console import Console

from made_runs import ended, made_experiment, made_trial
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.trial import State
from mtl_search.searching.progress import ROWS, Progress

EXPERIMENT = made_experiment()
WIDTH = 80


def drawn(progress: Progress) -> list[str]:
    """The lines of the display."""
    console = Console(width=WIDTH, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(progress._draw())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def row(trial: int, epoch: int, scores: dict[str, float]) -> EpochRow:
    return EpochRow(trial, epoch, 1.5 * epoch, 2.34567 / epoch, None, scores)


def test_before_the_first_trial_it_says_what_it_waits_for() -> None:
    (line,) = drawn(Progress(24, 5, None))
    assert line.endswith("0/24 trials, workers are starting")


def test_trials_under_way_have_epoch_loss_and_the_score_of_each_task() -> None:
    progress = Progress(24, 5, None)
    for number in (0, 1, 2):
        progress.start(number)
    progress.epoch(row(0, 1, {}))
    progress.epoch(row(1, 2, {"left/accuracy": 0.9123, "left/loss": 0.3, "depth/abs_error": 0.01234}))
    lines = drawn(progress)
    assert lines[1] == "3 running"
    assert lines[2:] == [
        "under way",
        "trial  epoch   loss  scores",
        "    1    2/5  1.173  left 91.2%  depth 0.01234",
        "    0    1/5  2.346",
        "    2    0/5",
    ]
    progress.end(made_trial(1, EXPERIMENT.search_space.sample(1)), ())
    assert "    1    2/5  1.173  left 91.2%  depth 0.01234" not in drawn(progress)


@pytest.mark.parametrize("tasks", [2, 40])
def test_nothing_is_wider_than_the_terminal(tasks: int) -> None:
    names = [f"a_task_with_a_long_name_{number}" for number in range(tasks)]
    progress = Progress(100_000, 300, None)
    front = [made_trial(number, EXPERIMENT.search_space.sample(number), names) for number in range(6)]
    for state in (State.STOPPED, State.FAILED, State.INFEASIBLE):
        progress.counts[state] = 12_345
    for number in range(20):
        progress.start(number)
        progress.epoch(row(number, 299, {f"{name}/accuracy": 0.5 for name in names}))
    for trial in front:
        progress.start(trial.number)
        progress.end(trial, front)
    lines = drawn(progress)
    assert max(map(len, lines)) <= WIDTH
    assert f"and {20 - 6 - ROWS} more under way" in lines
    assert lines[1] == "14 running, 12,345 stopped, 12,345 failed, 12,345 infeasible"
    assert sum("a_task_with_a_long_name_0 50.0%" in line for line in lines) == ROWS


def test_a_name_of_a_task_is_no_markup() -> None:
    progress = Progress(24, 5, None)
    progress.start(0)
    progress.epoch(row(0, 1, {"[bold]x\x1b[2J/accuracy": 0.5}))
    assert drawn(progress)[-1] == "    0    1/5  2.346  [bold]x\\x1b[2J 50.0%"


def test_a_failure_is_told_with_its_reason_on_any_terminal() -> None:
    console = Console(width=WIDTH, file=io.StringIO(), force_terminal=False)
    progress = Progress(24, 5, console)
    progress.start(0)
    progress.end(ended(0, State.FAILED, "ValueError: no luck", EXPERIMENT), ())
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "[1/24] trial 0 FAILED: ValueError: no luck\n"
