"""What is remarked on before a search, and what is not."""

from typing import Any

import numpy as np
import pytest

from mtl_search import dataset_from
from mtl_search.datasets import Dataset
from mtl_search.searching.remarks import remarks
from mtl_search.spaces.experiment import Experiment, parse_experiment


def data(*tasks: str) -> Dataset:
    x = np.random.default_rng(0).normal(size=(400, 3))
    return dataset_from(x, dict.fromkeys(tasks, x[:, 0] > 0))


def experiment(**changes: Any) -> Experiment:
    """300 steps (280 training samples in batches of 28, 30 epochs), and two architectures for as many trials."""
    sections = {
        "dataset": {"name": "multi_mnist"},
        "backbone": {"kind": "vector", "stages": [{"width": 8}]},
        "space": {"shared_ratio": [1.0, 0.5], "branch_depth": [1], "bank": ["vector"]},
        "training": {"epochs": 30, "batch_size": 28},
        "search": {"trials": 2},
    }
    for section, keys in changes.items():
        sections[section] = {**sections[section], **keys}
    return parse_experiment(sections, "made")


def test_nothing_is_said_of_what_is_usual() -> None:
    assert len(data("up", "down").splits["train"]) == 280
    assert experiment().search_space.size == 2
    assert remarks(experiment(), data("up", "down")) == []


@pytest.mark.parametrize(
    ("changes", "names", "sentence"),
    [
        ({}, ("up",), "`up` is the only task: nothing can be shared"),
        (
            {"search": {"trials": 3}},
            ("up", "down"),
            "the space has 2 architectures: the search ends when all are trained",
        ),
        ({"training": {"epochs": 29}}, ("up", "down"), "a training has 290 steps, too few"),
        ({"training": {"epoch_length": 0.5}}, ("up", "down"), "a training has 150 steps, too few"),
    ],
)
def test_what_may_not_be_meant_is(changes: dict[str, Any], names: tuple[str, ...], sentence: str) -> None:
    (told,) = remarks(experiment(**changes), data(*names))
    assert told.startswith(sentence)


def test_where_training_is_open_a_small_space_has_no_end() -> None:
    rates = {"training": {"learning_rate": {"low": 0.01, "high": 0.1}}}
    assert remarks(experiment(space=rates, search={"trials": 50}), data("up", "down")) == []
    sizes = {"training": {"batch_size": [28, 140]}}
    assert remarks(experiment(space=sizes, training={"epochs": 2}), data("up", "down")) == []
