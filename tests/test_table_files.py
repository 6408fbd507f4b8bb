"""Files of tables in every format that is read, and what other files are called."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from mtl_search import load_dataset
from mtl_search.datasets import Dataset
from mtl_search.datasets._tables import read_table
from mtl_search.errors import DatasetError, UserError

TEXT = "a;word;y\n" + "".join(f"{number / 4};{'äöü'[number % 3]};{number % 2}\n" for number in range(30))
LINES = "".join(f'{{"a": {number / 4}, "word": "{"äöü"[number % 3]}", "y": {number % 2}}}\n' for number in range(30))


def zipped(data: bytes, names: tuple[str, ...] = ("inside.csv",)) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return file.getvalue()


READ: dict[str, bytes] = {
    "data.csv": TEXT.encode(),
    "bom.csv": TEXT.encode("utf-8-sig"),
    "utf16.csv": TEXT.encode("utf-16"),
    "big.csv": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "utf32.txt": TEXT.encode("utf-32"),
    "windows.csv": TEXT.replace("\n", "\r\n").encode(),
    "data.csv.gz": gzip.compress(TEXT.encode()),
    "utf16.csv.gz": gzip.compress(TEXT.encode("utf-16")),
    "named_otherwise.csv": gzip.compress(TEXT.encode()),
    "data.csv.bz2": bz2.compress(TEXT.encode()),
    "data.csv.xz": lzma.compress(TEXT.encode()),
    "data.zip": zipped(TEXT.encode()),
    "lines.zip": zipped(LINES.encode(), ("inside.jsonl",)),
    "spaced.csv": TEXT.replace("a;word;y", "a; word ;y").encode(),
    "data.jsonl": LINES.encode(),
    "data.ndjson": LINES.encode("utf-8-sig"),
    "data.json": LINES.encode(),
    "data.jsonl.gz": gzip.compress(LINES.encode()),
}


def loaded(path: Path, **options: Any) -> Dataset:
    return load_dataset("table", file=str(path), tasks=["y"], **{"separator": ";", **options})


def assert_is_the_table(found: Dataset) -> None:
    assert found.found["features"] == ["a", "word=ä", "word=ö", "word=ü"]
    rows = np.concatenate(list(found.rows.values()))
    inputs = np.concatenate([np.asarray(part.inputs) for part in found.splits.values()])
    np.testing.assert_array_equal(inputs[:, 0], np.float32(rows / 4))
    np.testing.assert_array_equal(inputs[:, 1:].argmax(axis=1), rows % 3)
    assert np.concatenate([part.targets["y"] for part in found.splits.values()]).tolist() == (rows % 2).tolist()


@pytest.mark.parametrize("name", READ)
def test_what_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name])
    assert_is_the_table(loaded(tmp_path / name))


def frame() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(TEXT), sep=";")


@pytest.mark.parametrize("name", ["data.parquet", "data.pq", "data.feather", "data.arrow", "named_otherwise.dat"])
def test_files_that_keep_types(tmp_path: Path, name: str) -> None:
    table = pa.Table.from_pandas(frame())
    write = feather.write_feather if name.endswith(("feather", "arrow")) else parquet.write_table
    write(table, tmp_path / name)
    assert_is_the_table(loaded(tmp_path / name))


def test_a_folder_of_parquet_is_one_table(tmp_path: Path) -> None:
    for start in (20, 0, 10):
        frame().iloc[start : start + 10].to_parquet(tmp_path / f"part-{start:02}.parquet", index=False)
    (tmp_path / "_SUCCESS").touch()
    assert_is_the_table(loaded(tmp_path))
    frame().rename(columns={"word": "wort"}).to_parquet(tmp_path / "part-99.parquet", index=False)
    with pytest.raises(DatasetError, match=r"part-99\.parquet: must have the columns of .*part-00.*no `word`"):
        loaded(tmp_path)


def test_folders_named_for_values_are_a_column(tmp_path: Path) -> None:
    for number, part in enumerate(("test", "train", "val")):
        (tmp_path / f"part={part}").mkdir()
        frame().iloc[10 * number : 10 * number + 10].to_parquet(tmp_path / f"part={part}" / "0.parquet", index=False)
    found = loaded(tmp_path, split="part")
    assert found.rows["train"].tolist() == list(range(10, 20))
    assert_is_the_table(found)


def test_an_index_of_pandas_is_no_input(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    for index, kept in (
        (frame().index[::-1] * 3, "__index_level_0__"),
        (pd.Index(range(0, 60, 2), name="number"), "number"),
    ):
        frame().set_index(index).sample(frac=1, random_state=0).to_parquet(path)
        found = loaded(path)
        assert found.found["features"] == ["a", "word=ä", "word=ö", "word=ü"]
        (note,) = found.found["notes"]
        assert note.startswith(f"{kept} holds an index of pandas and is no input")
        named = loaded(path, inputs=["a", kept])
        assert (named.found["features"], "notes" in named.found) == (["a", kept], False)


def test_types_of_parquet(tmp_path: Path) -> None:
    path, count = tmp_path / "data.parquet", 20
    columns = {
        "integer": pa.array([None, 1, 2, 3] * 5, pa.int64()),
        "flag": pa.array([True, None, False, True] * 5),
        "half": pa.array(np.array([0.5, 1, 1.5, 2] * 5, np.float16)),
        "exact": pa.array([1, 2, 3, None] * 5, pa.int64()).cast(pa.decimal128(21, 2)),
        "text": pa.array(["u", None, "v", "u"] * 5, pa.large_string()),
        "level": pa.array(["lo", "hi", None, "lo"] * 5).dictionary_encode(),
        "nothing": pa.nulls(count),
        "y": pa.array([0, 1] * 10, pa.uint8()),
    }
    parquet.write_table(pa.table(columns), path)
    found = loaded(path, missing_inputs="zero", split={"stratify": False})
    names = ["integer", "flag", "half", "exact", "text=u", "text=v", "level=hi", "level=lo", "nothing"]
    assert found.found["features"] == names
    rows = np.concatenate(list(found.rows.values()))
    inputs = np.concatenate([np.asarray(part.inputs) for part in found.splits.values()])[np.argsort(rows)]
    assert inputs[:4].tolist() == [
        [0, 1, 0.5, 1, 1, 0, 0, 1, 0],
        [1, 0, 1, 2, 0, 0, 1, 0, 0],
        [2, 0, 1.5, 3, 0, 1, 0, 0, 0],
        [3, 1, 2, 0, 1, 0, 0, 1, 0],
    ]


def test_texts_that_stand_for_nothing_are_numbers_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"a": [-999.0, 1.0, 3.0, 5.0] * 5, "y": [0, 1] * 10}), path)
    found = loaded(path, missing=["-999"], missing_inputs="zero")
    assert found.found["filled"] == {"a": 0.0}
    assert sorted(np.unique(np.concatenate([part.inputs for part in found.splits.values()]))) == [0, 1, 3, 5]


TIMES = pd.date_range("2024-01-01", periods=20).to_numpy()
REFUSED_TYPES: dict[str, tuple[Any, str]] = {
    "timestamp": (pa.array(TIMES), "got timestamp[us]: make it a number, such as the seconds since one day"),
    "date": (pa.array(TIMES).cast(pa.date32()), "got date32[day]: make it a number"),
    "duration": (pa.array(TIMES - TIMES[0]), "got duration[us]: make it a number"),
    "list": (pa.array([[1.0, 2.0]] * 20), "got list<element: double>: give each of its values a column of its own"),
    "struct": (pa.array([{"b": 1}] * 20), "give each of its values a column"),
    "bytes": (pa.array([b"\0"] * 20), "got binary: leave it out"),
}


@pytest.mark.parametrize("kind", REFUSED_TYPES)
def test_types_that_are_no_input(tmp_path: Path, kind: str) -> None:
    values, fragment = REFUSED_TYPES[kind]
    parquet.write_table(pa.table({"a": values, "b": range(20), "y": [0, 1] * 10}), tmp_path / "data.parquet")
    with pytest.raises(DatasetError, match=r"column `a`: must hold numbers or texts") as error:
        loaded(tmp_path / "data.parquet")
    assert fragment in str(error.value)
    assert loaded(tmp_path / "data.parquet", inputs=["b"]).found["features"] == ["b"]


def bomb(pack: Callable[[bytes], bytes]) -> bytes:
    """A small file that holds 100 MB of zeros behind a header."""
    return pack(b"a;y\n" + b"0" * 100_000_000)


NAMED: dict[str, tuple[str, bytes, list[str]]] = {
    "a workbook": ("data.xlsx", zipped(b"", ("[Content_Types].xml", "xl/workbook.xml")), ["workbook", "as CSV"]),
    "an old workbook": ("data.xls", b"\xd0\xcf\x11\xe0" + bytes(100), ["Excel", "as CSV"]),
    "an archive of several": ("data.zip", zipped(b"a;y\n", ("a.csv", "b.csv")), ["one file", "archive of 2"]),
    "arrays": ("data.npz", zipped(b"", ("x.npy", "y.npy")), ["npz", "`name: arrays`"]),
    "an array": ("data.npy", b"\x93NUMPY\x01\0", ["array of numpy", "`name: arrays`"]),
    "a pickle": ("data.pkl", b"\x80\x04\x95\0", ["pickled", "never read"]),
    "zstd": ("data.csv.zst", b"(\xb5/\xfd" + bytes(50), ["zstd", "unpack"]),
    "HDF5": ("data.h5", b"\x89HDF\r\n\x1a\n", ["HDF5", "Parquet or CSV"]),
    "a cut gz": ("data.csv.gz", gzip.compress(TEXT.encode() * 50)[:-20], ["compressed", "cannot be unpacked"]),
    "a bomb": ("data.csv.gz", b"", ["more than 100 times its own size", "unpack"]),
    "a list in JSON": ("data.json", b'[{"a": 1}]', ["JSON object in each line", "not a list"]),
    "broken JSON": ("data.jsonl", b'{"a": 1}\n{"a": \n', ["JSON object in each line"]),
    "Latin-1 in JSON": (
        "data.jsonl",
        b'{"a": 1}\n{"gr\xf6sse": 2}\n',
        ["line 2", "must be UTF-8, but got the byte 0xf6"],
    ),
    "bytes in JSON": (
        "data.jsonl",
        b'{"a": 1}\n\0\n',
        ["line 2", "is no file of JSON: it holds bytes that are no text"],
    ),
    "nothing in JSON": ("data.jsonl", b" \n", ["is empty"]),
    "an empty gz": ("data.csv.gz", gzip.compress(b""), ["is empty", "names of its columns"]),
    "half of UTF-16": ("data.csv", TEXT.encode("utf-16")[:-1], ["UTF-16", "is not"]),
    "a name over two lines": ("data.csv", b'"a\nb";y\n1;2\n', ["column 0 is named `a\\nb`", "another name"]),
    "a column twice": ("data.csv", b"a;a;y\n1;2;0\n", ["has the column `a` twice"]),
    "Latin-1": ("data.csv", b"a;y\n1;0\n\xe4;0\n", ["line 3", "must be UTF-8", "0xe4", "iconv"]),
    "a row that is too long": ("data.csv", b"a;y\n1;0\n1;0;0\n", ["row 1 (line 3)", "2 cells", "got 3"]),
    "one column": ("data.csv", b"y\n" + b"0\n1\n" * 10, ["no column that is left as an input"]),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_is_named_for_what_it_is(tmp_path: Path, case: str) -> None:
    name, data, fragments = NAMED[case]
    (tmp_path / name).write_bytes(data or bomb(gzip.compress))
    with pytest.raises(UserError) as error:
        loaded(tmp_path / name)
    for fragment in (name, *fragments):
        assert fragment in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a folder without Parquet files"):
        loaded(tmp_path)


@pytest.mark.parametrize(("between", "told"), [(";", ";"), ("\t", "\\t"), ("|", "|")])
def test_another_separator_is_named(tmp_path: Path, between: str, told: str) -> None:
    (tmp_path / "data.csv").write_text(TEXT.replace(";", between).replace(".", ","), encoding="utf-8")
    with pytest.raises(DatasetError) as error:
        loaded(tmp_path / "data.csv", separator=None)
    assert f'so say `separator: "{told}"`' in str(error.value)
    assert_is_the_table(loaded(tmp_path / "data.csv", separator=between, decimal=","))


def test_a_header_of_several_megabytes(tmp_path: Path) -> None:
    names = [f"{'long' * 50}{number}" for number in range(20_000)]
    (tmp_path / "data.csv").write_text(f"{','.join(names)}\n{','.join(map(str, range(20_000)))}\n", encoding="utf-8")
    found = read_table(tmp_path / "data.csv")
    assert found.column(names[-1], "inputs").values.tolist() == [19_999]


def test_a_long_cell_does_not_hide_the_line_of_another(tmp_path: Path) -> None:
    lines = [f"{number},{'x' * (3_000_000 if number == 3 else 1)},{number % 2}" for number in range(20)]
    (tmp_path / "data.csv").write_text("\n".join(["a,note,y", *lines, "high,x,1", ""]), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"row 20 \(line 22\), column `a`: must be a number, but got 'high'"):
        loaded(tmp_path / "data.csv", separator=None, inputs=["a"])
    split = {"train": list(range(10)), "val": [10, 11], "test": [12, 13]}
    with pytest.raises(DatasetError, match=r"column `note`: .*text of 3,000,000 characters, too long for a category"):
        loaded(tmp_path / "data.csv", separator=None, inputs=["note"], split=split)


FOREIGN: dict[str, tuple[str, bytes, str]] = {
    "a pointer of Git LFS": (
        "data.parquet",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "`git lfs pull`",
    ),
    "a page of the web": ("data.csv", b"<!DOCTYPE html><html>", "is a page of the web"),
    "compressed twice": ("data.csv.gz", gzip.compress(gzip.compress(TEXT.encode())), "is compressed twice"),
    "Parquet in gzip": ("data.parquet.gz", gzip.compress(b"PAR1" + bytes(40)), "is a compressed file of Parquet"),
    "an archive of nothing": ("data.zip", zipped(b"", ()), "an archive of 0"),
    "a comment on top": (
        "data.csv",
        b"# made\n" + TEXT.encode(),
        "must have 1 cell as the header has, which is `# made`",
    ),
    "UTF-16 without its mark": ("data.csv", TEXT.encode("utf-16-le"), "if it is UTF-16 without its mark"),
}


@pytest.mark.parametrize("case", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_table_is_named_for_what_it_is(tmp_path: Path, case: tuple[str, bytes, str]) -> None:
    name, data, told = case
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError) as error:
        read_table(tmp_path / name, (), ";")
    assert told in str(error.value)


def test_hidden_files_in_an_archive_are_none(tmp_path: Path) -> None:
    file = io.BytesIO(zipped(TEXT.encode()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(".DS_Store", b"\0")
    (tmp_path / "data.zip").write_bytes(file.getvalue())
    assert_is_the_table(loaded(tmp_path / "data.zip"))


def test_an_index_that_is_a_task_or_the_split_is_not_left_out(tmp_path: Path) -> None:
    parts = ["train", "val", "test"] * 10
    frame().assign(part=parts).set_index(["part", "y"]).to_parquet(tmp_path / "data.parquet")
    found = loaded(tmp_path / "data.parquet", split="part")
    assert "notes" not in found.found
    assert found.rows["val"].tolist() == list(range(1, 30, 3))


@pytest.mark.parametrize("noted", [b"{", b"\xa0", b"[]", b"{}x", b'{"index_columns": 7}', b"[" * 10_000])
def test_a_damaged_note_of_pandas_is_said(noted: bytes, tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": noted})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet: what pandas has noted in it is damaged: write"):
        read_table(tmp_path / "a.parquet")


def test_a_note_of_pandas_names_the_index(tmp_path: Path) -> None:
    noted = json.dumps({"index_columns": ["a", {"kind": "range"}]}).encode()
    table = pa.table({"a": [1, 2], "b": [1, 2]}).replace_schema_metadata({b"pandas": noted})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").index == ("a",)


def test_a_column_that_is_not_there_among_many_long_ones(tmp_path: Path) -> None:
    names = [f"{number}{'x' * 5000}" for number in range(60)]
    (tmp_path / "a.csv").write_text(f"{','.join(names)}\n{','.join('1' * 60)}\n")
    with pytest.raises(DatasetError, match=r"has no column `good`.* Valid: 0x.*\.\.\. and 10 more\.$") as refused:
        read_table(tmp_path / "a.csv").column("good", "inputs")
    assert len(str(refused.value)) < 5_000
