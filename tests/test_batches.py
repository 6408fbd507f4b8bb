"""Batches: the same ones wherever samples are held, as large as there is memory for."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from made_kinds import dataset_of, made_targets, made_task
from made_networks import made_tasks, single_threaded
from made_problems import TRAINING, made_backbone, made_dataset
from mtl_search.datasets import Dataset, Split
from mtl_search.internal.arrays import Array, FileArray
from mtl_search.internal.registry import TASKS
from mtl_search.methods import MethodContext
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.training.batches import (
    MEMORY_SHARE,
    RESIDENT_SHARE,
    Batch,
    DeviceSplit,
    InFiles,
    InMemory,
    LargestBatch,
    is_resident,
    most_at_once,
    one_ahead,
)
from mtl_search.training.scoring import scores_on

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")
DEVICES = [CPU, torch.device("cuda")] if torch.cuda.is_available() else [CPU]
SIZE = 16


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return made_dataset(made_tasks(3))


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device has room for a split. Where it is a processor, copies to it are none."""
    monkeypatch.setattr("mtl_search.training.batches.is_resident", lambda size, device: False)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for what is in files."""
    monkeypatch.setattr("mtl_search.training.batches.available_bytes", lambda: 0)


def in_files(dataset: Dataset, folder: Path) -> Dataset:
    """The same dataset, every array in a file of its own, in another order than it is used in."""

    def filed(array: Array, name: str) -> FileArray:
        path, values = folder / f"{name}.npy", np.asarray(array)
        np.save(path, values[::-1])
        return FileArray(path)[np.arange(len(values))[::-1]]

    splits = {
        split: Split(
            filed(held.inputs, split),
            {name: filed(values, f"{split}-{name}") for name, values in held.targets.items()},
        )
        for split, held in dataset.splits.items()
    }
    return dataclasses.replace(dataset, splits=splits)


def made_order(dataset: Dataset) -> Tensor:
    return torch.randperm(len(dataset.splits["train"]), generator=torch.Generator().manual_seed(0))


def batches_of(dataset: Dataset, device: torch.device = CPU) -> list[Batch]:
    return list(DeviceSplit(dataset.splits["train"], dataset, device).batches(made_order(dataset), SIZE))


def assert_same_batches(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected) > 1
    for (inputs, targets), (other_inputs, other_targets) in zip(found, expected, strict=True):
        assert torch.equal(inputs, other_inputs)
        assert list(targets) == list(other_targets)
        assert all(torch.equal(targets[name], other_targets[name]) for name in targets)


def test_batches_hold_the_samples_in_their_order(dataset: Dataset) -> None:
    found, split = batches_of(dataset), dataset.splits["train"]
    order = made_order(dataset).numpy()
    assert [len(inputs) for inputs, _ in found] == [16, 16, 16, 16, 8]
    inputs = torch.cat([inputs for inputs, _ in found])
    mean, std = (torch.from_numpy(value).view(-1, 1, 1) for value in (dataset.mean, dataset.std))
    torch.testing.assert_close(inputs, (torch.from_numpy(split.inputs[order]).float() - mean) / std)
    for task in dataset.tasks:
        targets = torch.cat([targets[task.name] for _, targets in found])
        assert targets.tolist() == split.targets[task.name][order].tolist()


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_batches_copied_ahead_of_time_are_the_same(
    dataset: Dataset, device: torch.device, request: pytest.FixtureRequest
) -> None:
    held = batches_of(dataset, device)
    request.getfixturevalue("no_room")
    split = DeviceSplit(dataset.splits["train"], dataset, device)
    assert isinstance(split.held, InMemory)
    assert (split.resident, split.held.inputs.device, split.held.targets["a"].device) == (False, CPU, CPU)
    copied = batches_of(dataset, device)
    assert {inputs.device.type for inputs, _ in copied} == {device.type}
    assert_same_batches(copied, held)


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_batches_read_from_files_are_the_same(dataset: Dataset, device: torch.device, tmp_path: Path) -> None:
    filed = in_files(dataset, tmp_path)
    assert isinstance(DeviceSplit(filed.splits["train"], filed, device).held, InFiles)
    assert_same_batches(batches_of(filed, device), batches_of(dataset, device))


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_targets_of_every_kind_are_read_from_files(missing: float, tmp_path: Path) -> None:
    kinds = TASKS.names()
    targets = {kind: made_targets(kind, missing=missing) for kind in kinds}
    dataset = dataset_of([made_task(kind, kind) for kind in kinds], targets)
    filed = in_files(dataset, tmp_path)
    held, read = (DeviceSplit(one.splits["train"], one, CPU) for one in (dataset, filed))
    assert held.may_miss == read.may_miss == (missing > 0)
    for rows in (slice(10, 20), torch.tensor([4, 3, 50])):
        (inputs, expected), (read_inputs, found) = held.batch(rows), read.batch(rows)
        assert torch.equal(inputs, read_inputs)
        for kind in kinds:
            torch.testing.assert_close(found[kind], expected[kind], rtol=0, atol=0, equal_nan=True)
        assert [rule is None for rule in found.rules] == [rule is None for rule in expected.rules]


def test_a_split_in_files_is_read_where_there_is_room(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed = in_files(dataset, tmp_path)
    train = filed.splits["train"]
    size = sum(array.nbytes for array in (train.inputs, *train.targets.values()))
    for room, sort in ((size / MEMORY_SHARE + 1, InMemory), (size / MEMORY_SHARE - 1, InFiles)):
        monkeypatch.setattr("mtl_search.training.batches.available_bytes", lambda room=room: room)
        assert isinstance(DeviceSplit(train, filed, CPU).held, sort)
        assert isinstance(DeviceSplit(dataset.splits["train"], dataset, CPU).held, InMemory)


def test_a_batch_is_begun_before_the_one_ahead_of_it_is_given_out(dataset: Dataset) -> None:
    begun = []

    def counted() -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(dataset)):
            begun.append(number)
            yield batch

    for number, _ in enumerate(one_ahead(counted(), CPU)):
        assert begun == list(range(min(number + 2, 5)))
    assert_same_batches(list(one_ahead(iter(batches_of(dataset)), CPU)), batches_of(dataset))
    assert list(one_ahead(iter([]), CPU)) == []


@pytest.mark.slow
def test_where_samples_are_held_changes_no_training(
    dataset: Dataset, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = []
    for fixtures, data in (([], dataset), (["no_room"], dataset), (["no_memory"], in_files(dataset, tmp_path))):
        for name in fixtures:
            request.getfixturevalue(name)
        problem = MethodContext(made_backbone(), data, TRAINING)
        model = HardSharing().build(problem)
        epochs = list(problem.trainer(model).epochs())
        scores = scores_on(model, data.tasks, data, "val", CPU)
        found.append(([epoch.loss for epoch in epochs], scores, list(model.parameters())))
    for losses, scores, parameters in found[1:]:
        assert (losses, scores) == found[0][:2]
        assert all(torch.equal(*pair) for pair in zip(parameters, found[0][2], strict=True))


def test_a_gpu_holds_a_split_that_takes_its_share_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = 1 << 30
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 4 * free))
    assert is_resident(int(RESIDENT_SHARE * free), torch.device("cuda"))
    assert not is_resident(int(RESIDENT_SHARE * free) + 1, torch.device("cuda"))
    assert is_resident(100 * free, CPU)


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory.")
COUNTED_IN_32_BITS = (
    "upsample_bilinear2d_nhwc only supports output tensors with less than INT_MAX elements",
    "integer out of range",
    "Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true, but got false.",
)


class Narrow(nn.Module):
    """A network that takes so many samples at once.

    :param error: That it raises for more.
    """

    def __init__(self, model: nn.Module, room: int, error: RuntimeError = OUT_OF_MEMORY) -> None:
        super().__init__()
        self.model, self.room, self.error = model, room, error
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.asked.append(len(x))
        if len(x) > self.room:
            raise self.error
        return self.model(x)


@pytest.mark.thin(5)
@pytest.mark.parametrize("error", [OUT_OF_MEMORY, *map(RuntimeError, COUNTED_IN_32_BITS)])
def test_the_batch_is_halved_until_it_fits_and_stays_so(
    error: RuntimeError, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 32 samples are scored once each, whatever had to be tried."""
    model = HardSharing().build(MethodContext(made_backbone(), dataset, TRAINING))
    expected = scores_on(model, dataset.tasks, dataset, "val", CPU)
    monkeypatch.setattr("mtl_search.training.scoring.LARGEST_BATCH", {"cpu": LargestBatch(64)})
    narrow = Narrow(model, 12, error)
    assert scores_on(narrow, dataset.tasks, dataset, "val", CPU) == pytest.approx(expected, rel=1e-6)
    assert narrow.asked == [32, 16, 8, 8, 8, 8]
    narrow.asked.clear()
    scores_on(narrow, dataset.tasks, dataset, "val", CPU)
    assert narrow.asked == [8, 8, 8, 8]


def test_another_error_of_a_batch_is_not_taken_for_one_of_its_size(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl_search.training.scoring.LARGEST_BATCH", {"cpu": LargestBatch(64)})
    narrow = Narrow(nn.Identity(), 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        scores_on(narrow, dataset.tasks, dataset, "val", CPU)
    assert narrow.asked == [32]


def test_no_room_for_one_sample_is_an_error(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_search.training.scoring.LARGEST_BATCH", {"cpu": LargestBatch(4)})
    with pytest.raises(torch.OutOfMemoryError):
        scores_on(Narrow(nn.Identity(), room=0), dataset.tasks, dataset, "val", CPU)


def test_large_pictures_are_scored_few_at_a_time(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = math.prod(dataset.input_shape[1:])
    model = HardSharing().build(MethodContext(made_backbone(), dataset, TRAINING))
    expected = scores_on(model, dataset.tasks, dataset, "val", CPU)
    monkeypatch.setattr("mtl_search.training.batches.PIXELS_AT_ONCE", 20 * pixels + 1)
    wide = Narrow(model, room=64)
    assert scores_on(wide, dataset.tasks, dataset, "val", CPU) == pytest.approx(expected, rel=1e-6)
    assert wide.asked == [20, 12]
    monkeypatch.setattr("mtl_search.training.batches.PIXELS_AT_ONCE", pixels - 1)
    assert most_at_once(dataset.input_shape, CPU) == 1
