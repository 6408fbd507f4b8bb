"""Datasets of what is in memory: frames, arrays, datasets of torch, samples one by one."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mtl_search import dataset_from, load_dataset, make_task
from mtl_search.datasets import Dataset
from mtl_search.errors import DatasetError
from mtl_search.tasks import Binary, Classification, Regression

COUNT = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(COUNT, 3))
SIGN = (X[:, 0] > 0).astype(np.int64)
ROWS = {"train": list(range(40)), "val": list(range(40, 50)), "test": list(range(50, COUNT))}
PIXELS = RNG.integers(0, 256, (COUNT, 5, 6, 3), dtype=np.uint8)


def frame() -> pd.DataFrame:
    """Numbers, categories, and labels of which every fifth is missing."""
    gone = np.arange(COUNT) % 5 == 0
    sizes = np.array(["small", "mid", "large"])[np.arange(COUNT) % 3]
    return pd.DataFrame(
        {
            "a": X[:, 0],
            "soil": np.where(np.arange(COUNT) % 2, "clay", "sand"),
            "zip": pd.Categorical((np.arange(COUNT) % 4) * 100),
            "size": pd.Categorical(sizes, categories=["small", "mid", "large", "huge"]),
            "price": np.where(gone, np.nan, X[:, 1]),
            "up": pd.array([None if one else bool(up) for one, up in zip(gone, SIGN, strict=True)], "boolean"),
            "stars": pd.array(np.arange(COUNT) % 7, "Int64"),
        }
    )


class Samples(TorchDataset[Any]):
    """Tensors, with a target that some samples do not name and one that is ``None`` in some."""

    def __init__(self, rows: range = range(COUNT)) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, dict[str, Any]]:
        row = self.rows[place]
        targets = {"sign": torch.tensor(SIGN[row]), "height": None if row % 3 == 0 else float(X[row, 1])}
        return torch.tensor(X[row], dtype=torch.float32), targets | ({} if row % 4 == 0 else {"side": "lr"[row % 2]})


def whole(dataset: Dataset, name: str | None = None) -> NDArray[Any]:
    """Inputs, or the targets of a task, of all splits in the order of their rows."""
    splits = dataset.splits
    parts = [np.asarray(one.inputs if name is None else one.targets[name]) for one in splits.values()]
    order = np.concatenate([dataset.rows[split] for split in splits])
    return np.concatenate(parts)[np.argsort(order)]


def assert_same(found: Dataset, wanted: Dataset) -> None:
    assert found.tasks == wanted.tasks
    assert np.array_equal(found.mean, wanted.mean)
    assert np.array_equal(found.std, wanted.std)
    assert dict(found.found) == dict(wanted.found)
    for split, samples in wanted.splits.items():
        assert np.array_equal(found.rows[split], wanted.rows[split])
        assert np.array_equal(found.splits[split].inputs, samples.inputs)
        for task, targets in samples.targets.items():
            assert np.array_equal(found.splits[split].targets[task], targets, equal_nan=targets.dtype.kind == "f")


def test_a_frame_is_read_as_a_table_is(tmp_path: Path) -> None:
    plain = frame().drop(columns=["zip", "size"])
    plain.to_csv(tmp_path / "rows.csv", index=False)
    options: dict[str, Any] = {"tasks": ["price", "up", "stars"], "split": {"val": 0.2, "test": 0.2, "seed": 5}}
    made = dataset_from(plain, **options, name="flowers")
    assert (made.name, made.loadable) == ("flowers", False)
    wanted = load_dataset("table", file=str(tmp_path / "rows.csv"), **options)
    named = tuple(replace(task, names=()) if isinstance(task, Binary) else task for task in wanted.tasks)
    assert_same(made, replace(wanted, tasks=named))


def test_types_of_a_frame_say_what_its_columns_are() -> None:
    found = dataset_from(frame(), inputs=["a", "soil", "zip"], tasks=["size", "price", "up"], split=ROWS)
    size, price, up = found.tasks
    assert found.found["features"] == ["a", "soil=clay", "soil=sand", "zip=0", "zip=100", "zip=200", "zip=300"]
    assert size == Classification("size", 3, names=("small", "mid", "large")), "in the order of the type, those in use"
    assert isinstance(price, Regression)
    assert isinstance(up, Binary)
    assert whole(found, "size").tolist() == (np.arange(COUNT) % 3).tolist()
    assert np.flatnonzero(np.isnan(whole(found, "price"))).tolist() == list(range(0, COUNT, 5))
    assert np.flatnonzero(whole(found, "up") == -1).tolist() == list(range(0, COUNT, 5))
    assert np.array_equal(whole(found)[:, 0], X[:, 0].astype(np.float32))
    assert whole(found)[:, 3:].argmax(axis=1).tolist() == (np.arange(COUNT) % 4).tolist()


def test_columns_of_a_frame_may_be_named_by_patterns_and_left_out() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 4)), columns=["id", "note a", "width", "label_a"])
    frame["label_b"] = pd.Categorical(np.where(frame.width > 0, "wide", "slim"))
    frame["town"] = pd.Categorical(np.where(frame.id > 0, "here", "there"))
    made = dataset_from(frame, tasks=["label_*"], exclude=["id", "note*", "town"])
    assert [task.name for task in made.tasks] == ["label_a", "label_b"]
    assert made.input_shape == (1,)
    with pytest.raises(DatasetError, match=r"no column `idd` for `exclude`. Did you mean `id`\?"):
        dataset_from(frame, tasks=["label_*"], exclude=["idd"])
    with pytest.raises(DatasetError, match=r"no column that `lable_\*` of `tasks` fits"):
        dataset_from(frame, tasks=["lable_*"])


def test_arrays_are_read_as_from_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", inputs=X, sign=SIGN, height=X[:, 1])
    wanted = load_dataset("arrays", file=str(tmp_path / "rows.npz"), inputs="inputs", tasks=["sign", "height"])
    assert_same(dataset_from(X, {"sign": SIGN, "height": X[:, 1]}), wanted)
    assert_same(dataset_from(torch.tensor(X), {"sign": torch.tensor(SIGN), "height": list(X[:, 1])}), wanted)


IMAGES = PIXELS.transpose(0, 3, 1, 2)
INPUTS: dict[str, tuple[Any, NDArray[Any]]] = {
    "float64": (X, X.astype(np.float32)),
    "float16": (X.astype(np.float16), X.astype(np.float16).astype(np.float32)),
    "bool": (X > 0, (X > 0).astype(np.float32)),
    "int32": ((X * 100).astype(np.int32), (X * 100).astype(np.int32).astype(np.float32)),
    "lists": (X.tolist(), X.astype(np.float32)),
    "a frame's numbers": (pd.DataFrame(X).to_numpy(), X.astype(np.float32)),
    "bfloat16": (torch.tensor(X).bfloat16(), torch.tensor(X).bfloat16().float().numpy()),
    "a tensor that learns": (torch.tensor(X, requires_grad=True), X.astype(np.float32)),
    "bytes, channels last": (PIXELS, IMAGES),
    "bytes, channels first": (IMAGES, IMAGES),
    "whole numbers of bytes": (PIXELS.astype(np.int64), IMAGES),
    "floats, channels last": ((PIXELS / 256).astype(np.float32), (IMAGES / 256).astype(np.float32)),
    "grey": (PIXELS[..., 0], IMAGES[:, :1]),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs_of_the_usual_types(case: str) -> None:
    given, wanted = INPUTS[case]
    found = whole(dataset_from(given, {"sign": SIGN}, split=ROWS))
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


TARGETS: dict[str, tuple[Any, list[int]]] = {
    "NaN": (np.where(np.arange(COUNT) == 3, np.nan, SIGN), [3]),
    "-1": (np.where(np.arange(COUNT) == 3, -1, SIGN), [3]),
    "None": ([None if row == 3 else int(value) for row, value in enumerate(SIGN)], [3]),
    "texts": ([None if row == 3 else ["no", "yes"][value] for row, value in enumerate(SIGN)], [3]),
    "bool": (SIGN > 0, []),
    "nullable": (pd.Series(pd.array(np.where(np.arange(COUNT) == 3, None, SIGN), "Int64")), [3]),
    "a tensor": (torch.tensor(SIGN, dtype=torch.int32), []),
}


@pytest.mark.parametrize("case", TARGETS)
def test_missing_labels_of_the_usual_sorts(case: str) -> None:
    given, gone = TARGETS[case]
    found = whole(dataset_from(X, {"sign": given}, tasks={"sign": "binary"}, split=ROWS), "sign")
    wanted = SIGN.copy()
    wanted[gone] = -1
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("form", ["a dataset of torch", "an iterable", "a list", "a mapping of splits"])
def test_samples_one_by_one(form: str) -> None:
    samples = Samples()
    data: Any = {
        "a dataset of torch": samples,
        "an iterable": (samples[row] for row in range(COUNT)),
        "a list": [samples[row] for row in range(COUNT)],
        "a mapping of splits": {split: Samples(range(rows[0], rows[-1] + 1)) for split, rows in ROWS.items()},
    }[form]
    found = dataset_from(data, split=None if isinstance(data, dict) else ROWS)
    assert [task.kind for task in found.tasks] == ["binary", "regression", "binary"]
    assert {split: rows.tolist() for split, rows in found.rows.items()} == ROWS
    assert np.array_equal(whole(found), X.astype(np.float32))
    rows = np.arange(COUNT)
    height = np.where(rows % 3 == 0, np.nan, X[:, 1]).astype(np.float32)
    assert np.array_equal(whole(found, "height"), height, equal_nan=True)
    assert whole(found, "side").tolist() == np.where(rows % 4 == 0, -1, rows % 2).tolist()


def test_maps_of_single_samples_may_be_missing() -> None:
    maps = (PIXELS[..., 0] > 128).astype(np.uint8)
    samples = [(PIXELS[row], {"mask": None if row == 41 else maps[row]}) for row in range(COUNT)]
    found = dataset_from(samples, tasks={"mask": "segmentation"}, split=ROWS)
    wanted = maps.astype(np.int64)
    wanted[41] = -1
    assert np.array_equal(whole(found, "mask"), wanted)


def test_tasks_may_be_objects() -> None:
    tasks = [make_task("regression", "price", error="absolute"), make_task("binary", "up")]
    found = dataset_from(frame(), tasks=tasks)
    price, up = found.tasks
    assert isinstance(price, Regression)
    assert (price.error, up) == ("absolute", Binary("up"))
    named = make_task("classification", "sign", classes=2, names=("down", "up"))
    assert dataset_from(X, {"sign": SIGN}, tasks={"sign": named}).tasks[0] == named


def changed(**columns: Any) -> pd.DataFrame:
    return frame().assign(**columns)


def endless() -> Iterator[Any]:
    yield X[0], {"sign": 1}
    yield X[1, :2], {"sign": 0}


FRAME: Mapping[str, Any] = {"tasks": ["size"], "missing_inputs": "zero"}
Y = {"sign": SIGN}
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no such column": (
        lambda: dataset_from(frame(), tasks=["prize"]),
        "no column `prize` for `tasks.prize`. Did you",
    ),
    "no tasks": (lambda: dataset_from(frame()), "say which columns are to be predicted"),
    "a text for tasks": (lambda: dataset_from(frame(), tasks="size"), "say `tasks=['size']`"),
    "a task twice": (
        lambda: dataset_from(frame(), tasks=["up", "up"]),
        "must name each task once",
    ),
    "empty input": (
        lambda: dataset_from(frame(), tasks=["size"]),
        "row 0, column `price`: is empty; say",
    ),
    "mixed column": (
        lambda: dataset_from(changed(odd=[1, "x"] * 30), **FRAME),
        "column `odd`: holds values of",
    ),
    "dates": (
        lambda: dataset_from(changed(day=pd.Timestamp("2020-01-01")), **FRAME),
        "`day`: must hold numbers",
    ),
    "numbers as names": (lambda: dataset_from(frame().rename(columns={"a": 7}), **FRAME), "column 0 is named 7: names"),
    "no rows": (lambda: dataset_from(frame()[:0], **FRAME), "the frame has no rows"),
    "unknown kind": (
        lambda: dataset_from(X, Y, tasks={"sign": "binery"}),
        "`tasks.sign`: there is no task kind",
    ),
    "targets beside a frame": (
        lambda: dataset_from(frame(), Y, tasks=["size"]),
        "the tasks of a frame are columns",
    ),
    "no targets": (lambda: dataset_from(X), "arrays need their targets: say `dataset_from(inputs, {task: targets})`"),
    "no such array": (lambda: dataset_from(X, Y, tasks=["sing"]), "there is no array `sing` for `tasks.sing`. Did you"),
    "too few targets": (
        lambda: dataset_from(X, {"sign": SIGN[:9]}),
        "`sign`: must have a row for each",
    ),
    "not finite": (lambda: dataset_from(np.where(X > 2, np.nan, X), Y), "array `inputs`: must be finite"),
    "complex": (lambda: dataset_from(X + 0j, Y), "array `inputs`: must hold numbers, but got complex128"),
    "sparse": (lambda: dataset_from(torch.tensor(X).to_sparse(), Y), "is a sparse tensor: give `.to_dense()` of it"),
    "masked": (lambda: dataset_from(X, {"sign": np.ma.array(SIGN, mask=SIGN > 0)}), "is masked: say what is missing"),
    "ragged": (lambda: dataset_from([[1.0], [1.0, 2.0]], Y), "inputs: must be an array, but its rows differ in shape"),
    "one axis": (lambda: dataset_from(X[:, 0], Y), "must be [samples, features]"),
    "nothing": (lambda: dataset_from([]), "there are no samples"),
    "a number": (lambda: dataset_from(3), "but got a int"),
    "no pairs": (lambda: dataset_from([(X[0], 1)]), "sample 0: must be a pair of an input and a mapping"),
    "shapes": (lambda: dataset_from(endless()), "sample 1: its input is float64 [2], that of sample 0 float64 [3]"),
    "batches": (lambda: dataset_from(DataLoader(Samples())), "a DataLoader gives batches, not samples"),
    "no test": (lambda: dataset_from({"train": Samples(), "val": Samples()}), "must hold data for train, val, test"),
    "split and mapping": (
        lambda: dataset_from(dict.fromkeys(ROWS, Samples()), split=ROWS),
        "beside a mapping of splits there must be no `targets` and no `split`",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused_with_what_helps(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(DatasetError, match=re.escape(message)) as caught:
        call()
    assert str(caught.value).startswith("dataset_from: ")
    assert "\n" not in str(caught.value)
