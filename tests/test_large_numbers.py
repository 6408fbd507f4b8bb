"""Inputs that float32 cannot tell apart: centred in float64, from the file to the exported model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from mtl_search import load_dataset, search
from mtl_search.datasets import Dataset
from mtl_search.exporting.export import export
from mtl_search.exporting.trained import load_trained
from mtl_search.runs.folder import Run
from mtl_search.runs.provenance import data_digest
from mtl_search.searching.check import check
from mtl_search.spaces.experiment import parse_experiment

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

COUNT = 300
SECONDS = 1_700_000_000 + np.arange(COUNT) % 60
SIDE = np.random.default_rng(0).normal(size=COUNT)
LABELS = (SECONDS % 60 > 30).astype(int)


def written(folder: Path, first: NDArray[Any] = SECONDS) -> Path:
    lines = [f"{first[row]},{SIDE[row]:.6f},{LABELS[row]}" for row in range(COUNT)]
    (folder / "data.csv").write_text("\n".join(["time,side,late", *lines, ""]), encoding="utf-8")
    return folder / "data.csv"


def loaded(folder: Path, first: NDArray[Any] = SECONDS) -> Dataset:
    return load_dataset("table", file=str(written(folder, first)), tasks=["late"])


def archived(folder: Path, inputs: NDArray[Any]) -> Dataset:
    np.savez(folder / "data.npz", x=inputs, late=LABELS[: len(inputs)])
    return load_dataset("arrays", file=str(folder / "data.npz"), inputs="x", tasks=["late"])


def raw(dataset: Dataset) -> NDArray[np.float64]:
    """Inputs of all splits in the units of the data, in the order of the file."""
    assert dataset.centre is not None
    parts = np.concatenate([np.asarray(part.inputs, np.float64) for part in dataset.splits.values()])
    rows = np.concatenate(list(dataset.rows.values()))
    return (parts + dataset.centre.reshape(-1, *[1] * (parts.ndim - 2)))[np.argsort(rows)]


def test_seconds_within_a_minute_stay_apart(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.centre is not None
    assert found.centre[1] == 0
    assert 1_700_000_000 <= found.centre[0] < 1_700_000_060
    assert raw(found)[:, 0].tolist() == SECONDS.tolist()
    np.testing.assert_array_equal(raw(found)[:, 1], np.float32(np.round(SIDE, 6)))
    assert found.splits["train"].inputs.dtype == np.float32
    assert float(found.std[0]) == pytest.approx(SECONDS.std(), rel=0.1)


@pytest.mark.parametrize(
    "values",
    [
        101_325 + np.arange(COUNT) / 100,
        1e12 + np.arange(COUNT),
        -(2.0**24) - np.arange(COUNT),
        np.where(np.arange(COUNT) % 30 == 0, 0, SECONDS),
    ],
    ids=["pressures", "large", "below 0", "zeros where there is none"],
)
def test_what_else_float32_would_merge(tmp_path: Path, values: NDArray[Any]) -> None:
    found = loaded(tmp_path, values)
    assert found.centre is not None
    there = values != 0
    np.testing.assert_allclose(raw(found)[there, 0], values[there], rtol=1e-12)
    assert len(np.unique(raw(found)[:, 0])) == len(np.unique(values))


@pytest.mark.parametrize("values", [2000 + np.arange(COUNT) % 20, SIDE * 1000 + 1013.25, np.full(COUNT, 0.1)])
def test_numbers_that_float32_has_are_as_they_are(tmp_path: Path, values: NDArray[Any]) -> None:
    found = loaded(tmp_path, values)
    assert found.centre is None
    train = found.splits["train"].inputs[:, 0]
    np.testing.assert_allclose(train, values[found.rows["train"]], rtol=1e-6)


def test_values_that_are_lost_all_the_same_are_told(tmp_path: Path) -> None:
    apart = np.where(np.arange(COUNT) % 2 == 0, SECONDS, SECONDS - 1_600_000_000)
    found = loaded(tmp_path, apart)
    (note,) = found.found["notes"]
    left = len(np.unique(np.concatenate([part.inputs[:, 0] for part in found.splits.values()])))
    assert note.startswith(f"of 60 different values of time {left} are left in float32")
    assert left < 60


@pytest.mark.parametrize("kind", ["int64", "uint64", "float64"])
def test_arrays_are_centred_too(tmp_path: Path, kind: str) -> None:
    table = np.stack([SECONDS, np.arange(COUNT)], axis=1).astype(kind)
    assert raw(archived(tmp_path, table)).tolist() == table.tolist()
    images = (table[:, :, None, None] + np.arange(4).reshape(2, 2)).astype(kind)
    found = archived(tmp_path, images)
    assert found.centre is not None
    assert (found.centre.shape, float(found.centre[1])) == ((2,), 0.0)
    assert raw(found).tolist() == images.tolist()


def test_other_seconds_are_other_data(tmp_path: Path) -> None:
    assert data_digest(loaded(tmp_path)) == data_digest(loaded(tmp_path))
    assert data_digest(loaded(tmp_path)) != data_digest(loaded(tmp_path, SECONDS + 1_000_000))


def test_parts_of_a_union_have_one_centre(tmp_path: Path) -> None:
    parts = {}
    for name, shift in (("first", 0), ("second", 90), ("third", -1_700_000_000)):
        (tmp_path / name).mkdir()
        path = written(tmp_path / name, SECONDS + shift)
        parts[name] = {"name": "table", "file": str(path), "tasks": {name: {"kind": "binary", "column": "late"}}}
    found = load_dataset("union", parts=parts)
    assert found.centre is not None
    train = found.splits["train"]
    assert train.parts is not None
    seconds = np.asarray(train.inputs, np.float64)[:, 0] + found.centre[0]
    for number, (name, shift) in enumerate((("first", 0), ("second", 90))):
        rows = [int(row.split(":")[1]) for row in found.rows["train"] if row.startswith(name)]
        assert seconds[train.parts == number].tolist() == (SECONDS[rows] + shift).tolist()
    assert abs(seconds[train.parts == 2] - 30).max() < 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("seconds")
    experiment = parse_experiment(
        {
            "name": "seconds",
            "dataset": {"name": "table", "file": str(written(folder)), "tasks": ["late"]},
            "backbone": {"kind": "vector", "stages": [{"width": 8}]},
            "space": {"shared_ratio": [1.0, 0.5]},
            "training": {"epochs": 2, "batch_size": 16},
            "search": {"trials": 1, "workers": 0},
        },
        "seconds.yaml",
    )
    return search(experiment, out=folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_an_exported_model_takes_raw_rows(run: Run, format: Any, tmp_path: Path) -> None:
    path = export(run, format=format, out=tmp_path)
    dataset = load_dataset("table", **run.experiment.dataset.options)
    network = load_trained(run, None, dataset).network
    assert dataset.centre is not None
    rows = np.stack([1_700_000_000 + np.arange(60), np.zeros(60)], axis=1)
    exact = (rows - dataset.centre).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy((exact - dataset.mean) / dataset.std))["late"].numpy()
        if format == "onnx":
            session = onnxruntime.InferenceSession(path)
            (found,) = session.run(None, {"features": rows})
            assert [one.type for one in session.get_inputs()] == ["tensor(double)"]
        else:
            found = torch.export.load(path).module()(torch.from_numpy(rows))["late"].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert len(np.unique(found)) > 30, "seconds are told apart"
    card = json.loads((tmp_path / "model_card.json").read_text(encoding="utf-8"))
    assert card["input"]["type"] == "float64"
    assert card["input"]["normalisation_inside"]["centre"] == dataset.centre.tolist()
    assert "float64 `[batch, 2]`" in (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_check_tells_what_is_left(tmp_path: Path) -> None:
    apart = np.where(np.arange(COUNT) % 2 == 0, SECONDS, SECONDS - 1_600_000_000)
    experiment = parse_experiment(
        {
            "dataset": {"name": "table", "file": str(written(tmp_path, apart)), "tasks": ["late"]},
            "backbone": {"kind": "vector", "stages": [{"width": 8}]},
            "space": {"shared_ratio": [1.0, 0.5]},
            "training": {"batch_size": 16},
        },
        "seconds.yaml",
    )
    assert any("different values of time" in note for note in check(experiment).inputs["notes"])


def test_whole_numbers_that_are_one_in_float64_are_said(tmp_path: Path) -> None:
    numbers = 2**60 + np.arange(COUNT)[::-1] * 2
    left = f"of {COUNT} different values of time {len(np.unique(numbers.astype(float)))} are left"
    assert left in loaded(tmp_path, numbers).found["notes"][0]
    frame = pd.DataFrame({"time": numbers, "side": SIDE, "late": LABELS})
    frame.to_parquet(tmp_path / "data.parquet")
    assert left in load_dataset("table", file=str(tmp_path / "data.parquet"), tasks=["late"]).found["notes"][0]
