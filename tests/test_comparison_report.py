import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from made_comparisons import (
    BASELINES,
    EPOCHS,
    LAYERS,
    made_baseline,
    made_comparison,
    made_details,
    made_outcome,
    made_outcomes,
    made_pick,
    write_comparison,
)
from made_runs import made_run
from mtl_search.comparison.results import Comparison, Outcome, load_comparison, with_delta_m, write_details
from mtl_search.errors import RunFolderError
from mtl_search.metrics.intervals import interval
from mtl_search.reporting.comparison_page import comparison_data
from mtl_search.reporting.figures import (
    conflicts_figure,
    cosines_figure,
    differences_figure,
    hypervolume_figure,
    importance_figure,
    paths_figure,
    shares_figure,
    standings_figure,
    standings_planes,
)
from mtl_search.reporting.search_page import report_data, write_report
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State
from test_report import Page, assert_loads_nothing


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made_run(tmp_path / "demo", 24)


@pytest.fixture
def comparison(run: Run) -> Comparison:
    return made_comparison(run)


@pytest.fixture
def data(run: Run, comparison: Comparison) -> dict[str, Any]:
    return comparison_data(run, comparison)


def row(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return next(one for one in data["entrants"] if one["entrant"] == key)


def outcomes_with(values: Mapping[str, list[float]], parameters: Mapping[str, int]) -> list[Outcome]:
    """Outcomes with these accuracies, one per seed."""
    found = []
    for key, accuracies in values.items():
        trial = int(key.removeprefix("trial-")) if key.startswith("trial-") else None
        for seed, accuracy in enumerate(accuracies):
            scores = {"left/accuracy": accuracy, "right/accuracy": accuracy}
            method = "etr_nlp" if trial is not None else BASELINES[key][0]
            made = made_outcome(key, seed, accuracy, parameters[key], method, trial)
            found.append(replace(made, accuracy=accuracy, scores=scores))
    return found


def answer_to(run: Run, pick: list[float], hard: list[float], seeds: int = 3) -> list[str]:
    """The answer where a pick, matched to hard sharing, has these accuracies."""
    best = run.front[-1].number
    entrants = [
        made_baseline("single_task"),
        made_baseline("hard_sharing"),
        made_pick(best, ["best", "matched:hard_sharing"]),
    ]
    key = f"trial-{best}"
    values = {"single_task": [0.88] * len(hard), "hard_sharing": hard, key: pick}
    outcomes = outcomes_with(values, {"single_task": 90_000, "hard_sharing": 50_000, key: 48_000})
    return list(comparison_data(run, write_comparison(run, entrants, outcomes, seeds))["answer"])


def made_short(run: Run, with_reference: bool = True) -> dict[str, Any]:
    """A comparison in which a pick is 2 points below its reference in one task, and 1 above in the other."""
    run = replace(run, experiment=run.experiment.changed({"constraints": {"worst_task": "single_task"}}))
    key = f"trial-{run.front[-1].number}"
    entrants = [made_baseline("single_task"), made_baseline("hard_sharing"), made_pick(run.front[-1].number, ["best"])]
    parameters = {"single_task": 90_000, "hard_sharing": 50_000, key: 48_000}
    values = {"single_task": [0.88, 0.86, 0.87], "hard_sharing": [0.89, 0.88, 0.88], key: [0.9, 0.9, 0.9]}
    made = outcomes_with(values if with_reference else {key: values[key]}, parameters)
    scores = {"left/accuracy": 0.85, "right/accuracy": 0.88}
    outcomes = [replace(one, scores=scores) if one.entrant == key else one for one in made]
    return comparison_data(run, write_comparison(run, entrants, outcomes, 3))


# The answer


def test_it_says_which_entrants_do_a_task_worse_than_its_own_network(run: Run) -> None:
    data, best = made_short(run), run.front[-1].number
    assert data["below_single_task"] == {"hard_sharing": {}, f"trial-{best}": {"left/accuracy": pytest.approx(0.02)}}
    assert data["answer"][-1] == (
        "No task is to be done worse than by a network of its own. In the mean over seeds this is kept by hard"
        f" sharing. Not by trial {best} (left/accuracy: 2.00 points worse)."
    )


def test_without_single_task_networks_it_is_not_known_whether_a_task_is_done_worse(run: Run) -> None:
    data = made_short(run, with_reference=False)
    assert data["below_single_task"] is None
    assert data["answer"][-1].endswith("so it is not known whether one is.")


def test_answer_says_better_where_the_interval_excludes_zero(run: Run) -> None:
    first, second = answer_to(run, [0.86, 0.87, 0.865], [0.85, 0.859, 0.856])
    ends = stats.ttest_rel([86, 87, 86.5], [85, 85.9, 85.6]).confidence_interval(0.95)
    assert f"+1.00 points (95\N{NO-BREAK SPACE}% interval {ends.low:+.2f} to {ends.high:+.2f}, 3 seeds)" in first
    assert first.endswith("better in this comparison.")
    assert "86.5\N{NO-BREAK SPACE}% mean accuracy on the test split with 48,000 learnable parameters" in first
    assert "hard sharing 85.5\N{NO-BREAK SPACE}% with 50,000" in first
    assert "90,000 together" in second
    assert second.endswith("worse in this comparison.")


def test_answer_stays_open_where_the_interval_includes_zero(run: Run) -> None:
    first, _ = answer_to(run, [0.86, 0.87, 0.85], [0.85, 0.85, 0.865])
    assert first.endswith(
        "The interval includes 0: which of them is better stays open; if mean and spread stay as they are, about 53"
        " seeds would decide it."
    )
    first, _ = answer_to(run, [0.86, 0.87, 0.851], [0.85, 0.864, 0.866])
    assert first.endswith("more than 100 seeds would decide it.")


def test_answer_from_one_seed_says_so(run: Run) -> None:
    first, _ = answer_to(run, [0.86], [0.85], seeds=1)
    assert "+1.00 points in one seed" in first
    assert "interval" not in first


def test_answer_uses_common_seeds_only(run: Run) -> None:
    first, _ = answer_to(run, [0.86, 0.87, 0.865, 0.99], [0.85, 0.859, 0.856], seeds=4)
    assert "+1.00 points" in first
    assert ", 3 seeds)" in first


def test_answer_from_two_seeds_has_no_interval(run: Run) -> None:
    first, _ = answer_to(run, [0.86, 0.87], [0.85, 0.859], seeds=2)
    assert first.endswith("+1.05 points in 2 seeds. How much of that is chance is not known from 2 seeds.")


def test_answer_takes_the_nearest_in_size_where_nothing_was_matched(run: Run) -> None:
    best = run.front[-1].number
    keys = ["hard_sharing_widths@0.5", "hard_sharing", "hard_sharing_widths@1.5"]
    entrants = [*map(made_baseline, keys), made_pick(best, ["best"])]
    outcomes = made_outcomes(keys, {best: 0.9}, run, 2)
    outcomes = [replace(one, learnable_parameters=100_000) if one.trial == best else one for one in outcomes]
    answer = comparison_data(run, write_comparison(run, entrants, outcomes, 2))["answer"]
    assert "hard sharing widths 1.5" in answer[0]
    assert "no Delta_m" in answer[1]


def test_best_pick_is_chosen_by_validation_not_by_what_is_compared(run: Run) -> None:
    smallest, best = run.front[0].number, run.front[-1].number
    entrants = [made_pick(smallest, ["smallest"]), made_pick(best, ["best"])]
    outcomes = made_outcomes([], {smallest: 0.95, best: 0.80}, run, 2)
    data = comparison_data(run, write_comparison(run, entrants, outcomes, 2))
    assert data["differences"]["other"]["entrant"] == f"trial-{best}"
    assert data["differences"]["rows"][0]["points"]["mean"] > 10


# The table


def test_intervals_are_over_seeds(data: dict[str, Any], comparison: Comparison) -> None:
    found = row(data, "recon")
    values = [outcome.scores["left/accuracy"] for outcome in comparison.of("recon")]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    interval = found["scores"]["left/accuracy"]
    assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high))
    assert interval["count"] == 3
    assert found["delta_m"]["mean"] == pytest.approx(
        sum(one.delta_m or 0 for one in comparison.of("recon")) / 3, abs=1e-9
    )
    gains = [one.delta_m for one in comparison.of("recon")]
    ends = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert (found["delta_m"]["low"], found["delta_m"]["high"]) == pytest.approx((ends.low, ends.high))


def test_single_task_is_at_0_without_an_interval(data: dict[str, Any]) -> None:
    found = row(data, "single_task")["delta_m"]
    assert (found["mean"], found["low"], found["high"], found["count"]) == (0, None, None, 3)


def test_intervals_end_where_scores_do(run: Run) -> None:
    values = {"single_task": [0.5, 0.52, 0.51], "hard_sharing": [0.999, 0.95, 0.9]}
    outcomes = outcomes_with(values, {"single_task": 90_000, "hard_sharing": 50_000})
    data = comparison_data(run, write_comparison(run, list(map(made_baseline, values)), outcomes))
    found = row(data, "hard_sharing")
    assert found["accuracy"]["high"] == 1
    ends = stats.ttest_1samp(values["hard_sharing"], 0).confidence_interval()
    assert ends.high > 1
    assert found["accuracy"]["low"] == pytest.approx(ends.low)
    assert found["delta_m"]["high"] == pytest.approx(sum(100 * (1 / one - 1) for one in values["single_task"]) / 3)
    trace = next(trace for trace in standings_figure(data["standings"]).data if trace.name == "hard sharing")
    assert trace.error_y.array[0] == pytest.approx(100 * (1 - found["accuracy"]["mean"]), abs=1e-3)
    assert trace.error_y.arrayminus[0] > trace.error_y.array[0]


def test_delta_m_is_over_the_seeds_that_single_task_has(run: Run) -> None:
    values = {"single_task": [0.5, 0.52, 0.51], "hard_sharing": [0.55, 0.53, 0.54, 0.9]}
    outcomes = outcomes_with(values, {"single_task": 90_000, "hard_sharing": 50_000})
    data = comparison_data(run, write_comparison(run, list(map(made_baseline, values)), outcomes, 4))
    found = row(data, "hard_sharing")
    assert (found["accuracy"]["count"], found["delta_m"]["count"]) == (4, 3)
    assert found["delta_m"]["mean"] == pytest.approx(100 * (0.55 / 0.5 + 0.53 / 0.52 + 0.54 / 0.51 - 3) / 3)
    assert (
        "Single-task networks were not trained with all seeds of hard sharing: Delta_m is over the others."
        in (data["notes"])
    )


@pytest.mark.parametrize("headline", [0.0, -0.2, 1e-320])
def test_a_headline_that_is_not_above_0_in_a_seed_leaves_no_delta_m(run: Run, headline: float) -> None:
    values = {"single_task": [0.5, headline, 0.51], "hard_sharing": [0.55, 0.53, 0.54]}
    outcomes = outcomes_with(values, {"single_task": 90_000, "hard_sharing": 50_000})
    data = comparison_data(run, write_comparison(run, list(map(made_baseline, values)), outcomes))
    assert {one["delta_m"] for one in data["entrants"]} == {None}
    assert any("no Delta_m" in note for note in data["notes"])


@pytest.mark.parametrize(("single", "points"), [([0.5, 0.6, 0.4], "4.0"), ([0.5, 0.51, 0.49], None)])
def test_gains_over_an_uneven_reference_are_said_to_be_off(run: Run, single: list[float], points: str | None) -> None:
    values = {"single_task": single, "hard_sharing": [0.55, 0.53, 0.54]}
    outcomes = outcomes_with(values, {"single_task": 90_000, "hard_sharing": 50_000})
    data = comparison_data(run, write_comparison(run, list(map(made_baseline, values)), outcomes))
    told = [note for note in data["notes"] if "are off by about" in note]
    assert len(told) == (points is not None)
    if points:
        assert "vary by up to 20\N{NO-BREAK SPACE}% of their mean" in told[0]
        assert f"are off by about {points} points" in told[0]


def test_tables_of_older_versions_get_their_delta_m_by_seed(run: Run) -> None:
    made_comparison(run)
    path = run.path / "baselines.csv"
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    place = lines[0].index("delta_m")
    older = [lines[0], *([*line[:place], "7.5", *line[place + 1 :]] for line in lines[1:])]
    path.write_text("".join(",".join(line) + "\n" for line in older), encoding="utf-8")
    found = load_comparison(run.path)
    assert found is not None
    assert [one.delta_m for one in found.of("single_task")] == [0, 0, 0]
    assert all(one.delta_m != 7.5 for one in found.outcomes)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.thin(2)
def test_intervals_of_delta_m_hold_the_true_gain_in_95_of_100_cases(seeds: int, correlation: float) -> None:
    """The spread of single task is in them; 3000 made comparisons tell the share to 0.4 points."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(3000):
        common, rest = generator.standard_normal((2, seeds, 2))
        reference = 0.8 * (1 + 0.005 * common)
        own = 0.8 * 1.02 * (1 + 0.005 * (correlation * common + (1 - correlation**2) ** 0.5 * rest))
        outcomes = [
            Outcome(key, State.COMPLETE, key, seed, "test", scores={"left/accuracy": left, "right/accuracy": right})
            for key, scores in (("single_task", reference), ("recon", own))
            for seed, (left, right) in enumerate(scores.tolist())
        ]
        gains = [one.delta_m for one in with_delta_m(outcomes) if one.entrant == "recon" and one.delta_m is not None]
        found = interval(gains)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2 <= found.high
    assert 0.93 <= held / 3000 <= 0.97


def test_cost_of_training_counts_every_phase_in_multiples_of_hard_sharing(data: dict[str, Any]) -> None:
    assert row(data, "hard_sharing")["relative"] == {"samples": 1.0, "macs": 1.0, "seconds": 1.0}
    found = row(data, "interrogate@0.5")
    assert found["relative"]["samples"] == 3.0
    assert found["relative"]["macs"] == pytest.approx(3 * 82_000 / 53_652)
    assert [phase["phase"] for phase in found["phases"]] == ["single-task initialisation", "training"]


def test_costs_that_differ_between_seeds_have_a_range(run: Run) -> None:
    outcomes = [
        replace(one, learnable_parameters=one.learnable_parameters + 100 * one.seed)
        for one in made_outcomes(["conal"], {}, run, 3)
    ]
    data = comparison_data(run, write_comparison(run, [made_baseline("conal")], outcomes))
    assert row(data, "conal")["learnable_parameters"] == {"mean": 74_100, "least": 74_000, "most": 74_200}
    assert "74,000 to 74,200" in Page(write_report(run)).text


def test_failed_trainings_are_named_and_no_mean_holds_them(run: Run) -> None:
    keys = ["single_task", "hard_sharing", "recon"]
    outcomes = made_outcomes(keys, {}, run, 3)
    kept = [one for one in outcomes if (one.entrant, one.seed) not in {("recon", 1), ("hard_sharing", 2)}]
    failed = Outcome("recon", State.FAILED, "recon", 1, "test", error="the loss was not finite <at> step 7")
    data = comparison_data(run, write_comparison(run, [made_baseline(key) for key in keys], [*kept, failed]))
    assert row(data, "recon")["seeds"] == [0, 2]
    assert row(data, "recon")["accuracy"]["count"] == 2
    assert [(one["entrant"], one["seed"], one["failed"]) for one in data["failed"]] == [
        ("hard_sharing", 2, False),
        ("recon", 1, True),
    ]
    assert data["state"].startswith("2 of 9 trainings are not complete: 1 failed, 1 not trained yet.")
    assert "failed: the loss was not finite <at> step 7" in Page(write_report(run)).text


def test_a_comparison_without_any_complete_training_gives_a_page(run: Run) -> None:
    failed = Outcome("recon", State.FAILED, "recon", 0, "test", error="no luck")
    write_comparison(run, [made_baseline("recon")], [failed], seeds=1)
    page = Page(write_report(run))
    assert "No training is complete yet, so there is no answer." in page.text
    assert_loads_nothing(page)


def test_without_single_task_there_is_no_delta_m(run: Run) -> None:
    data = comparison_data(run, made_comparison(run, baselines=["hard_sharing", "recon"]))
    assert {one["delta_m"] for one in data["entrants"]} == {None}
    assert [axis["name"] for axis in standings_planes(data)["y"]] == ["accuracy", "left/accuracy", "right/accuracy"]
    assert any("no Delta_m" in note for note in data["notes"])


# The figures


def test_plot_shows_every_entrant_with_its_interval(data: dict[str, Any]) -> None:
    groups = data["standings"]["groups"]
    assert [group["kind"] for group in groups] == ["pick", *["baseline"] * 7]
    keys = [point["entrant"] for group in groups for point in group["points"]]
    assert sorted(keys) == sorted(one["entrant"] for one in data["entrants"])
    figure = standings_figure(data["standings"])
    interval = row(data, "recon")["accuracy"]
    trace = next(trace for trace in figure.data if trace.name == "recon")
    assert trace.x == (90_500,)
    assert trace.y[0] == pytest.approx(interval["mean"] * 100, abs=1e-3)
    assert trace.error_y.array[0] == pytest.approx((interval["high"] - interval["mean"]) * 100, abs=1e-3)
    assert figure.layout.xaxis.type == "log"


def test_switch_of_the_plot_begins_with_what_is_drawn(data: dict[str, Any]) -> None:
    figure, planes = standings_figure(data["standings"]), standings_planes(data)
    across, up = planes["x"][0], planes["y"][0]
    assert across["layout"]["xaxis"] == figure.layout.xaxis.to_plotly_json()
    assert up["layout"]["yaxis"]["ticksuffix"] == figure.layout.yaxis.ticksuffix == " %"
    assert up["layout"]["title"]["text"] == figure.layout.title.text
    for trace in figure.data:
        places = [planes["keys"].index(key) for key in trace.customdata]
        assert list(trace.x) == [across["values"][place] for place in places]
        assert list(trace.y) == [up["values"][place] for place in places]
    recon = planes["keys"].index("recon")
    assert [axis["name"] for axis in planes["x"]] == ["learnable_parameters", "macs", "training_macs"]
    gain = next(axis for axis in planes["y"] if axis["name"] == "delta_m")
    found = row(data, "recon")["delta_m"]
    assert gain["values"][recon] == pytest.approx(found["mean"], abs=1e-3)
    assert gain["bars"][recon] == pytest.approx((found["high"] - found["mean"], found["mean"] - found["low"]), abs=1e-3)


def test_a_dozen_methods_have_a_mark_each(data: dict[str, Any]) -> None:
    group = next(one for one in data["standings"]["groups"] if one["name"] == "recon")
    figure = standings_figure({"word": "accuracy", "groups": [group] * 12})
    assert len({trace.marker.symbol for trace in figure.data}) == 12
    many = standings_figure({"word": "accuracy", "groups": [group] * 60})
    assert len({(trace.marker.color, trace.marker.symbol) for trace in many.data}) == 60


def test_a_curve_goes_through_what_differs_in_width_alone(data: dict[str, Any]) -> None:
    group = next(one for one in data["standings"]["groups"] if one["name"] == "hard sharing widths")
    assert [point["entrant"] for point in group["line"]] == [
        "hard_sharing_widths@0.5",
        "hard_sharing",
        "hard_sharing_widths@1.5",
    ]


def test_differences_are_paired_and_marked(data: dict[str, Any], comparison: Comparison) -> None:
    other = data["differences"]["other"]["entrant"]
    means = [one["points"]["mean"] for one in data["differences"]["rows"]]
    assert means == sorted(means, reverse=True)
    for found in data["differences"]["rows"]:
        own = [100 * (one.accuracy or 0) for one in comparison.of(found["entrant"])]
        theirs = [100 * (one.accuracy or 0) for one in comparison.of(other)]
        expected = stats.ttest_rel(own, theirs)
        ends = expected.confidence_interval(0.95)
        assert (found["points"]["low"], found["points"]["high"]) == pytest.approx((ends.low, ends.high))
        assert found["excludes_zero"] is bool(expected.pvalue < 0.05)
        assert found["p"] == pytest.approx(expected.pvalue)
    figure = differences_figure(data["differences"])
    assert sum(len(trace.x) for trace in figure.data) == len(means)
    assert len(figure.layout.yaxis.ticktext) == len(means)


def test_differences_are_judged_by_themselves_and_after_holm(run: Run) -> None:
    """Three of them against the pick: p is 0.001, 0.03 and above 0.05."""
    pick = [0.850, 0.852, 0.849]
    keys = ("hard_sharing", "recon", "conal")
    values = {
        "hard_sharing": [one + gain for one, gain in zip(pick, (0.010, 0.011, 0.0105), strict=True)],
        "recon": [one - loss for one, loss in zip(pick, (0.010, 0.013, 0.018), strict=True)],
        "conal": [one + gain for one, gain in zip(pick, (0.010, -0.004, 0.003), strict=True)],
    }
    best = run.front[-1].number
    values[f"trial-{best}"] = pick
    outcomes = outcomes_with(values, dict.fromkeys(values, 50_000))
    entrants = [*map(made_baseline, keys), made_pick(best, ["best"])]
    differences = comparison_data(run, write_comparison(run, entrants, outcomes))["differences"]
    rows = {one["entrant"]: one for one in differences["rows"]}
    p = {key: stats.ttest_rel(values[key], pick).pvalue for key in keys}
    assert p["hard_sharing"] < 0.05 / 3 < 0.025 < p["recon"] < 0.05 < p["conal"]
    assert [rows[key]["p_holm"] for key in keys] == pytest.approx([3 * p["hard_sharing"], 2 * p["recon"], p["conal"]])
    assert [rows[key]["verdict"] for key in keys] == ["better", "worse", "open"]
    assert [rows[key]["verdict_holm"] for key in keys] == ["better", "open", "open"]
    assert [rows[key]["seeds_to_decide"] for key in keys] == [None, None, 24]
    assert [trace.name for trace in differences_figure(differences).data] == [
        "decided, also after Holm",
        "decided by itself alone",
        "open",
    ]
    assert "By itself 2 of 3 differences are decided" in differences["notes"][2]
    assert "After Holm's correction for their number it is 1" in differences["notes"][2]
    assert "about 24" in Page(write_report(run)).text


def test_the_mean_over_tasks_is_called_quality_where_a_headline_is_none(tmp_path: Path) -> None:
    run = made_run(tmp_path / "none", 0)
    outcomes = [
        replace(one, scores={"left/accuracy": 0.8 + 0.01 * one.seed, "right/rmse": 0.2 + 0.01 * one.seed})
        for one in made_outcomes(["single_task", "hard_sharing"], {}, run, 3)
    ]
    entrants = [made_baseline("single_task"), made_baseline("hard_sharing")]
    data = comparison_data(run, write_comparison(run, entrants, outcomes))
    assert data["word"] == "quality"
    assert "mean quality on the test split" in data["answer"][0]
    assert [axis["label"] for axis in standings_planes(data)["y"]] == [
        "mean quality over tasks, in percent",
        "Delta_m over single task, in percent",
        "accuracy of task left, in percent",
        "rmse of task right; lower is better",
    ]
    assert "points of mean quality" in differences_figure(data["differences"]).layout.title.text.replace("<br>", " ")
    text = Page(write_report(run)).text
    assert "Quality against cost" in text
    assert "ean accuracy" not in text


def test_shares_are_means_over_seeds(data: dict[str, Any], comparison: Comparison) -> None:
    shares = data["shares"]
    assert shares["layers"] == list(LAYERS)
    assert len(shares["rows"]) == 4, "two variants, two tasks"
    told = [comparison.details("interrogate@0.2", seed)["share"]["right"]["layer 1"] for seed in range(3)]
    found = next(one for one in shares["rows"] if (one["entrant"], one["task"]) == ("interrogate@0.2", "right"))
    assert found["shares"][2] == pytest.approx(sum(told) / 3)
    assert shares_figure(shares).data[0].z[1][2] == pytest.approx(100 * sum(told) / 3, abs=0.01)


def test_paths_and_conflicts_of_branch_points(data: dict[str, Any]) -> None:
    (found,) = data["branch_points"]
    assert found["choices"] == ["before stem", "after stem", "after layer 0", "after layer 1", "never"]
    assert found["branch_points"] == {"left": [2, 2, 2], "right": [3, 3, 3]}
    assert len(found["alpha"]) == EPOCHS
    assert sum(found["alpha"][-1][0]) == pytest.approx(1, abs=1e-4)
    figure = paths_figure(found)
    assert len(figure.data) == 2 * 5
    assert figure.data[2].y[-1] == pytest.approx(100 * found["alpha"][-1][0][2], abs=1e-3)
    heat = conflicts_figure(found).data[0]
    assert len(heat.z) == len(LAYERS)
    assert heat.z[1][2] == pytest.approx(32.0)


def test_margins_and_frozen_steps_are_shown_epoch_by_epoch(run: Run, data: dict[str, Any]) -> None:
    (found,) = data["branch_points"]
    assert found["margin_path"]["left"][-1] == pytest.approx(found["margins"]["left"]["mean"], abs=1e-4)
    assert len(found["margin_path"]["left"]) == EPOCHS
    assert found["margin_path"]["left"] == sorted(found["margin_path"]["left"])
    assert found["frozen"] == pytest.approx([0.1 * epoch for epoch in range(EPOCHS)])
    (outcome,) = made_outcomes(["conal"], {}, run, 1)
    write_comparison(run, [made_baseline("conal")], [outcome], seeds=1)
    details = made_details(outcome)
    details["margins"][0] = [None, 0.125]
    write_details(run.path, outcome, details)
    text = " ".join(Page(write_report(run)).text.split())
    assert "(epoch by epoch: -, " in text
    assert "(epoch by epoch: 12.50, " in text
    share = 10 * (EPOCHS - 1)
    assert f"did not learn in {share} % of the steps of the last epoch, in {share} % in that with the most" in text


def test_choices_on_ties_are_told(run: Run) -> None:
    outcomes = made_outcomes(["conal"], {}, run, 2)
    write_comparison(run, [made_baseline("conal")], outcomes, seeds=2)
    write_details(run.path, outcomes[1], {**made_details(outcomes[1]), "ties": ["layer 1 of left", "heads of <b>"]})
    text = " ".join(Page(write_report(run)).text.split())
    assert "in 1 of 2 trainings: layer 1 of left, heads of <b>. Another seed" in text


def test_branch_points_of_an_earlier_version_are_shown(run: Run) -> None:
    (outcome,) = made_outcomes(["conal"], {}, run, 1)
    write_comparison(run, [made_baseline("conal")], [outcome], seeds=1)
    details = made_details(outcome)
    del details["margins"], details["frozen"]
    write_details(run.path, outcome, details)
    text = " ".join(Page(write_report(run)).text.split())
    assert "decided with a margin of" in text
    assert "epoch by epoch" not in text
    assert "did not learn in" not in text


def test_paths_whose_choices_change_are_left_out(run: Run) -> None:
    (outcome,) = made_outcomes(["conal"], {}, run, 1)
    write_comparison(run, [made_baseline("conal")], [outcome], seeds=1)
    details = made_details(outcome)
    details["alpha"][0] = [[0.5, 0.5]]
    details["conflicts"] = [{} for _ in range(EPOCHS)]
    write_details(run.path, outcome, details)
    (found,) = report_data(run)["comparison"]["branch_points"]
    assert found["alpha"] is None
    assert found["modules"] == []
    assert "its path is not drawn" in " ".join(Page(write_report(run)).text.split())


def test_cosines_share_one_symmetric_scale_and_leave_gaps(data: dict[str, Any]) -> None:
    cosines = data["cosines"]
    assert cosines["maps"][0]["entrant"] == "hard_sharing"
    assert len(cosines["maps"]) == 1 + len(data["picks"])
    figures = [cosines_figure(cosines, number) for number, _ in enumerate(cosines["maps"])]
    assert {(figure.data[0].zmin, figure.data[0].zmax) for figure in figures} == {(-cosines["limit"], cosines["limit"])}
    assert figures[1].data[0].z[-1] == [None] * EPOCHS
    assert cosines["maps"][0]["cosines"][0][0] == pytest.approx(0.31), "0.3, 0.31, 0.32"


def test_sentence_on_interference_follows_the_numbers(run: Run, data: dict[str, Any]) -> None:
    base, pick = data["cosines"]["sentences"]
    assert "below 0 in 38\N{NO-BREAK SPACE}% of them" in base
    assert pick.endswith("Interference fell.")
    for outcome in made_outcomes([], {run.front[-1].number: 0.9}, run, 3):
        lower = dict.fromkeys(LAYERS, -0.5 - 0.01 * outcome.seed)
        write_details(run.path, outcome, {**made_details(outcome), "cosines": [lower] * EPOCHS})
    again = report_data(run)["comparison"]["cosines"]["sentences"][1]
    assert again.endswith("Interference did not fall: it grew.")


def test_hypervolume_never_falls_and_starts_at_nothing(run: Run, data: dict[str, Any]) -> None:
    found = data["hypervolume"]
    shares = [point["share"] for point in found["points"]]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1
    assert found["points"][-1]["seconds"] == pytest.approx(sum(trial.seconds for trial in run.trials))
    assert found["reference_point"][1] == max(trial.learnable_parameters for trial in run.complete)
    assert len(hypervolume_figure(found, "seconds").data[0].x) == 1 + len(run.trials)


def test_importance_finds_what_decides(data: dict[str, Any]) -> None:
    first, *others = data["importance"]["choices"]
    assert first["choice"] == "width multiplier", "made-up accuracies grow with parameters"
    assert first["share"] > first["chance"]
    assert all(first["share"] >= other["share"] for other in others)
    assert sum(level["trials"] for level in first["levels"]) == data["importance"]["trials"]
    bars = importance_figure(data["importance"]).data[0]
    assert bars.x[0] == pytest.approx(100 * first["share"], abs=0.01)


def test_few_trials_say_nothing_about_importance(tmp_path: Path) -> None:
    run = made_run(tmp_path / "few", 4)
    assert comparison_data(run, made_comparison(run, 1))["importance"] is None


# The page


def test_page_shows_the_comparison_and_loads_nothing(run: Run, comparison: Comparison) -> None:
    path = write_report(run)
    assert path == run.path / "report.html"
    assert (run.path / "pareto.html").exists()
    page = Page(path)
    assert_loads_nothing(page)
    picks = [about for about in comparison.request["entrants"] if about["kind"] == "pick"]
    assert page.count("svg") == len(picks)
    for heading in ("All entrants", "Differences to trial", "The picks", "How much the tasks agree", "The search"):
        assert heading in page.text
    assert "mtl-search compare results/made --seeds 3" in page.text
    assert "single-task initialisation, 2 times the samples of `training`" in page.text


def test_report_json_holds_what_is_drawn(run: Run, comparison: Comparison) -> None:
    write_report(run)
    text = (run.path / "report.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data == report_data(run)
    assert len(data["comparison"]["entrants"]) == len(comparison.entrants)
    floats: list[str] = []
    json.loads(text, parse_float=lambda number: floats.append(number))
    assert max(len(number.partition("e")[0].replace(".", "").strip("-0")) for number in floats) <= 9


def test_without_a_comparison_there_is_no_second_page(run: Run) -> None:
    assert report_data(run)["comparison"] is None
    assert write_report(run) == run.path / "pareto.html"
    assert not (run.path / "report.html").exists()


def test_comparison_without_a_search(tmp_path: Path) -> None:
    run = made_run(tmp_path / "none", 0)
    made_comparison(run, 2, ["single_task", "hard_sharing", "interrogate@0.5"])
    data = report_data(run)["comparison"]
    assert data["picks"] == []
    assert data["hypervolume"] is None
    assert data["differences"]["other"]["entrant"] == "single_task"
    assert "It was chosen by these same numbers" in data["differences"]["notes"][0]
    page = Page(write_report(run))
    assert "hypervolume" not in page.text
    assert "The picks" not in page.text
    assert "The search and the choice" not in page.text
    assert_loads_nothing(page)


def test_names_and_reasons_are_escaped(run: Run, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    about = {
        **made_baseline("recon"),
        "description": evil,
        "key": evil.replace("/", ""),
        "recipe": evil,
        "variant": evil,
    }
    outcome = replace(made_outcomes(["recon"], {}, run, 1)[0], entrant=about["key"])
    failed = replace(outcome, seed=1, state=State.FAILED, error=evil, scores={}, accuracy=None)
    write_comparison(run, [about], [outcome, failed], seeds=2)
    page = Page(write_report(run))
    plain = made_run(tmp_path / "plain", 24)
    write_comparison(plain, [made_baseline("recon")], made_outcomes(["recon"], {}, plain, 1), seeds=1)
    assert "alert(1)" in page.text
    assert page.count("script") == Page(write_report(plain)).count("script")


def test_page_names_no_path_of_this_machine(run: Run, tmp_path: Path) -> None:
    failed = Outcome("recon", State.FAILED, "recon", 0, "test", error=f"no such file: '{tmp_path}/data/x.npz'")
    write_comparison(run, [made_baseline("recon")], [failed], seeds=1)
    assert str(tmp_path) not in write_report(run).read_text(encoding="utf-8")


def test_missing_details_are_an_error_that_names_the_file(run: Run, comparison: Comparison) -> None:
    (run.path / "comparison" / "recon" / "seed1" / "details.json").unlink()
    with pytest.raises(RunFolderError, match=r"recon/seed1/details\.json"):
        write_report(run)


def test_same_folder_gives_the_same_page(run: Run, comparison: Comparison) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run.path).read_bytes() == first


def test_one_seed_has_no_intervals_to_count(run: Run) -> None:
    differences = comparison_data(run, made_comparison(run, 1))["differences"]
    assert "With fewer than three seeds there is none." in differences["notes"][1]
    assert {one["verdict"] for one in differences["rows"]} == {"open"}
    assert {one["seeds_to_decide"] for one in differences["rows"]} == {None}
    assert len(differences["notes"]) == 2
    assert not any(trace.error_x.visible for trace in differences_figure(differences).data)
