"""Comparisons at equal training compute: what twins spend, and how entrants stand against hard sharing there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from made_comparisons import made_comparison
from made_runs import made_experiment, made_run, write_run
from mtl_search import write_report
from mtl_search.comparison.budget import Budget, factor_of, twin_of
from mtl_search.comparison.compare import compare
from mtl_search.comparison.entrants import Entry
from mtl_search.comparison.equal_budgets import at_cost, equal_budgets, hard_sharing_curve
from mtl_search.comparison.results import Comparison, load_comparison
from mtl_search.comparison.summary import entrants_of, qualities_by_seed, twins_of
from mtl_search.datasets import Dataset
from mtl_search.errors import RunFolderError, UserError
from mtl_search.evaluation import Entrant, EvaluationOptions, Report, entrant_of, evaluate_by_epoch
from mtl_search.runs.folder import Run
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import load_experiment
from mtl_search.spaces.settings import Training

SMALL = ["dataset.train=900", "dataset.val=100", "dataset.test=50", "training.epochs=2", "training.batch_size=50"]
BASELINES = ["hard_sharing", "single_task", "interrogate@0.3"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Trained in earnest, on a few pictures."""
    experiment = load_experiment("quickstart", SMALL)
    out = tmp_path_factory.mktemp("equal") / "run"
    return compare(experiment, baselines=BASELINES, seeds=1, budget="macs:2", workers=0, out=out)


@pytest.mark.slow
def test_twins_spend_what_hard_sharing_does_in_its_epochs_times_the_factor(found: Comparison) -> None:
    """20 steps an epoch: the length of an epoch is right to within half a step."""
    base = found.of("hard_sharing")[0].training_macs
    assert found.request["budget"] == {"unit": "macs", "macs": 2 * base, "factor": 2.0}
    for key in BASELINES:
        (own,), (twin,) = found.of(key), found.of(f"{key}~macs")
        assert twin.training_macs == pytest.approx(2 * base, rel=0.06), key
        assert own.training_macs / base == pytest.approx({"hard_sharing": 1, "single_task": 2}.get(key, 5), rel=0.1)


@pytest.mark.slow
def test_the_phases_of_a_twin_keep_their_proportions(found: Comparison) -> None:
    """It does not start from what single task was trained to at equal epochs: that is paid for, too."""
    own, twin = (found.details(key, 0)["phases"] for key in ("interrogate@0.3", "interrogate@0.3~macs"))
    assert list(own) == ["single-task initialisation", "training"]
    (first, last), (twin_first, twin_last) = own.values(), twin.values()
    assert twin_first["samples"] / first["samples"] == pytest.approx(twin_last["samples"] / last["samples"], rel=0.15)
    assert twin_last["samples"] < 0.6 * last["samples"]


@pytest.mark.slow
def test_twins_are_no_entrants_of_their_own(found: Comparison) -> None:
    assert [one.key for one in entrants_of(found)] == BASELINES
    assert list(twins_of(found)) == BASELINES


@pytest.mark.slow
def test_the_same_budget_goes_on_and_another_one_is_refused(found: Comparison) -> None:
    before = (found.path / "baselines.csv").read_bytes()
    with pytest.raises(RunFolderError, match=r"`hard_sharing~macs` was trained with budget 2\.0, .* but got 1\.0"):
        compare(found.path, baselines=BASELINES, seeds=1, budget="macs", workers=0)
    compare(found.path, baselines=BASELINES, seeds=1, budget="macs:2", workers=0, evaluate=fail)
    compare(found.path, baselines=BASELINES, seeds=1, workers=0, evaluate=fail)
    assert (found.path / "baselines.csv").read_bytes() == before
    again = load_comparison(found.path)
    assert again is not None
    assert again.request["budget"] == found.request["budget"]


@pytest.mark.slow
def test_the_page_tells_of_the_three_budgets(found: Comparison) -> None:
    page = write_report(found.path).with_name("report.html").read_text(encoding="utf-8")
    assert "<h2>Against hard sharing at equal budgets</h2>" in page
    assert "with 2 times what hard sharing spends in the epochs of the experiment" in page
    told = json.loads((found.path / "report.json").read_text(encoding="utf-8"))["comparison"]["budgets"]
    rows = {row["label"]: row for row in told["rows"]}
    assert list(rows) == ["single task", "interrogate 0.3"]
    assert rows["single task"]["compute"] == pytest.approx(2, rel=0.06)
    own, base = (found.of(f"{key}~macs")[0].accuracy for key in ("single_task", "hard_sharing"))
    assert own is not None
    assert base is not None
    points = rows["single task"]["points"]
    assert points["training_macs"]["mean"] == pytest.approx(100 * (own - base))
    assert points["learnable_parameters"] is None, "twice as large as the one hard sharing there is"


def fail(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    raise ValueError("no luck")
    yield


def fail_single_task(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    if entrant_of(what).method.name == "single_task":
        raise ValueError("no luck")
    yield from evaluate_by_epoch(what, dataset, training, seed, options, "test")


def test_a_twin_of_what_failed_fails_with_the_reason(tmp_path: Path) -> None:
    experiment = load_experiment("quickstart", SMALL)
    both = ["hard_sharing", "single_task"]
    found = compare(
        experiment, baselines=both, budget="macs", seeds=1, workers=0, out=tmp_path / "run", evaluate=fail_single_task
    )
    reasons = {one.entrant: one.error for one in found.failed}
    assert reasons == {
        "single_task": "ValueError: no luck",
        "single_task~macs": "its training at equal epochs failed, so what it spends is not known",
    }
    assert len(found.of("hard_sharing~macs")) == 1


@pytest.mark.parametrize("text", ["steps", "macs:", "macs:0", "macs:nan", "macs:1000", "epochs:2", ""])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(
        UserError, match=r"`budget` must be `epochs`, `macs` or `macs:<factor>` with a factor from 0\.01"
    ):
        factor_of(text)


def test_budgets() -> None:
    assert (factor_of("epochs"), factor_of("macs"), factor_of("macs:0.5")) == (None, 1, 0.5)
    budget = Budget(macs=600.0, factor=1)
    assert (budget.epoch_length(300), budget.epoch_length(1200), budget.epoch_length(1)) == (2, 0.5, 600)


# Against the curve of hard sharing


@pytest.fixture
def made(tmp_path: Path) -> Comparison:
    run = made_run(tmp_path / "made")
    folder: Run = write_run(tmp_path / "run", made_experiment([]), run.trials)
    return made_comparison(folder)


def test_between_two_widths_the_curve_is_straight_over_the_logarithm_of_the_cost(made: Comparison) -> None:
    curve = hard_sharing_curve(entrants_of(made))
    assert {one.method for one in curve} == {"hard_sharing"}
    assert len(curve) > 1
    small, large = sorted(curve, key=lambda one: one.mean("learnable_parameters"))[:2]
    low, high = small.mean("learnable_parameters"), large.mean("learnable_parameters")
    there = at_cost(curve, "learnable_parameters", (low * high) ** 0.5)
    assert there is not None
    for seed, quality in there.items():
        assert quality == pytest.approx((qualities_by_seed(small)[seed] + qualities_by_seed(large)[seed]) / 2)
    assert at_cost(curve, "learnable_parameters", low) == pytest.approx(qualities_by_seed(small))
    assert at_cost(curve, "learnable_parameters", low / 1.05) == pytest.approx(qualities_by_seed(small))
    assert at_cost(curve, "learnable_parameters", low / 2) is None, "out of reach"


def test_each_is_compared_with_the_curve_at_its_own_cost(made: Comparison) -> None:
    entrants = entrants_of(made)
    curve = hard_sharing_curve(entrants)
    standings = {one.entrant.key: one for one in equal_budgets(entrants, {})}
    assert not standings.keys() & {one.key for one in curve}
    for one in standings.values():
        there = at_cost(curve, "learnable_parameters", one.entrant.mean("learnable_parameters"))
        points = one.points["learnable_parameters"]
        assert (there is None) == (points is None)
        if there is not None and points is not None:
            own = qualities_by_seed(one.entrant)
            expected = sum(own[seed] - there[seed] for seed in own) / len(own)
            assert points.mean == pytest.approx(100 * expected)
    assert any(one.points["learnable_parameters"] for one in standings.values())
    assert all(one.points["training_macs"] is None for one in standings.values()), "there are no twins"


def test_a_twin_has_the_key_of_no_recipe(made: Comparison) -> None:
    entrant = entrant_of(load_experiment("quickstart").search_space.sample(0))
    twin = twin_of(Entry("mtan", entrant, {"key": "mtan", "kind": "baseline"}), 2.0)
    assert (twin.key, twin.about["twin_of"], twin.about["budget"]) == ("mtan~macs", "mtan", 2.0)
