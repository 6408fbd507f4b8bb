"""Bad data in files of the user's own: one line with file, place and rule, status 2, nothing written."""

import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mtl_search.cli.commands import main

REST = """
backbone: {stages: [{width: 4}, {width: 4}]}
space: {bank: [paper, linear], shared_ratio: [1.0, 0.5]}
training: {batch_size: 4, epochs: 1}
search: {trials: 1, workers: 0}
"""
HEADER = "age,job,income,kind,score,part"
ROWS = [f"{20 + n},{'abc'[n % 3]},{n % 2},{['cat', 'dog', 'owl'][n % 3]},{n / 7:.3f},train" for n in range(12)]
ROWS += [row.replace("train", part) for part in ("val", "test") for row in ROWS[:6]]


def csv(changed: Mapping[int, str] | None = None, header: str = HEADER) -> bytes:
    """The table, with some of its rows replaced."""
    rows = [(changed or {}).get(number, row) for number, row in enumerate(ROWS)]
    return "\n".join([header, *rows, ""]).encode()


def cell(row: int, column: str, text: str) -> bytes:
    """The table with one cell replaced."""
    cells = ROWS[row].split(",")
    cells[HEADER.split(",").index(column)] = text
    return csv({row: ",".join(cells)})


def column(name: str, text: str, rows: range = range(len(ROWS))) -> bytes:
    """The table with one text in a column."""
    place = HEADER.split(",").index(name)
    parts = {row: ROWS[row].split(",") for row in rows}
    return csv({row: ",".join([*cells[:place], text, *cells[place + 1 :]]) for row, cells in parts.items()})


LOT = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "x": LOT.integers(0, 256, (24, 3, 8, 8)).astype(np.uint8),
    "f": LOT.normal(size=(24, 5)).astype(np.float32),
    "y": np.arange(24) % 3,
    "z": LOT.normal(size=24),
    "mask": LOT.integers(0, 4, (24, 8, 8)).astype(np.uint8),
    "part": np.array(["train"] * 12 + ["val"] * 6 + ["test"] * 6),
}


def npz(**changed: Any) -> bytes:
    """The archive, with some of its arrays replaced or added."""
    file = io.BytesIO()
    np.savez_compressed(file, **{**ARRAYS, **changed})
    return file.getvalue()


def changed_at(name: str, place: tuple[int, ...], value: float, kind: str | None = None) -> bytes:
    values = ARRAYS[name].astype(kind or ARRAYS[name].dtype)
    values[place] = value
    return npz(**{name: values})


def bomb(shape: str, size: int, stated: int | None = None) -> bytes:
    """An archive of one array whose header states a shape, over so many zeros.

    :param stated: Bytes that the archive states it holds; those that it does if left out.
    """
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    text = header.ljust(117) + "\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(size)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", array)
        archive.infolist()[0].file_size = len(array) if stated is None else len(array) - size + stated
    return file.getvalue()


def table_of(**columns: Any) -> bytes:
    """A Parquet file."""
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


TABLE = "tasks: {income: binary, kind: classification, score: regression}, split: part"
ONE = "tasks: {score: regression}"
INPUTS = "inputs: [age, job], tasks: [income], split: part"
IMAGES = "inputs: x, tasks: {y: classification}, split: part"

Case = tuple[bytes | None, str, list[str]]
TABLES: dict[str, Case] = {
    "no such file": (None, TABLE, ["data.csv: there is no such file"]),
    "empty file": (b"", TABLE, ["data.csv: is empty", "names of its columns"]),
    "header only": (csv()[: len(HEADER) + 1], TABLE, ["data.csv: has a header and no rows"]),
    "not a table": (bytes(range(256)) * 4, TABLE, ["data.csv, line 1: is no CSV file", "no text"]),
    "bytes that are no text": (b"a,b\n1,\0\n", TABLE, ["data.csv, line 2: is no CSV file", "no text"]),
    "not UTF-8": (cell(3, "job", "x").replace(b",x,", b",\xe9,"), TABLE, ["line 5", "must be UTF-8", "0xe9"]),
    "not Parquet": (csv(), f"file: data.parquet, {TABLE}", ["data.parquet: is no Parquet file"]),
    "a row with too many cells": (csv({4: ROWS[4] + ",9"}), TABLE, ["row 4 (line 6)", "6 cells", "but got 7"]),
    "a row with too few cells": (csv({4: "1,2"}), TABLE, ["row 4 (line 6)", "6 cells", "but got 2"]),
    "a column twice": (csv(header=HEADER.replace("job", "age")), TABLE, ["data.csv: has the column `age` twice"]),
    "a column without a name": (csv(header=HEADER.replace("job", "")), TABLE, ["column 1 has no name"]),
    "a missing column": (csv(), TABLE.replace("score", "scre"), ["no column `scre`", "Did you mean `score`?"]),
    "a missing input": (csv(), INPUTS.replace("job", "jobb"), ["no column `jobb`", "Did you mean `job`?"]),
    "an input twice": (csv(), INPUTS.replace("job", "age"), ["`dataset.inputs` must name each column once", "'age'"]),
    "a task that is an input": (csv(), INPUTS.replace("job", "income"), ["`dataset.inputs`", "`income`", "predict"]),
    "the split as an input": (csv(), INPUTS.replace("job", "part"), ["`dataset.inputs`", "`dataset.split`", "'part'"]),
    "a task twice": (csv(), "tasks: [income, income]", ["`dataset.tasks` must name each task once", "'income'"]),
    "no task": (csv(), "tasks: []", ["`dataset.tasks` must name at least one task"]),
    "an unknown kind": (csv(), "tasks: {income: binry}", ["`dataset.tasks.income`", "Did you mean `binary`?"]),
    "a kind that no column holds": (csv(), "tasks: {income: depth}", ["`dataset.tasks.income`", "every pixel"]),
    "an unknown key": (csv(), f"{TABLE}, splt: part", ["`dataset.splt` is no option", "Did you mean `split`?"]),
    "an unknown key of a task": (
        csv(),
        "tasks: {score: {kind: regression, eror: absolute}}",
        ["`dataset.tasks.score`", "Did you mean `error`?"],
    ),
    "an empty input": (
        cell(7, "age", ""),
        INPUTS,
        ["row 7 (line 9), column `age`", "`missing_inputs: mean`"],
    ),
    "an input that is a name of each row": (
        b"name,income\n" + b"".join(b"n%d,%d\n" % (row, row % 2) for row in range(60)),
        "tasks: [income]",
        ["column `name`", "42 different texts in 42 training rows", "`dataset.inputs`"],
    ),
    "NaN as an input": (cell(7, "age", "NaN"), INPUTS, ["row 7 (line 9), column `age`", "is empty"]),
    "an infinite input": (cell(7, "age", "-inf"), INPUTS, ["row 7 (line 9), column `age`", "finite", "-inf"]),
    "an input of 400 digits": (cell(7, "age", "9" * 400), INPUTS, ["row 7 (line 9), column `age`", "finite"]),
    "an input beyond float32": (cell(7, "age", "1e39"), INPUTS, ["row 7 (line 9), column `age`", "3.403e+38", "1e39"]),
    "a text among numbers": (cell(5, "score", "high"), TABLE, ["row 5 (line 7), column `score`", "a number", "'high'"]),
    "a label outside its classes": (
        cell(5, "kind", "cow"),
        "tasks: {kind: {kind: classification, classes: [cat, dog, owl]}}",
        ["row 5 (line 7), column `kind`", "one of cat, dog, owl", "'cow'"],
    ),
    "a number outside its classes": (
        cell(5, "income", "7"),
        "tasks: {income: {kind: classification, classes: 3}}",
        ["row 5 (line 7), column `income`", "one of 0, 1, 2", "but got 7"],
    ),
    "yes and no without quotes": (
        csv(),
        "tasks: {income: {kind: binary, classes: [no, yes]}}",
        ["`dataset.tasks.income.classes`", "quotes"],
    ),
    "three values for a binary task": (cell(5, "income", "2"), "tasks: {income: binary}", ["two classes", "0, 1, 2"]),
    "a huge whole number as a class": (
        cell(5, "income", "9" * 19),
        "tasks: {income: classification}",
        ["row 5", "2**53"],
    ),
    "a label that is not 0 or 1": (
        cell(5, "income", "0.5"),
        "tasks: {both: {kind: multi_label, columns: [income, age]}}",
        ["row 5 (line 7), column `income`", "0 or 1", "but got 0.5"],
    ),
    "a constant target": (column("score", "1.5"), ONE, ["data.csv: task `score`", "all targets are 1.5"]),
    "a constant class": (column("kind", "cat"), "tasks: [kind]", ["column `kind`", "every cell is cat", "constant"]),
    "all targets missing": (column("score", ""), ONE, ["column `score`", "every cell is empty", "no targets"]),
    "no target in a split": (
        column("score", "", range(12, 18)),
        f"{ONE}, split: part",
        ["data.csv: task `score`, split `val`", "every target is missing"],
    ),
    "texts that are no classes": (
        csv({row: text.replace(",train", f",train{row}") for row, text in enumerate(ROWS)}),
        "tasks: [part], split: {val: 0.2}",
        ["column `part`", "different texts", "`dataset.tasks.part: classification`"],
    ),
    "a class missing from training": (
        cell(13, "kind", "cow"),
        TABLE,
        ["data.csv: task `kind`, split `train`", "class 'cow' is in none of its 12 rows"],
    ),
    "an empty split": (column("part", "train", range(12, 18)), TABLE, ["split `val` is empty", "column `part`"]),
    "an unknown split": (
        cell(9, "part", "tran"),
        TABLE,
        ["row 9 (line 11), column `part`", "train, val or test"],
    ),
    "a missing split": (cell(9, "part", ""), TABLE, ["row 9 (line 11), column `part`", "but got nothing"]),
    "a split that is no column": (csv(), f"{ONE}, split: prt", ["no column `prt` for `dataset.split`", "`part`?"]),
    "a negative share": (csv(), f"{ONE}, split: {{val: -0.1}}", ["`dataset.split.val`", "greater than 0", "-0.1"]),
    "shares of 1 and more": (csv(), f"{ONE}, split: {{val: 0.5, test: 0.5}}", ["`dataset.split`", "add up to 1"]),
    "an unknown key of a split": (
        csv(),
        f"{ONE}, split: {{vall: 0.1}}",
        ["`dataset.split.vall`", "`val`?"],
    ),
    "too few rows to draw from": (
        csv()[: csv().index(b"22,")],
        f"{ONE}, inputs: [age]",
        ["split `", "is empty: of 2 rows"],
    ),
    "too few rows of a class": (
        cell(3, "kind", "cow"),
        "tasks: [kind], split: {stratify: kind}",
        ["`dataset.split.stratify`", "class cow of task `kind` has too few rows, 1"],
    ),
    "stratified by what has no classes": (csv(), f"{ONE}, split: {{stratify: score}}", ["must be a task with a class"]),
    "stratified and in groups": (
        csv(),
        "tasks: [kind], split: {stratify: kind, group: job}",
        ["`dataset.split`", "`group` and `stratify`"],
    ),
    "a row in two splits": (
        csv(),
        f"{ONE}, split: {{train: [0, 1, 2, 3], val: [3], test: [4]}}",
        ["`dataset.split.val`", "no row that was named before", "but got 3"],
    ),
    "a row that is not there": (
        csv(),
        f"{ONE}, split: {{train: [0, 1, 2, 3], val: [5], test: [99]}}",
        ["`dataset.split.test`", "0 to 23", "but got 99"],
    ),
    "another separator": (csv().replace(b",", b";"), ONE, ["one column, `age;job", '`separator: ";"`']),
}
PARQUETS: dict[str, Case] = {
    "nested cells": (
        table_of(a=[[1], [2]] * 12, score=list(range(24))),
        ONE,
        ["column `a`", "numbers or texts"],
    ),
    "no rows": (table_of(a=pa.array([], pa.int64())), ONE, ["data.parquet: has a header and no rows"]),
    "a null as an input": (
        table_of(a=[1.0, None, 3.0] * 8, score=list(range(24))),
        ONE,
        ["data.parquet, row 1, column `a`", "is empty"],
    ),
}
NPZ: dict[str, Case] = {
    "no such file": (None, IMAGES, ["data.npz: there is no such file"]),
    "no archive": (b"PK\x03\x04 broken", IMAGES, ["data.npz: is no npz file"]),
    "cut off": (npz()[:-200], IMAGES, ["data.npz: is no npz file"]),
    "no arrays": (b"PK\x05\x06" + bytes(18), IMAGES, ["data.npz: is no npz file", "no arrays"]),
    "damaged": (npz()[:200] + bytes(400) + npz()[600:], IMAGES, ["data.npz, array `x`: cannot be read"]),
    "no such array": (npz(), IMAGES.replace("y:", "yy:"), ["no array `yy`", "Did you mean `y`?"]),
    "Python objects": (npz(y=np.array([[1], None] * 12, dtype=object)), IMAGES, ["array `y`", "not unpickled"]),
    "pickled inputs": (npz(x=np.array([{}] * 24, dtype=object)), IMAGES, ["array `x`", "not unpickled"]),
    "complex inputs": (npz(x=ARRAYS["x"] * 1j), IMAGES, ["array `x`: must hold numbers", "complex128"]),
    "times as targets": (npz(y=ARRAYS["y"].astype("datetime64[s]")), IMAGES, ["array `y`", "datetime64[s]"]),
    "one axis for inputs": (npz(x=ARRAYS["z"]), IMAGES, ["array `x`", "[samples, features]", "[24]"]),
    "two axes for classes": (npz(y=np.zeros((24, 2), int)), IMAGES, ["`dataset.tasks.y", "one column"]),
    "inputs without pixels": (npz(x=np.zeros((24, 3, 0, 8))), IMAGES, ["array `x`", "[24, 3, 0, 8]"]),
    "no rows": (npz(x=np.zeros((0, 3, 8, 8))), IMAGES, ["array `x`", "must have rows", "[0, 3, 8, 8]"]),
    "lengths that differ": (npz(y=np.arange(23) % 3), IMAGES, ["array `y`", "each of the 24 inputs", "has 23"]),
    "NaN as an input": (
        changed_at("f", (5, 2), np.nan),
        IMAGES.replace("x", "f"),
        ["data.npz, row 5, array `f`", "finite", "nan"],
    ),
    "a float64 beyond float32": (
        changed_at("f", (5, 2), 1e300, "float64"),
        IMAGES.replace("x", "f"),
        ["data.npz, row 5, array `f`", "float32", "1e+300"],
    ),
    "an integer that no class can be": (changed_at("y", (5,), 2**60), IMAGES, ["data.npz, row 5, array `y`", "2**53"]),
    "a pixel outside its classes": (
        npz(),
        IMAGES.replace("y: classification", "mask: {kind: segmentation, classes: 3}"),
        ["array `mask`", "must be 0 to 2", "but got 3"],
    ),
    "masks of another size": (
        npz(mask=np.zeros((24, 8, 9), int)),
        IMAGES.replace("y: classification", "mask: {kind: segmentation, classes: 2}"),
        ["data.npz: task `mask`", "(12, 8, 8)", "(12, 8, 9)"],
    ),
    "a target for every pixel of no kind": (
        npz(d=np.zeros((24, 8, 8))),
        "inputs: x, tasks: [d]",
        ["array `d`", "`dataset.tasks.d` must say its kind"],
    ),
    "the inputs as a task": (npz(), "inputs: x, tasks: [x]", ["`dataset.inputs`", "task `x`"]),
    "an array that states too much": (
        bomb("(24, 8)", 192, stated=2**31),
        IMAGES,
        ["array `x`", "192 bytes that its header says", "states 2,147,483,648"],
    ),
    "an array that holds too much": (bomb("(24, 8)", 2**22), IMAGES, ["array `x`", "192 bytes", "states 4,194,304"]),
    "an array beyond the memory": (
        bomb(f"({2**40}, 1024)", 192, stated=2**50),
        IMAGES,
        ["array `x`", "must fit into memory", f"{2**50:,} bytes"],
    ),
}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with its bytes."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def assert_refused(
    folder: Path,
    case: Case,
    source: str,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 2, one line on standard error with every fragment, nothing on standard output, nothing written."""
    data, options, fragments = case
    if data is not None:
        (folder / file).write_bytes(data)
        (folder / "data.parquet").write_bytes(data)
    given = options if "file: " in options else f"file: {file}, {options}"
    (folder / "my.yaml").write_text(f"dataset: {{name: {source}, {given}}}{REST}", encoding="utf-8")
    before = contents(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["mtl-search", "search", "my.yaml", "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert printed.err.startswith("error: my.yaml: "), printed.err
    assert printed.err.count("\n") == 1, printed.err
    assert "Traceback" not in printed.err
    for fragment in fragments:
        assert fragment in printed.err, printed.err
    assert (ended.value.code, printed.out) == (2, "")
    assert contents(folder) == before


@pytest.mark.parametrize("case", TABLES.values(), ids=TABLES)
def test_a_csv_file(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(tmp_path, case, "table", "data.csv", monkeypatch, capsys)


@pytest.mark.parametrize("case", PARQUETS.values(), ids=PARQUETS)
def test_a_parquet_file(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(tmp_path, case, "table", "data.parquet", monkeypatch, capsys)


@pytest.mark.parametrize("case", NPZ.values(), ids=NPZ)
def test_an_archive(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(tmp_path, case, "arrays", "data.npz", monkeypatch, capsys)
