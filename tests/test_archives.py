"""Arrays in an npz file: large inputs stay in it, and are the same there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mtl_search import load_dataset
from mtl_search.datasets import Dataset
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import FileArray
from mtl_search.runs.provenance import data_digest

LOT = np.random.default_rng(0)
SAMPLES = 60
INPUTS = {
    "images of bytes": LOT.integers(0, 256, (SAMPLES, 3, 6, 5), dtype=np.uint8),
    "images without channels": LOT.integers(0, 256, (SAMPLES, 6, 5), dtype=np.uint8),
    "images of floats": LOT.normal(size=(SAMPLES, 2, 6, 5)).astype(np.float32),
    "rows": LOT.normal(size=(SAMPLES, 7)).astype(np.float32),
}
CHANGED = {
    "channels last": LOT.integers(0, 256, (SAMPLES, 6, 5, 3), dtype=np.uint8),
    "float64": LOT.normal(size=(SAMPLES, 7)),
}


def loaded(folder: Path, inputs: NDArray[Any], compressed: bool = False) -> Dataset:
    save = np.savez_compressed if compressed else np.savez
    save(folder / "data.npz", x=inputs, kind=np.arange(SAMPLES) % 3)
    return load_dataset("arrays", file=str(folder / "data.npz"), inputs="x", tasks={"kind": "classification"})


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_search.datasets._archives.FILE_SHARE", 0.0)


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
def test_inputs_that_stay_in_the_file_are_those_in_memory(
    tmp_path: Path, inputs: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = loaded(tmp_path, inputs)
    monkeypatch.setattr("mtl_search.datasets._archives.FILE_SHARE", 0.0)
    filed = loaded(tmp_path, inputs)
    assert isinstance(held.splits["train"].inputs, np.ndarray)
    assert isinstance(filed.splits["train"].inputs, FileArray)
    assert data_digest(filed) == data_digest(held)
    assert filed.input_shape == held.input_shape
    for split, samples in held.merged().splits.items():
        assert np.array_equal(np.asarray(filed.merged().splits[split].inputs), samples.inputs)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("inputs", CHANGED.values(), ids=CHANGED)
def test_inputs_that_have_to_be_changed_are_read(tmp_path: Path, inputs: NDArray[Any]) -> None:
    assert isinstance(loaded(tmp_path, inputs).splits["train"].inputs, np.ndarray)


@pytest.mark.usefixtures("little_memory")
def test_compressed_inputs_are_read(tmp_path: Path) -> None:
    assert isinstance(loaded(tmp_path, INPUTS["rows"], compressed=True).splits["train"].inputs, np.ndarray)


@pytest.mark.usefixtures("little_memory")
def test_a_number_that_is_not_finite_is_refused_by_its_row(tmp_path: Path) -> None:
    inputs = INPUTS["rows"].copy()
    inputs[17, 3] = np.nan
    with pytest.raises(DatasetError, match=r"data.npz: split `(train|val|test)`, row \d+, column 3: .*finite.*nan"):
        loaded(tmp_path, inputs)


@pytest.mark.usefixtures("little_memory")
def test_a_header_that_was_changed_is_refused(tmp_path: Path) -> None:
    loaded(tmp_path, INPUTS["rows"])
    path = tmp_path / "data.npz"
    path.write_bytes(path.read_bytes().replace(b"(60, 7)", b"(60, 8)", 1))
    with pytest.raises(DatasetError, match=r"array `x`: (cannot be read|must hold)"):
        load_dataset("arrays", file=str(path), inputs="x", tasks={"kind": "classification"})
