import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from made_runs import ended, made_experiment, made_run, made_trials, write_run
from mtl_search.reporting.figures import figure_html, pareto_data, pareto_figure, run_reference, short_number
from mtl_search.runs.trial import State


def test_data_holds_every_complete_trial_and_counts_the_others(tmp_path: Path) -> None:
    experiment = made_experiment()
    trials = [
        *made_trials(experiment, 5),
        ended(5, State.FAILED, "no luck", experiment),
        ended(6, State.INFEASIBLE, "too many", experiment),
    ]
    run = write_run(tmp_path / "run", experiment, trials)
    data = pareto_data(run)
    assert [point["trial"] for point in data["trials"]] == [0, 1, 2, 3, 4]
    assert data["states"] == {"COMPLETE": 5, "FAILED": 1, "INFEASIBLE": 1}
    assert data["front"] == [trial.number for trial in run.front]
    assert [point["trial"] for point in data["trials"] if point["is_knee"]] == [data["knee"]]
    assert {point["trial"] for point in data["trials"] if point["on_front"]} == set(data["front"])
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_figure_draws_the_numbers_of_the_data(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run"))
    others, front, knee = pareto_figure(data).data
    points = {point["trial"]: point for point in data["trials"]}
    assert len(others.x) + len(front.x) == len(points)
    assert list(front.x) == [points[number]["cost"] for number in data["front"]]
    assert list(front.y) == pytest.approx([points[number]["quality"] * 100 for number in data["front"]])
    assert (front.mode, front.line.shape) == ("lines+markers", "hv")
    assert knee.x[0] == points[data["knee"]]["cost"]


def test_hover_tells_all_of_a_trial(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run"))
    text = pareto_figure(data).data[2].hovertext[0]
    point = next(point for point in data["trials"] if point["is_knee"])
    for part in (f"trial {point['trial']}", f"{point['macs']:,} MACs", "left/accuracy", "right/loss", "layer 2: "):
        assert part in text
    assert text.count("<br>layer") == 3


def test_cost_axis_is_logarithmic_around_the_trials(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run"))
    axis = pareto_figure(data).layout.xaxis
    costs = [math.log10(point["cost"]) for point in data["trials"]]
    assert axis.type == "log"
    assert axis.range[0] < min(costs) < max(costs) < axis.range[1]
    assert 2 <= len(axis.tickvals) <= 6


def test_cost_axis_is_linear_where_a_cost_is_zero(tmp_path: Path) -> None:
    experiment = made_experiment(["objectives=[accuracy, fixed_parameters]"])
    trials = made_trials(experiment, 4)
    trials[0] = replace(trials[0], fixed_parameters=0)
    figure = pareto_figure(pareto_data(write_run(tmp_path / "run", experiment, trials)))
    assert figure.layout.xaxis.type != "log"


def test_more_objectives_take_the_first_of_each_kind_and_no_line(tmp_path: Path) -> None:
    experiment = made_experiment(["objectives=[macs, left/loss, accuracy, learnable_parameters]"])
    data = pareto_data(write_run(tmp_path / "run", experiment, made_trials(experiment, 6)))
    assert (data["quality"]["name"], data["cost"]["name"]) == ("left/loss", "macs")
    assert data["quality"]["direction"] == "minimize"
    assert not data["quality"]["percent"]
    figure = pareto_figure(data)
    assert figure.data[1].mode == "markers"
    assert figure.data[1].y[0] == next(p["quality"] for p in data["trials"] if p["cost"] == figure.data[1].x[0])


@pytest.mark.parametrize("complete", [0, 1, 2])
def test_few_trials_can_be_drawn(tmp_path: Path, complete: int) -> None:
    data = pareto_data(made_run(tmp_path / "run", complete))
    assert len(pareto_figure(data).data[1].x) == len(data["front"])


def test_names_of_tasks_are_escaped(tmp_path: Path) -> None:
    figure = pareto_figure(pareto_data(made_run(tmp_path / "run", 3, ["<b>x</b>", "y"])))
    assert "<b>x" not in figure.data[1].hovertext[0]
    assert "&lt;b&gt;x" in figure.data[1].hovertext[0]


def test_figure_uploads_nothing_and_is_the_same_each_time(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run", 3))
    pieces = {figure_html(pareto_figure(data), "plot", library=False) for _ in range(2)}
    assert len(pieces) == 1
    assert '"showSendToCloud": false' in pieces.pop()


def test_a_folder_is_named_as_it_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_reference(tmp_path / "results" / "demo") == "results/demo"
    assert run_reference(Path("results/demo")) == "results/demo"
    assert run_reference(Path("/elsewhere/demo")) == "demo"


@pytest.mark.parametrize(("number", "text"), [(950, "950"), (12_000, "12k"), (2_500_000, "2.5M"), (999_999, "1M")])
def test_short_numbers(number: float, text: str) -> None:
    assert short_number(number) == text
