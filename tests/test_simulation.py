"""What a trained network is measured by in the simulation of a dataset, besides samples."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from mtl_search.datasets import Dataset, Predict, Simulation, Split, make_dataset
from mtl_search.datasets.mt10 import Actions
from mtl_search.errors import DatasetError
from mtl_search.evaluation import Entrant, evaluate_by_epoch, mean_quality, missing_scores
from mtl_search.methods import make_method
from mtl_search.metrics.scores import headlines, is_optional, is_share, shown
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Regression
from mtl_search.training.scoring import simulated_scores

BACKBONE = Backbone((Stage(8, 1),), "vector")
TRAINING = Training(epochs=1, batch_size=20, device="cpu")


@dataclass(frozen=True)
class Fall(Simulation):
    """A pole that is pushed at by what a network says of where it leans; measured is the share that is caught."""

    starts: tuple[float, ...] = (-2.0, 1.0, 3.0)

    @property
    def score_names(self) -> list[str]:
        return ["push/success_rate"]

    def run(self, predict: Predict) -> dict[str, float]:
        leans = np.array([[start, 5.0] for start in self.starts], np.float32)
        caught = predict(leans)["push"][:, 0] * leans[:, 0] < 0
        return {"push/success_rate": float(caught.mean())}


def made(simulation: Simulation | None = None) -> Dataset:
    rng = np.random.default_rng(0)
    splits = {}
    for name in ("train", "val", "test"):
        inputs = rng.normal((1, 5), size=(60, 2)).astype(np.float32)
        splits[name] = Split(inputs, {"push": -inputs[:, 0]})
    return replace(make_dataset("poles", (Actions("push"),), splits), simulation=simulation)


def scores_of(dataset: Dataset, **options: Any) -> dict[str, float]:
    entrant = Entrant(make_method("hard_sharing", {}), BACKBONE)
    *_, last = evaluate_by_epoch(entrant, dataset, TRAINING, 0, **options)
    return dict(last.scores)


def test_a_search_does_not_simulate_and_a_comparison_does() -> None:
    dataset = made(Fall())
    plain = scores_of(dataset)
    assert list(plain) == dataset.score_names == ["push/r2", "push/rmse", "push/mae", "push/loss"]
    both = scores_of(dataset, simulated=True)
    assert list(both) == dataset.final_score_names == [*plain, "push/success_rate"]
    assert {name: both[name] for name in plain} == plain


def test_without_a_simulation_nothing_is_added() -> None:
    dataset = made()
    assert scores_of(dataset, simulated=True) == scores_of(dataset)
    assert dataset.final_score_names == dataset.score_names


def test_networks_see_normalised_inputs_in_evaluation_mode() -> None:
    """The network of this test says minus what it sees, in deviations from the mean."""
    seen: list[torch.Tensor] = []

    class Minus(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            assert not self.training
            seen.append(inputs)
            return {"push": -inputs[:, :1]}

    dataset = made(Fall())
    found = simulated_scores(Minus(), dataset, torch.device("cpu"))
    leans = np.array([[-2, 5], [1, 5], [3, 5]], np.float32)
    expected = (leans - dataset.mean) / dataset.std
    assert np.allclose(seen[0].numpy(), expected, atol=1e-6)
    assert found == {"push/success_rate": float((expected[:, 0] * leans[:, 0] > 0).mean())}


def test_splits_that_are_merged_keep_the_simulation() -> None:
    dataset = made(Fall())
    assert dataset.merged().simulation == dataset.without("test").simulation == Fall()


def test_success_is_shown_behind_the_headlines() -> None:
    names = ["a/r2", "a/rmse", "b/r2", "b/rmse", "a/success_rate", "b/success_rate"]
    assert headlines(names) == ["a/r2", "b/r2"]
    assert shown(names) == shown(names * 2) == ["a/r2", "b/r2", "a/success_rate", "b/success_rate"]
    assert is_optional("a/success_rate")
    assert is_share("a/success_rate")


def test_a_headline_is_never_left_out() -> None:
    tasks = (Actions("push"), Regression("pull"))
    measured = {f"{task}/{name}": 0.5 for task in ("push", "pull") for name in ("rmse", "mae", "loss")}
    assert missing_scores(tasks, measured) == ["push/r2"]
    with pytest.raises(DatasetError, match="there is no score push/r2"):
        mean_quality(tasks, measured)
