"""Tables of trained architectures: what is asked of one, and searches on it in simulated time."""

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from made_tables import ARCHITECTURES, EPOCHS, SEEDS, make_tiny, tiny_experiment
from mtl_search import load_experiment
from mtl_search.errors import UserError
from mtl_search.spaces.architecture import Architecture
from mtl_search.tables import (
    MEASURED,
    Observation,
    Table,
    Trajectory,
    load_table,
    recommended,
    regret,
    simulate,
    table_names,
)
from tables import make

AXES = ("accuracy", "learnable_parameters")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny table was made and packed."""
    folder = tmp_path_factory.mktemp("tables")
    assert make_tiny(folder) == 0
    assert make_tiny(folder, "--pack", str(folder / "tiny.parquet")) == 0
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "tiny" / "trainings.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


@pytest.fixture(scope="module")
def table(folder: Path) -> Table:
    return load_table(folder / "tiny.parquet")


def points_of(table: Table) -> list[tuple[float, float]]:
    """Mean quality and parameters of every architecture, from what is asked for one by one."""
    records = [table.query(architecture) for architecture in table.architectures]
    return [(record.quality, record.costs["learnable_parameters"]) for record in records]


def of_means(table: Table, objectives: Sequence[str] = AXES) -> list[Observation]:
    """A search that sees the means themselves, all of them."""
    points = points_of(table)
    return [
        Observation(architecture, 0, EPOCHS, True, float(n), float(n), point)
        for n, (architecture, point) in enumerate(zip(table.architectures, points, strict=True))
    ]


# What is asked of a table


def test_a_table_says_what_it_holds(table: Table, tmp_path: Path) -> None:
    assert (table.name, table.seeds, table.epochs) == ("tiny", (0, 1), EPOCHS)
    assert repr(table) == "<Table tiny: 12 architectures, 2 seeds, 3 epochs, 14 tasks>"
    assert [task.name for task in table.tasks] == [f"class{number}" for number in range(1, 15)]
    assert {task.headline for task in table.tasks} == {"accuracy"}


def test_its_space_is_that_of_the_experiment(table: Table, tmp_path: Path) -> None:
    assert table.space == load_experiment(tiny_experiment(tmp_path)).search_space
    assert set(table.architectures) == set(table.space.architectures())
    assert len(table.architectures) == ARCHITECTURES
    assert Architecture.from_json(table.architectures[3].to_json()) == table.architectures[3]


def test_a_query_gives_what_was_trained(table: Table, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for number, epoch in enumerate(row["epochs"], start=1):
            found = table.query(row["architecture"], row["seed"], number)
            assert (found.architecture, found.seed, found.epoch) == (row["architecture"], row["seed"], number)
            assert found.quality == pytest.approx(epoch["quality"], abs=1e-6)
            assert found.training_loss == pytest.approx(epoch["training_loss"], rel=1e-6)
            assert found.headlines["class3"] == pytest.approx(epoch["validation"]["class3/accuracy"], abs=1e-6)
            assert found.losses["class3"] == pytest.approx(epoch["validation"]["class3/loss"], rel=1e-6)
            assert (found.test_quality is not None) == (number == EPOCHS)
        assert found.test_headlines["class2"] == pytest.approx(row["test"]["class2/accuracy"], abs=1e-6)
        assert found.cosines["class1", "class2"] == pytest.approx(row["cosines"]["class1 / class2"], abs=1e-6)
        for name in ("learnable_parameters", "fixed_parameters", "macs"):
            assert found.costs[name] == row[name]


def test_without_a_seed_it_is_the_mean_over_seeds(table: Table) -> None:
    architecture = table.architectures[5]
    single = [table.query(architecture, seed) for seed in table.seeds]
    mean = table.query(architecture)
    assert mean.seed is None
    assert mean.quality == pytest.approx(statistics.fmean(one.quality for one in single))
    assert mean.losses["class7"] == pytest.approx(statistics.fmean(one.losses["class7"] for one in single))
    assert mean.cosines["class1", "class4"] == pytest.approx(
        statistics.fmean(one.cosines["class1", "class4"] for one in single)
    )


def test_costs_are_those_that_were_measured(table: Table) -> None:
    assert set(table.query(table.architectures[0]).costs) == {*MEASURED} - {"latency_ms"}


def test_mean_and_noise_are_those_of_single_trainings(table: Table) -> None:
    values = [[table.query(one, seed).quality for seed in table.seeds] for one in table.architectures]
    assert table.mean.tolist() == pytest.approx([statistics.fmean(of_seeds) for of_seeds in values])
    pooled = math.sqrt(statistics.fmean(statistics.variance(of_seeds) for of_seeds in values))
    assert table.noise == pytest.approx(pooled)


def test_the_true_front_is_of_means_that_none_dominates(table: Table) -> None:
    points = points_of(table)
    expected = [
        architecture
        for architecture, (quality, cost) in zip(table.architectures, points, strict=True)
        if not any(q >= quality and c <= cost and (q, c) != (quality, cost) for q, c in points)
    ]
    front = table.true_front()
    assert set(front) == set(expected)
    assert len(front) >= 2
    costs = [table.query(one).costs["learnable_parameters"] for one in front]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda table: table.query("00000000"), "holds no architecture 00000000"),
        (lambda table: table.query(table.architectures[0], 7), r"`seed` must be one of \[0, 1\] .* but got 7"),
        (lambda table: table.query(table.architectures[0], epoch=4), "`epoch` must be from 1 to 3 .* but got 4"),
        (lambda table: table.query(table.architectures[0], epoch=0), "`epoch` must be from 1 to 3"),
        (lambda table: table.values("acuracy"), "accuracy"),
        (lambda table: load_table("nowhere.parquet"), "nowhere.parquet"),
        (lambda table: load_table("nowhere"), "nowhere"),
    ],
)
def test_what_is_not_there_is_said(table: Table, ask: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ask(table)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table", encoding="utf-8")
    for name in ("other", "text"):
        with pytest.raises(UserError, match=f"{name}.parquet: is no table of trained architectures"):
            load_table(tmp_path / f"{name}.parquet")


def test_a_file_whose_rows_were_taken_apart_is_refused(folder: Path, tmp_path: Path) -> None:
    whole = parquet.read_table(folder / "tiny.parquet")
    for name, rows in (("short", whole.slice(0, 23)), ("sorted", whole.sort_by("seed"))):
        parquet.write_table(rows, tmp_path / f"{name}.parquet")
        with pytest.raises(
            UserError, match=f"{name}.parquet: must hold each of its 12 architectures with each of its 2"
        ):
            load_table(tmp_path / f"{name}.parquet")


def test_a_table_with_a_training_missing_is_not_packed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny").mkdir()
    lines = (folder / "tiny" / "trainings.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "tiny" / "trainings.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    assert make_tiny(tmp_path, "--pack", str(tmp_path / "tiny.parquet")) == 2
    assert "1 of 24 trainings are missing" in capsys.readouterr().err
    assert not (tmp_path / "tiny.parquet").exists()


WITHOUT = """
import sys
for name in ("torch", "ray", "optuna"):
    sys.modules[name] = None
from mtl_search.tables import load_table, regret, simulate, table_names
table_names()
table = load_table(sys.argv[1])
found = table.query(table.architectures[0])
every = iter(table.architectures)
trajectory = simulate(table, lambda history: next(every, None), budget=100)
print(len(table.true_front()), len(trajectory.observations), regret(trajectory)[-1].lost <= 1)
"""


def test_it_needs_neither_torch_nor_ray_nor_optuna(folder: Path, table: Table) -> None:
    command = [sys.executable, "-c", WITHOUT, str(folder / "tiny.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [str(len(table.true_front())), str(ARCHITECTURES), "True"]


# Searches in simulated time


def test_time_is_that_of_multiply_accumulates(table: Table) -> None:
    every = iter(table.architectures)
    trajectory = simulate(table, lambda history: next(every, None), budget=100)
    macs = [table.query(one).costs["macs"] for one in table.architectures]
    spent = np.cumsum(macs) / statistics.fmean(macs)
    assert [one.spent for one in trajectory.observations] == pytest.approx(spent.tolist())
    assert [one.time for one in trajectory.observations] == pytest.approx(spent.tolist())
    assert [one.architecture for one in trajectory.observations] == list(table.architectures)


def test_what_is_observed_is_one_of_the_trainings(table: Table) -> None:
    trajectory = simulate(table, "random", budget=100, seed=3)
    assert {one.seed for one in trajectory.observations} == {0, 1}
    for one in trajectory.observations:
        found = table.query(one.architecture, one.seed)
        assert one.values == pytest.approx((found.quality, found.costs["learnable_parameters"]))
        assert (one.epochs, one.complete) == (EPOCHS, True)


def test_workers_share_the_time_and_not_the_compute(table: Table) -> None:
    alone, four = (simulate(table, "random", budget=100, workers=workers) for workers in (1, 4))
    assert len(alone.observations) == len(four.observations) == ARCHITECTURES
    assert four.observations[-1].spent == pytest.approx(ARCHITECTURES)
    assert alone.observations[-1].time == pytest.approx(ARCHITECTURES)
    assert four.observations[-1].time < ARCHITECTURES / 2
    assert [one.time for one in four.observations] == sorted(one.time for one in four.observations)


def test_a_budget_is_not_passed(table: Table) -> None:
    trajectory = simulate(table, "random", budget=5)
    whole = simulate(table, "random", budget=100)
    assert 0 < len(trajectory.observations) < ARCHITECTURES
    assert trajectory.observations[-1].spent <= 5
    assert trajectory.observations == whole.observations[: len(trajectory.observations)]


@pytest.mark.parametrize("sampler", ["random", "tpe", "bayesian", "evolution"])
def test_the_same_seed_gives_the_same_search(table: Table, sampler: str) -> None:
    first, again, other = (simulate(table, sampler, 8, seed).observations for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_history_is_given_to_a_function(table: Table) -> None:
    seen: list[tuple[Observation, ...]] = []

    def propose(history: Sequence[Observation]) -> Architecture:
        seen.append(tuple(history))
        return table.architectures[0]

    trajectory = simulate(table, propose, budget=3)
    assert seen[-1][: len(trajectory.observations)] == trajectory.observations
    assert [len(history) for history in seen] == list(range(len(seen)))


def test_early_stopping_leaves_out_epochs(table: Table) -> None:
    trajectory = simulate(table, "random", 100, early_stopping={"grace": 1, "factor": 2})
    stopped = [one for one in trajectory.observations if not one.complete]
    assert stopped
    assert {one.epochs for one in stopped} <= {1, 2}
    assert trajectory.observations[-1].spent < ARCHITECTURES
    for one in stopped:
        assert one.values[0] == pytest.approx(table.query(one.architecture, one.seed, one.epochs).quality)


@pytest.mark.parametrize(("name", "arguments"), [("budget", {"budget": 0}), ("workers", {"budget": 1, "workers": 0})])
def test_what_makes_no_search_is_refused(table: Table, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"`{name}` must be above 0"):
        simulate(table, "random", **arguments)


# Regret


def test_who_has_seen_all_means_loses_nothing(table: Table) -> None:
    trajectory = Trajectory(table, AXES, tuple(of_means(table)))
    assert set(recommended(trajectory, math.inf)) == set(table.true_front())
    assert regret(trajectory, [math.inf])[0].lost == pytest.approx(0, abs=1e-9)


def test_who_has_seen_nothing_loses_all(table: Table) -> None:
    assert regret(Trajectory(table, AXES, ()), [1.0])[0].lost == 1


def test_a_lucky_training_gains_nothing(table: Table) -> None:
    """What is recommended for a lucky value is worth its mean, and hides what is better."""
    whole = of_means(table)
    front = set(table.true_front())
    lucky = next(n for n, one in enumerate(whole) if one.architecture not in front)
    whole[lucky] = replace(whole[lucky], values=(1.0, 1.0))
    trajectory = Trajectory(table, AXES, tuple(whole))
    assert recommended(trajectory, math.inf) == (whole[lucky].architecture,)
    assert regret(trajectory, [math.inf])[0].lost == pytest.approx(1 - table.volume([whole[lucky].architecture]))


def test_regret_is_hypervolume_on_a_logarithmic_axis(table: Table) -> None:
    """Against areas of rectangles, by hand."""
    points = [(quality, math.log10(cost)) for quality, cost in points_of(table)]
    worst = min(quality for quality, _ in points), max(cost for _, cost in points)

    def area(some: Sequence[tuple[float, float]]) -> float:
        total, reached = 0.0, worst[0]
        for quality, cost in sorted(some, key=lambda point: point[1]):
            total += max(0.0, quality - reached) * (worst[1] - cost)
            reached = max(reached, quality)
        return total

    seen = of_means(table)[:4]
    found = regret(Trajectory(table, AXES, tuple(seen)), [math.inf])[0]
    assert found.lost == pytest.approx(1 - area(points[:4]) / area(points))


def test_regret_is_told_after_every_training_or_as_asked(table: Table) -> None:
    trajectory = simulate(table, "random", 6)
    curve = regret(trajectory)
    assert [one.spent for one in curve] == [one.spent for one in trajectory.observations]
    assert regret(trajectory, [one.spent for one in curve]) == curve
    assert regret(trajectory, [curve[0].spent / 2])[0].lost == 1


def test_the_model_recommends_by_its_means(table: Table) -> None:
    trajectory = simulate(table, "bayesian", 100, seed=1)
    assert trajectory.recommends == "model"
    assert simulate(table, "bayesian", 100, seed=1, recommends="observed").recommends == "observed"
    assert set(recommended(trajectory, math.inf)) <= set(table.architectures)
    assert 0 <= regret(trajectory, [math.inf])[0].lost < 1


# The tables that come with the package


@pytest.mark.parametrize("name", table_names())
def test_a_shipped_table_holds_its_space_whole(name: str) -> None:
    table = load_table(name)
    assert table.space.size == len(table.architectures)
    assert len(table.seeds) >= SEEDS
    for seed in table.seeds:
        records = [table.query(architecture, seed) for architecture in table.architectures]
        assert all(0 < record.quality < 1 for record in records)
        assert all(record.test_quality is not None for record in records)
    assert load_experiment(make.HERE / f"{name}.yaml").to_dict() == table.experiment.to_dict()
