"""MT10 with the real simulator: what experts show, and what comes of networks that act."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from made_kinds import perfect_outputs
from mtl_search.cli.printing import print_comparison
from mtl_search.comparison.compare import compare
from mtl_search.comparison.results import load_comparison
from mtl_search.datasets import Dataset, Predict, load_dataset
from mtl_search.datasets._manipulation import MOVES, MT10, Manipulation, demonstrations, episode_seed
from mtl_search.datasets.mt10 import Actions
from mtl_search.errors import DatasetError
from mtl_search.internal.registry import DATASETS
from mtl_search.reporting.comparison_page import comparison_data
from mtl_search.runs.folder import load_run
from mtl_search.spaces.experiment import load_experiment
from mtl_search.testing import check_dataset, check_task

EPISODES = {"train": 2, "val": 1, "test": 1}
GRASPING = {"push", "pick-place", "peg-insert-side"}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the smallest dataset there is, made once."""
    pytest.importorskip("metaworld", reason="needs the extra: pip install -c constraints.txt -e '.[metaworld]'")
    return {**EPISODES, "simulated": 1, "cache": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def dataset(options: dict[str, Any]) -> Dataset:
    return load_dataset("mt10", **options)


def goals(dataset: Dataset, split: str) -> set[tuple[int, bytes]]:
    """Task and goal of every episode: the goal is what the last three numbers say in all of its steps."""
    samples = dataset.splits[split]
    assert samples.parts is not None
    observed = np.asarray(samples.inputs)
    return {(int(part), row[-3:].tobytes()) for part, row in zip(samples.parts, observed, strict=True)}


def expert(tasks: tuple[Actions, ...]) -> Predict:
    """A network that does for every task what its expert does."""
    from metaworld.policies import ENV_POLICY_MAP

    experts = {task.name: ENV_POLICY_MAP[f"{task.name}-v3"]() for task in tasks}

    def predict(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        outputs = {}
        for task in tasks:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                actions = np.stack([experts[task.name].get_action(row.astype(np.float64)) for row in inputs])
            decided = np.clip(actions, -1, 1)[:, [MOVES.index(move) for move in task.names]]
            outputs[task.name] = ((decided - task.mean) / task.deviation).astype(np.float32)
        return outputs

    return predict


def simulation_of(dataset: Dataset) -> Manipulation:
    assert isinstance(dataset.simulation, Manipulation)
    return dataset.simulation


# --- Demonstrations ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_step_belongs_to_one_task(dataset: Dataset) -> None:
    assert ([task.name for task in dataset.tasks], dataset.input_shape) == ([*MT10], (39,))
    assert [task.headline.name for task in dataset.tasks] == ["r2"] * 10
    for split in dataset.splits.values():
        there = np.stack([np.isfinite(split.targets[task.name]).all(axis=1) for task in dataset.tasks], axis=1)
        assert (there.sum(axis=1) == 1).all()
        assert (there.argmax(axis=1) == split.parts).all()


@pytest.mark.slow
def test_what_an_expert_never_changes_is_given(dataset: Dataset) -> None:
    sizes = {task.name: task.outputs for task in dataset.tasks}
    assert sizes == {name: 4 if name in GRASPING else 3 for name in MT10}
    given = simulation_of(dataset).given
    assert {name for name in MT10 if not given[name]} == GRASPING
    assert (given["reach"], given["drawer-open"], given["door-open"]) == (
        {"gripper": 0.0},
        {"gripper": -1.0},
        {"gripper": 1.0},
    )


@pytest.mark.slow
def test_splits_are_of_whole_episodes(dataset: Dataset) -> None:
    found = {split: goals(dataset, split) for split in EPISODES}
    lengths = {split: len(episodes) for split, episodes in found.items()}
    assert lengths == {"train": 19, "val": 10, "test": 10}  # an expert inserts one peg of two
    assert len(set.union(*found.values())) == 39


@pytest.mark.slow
def test_an_episode_follows_from_its_seed_alone(dataset: Dataset) -> None:
    """One that is made by itself is that which was made after all others, to the last bit."""
    (shown,) = demonstrations("push", {"test": 1}, seed=0)
    test = dataset.splits["test"]
    own = test.parts == MT10.index("push")
    assert np.array_equal(shown.observed, np.asarray(test.inputs)[own])
    assert np.array_equal(shown.actions, np.asarray(test.targets["push"])[own])
    (other,) = demonstrations("push", {"test": 1}, seed=1)
    assert not np.array_equal(other.observed[0], shown.observed[0])


@pytest.mark.slow
def test_the_contract_of_datasets(options: dict[str, Any]) -> None:
    check_dataset(DATASETS.get("mt10"), **options)


def test_the_contract_of_actions() -> None:
    targets = np.random.default_rng(0).uniform(-1, 1, (80, 4)).astype(np.float32)
    check_task(Actions("actions", size=4, names=MOVES), targets, perfect_outputs)


def test_seeds_of_episodes_differ() -> None:
    seeds = {episode_seed(0, purpose, task, n) for purpose in ("val", "simulation") for task in MT10 for n in range(50)}
    assert len(seeds) == 1000


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "metaworld"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "metaworld", None)
    with pytest.raises(DatasetError, match="dataset `mt10`") as caught:
        load_dataset("mt10", cache=str(tmp_path / "cache"))
    assert str(caught.value).endswith("pip install -c constraints.txt -e '.[metaworld]'")
    assert not [*tmp_path.iterdir()]


# --- Acting ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_who_acts_as_the_experts_succeeds(dataset: Dataset) -> None:
    simulation = simulation_of(dataset)
    assert simulation.run(expert(simulation.tasks)) == {f"{name}/success_rate": 1.0 for name in MT10}


@pytest.mark.slow
def test_who_stays_where_he_is_fails(dataset: Dataset) -> None:
    simulation = simulation_of(dataset)

    def still(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {
            task.name: np.tile(-np.array(task.mean) / task.deviation, (len(inputs), 1)).astype(np.float32)
            for task in simulation.tasks
        }

    assert set(simulation.run(still).values()) == {0.0}


@pytest.mark.slow
def test_a_comparison_tells_the_success(
    options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = load_experiment("mt10").changed(
        {"dataset": {"name": "mt10", **options, "steps": 10}, "training": {"epochs": 1, "device": "cpu"}}
    )
    compare(experiment, baselines=["hard_sharing"], seeds=1, workers=0, out=tmp_path / "run")
    found = load_comparison(tmp_path / "run")
    assert found is not None
    (outcome,) = found.outcomes
    assert [name for name in outcome.scores if name.endswith("success_rate")] == [f"{n}/success_rate" for n in MT10]
    assert outcome.scores["pick-place/success_rate"] == 0  # nothing is lifted in ten steps
    expected = np.mean([outcome.scores[f"{name}/r2"] for name in MT10])
    assert outcome.accuracy == pytest.approx(expected)
    print_comparison(found)
    mean = np.mean([outcome.scores[f"{name}/success_rate"] for name in MT10])
    assert f"success in simulation {mean:.1%}: reach " in capsys.readouterr().out
    shown = comparison_data(load_run(tmp_path / "run"), found)["scores"]
    assert shown == [f"{name}/{score}" for score in ("r2", "success_rate") for name in MT10]
