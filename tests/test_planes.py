"""The axes that a plot can be turned to: what stands where, side by side, and with which text."""

import base64
import gzip
import json
import math
from pathlib import Path

import pytest

from made_runs import made_run
from mtl_search.reporting.figures import curves_data, curves_figure, curves_planes, pareto_data, pareto_planes
from mtl_search.reporting.figures.labels import Label, free_labels
from mtl_search.reporting.figures.planes import STEP, WIDEST, side_by_side
from mtl_search.reporting.packed import packed
from mtl_search.reporting.search_page import report_data, report_page, write_report
from mtl_search.runs.folder import load_run

SHOWN = ["left/accuracy", "right/loss"]


def test_points_of_one_cost_stand_side_by_side_around_it() -> None:
    costs = [1e3, 5e4, 5e4, 5e4, 1e6]
    drawn = side_by_side(costs)
    assert drawn[::4] == [1e3, 1e6]
    logs = [math.log10(cost) for cost in drawn[1:4]]
    width = 3 * 1.14  # three decades and the room beside them
    assert logs[1] == pytest.approx(math.log10(5e4), abs=1e-4)
    assert [logs[1] - logs[0], logs[2] - logs[1]] == pytest.approx([STEP * width] * 2, abs=1e-3)


def test_many_points_of_one_cost_are_spread_over_a_part_of_the_axis() -> None:
    drawn = side_by_side([1e3, *[5e4] * 40, 1e6])
    assert math.log10(drawn[-2] / drawn[1]) == pytest.approx(WIDEST * 3 * 1.14, abs=1e-2)
    assert len(set(drawn)) == 42


def test_points_of_one_cost_that_differ_in_height_stay() -> None:
    assert side_by_side([1e3, 5e4, 5e4, 1e6], [1, 2, 3, None]) == [1e3, 5e4, 5e4, 1e6]
    moved = side_by_side([1e3, 5e4, 5e4, 1e6], [1, 2, 2, 3])
    assert moved[1] < 5e4 < moved[2]


def test_texts_at_points_meet_no_marker_and_no_other_text() -> None:
    points = [
        Label("a", 1e3, 0.5, "0.5"),
        Label("b", 1e3, 0.5, ""),
        Label("c", 1e5, 0.9, "42"),
        Label("d", 1e5, 0.901, "1.5"),
    ]
    found = free_labels(points, [1e3, 1e5])
    assert found.keys() == {"a", "c", "d"}
    assert found["c"] != found["d"]
    crowd = [Label(str(number), 1e4, 0.5, f"{number}" * 8) for number in range(20)]
    assert len(free_labels(crowd, [1e3, 1e5])) < 20, "what has no room is left out"


def test_every_pair_of_axes_has_its_own_line_of_the_best(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run"))
    planes = pareto_planes(data, SHOWN)
    assert [axis["name"] for axis in planes["x"]] == ["learnable_parameters", "fixed_parameters", "macs"]
    assert [axis["name"] for axis in planes["y"]] == ["accuracy", *SHOWN]
    assert planes["lines"]["learnable_parameters|accuracy"] == data["front"]
    macs, loss = planes["x"][2], planes["y"][2]
    assert (loss["up"], loss["label"]) == (-1, "loss of task right; lower is better")
    values = dict(zip(planes["keys"], zip(macs["values"], loss["values"], strict=True), strict=True))
    line = planes["lines"]["macs|right/loss"]
    for key, (cost, value) in values.items():
        beaten = any(c <= cost and v <= value and (c, v) != (cost, value) for c, v in values.values())
        assert (key in line) == (not beaten)
    assert json.loads(json.dumps(planes, allow_nan=False))["targets"][0] == "trial-0"


def test_latency_is_an_axis_where_it_was_measured(tmp_path: Path) -> None:
    data = pareto_data(made_run(tmp_path / "run", 6))
    assert "latency_ms" not in [axis["name"] for axis in pareto_planes(data, [])["x"]]
    for point in data["trials"]:
        point["latency_ms"] = 1 + point["trial"] / 7
    latency = pareto_planes(data, [])["x"][-1]
    assert (latency["name"], latency["values"][-1]) == ("latency_ms", pytest.approx(1 + 5 / 7))


def with_epochs(run_folder: Path, tasks: bool) -> None:
    head = "trial,epoch,seconds,loss,accuracy,left/accuracy,left/loss,right/accuracy,right/loss\n"
    scores = ",0.5,0.6,1.0,0.4,2.0" if tasks else ",,,,,"
    rows = [f"{trial},{epoch},1.0,{1 / epoch}{scores}\n" for trial in (0, 1) for epoch in (2, 1, 3)]
    (run_folder / "epochs.csv").write_text(head + "".join(rows), encoding="utf-8")


def test_curves_are_those_of_what_was_scored_more_than_once(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", 4).path
    with_epochs(folder, tasks=True)
    data = curves_data(load_run(folder), SHOWN)
    assert data is not None
    assert data["names"] == ["loss", "accuracy", *SHOWN]
    curve = next(curve for curve in data["trials"] if curve["trial"] == 1)
    assert curve["epochs"] == [1, 2, 3]
    assert curve["values"]["loss"] == [1.0, 0.5, 0.33333]
    planes = curves_planes(data)
    assert [planes["y"][place]["values"][0] for place in range(4)] == [1.0, 50.0, 60.0, 2.0]
    drawn = {key for trace in curves_figure(data).data for key in trace.customdata}
    assert drawn == set(planes["keys"])
    with_epochs(folder, tasks=False)
    data = curves_data(load_run(folder), SHOWN)
    assert data is not None
    assert data["names"] == ["loss"]
    assert "Learning curves" in report_page(report_data(load_run(folder)))


def test_without_epochs_there_are_no_curves(tmp_path: Path) -> None:
    assert curves_data(made_run(tmp_path / "run", 4), SHOWN) is None


def test_drawings_of_trials_off_the_front_are_packed_into_the_page(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", 12)
    page = write_report(run).read_text(encoding="utf-8")
    text = page.partition('id="drawings">')[2].partition("</script>")[0]
    drawings = json.loads(gzip.decompress(base64.b64decode(text)))
    front = {trial.number for trial in run.front}
    assert {int(number) for number in drawings} == {trial.number for trial in run.trials} - front
    assert all(drawing.startswith("<svg") and drawing.endswith("</svg>") for drawing in drawings.values())
    assert packed(drawings) == text
    assert len(text) < 0.3 * sum(map(len, drawings.values()))
