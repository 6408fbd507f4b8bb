"""The user's own tables, arrays and functions as datasets: what is found in them, and a run from files to a report."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from mtl_search import Split, dataset_function, load_dataset, load_experiment, load_run
from mtl_search.cli.commands import main
from mtl_search.datasets import Dataset, make_dataset
from mtl_search.datasets._columns import Labelled
from mtl_search.datasets._splits import Drawn, draw_splits, split_rows
from mtl_search.datasets._tables import read_table
from mtl_search.errors import DatasetError, UserError
from mtl_search.runs.splits import changed_splits, splits_text
from mtl_search.tasks import Binary, Classification, MultiLabel, Regression, Segmentation, Task

EXPERIMENT = """
dataset:
  name: table
  file: data/people.csv
  tasks:
    income: {kind: binary, classes: [low, high]}
    animal:
    size: regression
    likes: {columns: [tea, milk]}
backbone: {kind: vector, stages: [{width: 8}, {width: 8}]}
space: {shared_ratio: [1.0, 0.5]}
training: {batch_size: 8, epochs: 1}
search: {trials: 2, workers: 0}
"""


def people(count: int = 60) -> str:
    """A table of people."""
    rng = np.random.default_rng(0)
    lines = ["age,job,income,animal,size,tea,milk,home"]
    for number in range(count):
        income, animal = ("low", "high")[rng.integers(2)], ("cat", "dog", "owl")[number % 3]
        size = "" if number % 10 == 4 else f"{rng.normal() * 9 + 170:.1f}"
        cells = (20 + number, "abc"[number % 3], income, animal, size, number % 2, rng.integers(2), number // 6)
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def table(tmp_path: Path, text: str, tasks: Any, **options: Any) -> Dataset:
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    return load_dataset("table", file=str(tmp_path / "data.csv"), tasks=tasks, **options)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of a command line, run in this process."""
    monkeypatch.setattr(sys, "argv", ["mtl-search", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def column_text(name: str, values: Sequence[object]) -> str:
    return "\n".join([f"x,{name}", *(f"{number},{value}" for number, value in enumerate(values)), ""])


FOUND: dict[str, tuple[list[object], type[Task], dict[str, Any]]] = {
    "texts": (["b", "a", "c"] * 8, Classification, {"classes": 3, "names": ("a", "b", "c")}),
    "two texts": (["yes", "no"] * 12, Binary, {"names": ("no", "yes")}),
    "0 and 1": ([0, 1] * 12, Binary, {"names": ()}),
    "two numbers": ([1, 2.0] * 12, Binary, {"names": ("1", "2")}),
    "numbers from 0": ([2, 0, 1] * 8, Classification, {"classes": 3, "names": ()}),
    "numbers with gaps": ([7, 3, 10] * 8, Classification, {"classes": 3, "names": ("3", "7", "10")}),
    "whole numbers with an empty cell": (["2.0", "0.0", "1.0", ""] * 6, Classification, {"classes": 3, "names": ()}),
    "many whole numbers": (list(range(24)), Regression, {"size": 1}),
    "numbers with a fraction": ([0.5, 1.0, 2.0] * 8, Regression, {"size": 1}),
}


@pytest.mark.parametrize(("values", "kind", "fields"), FOUND.values(), ids=FOUND)
def test_kind_that_is_found(tmp_path: Path, values: list[object], kind: type[Task], fields: dict[str, Any]) -> None:
    dataset = table(tmp_path, column_text("y", values), ["y"])
    (task,) = dataset.tasks
    assert type(task) is kind
    assert {name: getattr(task, name) for name in fields} == fields
    assert dataset.found["kinds_found"] == {"y": task.kind}


def test_texts_become_numbers_of_classes(tmp_path: Path) -> None:
    dataset = table(tmp_path, column_text("y", ["b", "", "a", "c"] * 6), {"y": {"classes": ["c", "b", "a"]}})
    wanted = np.array([1, -1, 2, 0] * 6)
    for split, rows in dataset.rows.items():
        assert dataset.splits[split].targets["y"].tolist() == wanted[rows].tolist()
    assert dataset.tasks[0].describe()["names"] == ("c", "b", "a")


def test_names_of_numbered_classes(tmp_path: Path) -> None:
    dataset = table(tmp_path, column_text("y", [0, 1, 2] * 8), {"y": {"classes": ["cat", "dog", "owl"]}})
    assert dataset.tasks[0].describe()["names"] == ("cat", "dog", "owl")
    assert sorted(set(dataset.splits["train"].targets["y"].tolist())) == [0, 1, 2]


def test_several_columns_are_one_task(tmp_path: Path) -> None:
    tasks = {"likes": {"columns": ["tea", "milk"]}, "body": {"columns": ["size", "age"], "error": "absolute"}}
    dataset = table(tmp_path, people(), tasks)
    likes, body = dataset.tasks
    assert isinstance(likes, MultiLabel)
    assert isinstance(body, Regression)
    assert (likes.names, body.names, body.error) == (("tea", "milk"), ("size", "age"), "absolute")
    targets = dataset.splits["train"].targets
    assert targets["likes"].shape == targets["body"].shape == (42, 2)
    assert np.isnan(targets["body"][:, 0]).sum() == (dataset.rows["train"] % 10 == 4).sum() > 0


def test_texts_are_one_hot_by_the_categories_of_training(tmp_path: Path) -> None:
    text = "job,n,y,part\nb,1,0,train\na,2,1,train\nc,3,1,val\n,4,0,val\na,5,0,test\nb,6,1,test\n"
    dataset = table(tmp_path, text, ["y"], split="part", missing_inputs="zero")
    assert dataset.found["features"] == ["job=a", "job=b", "n"]
    assert dataset.found["unknown_categories"] == {"job": 1}
    assert dataset.splits["train"].inputs.tolist() == [[0, 1, 1], [1, 0, 2]]
    assert dataset.splits["val"].inputs.tolist() == [[0, 0, 3], [0, 0, 4]]
    assert dataset.splits["train"].inputs.dtype == np.float32


@pytest.mark.parametrize(("fill", "value"), [("mean", 20.0), ("zero", 0.0)])
def test_empty_inputs_are_filled_from_training(tmp_path: Path, fill: str, value: float) -> None:
    text = "n,y,part\n10,0,train\n30,1,train\n?,1,train\n99,0,val\n,1,val\n1,0,test\n2,1,test\n"
    dataset = table(tmp_path, text, ["y"], split={"column": "part"}, missing=["?"], missing_inputs=fill)
    assert dataset.splits["train"].inputs.ravel().tolist() == [10, 30, value]
    assert dataset.splits["val"].inputs.ravel().tolist() == [99, value]
    assert dataset.found["filled"] == {"n": value}


def test_parquet_is_as_csv(tmp_path: Path) -> None:
    tasks = {"income": None, "size": "regression", "animal": "classification"}
    from_csv = table(tmp_path, people(), tasks, inputs=["age", "job"])
    columns = {
        name: pa.array([cell or None for cell in cells])
        for name, *cells in zip(*(line.split(",") for line in people().splitlines()), strict=True)
    }
    columns |= {
        name: pa.array([float(cell) if cell else None for cell in columns[name].to_pylist()]) for name in ["size"]
    }
    columns["age"] = columns["age"].cast(pa.int16())
    columns["job"] = columns["job"].dictionary_encode()
    parquet.write_table(pa.table(columns), tmp_path / "data.parquet")
    from_parquet = load_dataset("table", file=str(tmp_path / "data.parquet"), tasks=tasks, inputs=["age", "job"])
    assert from_parquet.tasks == from_csv.tasks
    for split in ("train", "val", "test"):
        assert_equal_splits(from_parquet.splits[split], from_csv.splits[split])


def assert_equal_splits(one: Split, other: Split) -> None:
    np.testing.assert_array_equal(one.inputs, other.inputs)
    assert one.targets.keys() == other.targets.keys()
    for name, targets in one.targets.items():
        np.testing.assert_array_equal(targets, other.targets[name])


def test_line_of_a_row_behind_empty_lines_and_line_ends_in_cells(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')
    read = read_table(tmp_path / "data.csv")
    assert read.at(1).endswith("data.csv, row 1 (line 5)")
    assert read.column("a", "inputs").values.tolist() == [1, 2]


# Splits


@pytest.mark.parametrize(("val", "test"), [(0.15, 0.15), (0.1, 0.3), (0.333, 0.333)])
@pytest.mark.parametrize("seed", range(3))
def test_drawn_splits_have_their_shares_of_every_class(val: float, test: float, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(-1, 7, 500)
    rows = draw_splits(Drawn(val=val, test=test, seed=seed), len(classes), classes)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(500))
    for split, share in (("train", 1 - val - test), ("val", val), ("test", test)):
        assert abs(len(rows[split]) - 500 * share) <= 1
        for one in range(-1, 7):
            assert abs((classes[rows[split]] == one).sum() - (classes == one).sum() * share) < 2


def test_drawing_follows_from_its_seed() -> None:
    first, again, other = (draw_splits(Drawn(seed=seed), 100) for seed in (1, 1, 2))
    assert all(np.array_equal(first[split], again[split]) for split in first)
    assert not np.array_equal(first["train"], other["train"])


def test_a_group_is_in_one_split(tmp_path: Path) -> None:
    dataset = table(tmp_path, people(), ["size"], split={"val": 0.2, "test": 0.2, "group": "home"})
    homes = {split: {int(row) // 6 for row in rows} for split, rows in dataset.rows.items()}
    assert sorted(len(of_split) for of_split in homes.values()) == [2, 2, 6]
    assert len(homes["train"] | homes["val"] | homes["test"]) == 10
    assert not any(name.startswith("home") for name in dataset.found["features"])


def test_first_task_with_classes_is_stratified_by_default(tmp_path: Path) -> None:
    counts = {}
    for stratify in (None, False):
        dataset = table(tmp_path, people(), ["size", "animal"], split={"stratify": stratify})
        counts[stratify] = [np.bincount(part.targets["animal"]).tolist() for part in dataset.splits.values()]
    assert counts[None] == [[14, 14, 14], [3, 3, 3], [3, 3, 3]]
    assert counts[False] != counts[None]


def test_splits_from_a_file_of_rows(tmp_path: Path) -> None:
    drawn = table(tmp_path, people(), ["size"])
    lines = [f"{row},{split}" for split, rows in drawn.rows.items() for row in rows]
    (tmp_path / "splits.csv").write_text("\n".join(["row,split", *lines, ""]), encoding="utf-8")
    again = table(tmp_path, people(), ["size"], split={"file": str(tmp_path / "splits.csv")})
    for split in drawn.splits:
        assert_equal_splits(drawn.splits[split], again.splits[split])


def test_other_words_for_splits(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("split\nTraining\nvalid\ntest\nvalidation\ntrain\n", encoding="utf-8")
    read = read_table(tmp_path / "data.csv")
    none: list[Labelled] = []
    rows = split_rows(None, read, none)
    assert {split: chosen.tolist() for split, chosen in rows.items()} == {"train": [0, 4], "val": [1, 3], "test": [2]}


# Arrays

LOT = np.random.default_rng(0)
LAYOUTS = {
    "features": ((24, 5), None, (5,)),
    "one channel": ((24, 6, 7), None, (1, 6, 7)),
    "channels first": ((24, 3, 6, 7), None, (3, 6, 7)),
    "channels last": ((24, 6, 7, 3), None, (3, 6, 7)),
    "many channels": ((24, 6, 7, 8), None, (6, 7, 8)),
    "both might be": ((24, 3, 6, 3), None, (3, 6, 3)),
    "said to be last": ((24, 6, 7, 8), "last", (8, 6, 7)),
    "said to be first": ((24, 6, 7, 3), "first", (6, 7, 3)),
}


def arrays(tmp_path: Path, values: dict[str, NDArray[Any]], **options: Any) -> Dataset:
    np.savez(tmp_path / "data.npz", **values)  # type: ignore[arg-type]
    return load_dataset("arrays", file=str(tmp_path / "data.npz"), **options)


@pytest.mark.parametrize(("shape", "channels", "wanted"), LAYOUTS.values(), ids=LAYOUTS)
def test_layout_of_inputs(
    tmp_path: Path, shape: tuple[int, ...], channels: str | None, wanted: tuple[int, ...]
) -> None:
    values = LOT.integers(0, 256, shape).astype(np.uint8)
    dataset = arrays(tmp_path, {"x": values, "y": np.arange(24) % 2}, inputs="x", tasks=["y"], channels=channels)
    assert dataset.input_shape == wanted
    row = int(dataset.rows["train"][0])
    assert dataset.splits["train"].inputs[0].sum() == values[row].sum()


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        ("uint8", 255, "uint8"),
        ("int64", 255, "uint8"),
        ("bool", 1, "uint8"),
        ("int16", 256, "float32"),
        ("int64", 2**24, "float32"),
        ("float16", 0.5, "float32"),
        ("float64", 0.1, "float32"),
    ],
)
def test_types_of_inputs(tmp_path: Path, kind: str, values: float, wanted: str) -> None:
    inputs = (np.arange(24 * 4).reshape(24, 1, 2, 2) % 2 * values).astype(kind)
    dataset = arrays(tmp_path, {"x": inputs, "y": np.arange(24) % 2}, inputs="x", tasks={"y": "binary"})
    found = dataset.splits["train"].inputs
    assert found.dtype == wanted
    np.testing.assert_array_equal(found, inputs[dataset.rows["train"]].astype(np.float32))


def test_targets_of_all_kinds(tmp_path: Path) -> None:
    values: dict[str, NDArray[Any]] = {
        "x": LOT.integers(0, 256, (24, 8, 8)).astype(np.uint8),
        "word": np.array(["b", "a", ""] * 8),
        "labels": np.arange(48).reshape(24, 2) // 3 % 2,
        "numbers": LOT.normal(size=(24, 2)),
        "mask": np.where(LOT.random((24, 8, 8)) < 0.1, 255, LOT.integers(0, 3, (24, 8, 8))).astype(np.uint8),
        "split": np.array(["train"] * 12 + ["val"] * 6 + ["test"] * 6),
    }
    tasks = {"word": None, "labels": None, "numbers": None, "mask": {"missing": 255, "classes": ["sky", "sea", "land"]}}
    dataset = arrays(tmp_path, values, inputs="x", tasks=tasks)
    assert [type(task) for task in dataset.tasks] == [Binary, MultiLabel, Regression, Segmentation]
    targets = dataset.splits["test"].targets
    assert targets["word"].tolist() == [1, 0, -1, 1, 0, -1]
    np.testing.assert_array_equal(targets["labels"], values["labels"][18:])
    np.testing.assert_array_equal(targets["numbers"], values["numbers"][18:].astype(np.float32))
    mask = values["mask"][18:].astype(int)
    np.testing.assert_array_equal(targets["mask"], np.where(mask == 255, -1, mask))


# Functions


@dataset_function
def made(samples: int, noise: float = 0.1) -> tuple[list[Task], dict[str, Split]]:
    inputs = np.random.default_rng(0).normal(size=(samples, 3)).astype(np.float32)
    targets = {"sign": (inputs[:, 0] > 0).astype(np.int64), "sum": inputs.sum(axis=1) + np.float32(noise)}
    return [Binary("sign"), Regression("sum")], {name: Split(inputs, targets) for name in ("train", "val", "test")}


@dataset_function
def made_whole(samples: int = 20) -> Dataset:
    tasks, splits = made(samples)
    return make_dataset("whole", tuple(tasks), splits)


@dataset_function
def made_nothing() -> int:
    return 3


@pytest.mark.parametrize("name", ["made", "made_whole"])
def test_a_function_makes_a_dataset(name: str) -> None:
    dataset = load_dataset(f"test_own_data:{name}", samples=20)
    assert [task.name for task in dataset.tasks] == ["sign", "sum"]
    assert (dataset.input_shape, dataset.options) == ((3,), {"samples": 20})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "made",
            {"samples": 20, "nois": 1},
            "`dataset.nois` is no parameter of `test_own_data:made`. Did you mean `noise`?",
        ),
        ("made", {}, "`dataset.samples` is missing"),
        ("made_nothing", {"samples": 20}, "It has none."),
        ("made_nothing", {}, "`made_nothing` must return a Dataset, or its tasks and its splits, but returned int."),
    ],
)
def test_a_function_that_is_called_wrongly(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError) as refused:
        load_dataset(f"test_own_data:{name}", **options)
    assert message in str(refused.value)


# From files to a report


def test_from_a_table_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "project" / "data").mkdir(parents=True)
    (tmp_path / "project" / "data" / "people.csv").write_text(people(), encoding="utf-8")
    (tmp_path / "project" / "my.yaml").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "check", "project/my.yaml") == 0
    assert_says_what_was_found(capsys.readouterr().out)
    assert command(monkeypatch, "check", "project/my.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"][0]["classes"][0]["name"] == "low"
    assert found["tasks"][2]["missing"] == {"train": 5, "val": 0, "test": 1}
    assert command(monkeypatch, "search", "project/my.yaml", "--out", "run") == 0
    dataset = load_dataset("table", **load_run("run").experiment.dataset.options)
    assert_splits_are_written(Path("run"), dataset)
    told = json.loads(Path("run/environment.json").read_text(encoding="utf-8"))
    assert told["tasks"][1]["names"] == ["cat", "dog", "owl"]
    assert told["found"]["features"] == ["age", "job=a", "job=b", "job=c", "home"]
    compared = ["compare", "run", "--baselines", "hard_sharing", "--pick", "knee", "--seeds", "1"]
    assert command(monkeypatch, *compared) == 0
    assert command(monkeypatch, "report", "run") == 0
    page = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert "hard_sharing" in json.dumps(page)
    assert_refuses_other_data(tmp_path / "project" / "data" / "people.csv", compared, monkeypatch, capsys)
    assert_goes_on_with_data_that_was_moved(tmp_path / "project", tmp_path / "moved", monkeypatch)


def assert_says_what_was_found(text: str) -> None:
    assert max(map(len, text.splitlines())) <= 80
    for line in (
        "5 features: age, job=a, job=b, job=c, home",
        "income: binary",
        "animal: classification (found)",
        "    low                                          17  40%      4  44%      3  33%",
        "likes: multi_label (found)",
    ):
        assert line in text, text


def assert_splits_are_written(run: Path, dataset: Dataset) -> None:
    """Each row once, in its order, with the split that trials saw."""
    lines = (run / "splits.csv").read_text(encoding="utf-8").splitlines()
    wanted = sorted((int(row), split) for split, rows in dataset.rows.items() for row in rows)
    assert lines == ["row,split", *(f"{row},{split}" for row, split in wanted)]


def assert_refuses_other_data(
    file: Path, compared: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search that goes on, and a comparison, notice a changed cell and other splits."""
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("\n20,", "\n21,"), encoding="utf-8")
    capsys.readouterr()
    assert command(monkeypatch, "resume", "run", "--trials", "3") == 2
    assert "the samples of dataset table" in capsys.readouterr().err
    assert command(monkeypatch, *compared) == 2
    assert "the samples of dataset table" in capsys.readouterr().err
    file.write_text(text, encoding="utf-8")
    splits = Path("run/splits.csv")
    first = splits.read_text(encoding="utf-8").splitlines()[1].split(",")[1]
    other = "test" if first != "test" else "val"
    splits.write_text(splits.read_text(encoding="utf-8").replace(f"\n0,{first}", f"\n0,{other}"), encoding="utf-8")
    assert command(monkeypatch, "resume", "run", "--trials", "3") == 2
    assert f"the split of row 0: {other} -> {first}" in capsys.readouterr().err
    splits.write_text(splits.read_text(encoding="utf-8").replace(f"\n0,{other}", f"\n0,{first}"), encoding="utf-8")


def assert_goes_on_with_data_that_was_moved(folder: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path may change, for the samples are compared."""
    folder.rename(to)
    written = Path("run/experiment.yaml")
    written.write_text(written.read_text(encoding="utf-8").replace(str(folder), str(to)), encoding="utf-8")
    assert command(monkeypatch, "resume", "run", "--trials", "3") == 0
    assert len(load_run("run").complete) == 3


def test_paths_stand_where_the_experiment_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "my.yaml").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    options = load_experiment("project/my.yaml").dataset.options
    assert options["file"] == str(tmp_path / "project" / "data" / "people.csv")
    changes = ["dataset.file=here.csv", "dataset.split={file: rows.csv}"]
    options = load_experiment("project/my.yaml", changes).dataset.options
    assert options["file"] == str(tmp_path / "here.csv")
    assert options["split"] == {"file": str(tmp_path / "rows.csv")}
    shipped = load_experiment("quickstart", ["dataset={name: multi_fashion, root: files}"])
    assert shipped.dataset.options["root"] == str(tmp_path / "files")


def test_an_option_that_follows_from_the_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`dataset.tasks.size.mean` follows from the data"):
        table(tmp_path, people(), {"size": {"kind": "regression", "mean": [0.0]}})


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ({"train": [2, 0], "val": [10], "test": []}, "0,train\n2,train\n10,val\n"),
        ({"train": ["b:1", "a:0"], "val": ["a:1"]}, "a:0,train\na:1,val\nb:1,train\n"),
    ],
)
def test_splits_are_written_by_row_and_compared(rows: dict[str, list[object]], lines: str, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text(splits_text(rows))
    assert (tmp_path / "splits.csv").read_text() == "row,split\n" + lines
    assert changed_splits(tmp_path, rows) == []
    first = lines.split(",")[0]
    moved = {split: [row for row in those if str(row) != first] for split, those in rows.items()}
    assert changed_splits(tmp_path, moved) == [f"the split of row {first}: train -> none"]
