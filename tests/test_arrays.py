"""Arrays in files: what is asked for is read, part by part, as if it were in memory."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from made_kinds import OPTIONS, absent, as_split, dataset_of, made_targets, made_task
from mtl_search.datasets import Dataset, Split
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import FileArray, joined, moments, parts
from mtl_search.internal.registry import TASKS
from mtl_search.runs.provenance import data_digest

LOT = np.random.default_rng(0)
ROWS = LOT.integers(0, 256, (50, 3, 4), dtype=np.uint8)


def in_file(folder: Path, array: NDArray[np.generic], name: str = "array") -> FileArray:
    np.save(folder / f"{name}.npy", array)
    return FileArray(folder / f"{name}.npy")


def filed(split: Split, folder: Path) -> Split:
    """The same samples, in files."""
    targets = {name: in_file(folder, np.asarray(values), name) for name, values in split.targets.items()}
    return Split(in_file(folder, np.asarray(split.inputs), "inputs"), targets)


PARTS = {
    "all": slice(None),
    "a slice": slice(7, 31),
    "nothing": slice(5, 5),
    "past the end": slice(45, 99),
    "rows in any order": np.array([4, 5, 6, 2, 2, 49, 0]),
    "no rows": np.array([], np.int64),
    "a mask": LOT.random(50) < 0.3,
}


@pytest.mark.parametrize("rows", PARTS.values(), ids=PARTS)
def test_parts_are_those_of_the_array(tmp_path: Path, rows: slice | NDArray[np.int64]) -> None:
    found = in_file(tmp_path, ROWS)[rows]
    expected = ROWS[rows]
    assert (found.shape, found.dtype, found.size, found.nbytes) == (
        expected.shape,
        expected.dtype,
        expected.size,
        expected.nbytes,
    )
    assert np.array_equal(np.asarray(found), expected)
    assert np.array_equal(np.asarray(found[1:4]), expected[1:4]), "a part of a part"
    assert np.array_equal(np.concatenate([part for _, part in parts(found, at_once=40)]), expected)


def test_it_is_pickled_as_where_it_is_and_which_rows(tmp_path: Path) -> None:
    large = in_file(tmp_path, np.arange(40_000, dtype=np.float32).reshape(4_000, 10))
    for part in (large, large[1000:3000], large[np.array([5, 3, 3000])]):
        pickled = pickle.dumps(part)
        assert len(pickled) < 1000
        assert np.array_equal(np.asarray(pickle.loads(pickled)), np.asarray(part))


def test_parts_that_follow_each_other_are_joined_without_reading(tmp_path: Path) -> None:
    array = in_file(tmp_path, ROWS)
    whole = joined([array[:20], array[20:35]])
    assert isinstance(whole, FileArray)
    assert whole.rows == range(35)
    apart = joined([array[40:], array[:3]])
    assert isinstance(apart, FileArray)
    assert np.array_equal(np.asarray(apart), np.concatenate([ROWS[40:], ROWS[:3]]))
    other = in_file(tmp_path, ROWS + 1, "other")
    assert np.array_equal(joined([array[:2], other[:2]]), np.concatenate([ROWS[:2], ROWS[:2] + 1]))


@pytest.mark.parametrize("shape", [(997,), (997, 3), (97, 3, 5, 2)])
def test_moments_are_those_of_numpy(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    array = (1000 + LOT.standard_normal(shape)).astype(np.float32)
    array[LOT.random(shape) < 0.2] = np.nan
    array[:50] = np.nan
    others = tuple(axis for axis in range(len(shape)) if axis != 1)
    monkeypatch.setattr("mtl_search.internal.arrays.IN_CACHE", 64)
    count, mean, deviation = moments(array)
    assert count.tolist() == np.atleast_1d(np.sum(~np.isnan(array), axis=others)).tolist()
    exact = array.astype(np.float64)
    assert mean == pytest.approx(np.atleast_1d(np.nanmean(exact, axis=others)), rel=1e-12)
    assert deviation == pytest.approx(np.atleast_1d(np.nanstd(exact, axis=others)), rel=1e-9)


def test_moments_of_nothing_are_0() -> None:
    assert [found.tolist() for found in moments(np.full((4, 2), np.nan, np.float32))] == [[0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("kind", TASKS.names())
def test_tasks_learn_the_same_from_files_part_by_part(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, targets = made_task(kind), absent(kind, made_targets(kind, missing=0.2), slice(0, 5))
    expected = task.learned(targets)
    monkeypatch.setattr(parts, "__defaults__", (32,))
    found = task.learned(in_file(tmp_path, targets))
    assert found.describe().keys() == expected.describe().keys()
    for name, value in expected.describe().items():
        assert found.describe()[name] == (
            value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-6)
        )


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_spread_of_depths_is_about_their_median(missing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for samples in (2, 3, 8):
        targets = made_targets("depth", missing=missing, samples=samples)
        there = targets[targets > 0].astype(np.float64)
        monkeypatch.setattr(parts, "__defaults__", (32,))
        spread = made_task("depth").learned(targets).constant_error
        assert spread == pytest.approx(np.abs(there - np.median(there)).mean(), rel=1e-6)


def all_kinds(folder: Path | None = None) -> Dataset:
    """A dataset with a task of every kind; in files if there is a folder."""
    targets = {kind: made_targets(kind, missing=0.2) for kind in OPTIONS}
    tasks = [made_task(kind, kind) for kind in OPTIONS]
    split = as_split(targets)
    return dataset_of(tasks, dict((split if folder is None else filed(split, folder)).targets))


def test_the_digest_of_the_data_is_that_of_arrays_in_memory(tmp_path: Path) -> None:
    assert data_digest(all_kinds(tmp_path)) == data_digest(all_kinds())


BROKEN = {
    "no array": b"picture",
    "nothing": b"",
    "a header that says more than there is": None,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_array_is_refused(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "array.npy"
    np.save(path, ROWS)
    path.write_bytes(path.read_bytes()[:-1] if data is None else data)
    with pytest.raises(DatasetError, match=r"array\.npy: "):
        FileArray(path)


def test_a_file_that_is_cut_off_while_it_is_used_is_an_error(tmp_path: Path) -> None:
    array = in_file(tmp_path, ROWS)
    array.path.write_bytes(array.path.read_bytes()[:300])
    with pytest.raises(DatasetError, match=r"array\.npy: cannot be read: it ends before the last row"):
        np.asarray(array)
    array.path.unlink()
    with pytest.raises(DatasetError, match=r"array\.npy: cannot be read: No such file"):
        np.asarray(array)


@pytest.mark.parametrize("array", [np.asfortranarray(ROWS), np.array(3), np.array(["a", None])], ids=str)
def test_an_array_that_has_no_rows_of_numbers_is_refused(tmp_path: Path, array: NDArray[np.generic]) -> None:
    with pytest.raises(DatasetError, match="must hold rows of numbers in C order"):
        in_file(tmp_path, array)
