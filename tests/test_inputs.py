"""Inputs: images of bytes or of floats, and rows of tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, Split, _inputs, make_dataset
from mtl_search.errors import DatasetError, FieldError
from mtl_search.spaces.settings import AugmentationSettings
from mtl_search.tasks import make_task
from mtl_search.training.augmentation import check_augmentation
from mtl_search.training.batches import DeviceSplit

CPU = torch.device("cpu")
Inputs = NDArray[Any]
SAMPLES = 50


def made_table(seed: int = 0) -> Inputs:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (SAMPLES, 4)) * [1, 1e-4, 1e5, 20] + [0, 3, -1e6, 7]).astype(np.float32)


def made_bytes(seed: int = 0) -> Inputs:
    return np.random.default_rng(seed).integers(0, 256, (SAMPLES, 2, 5, 6), dtype=np.uint8)


def made_floats(seed: int = 0) -> Inputs:
    return np.random.default_rng(seed).normal(-3, 0.2, (SAMPLES, 2, 5, 6)).astype(np.float32)


every_kind = pytest.mark.parametrize("made", [made_table, made_bytes, made_floats])


def dataset_of(train: Inputs, val: Inputs | None = None) -> Dataset:
    targets = {"class": np.arange(SAMPLES) % 3}
    splits = {"train": Split(train, targets), "val": Split(train if val is None else val, targets)}
    return make_dataset("made", (make_task("classification", "class", classes=3),), splits)


def refusal(*inputs: Inputs) -> str:
    with pytest.raises(DatasetError) as caught:
        dataset_of(*inputs)
    return str(caught.value)


@every_kind
@pytest.mark.parametrize("at_once", [1, 7, 100, 2**22])
def test_mean_and_deviation_do_not_depend_on_the_parts(
    made: Callable[[], Inputs], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl_search.internal.arrays.IN_CACHE", at_once)
    inputs = made()
    axes = tuple(axis for axis in range(inputs.ndim) if axis != 1)
    dataset = dataset_of(inputs)
    np.testing.assert_allclose(dataset.mean, inputs.mean(axis=axes, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(dataset.std, inputs.std(axis=axes, dtype=np.float64), rtol=1e-6)
    assert (dataset.mean.dtype, dataset.std.dtype) == (np.float32, np.float32)


@every_kind
def test_batches_are_normalised_and_leave_the_samples_as_they_were(made: Callable[[], Inputs]) -> None:
    inputs = made()
    dataset = dataset_of(inputs)
    split = DeviceSplit(dataset.splits["train"], dataset, CPU)
    for samples in (slice(3, 20), torch.arange(3, 20)):
        batch, _ = split.batch(samples)
        assert (batch.dtype, batch.shape) == (torch.float32, (17, *dataset.input_shape))
        of_channels = (-1, *[1] * (inputs.ndim - 2))
        expected = (inputs[3:20] - dataset.mean.reshape(of_channels)) / dataset.std.reshape(of_channels)
        np.testing.assert_allclose(batch.numpy(), expected, rtol=1e-4, atol=1e-5)
    everything, _ = split.batch(slice(None))
    channels = everything.transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(channels.mean(dim=1), torch.zeros(len(channels)).double(), atol=1e-2, rtol=0)
    torch.testing.assert_close(channels.std(dim=1), torch.ones(len(channels)).double(), atol=3e-2, rtol=0)
    assert np.array_equal(dataset.splits["train"].inputs, made())


@pytest.mark.parametrize("constant", [0.0, 0.1, -2020.0, 3e30])
def test_a_constant_feature_is_0_and_stays_small_where_it_changes(constant: float) -> None:
    train, val = made_table(), made_table(1)
    train[:, 2], val[:, 2] = constant, constant + 1
    dataset = dataset_of(train, val)
    of_split = {name: DeviceSplit(split, dataset, CPU).batch(slice(None))[0] for name, split in dataset.splits.items()}
    assert of_split["train"][:, 2].abs().max() < 1e-6
    assert of_split["val"][:, 2].abs().max() <= 1


@every_kind
def test_shape_of_a_sample(made: Callable[[], Inputs]) -> None:
    assert dataset_of(made()).input_shape == made().shape[1:]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at_once", [10, 2**22])
def test_numbers_that_are_not_finite_are_refused_with_their_place(
    wrong: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_inputs, "AT_ONCE", at_once)
    table, image = made_table(), made_floats()
    table[17, 2] = image[31, 1, 4, 0] = wrong
    assert refusal(made_table(), table) == f"split `val`, row 17, column 2: inputs must be finite, but got {wrong}."
    expected = f"split `train`, row 31, channel 1, pixel (4, 0): inputs must be finite, but got {wrong}."
    assert refusal(image) == expected


@pytest.mark.parametrize(
    ("train", "val", "fragments"),
    [
        (made_table().astype(np.float64), None, ["`train`", "tables must be float32", "got float64"]),
        (made_bytes()[:, :, 0, 0], None, ["tables must be float32", "got uint8"]),
        (made_bytes().astype(np.int64), None, ["images must be uint8 or uint16 or float32", "got int64"]),
        (made_bytes()[:, 0], None, ["sequences `[samples, length", "images `[samples, channels", "got uint8"]),
        (made_table()[:, 0], None, ["got the shape (50,)"]),
        (made_table()[:, :0], None, ["at least one number", "(50, 0)"]),
        (made_table(), made_table()[:0], ["`val`", "at least one number", "(0, 4)"]),
        (made_table(), made_table()[:, 1:], ["`val`", "must be of shape (4,)", "got (3,)"]),
        (made_bytes(), made_bytes()[:, :, 1:], ["`val`", "must be of shape (2, 5, 6)", "got (2, 4, 6)"]),
    ],
)
def test_inputs_of_another_type_or_shape_are_refused(train: Inputs, val: Inputs | None, fragments: list[str]) -> None:
    message = refusal(train, *([] if val is None else [val]))
    for fragment in fragments:
        assert fragment in message


def test_a_target_for_every_pixel_needs_images() -> None:
    split = Split(made_table(), {"map": np.zeros((SAMPLES, 5, 6), np.int64)})
    with pytest.raises(
        DatasetError, match=r"`map`, split `train`: .*`segmentation`.*images, but got rows of 4 features"
    ):
        make_dataset("made", (make_task("segmentation", "map", classes=2),), {"train": split})


def test_augmentation_needs_images() -> None:
    with pytest.raises(FieldError, match=r"`training\.augmentation` must be left out: .* rows of 4 features"):
        check_augmentation(AugmentationSettings(shift=1), (4,))
    check_augmentation(None, (4,))
