"""Which trial of a run is meant by a name, and where none is named."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from made_runs import ended, made_experiment, made_trial, made_trials, write_run
from mtl_search import write_report
from mtl_search.cli.commands import show
from mtl_search.cli.printing import print_run
from mtl_search.comparison.picks import Picks
from mtl_search.errors import RunFolderError, UnknownNameError
from mtl_search.exporting.trained import chosen
from mtl_search.metrics.pareto import bend, knee
from mtl_search.runs.folder import Run
from mtl_search.runs.picks import pick, pick_text
from mtl_search.runs.status import status
from mtl_search.runs.trial import State

Values = Sequence[tuple[float, int]]

SMALL_SEARCH: Values = [(-0.026, 21_000), (0.297, 26_000)]
"""Mean quality and parameters of a front of two trials: both ends of a line, of which neither is a knee."""
BENT: Values = [(0.80, 1_000), (0.94, 2_000), (0.95, 6_200)]
STRAIGHT: Values = [(0.70, 1_000), (0.79, 2_000), (0.90, 4_000)]
"""On a logarithmic axis the second one is 0.05 of the extent below the line; on a linear one it would be a knee."""
HOLLOW: Values = [(0.10, 1_000), (0.12, 2_000), (0.90, 4_000)]
"""Bends the other way."""
STEEP_BEGIN: Values = [(0.10, 1_000), (0.30, 1_100), (0.90, 4_000)]
"""Bends, but only where little has been learned."""


def run_of(path: Path, values: Values, changes: Sequence[str] = (), tasks: Sequence[str] = ("left", "right")) -> Run:
    experiment = made_experiment(changes)
    trials = [
        replace(trial, accuracy=accuracy, learnable_parameters=parameters)
        for trial, (accuracy, parameters) in zip(made_trials(experiment, len(values), tasks), values, strict=True)
    ]
    return write_run(path, experiment, trials)


@pytest.mark.parametrize(
    ("values", "expected", "taken"),
    [(SMALL_SEARCH, None, 1), (BENT, 1, 1), (STRAIGHT, None, 2), (HOLLOW, None, 2), (STEEP_BEGIN, None, 2)],
)
def test_a_knee_is_where_a_front_bends_and_else_the_best_is_taken(
    values: Values, expected: int | None, taken: int, tmp_path: Path
) -> None:
    run = run_of(tmp_path / "run", values)
    assert len(run.front) == len(values)
    assert (run.knee.number if run.knee else None) == expected
    assert run.pick is not None
    assert run.pick.number == taken
    found = pick(run)
    assert found.trial is run.pick
    assert found.name == ("best" if expected is None else "knee")
    assert Picks(run, ["knee"], {}).chosen == {taken: [found.name]}


def test_a_knee_is_looked_for_on_the_axes_of_the_plots() -> None:
    """The same points on a linear axis of costs, on which most fronts bend at their cheap end."""
    on_linear = [[0.7, 1e3], [0.79, 2e3], [0.9, 1.6e4]]
    on_logarithmic = [[0.7, 3.0], [0.79, 3.3], [0.9, 4.2]]
    assert knee(on_linear, ["maximize", "minimize"]) == knee(on_logarithmic, ["maximize", "minimize"]) == 1
    assert bend(on_linear, ["maximize", "minimize"]) == pytest.approx(0.45 - 1 / 15)
    assert bend(on_logarithmic, ["maximize", "minimize"]) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[1.0, 1.0]], 0.0),
        ([[0.0, 1.0], [1.0, 0.0]], 0.0),
        ([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]], 0.0),
        ([[0.0, 1.0], [0.45, 0.45], [1.0, 0.0]], 0.1),
        ([[0.0, 1.0], [0.8, 0.9], [1.0, 0.0]], 0.0),
        ([[0.0, 1.0], [0.1, 0.2], [1.0, 0.0], [2.0, 2.0]], 0.7),
    ],
)
def test_how_much_a_front_bends(points: list[list[float]], expected: float) -> None:
    assert bend(points, ["minimize", "minimize"]) == pytest.approx(expected)


def test_of_several_costs_the_mean_counts(tmp_path: Path) -> None:
    """Two costs that grow together weigh no more than one: `made` trials have MACs as they have parameters."""
    values = [(0.5, 1_000), (0.85, 3_000), (0.9, 9_000)]
    one = run_of(tmp_path / "one", values)
    experiment = made_experiment(["objectives=[accuracy, learnable_parameters, macs]"])
    trials = [replace(trial, macs=190 * trial.learnable_parameters) for trial in one.trials]
    both = write_run(tmp_path / "both", experiment, trials)
    assert one.knee is not None
    assert both.knee is not None
    assert both.knee.number == one.knee.number == 1


def test_names_mean_the_same_in_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", [*BENT, (0.70, 7_000)])
    numbers = {"knee": 1, "best": 2, "smallest": 0, "3": 3, "trial-3": 3}
    for name, number in numbers.items():
        assert pick(run, name).trial.number == number
        exported = chosen(run, name)
        assert not isinstance(exported, str)
        assert exported.trial.number == number
        assert list(Picks(run, [name], {}).chosen) == [number]
        show(f"{run.path}:{name}", as_json=True)
        printed = capsys.readouterr()
        assert json.loads(printed.out)["pick"] == pick(run, name).to_dict()
        assert printed.err == f"{pick_text(run, pick(run, name))}\n"


def test_a_pick_says_which_trial_and_why_and_its_scores(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [*BENT, (0.70, 7_000)])
    assert pick_text(run, pick(run)) == "trial 1: the knee of the front of 3, 94.0 % accuracy, 2,000 parameters"
    assert pick_text(run, pick(run, 3)) == "trial 3: not of the front of 3, 70.0 % accuracy, 7,000 parameters"
    told = status(run).pick
    assert told["trial"] == 1
    assert told["reason"] == "the knee of the front of 3"
    assert told["accuracy"] == 0.94
    assert told["scores"] == run.trials[1].scores
    small = run_of(tmp_path / "small", SMALL_SEARCH)
    text = "trial 1: the best of the front of 2, which has no knee, 29.7 % accuracy, 26,000 parameters"
    assert pick_text(small, pick(small)) == text


def test_a_comparison_keeps_why(tmp_path: Path) -> None:
    picks = Picks(run_of(tmp_path / "run", SMALL_SEARCH), ["knee", "best", "matched:tiny"], {"tiny": 22_000})
    assert picks.chosen == {1: ["best"], 0: ["matched:tiny"]}
    assert picks.reasons(1) == {"best": "the best of the front of 2, which has no knee"}
    assert picks.reasons(0) == {"matched:tiny": "the best of the front of 2 with at most 22,000 parameters"}


def test_what_hard_sharing_reached_is_said_where_it_was_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = made_experiment(["space.bank=[conv, linear]"])
    points = [
        {"bank": "linear"},
        {"bank": "conv", "width_multiplier": 0.5},
        {"bank": "conv", "width_multiplier": 1.5},
        {"bank": "conv", "shared_ratio": 0.5, "branch_depth": 1},
    ]
    made = [made_trial(number, experiment.search_space.point(point)) for number, point in enumerate(points)]
    trials = [replace(one, accuracy=0.9 + 0.01 * number, learnable_parameters=7000) for number, one in enumerate(made)]
    told = "trial 2, 92.0 % accuracy, 7,000 parameters"
    for wanted, those in ((told, trials), (None, [trials[0], replace(trials[3], number=1)])):
        run = write_run(tmp_path / str(len(those)), experiment, those)
        print_run(run)
        said = [line for line in capsys.readouterr().out.splitlines() if "hard sharing" in line]
        assert [line.rpartition("primitives: ")[2] for line in said] == ([] if wanted is None else [wanted])
        on_page = write_report(run).read_text(encoding="utf-8")
        assert ("was tried, too: trial 2 reaches 92.0" in on_page) == (wanted is not None)


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", BENT)
    with pytest.raises(UnknownNameError, match=r"there is no pick `nee`\. Did you mean `knee`"):
        pick(run, "nee")
    with pytest.raises(RunFolderError, match=r"there is no trial 99"):
        pick(run, "99")
    experiment = made_experiment()
    empty = write_run(tmp_path / "empty", experiment, [ended(0, State.FAILED, "lost", experiment)])
    with pytest.raises(RunFolderError, match="no trial of this run is complete"):
        pick(empty)
    assert pick_text(empty, pick(empty, 0)) == "trial 0: failed, 0 parameters"
    assert empty.knee is empty.best is empty.pick is None


LIMITED = "constraints={left/accuracy: 0.9, right/loss: 0.3}"


def limited_run(path: Path, rows: Sequence[tuple[float, float, float, int]]) -> Run:
    """:param rows: Left accuracy, right loss, mean accuracy, parameters."""
    experiment = made_experiment([LIMITED])
    trials = [
        replace(
            trial,
            accuracy=accuracy,
            learnable_parameters=parameters,
            scores={**trial.scores, "left/accuracy": left, "right/loss": loss},
        )
        for trial, (left, loss, accuracy, parameters) in zip(made_trials(experiment, len(rows)), rows, strict=True)
    ]
    return write_run(path, experiment, trials)


def test_the_front_is_of_the_trials_that_keep_limits_on_qualities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(0.89, 0.2, 0.99, 900), (0.9, 0.3, 0.9, 1_000), (0.95, 0.31, 0.98, 1_000), (0.92, 0.1, 0.95, 2_000)]
    run = limited_run(tmp_path / "run", rows)
    assert [trial.number for trial in run.keeping] == [trial.number for trial in run.front] == [1, 3]
    assert pick(run, "smallest").trial.number == 1
    assert pick(run, "best").trial.number == 3
    assert status(run).keep_quality_constraints == 2
    print_run(run)
    kept = "2 of 4 complete trials keep the constraints, left/accuracy at least 90.0 % and right/loss at most 0.3;"
    assert kept in capsys.readouterr().out


def test_where_no_trial_keeps_them_the_front_is_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = limited_run(tmp_path / "run", [(0.89, 0.2, 0.99, 900), (0.95, 0.31, 0.995, 1_000)])
    assert run.keeping == ()
    assert [trial.number for trial in run.front] == [0, 1]
    assert status(run).keep_quality_constraints == 0
    print_run(run)
    assert "0 of 2 complete trials keep the constraints" in capsys.readouterr().out


def test_without_limits_nothing_is_said_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", BENT)
    assert run.keeping == run.complete
    assert status(run).keep_quality_constraints is None
    print_run(run)
    printed = capsys.readouterr().out
    assert "constraints" not in printed
    assert printed.count("<- knee") == 1


def test_the_headline_is_called_quality_where_a_task_has_no_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path / "run", SMALL_SEARCH)
    scores = {"left/accuracy": 0.9, "left/loss": 0.3, "right/rmse": 0.7}
    trials = [replace(trial, scores=scores) for trial in run.trials]
    mixed = write_run(tmp_path / "mixed", run.experiment, trials)
    assert run.mean_name == "mean accuracy"
    assert mixed.mean_name == "mean quality"
    assert "29.7 % quality" in pick_text(mixed, pick(mixed))
    print_run(mixed)
    printed = capsys.readouterr().out
    assert "quality" in printed
    assert "accuracy" not in printed
    assert "  <- best (no knee)" in printed
