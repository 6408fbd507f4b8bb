"""A training that was cut off goes on from its checkpoint as if nothing had happened."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from made_networks import made_architecture, single_threaded
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.evaluation import EvaluationOptions, Report, evaluate_by_epoch
from mtl_search.internal.registry import BALANCINGS
from mtl_search.internal.seeds import generator
from mtl_search.runs.weights import CHECKPOINT, load_checkpoint, save_checkpoint
from mtl_search.spaces.settings import AugmentationSettings, BalancingSettings, Training
from mtl_search.training.checkpoint import Checkpoint

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

EPOCHS = 3
ARCHITECTURE = made_architecture("paper", 0.5, stem=4, stem_stride=2, head_pool=2)
OPTIONS = {"fixed": {"weights": {"left": 2.0}}}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=200, val=100, test=50)


def trained(dataset: Dataset, training: Training, options: EvaluationOptions) -> list[Report]:
    return list(evaluate_by_epoch(ARCHITECTURE, dataset, training, 0, options))


def through_a_file(checkpoint: Checkpoint | None, folder: Path) -> Checkpoint:
    assert checkpoint is not None
    save_checkpoint(folder, checkpoint)
    again = load_checkpoint(folder)
    assert again is not None
    return again


def assert_same_end(first: Report, second: Report) -> None:
    assert first.scores == second.scores
    assert first.weights.keys() == second.weights.keys()
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert first.epoch == second.epoch
    assert first.phases["training"].samples == second.phases["training"].samples
    assert first.training_macs == second.training_macs


@pytest.mark.parametrize("balancing", BALANCINGS.names())
@pytest.mark.thin(6)
def test_a_training_goes_on_bit_for_bit(balancing: str, dataset: Dataset, tmp_path: Path) -> None:
    """With every balancing, each of which remembers something else; from every epoch, through a file."""
    settings = BalancingSettings(name=balancing, **OPTIONS.get(balancing, {}))
    training = Training(epochs=EPOCHS, batch_size=50, balancing=settings)
    whole = trained(dataset, training, EvaluationOptions(checkpoints=True))
    assert [report.done for report in whole] == [False] * EPOCHS + [True]
    for cut in range(EPOCHS):
        start = through_a_file(whole[cut].checkpoint, tmp_path)
        assert start.epoch == cut + 1
        rest = trained(dataset, training, EvaluationOptions(start=start))
        assert [report.epoch for report in rest[:-1]] == list(range(cut + 2, EPOCHS + 1))
        assert_same_end(rest[-1], whole[-1])


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "step", "poly", "constant"])
@pytest.mark.thin(3)
def test_the_schedule_goes_on(schedule: str, dataset: Dataset) -> None:
    training = Training(epochs=EPOCHS, batch_size=50, schedule=schedule)  # type: ignore[arg-type]
    whole = trained(dataset, training, EvaluationOptions(checkpoints=True))
    for report in whole[:-1]:
        assert_same_end(trained(dataset, training, EvaluationOptions(start=report.checkpoint))[-1], whole[-1])


def test_augmentation_goes_on_bit_for_bit(dataset: Dataset, tmp_path: Path) -> None:
    training = Training(epochs=EPOCHS, batch_size=50, augmentation=AugmentationSettings(shift=3, flip=True))
    whole = trained(dataset, training, EvaluationOptions(checkpoints=True))
    for cut in range(EPOCHS - 1):
        start = through_a_file(whole[cut].checkpoint, tmp_path)
        assert_same_end(trained(dataset, training, EvaluationOptions(start=start))[-1], whole[-1])
    state = generator(0, "augmentation").get_state()
    begun_anew = replace(start, tensors={**start.tensors, "augmentation": state})
    other = trained(dataset, training, EvaluationOptions(start=begun_anew))[-1]
    assert any(not torch.equal(other.weights[name], whole[-1].weights[name]) for name in other.weights)


def test_a_checkpoint_knows_of_augmentation_where_there_is_one(dataset: Dataset) -> None:
    """So that those from before there was any can be gone on from."""
    (plain, _) = trained(dataset, Training(epochs=1, batch_size=50), EvaluationOptions(checkpoints=True))
    assert plain.checkpoint is not None
    assert "order" in plain.checkpoint.tensors
    assert "augmentation" not in plain.checkpoint.tensors


def test_what_is_asked_for_on_the_way_changes_nothing(dataset: Dataset) -> None:
    training = Training(epochs=EPOCHS, batch_size=50)
    plain = trained(dataset, training, EvaluationOptions())
    asked = trained(dataset, training, EvaluationOptions(scored_after=(1, 2), checkpoints=True))
    assert_same_end(asked[-1], plain[-1])
    assert [bool(report.scores) for report in plain] == [False, False, False, True]
    assert [bool(report.scores) for report in asked] == [True, True, False, True]
    assert [report.checkpoint is None for report in asked] == [False, False, False, True]
    assert asked[0].scores != asked[1].scores


def test_a_checkpoint_that_is_not_whole_is_none(dataset: Dataset, tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    whole = trained(dataset, Training(epochs=1, batch_size=50), EvaluationOptions(checkpoints=True))
    through_a_file(whole[0].checkpoint, tmp_path)
    data = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(data[: len(data) // 2])
    assert load_checkpoint(tmp_path) is None
