"""What the columns of a table hold, decided over all of their cells: numbers, words for yes and no, names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from mtl_search import load_dataset
from mtl_search.datasets import Dataset
from mtl_search.datasets._tables import Column, Notation, read_table
from mtl_search.errors import UserError
from mtl_search.tasks import Binary, Classification, MultiLabel, Regression

NAN = float("nan")
MANY = [f"{number / 8:g}" for number in range(100)]
"""Numbers of many sizes."""


def written(folder: Path, header: str, rows: Sequence[Sequence[object]], separator: str = ";") -> Path:
    lines = [header, *(separator.join(map(str, cells)) for cells in rows), ""]
    (folder / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "data.csv"


def column(folder: Path, cells: Sequence[object], missing: Sequence[str] = (), **notation: Any) -> Column:
    path = written(folder, "n;x", list(enumerate(cells)))
    return read_table(path, missing, ";", Notation(**notation)).column("x", "inputs")


def dataset(folder: Path, cells: Sequence[object], tasks: Any, **options: Any) -> Dataset:
    path = written(folder, "n;x", [(0.5 + 7 * number % 11, cell) for number, cell in enumerate(cells)])
    return load_dataset("table", file=str(path), separator=";", tasks=tasks, **options)


def as_input(folder: Path, cells: Sequence[object], **options: Any) -> Dataset:
    """A dataset with the column as its input."""
    path = written(folder, "y;x", [(number % 2, cell) for number, cell in enumerate(cells)])
    return load_dataset("table", file=str(path), separator=";", tasks={"y": "binary"}, inputs=["x"], **options)


def in_order(found: Dataset, task: str | None = None) -> NDArray[Any]:
    """Inputs or targets in the order of the rows of the file."""
    rows = np.concatenate(list(found.rows.values()))
    parts = [part.inputs if task is None else part.targets[task] for part in found.splits.values()]
    return np.concatenate([np.asarray(part) for part in parts])[np.argsort(rows)]


def refused(folder: Path, cells: Sequence[object], **options: Any) -> str:
    with pytest.raises(UserError) as error:
        as_input(folder, cells, **options)
    return str(error.value)


NUMBERS: dict[str, tuple[list[object], dict[str, Any], list[float]]] = {
    "a minus sign of its own": (["\N{MINUS SIGN}1.5", "2"], {}, [-1.5, 2]),
    "an apostrophe of typesetting": (["1\N{RIGHT SINGLE QUOTATION MARK}234", "5"], {"thousands": "'"}, [1234, 5]),
    "a missing number in another notation": (
        ["-999", "1.5", "-999.0", "-9.99e2"],
        {"missing": ["-999"]},
        [NAN, 1.5, NAN, NAN],
    ),
    "any notation": (["1e3", "+5", ".5", "007", "-2.", "1E-1"], {}, [1000, 5, 0.5, 7, -2, 0.1]),
    "a decimal comma": (["1,5", "-2,25e1", "3", ",5"], {"decimal": ","}, [1.5, -22.5, 3, 0.5]),
    "thousands": (["31,234", "1,234,567.5", "12"], {"thousands": ","}, [31234, 1234567.5, 12]),
    "both": (["31.234,5", "12,25", "1.234.567"], {"decimal": ",", "thousands": "."}, [31234.5, 12.25, 1234567]),
    "spaces between thousands": (["31 234", "1\N{NO-BREAK SPACE}000", "5"], {"thousands": " "}, [31234, 1000, 5]),
    "yes and no": (["yes", "No", "YES", ""], {}, [1, 0, 1, NAN]),
    "true and false": (["True", "False", "true"], {}, [1, 0, 1]),
    "t and f": (["t", "F", "T"], {}, [1, 0, 1]),
    "y and n": (["Y", "n", "NA"], {}, [1, 0, NAN]),
}


@pytest.mark.parametrize(("cells", "notation", "wanted"), NUMBERS.values(), ids=NUMBERS)
def test_numbers(tmp_path: Path, cells: list[object], notation: dict[str, Any], wanted: list[float]) -> None:
    found = column(tmp_path, cells, **notation)
    np.testing.assert_array_equal(found.numbers(), wanted)
    assert found.missing.tolist() == [value != value for value in wanted]


WORDS = ["NA", "N/A", "nan", "NaN", "null", "NULL", "None", "-", "?", "#N/A", "<NA>", "n/a", "\\N", "."]


@pytest.mark.parametrize("word", WORDS)
def test_words_for_missing_among_numbers(tmp_path: Path, word: str) -> None:
    cells = ["1.5", word, "2", "", word]
    found = column(tmp_path, cells)
    np.testing.assert_array_equal(found.numbers(), [1.5, NAN, 2, NAN, NAN])
    assert {text: rows.tolist() for text, rows in found.words.items()} == {word: [1, 4]}


def test_words_for_missing_among_texts_are_texts(tmp_path: Path) -> None:
    assert column(tmp_path, ["cat", "NA", "dog", "None"]).texts.tolist() == ["cat", "NA", "dog", "None"]
    assert column(tmp_path, ["NA", "-"]).texts.tolist() == ["NA", "-"]


def test_missing_inputs_are_filled_and_told(tmp_path: Path) -> None:
    found = as_input(tmp_path, ["1", "3", "NA", "5"] * 20, missing_inputs="zero")
    assert in_order(found).ravel().tolist() == [1, 3, 0, 5] * 20
    assert found.found["features"] == ["x"]
    (note,) = found.found["notes"]
    assert "`NA` is read as missing in 20 cells of x, the first in" in note
    assert "row 2 (line 4), column `x`" in note
    assert "row 2 (line 4), column `x`: is empty (`NA` is read so)" in refused(tmp_path, ["1", "3", "NA", "5"] * 20)


WRONG: dict[str, tuple[list[object], list[str]]] = {
    "a word": ([*MANY[:50], "unknown", *MANY[50:]], ["row 50 (line 52)", "'unknown'", "`missing: [unknown]`"]),
    "a sign": ([*MANY[:50], "!!", *MANY[50:]], ["row 50", '`missing: ["!!"]`']),
    "a decimal comma": (["1.5", "2,5", *MANY], ["row 1", "'2,5'", '`decimal: ","`']),
    "decimal commas": ([text.replace(".", ",") for text in MANY], ["'0,125'", '`decimal: ","`']),
    "few decimal commas": (["0,5", "1,5"] * 50, ["row 0", '`decimal: ","`']),
    "thousands": ([f"{20 + number},{number:03}" for number in range(60)], ["'20,000'", '`thousands: ","`', "`decimal"]),
    "thousands and decimals": (["1.234,5", "2.234,5"] * 30, ['`decimal: ","` and `thousands: "."`']),
    "apostrophes": ([f"{number}'000" for number in range(1, 60)], ['`thousands: "\'"`']),
    "a line of units": (["kg", *MANY], ["row 0 (line 2)", "'kg'", "line of units"]),
    "a line of units in brackets": (["[m]", *MANY], ["'[m]'", "line of units"]),
    "numbers with a unit": ([f"{number} kg" for number in range(60)], ["'0 kg'", "with its unit"]),
    "percentages": ([f"{number}%" for number in range(60)], ["'0%'", "with its unit"]),
    "dates": ([f"2024-01-{day:02}" for day in range(1, 32)] * 3, ["'2024-01-01'", "date"]),
    "dates as they are said": ([f"{day}.3.2024" for day in range(1, 31)], ["'1.3.2024'", "date"]),
    "times": ([f"2024-01-01 10:{number:02}:00" for number in range(60)], ["date"]),
    "a short table": (["1.5", "2.5", "3.5", "4.5", "x"] + [str(n / 3) for n in range(10)], ["row 4", "'x'"]),
    "a word among ratings": (["1", "2", "3"] * 33 + ["abc"], ["row 99", "'abc'"]),
    "many among numbers": (["<0.01", "b"] * 25 + MANY, ["row 0", "'<0.01'"]),
    "a number of the server": ([*map(str, range(1001, 1100)), "A17"], ["'A17'", "`categories: [x]`"]),
}


@pytest.mark.parametrize(("cells", "fragments"), WRONG.values(), ids=WRONG)
def test_texts_among_what_are_nearly_all_numbers_are_refused(
    tmp_path: Path, cells: list[object], fragments: list[str]
) -> None:
    message = refused(tmp_path, cells)
    for fragment in fragments:
        assert fragment in message
    assert "\n" not in message


LEVELS: dict[str, tuple[list[object], list[str]]] = {
    "1, 2 and A": (["1", "2", "A"] * 20, ["x=1", "x=2", "x=A"]),
    "1, 2 and a rare A": (["1", "2"] * 45 + ["A"] * 8, ["x=1", "x=2", "x=A"]),
    "ordinals": (["1st", "2nd", "3rd"] * 20, ["x=1st", "x=2nd", "x=3rd"]),
    "sizes": (["10 g", "20 g"] * 30, ["x=10 g", "x=20 g"]),
    "ranges": (["0-17", "18-64", "65+"] * 20, ["x=0-17", "x=18-64", "x=65+"]),
    "names of groups": ([f"P{number % 22:02}" for number in range(88)], [f"x=P{number:02}" for number in range(22)]),
    "two pairs of letters": (["t", "f", "y", "n"] * 20, ["x=f", "x=n", "x=t", "x=y"]),
}


@pytest.mark.parametrize(("cells", "features"), LEVELS.values(), ids=LEVELS)
def test_levels_stay_categories(tmp_path: Path, cells: list[object], features: list[str]) -> None:
    found = as_input(tmp_path, cells)
    assert found.found["features"] == features
    told = any("is read as categories" in note and "`A` (" in note for note in found.found.get("notes", ()))
    assert told is ("x=A" in features)


def test_numbers_that_are_said_to_be_categories(tmp_path: Path) -> None:
    found = as_input(tmp_path, ["01", "1", "2"] * 20, categories=["x"])
    assert found.found["features"] == ["x=01", "x=1", "x=2"]
    assert in_order(found)[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    with pytest.raises(UserError, match=r"`dataset.categories` must name columns that are inputs, but got 'z'"):
        as_input(tmp_path, ["01", "1", "2"] * 20, categories=["z"])


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["01", "1", "001", "2"], ("001", "01", "1", "2")),
        (["1E1", "1E2", "2E1"], ("1E1", "1E2", "2E1")),
        (["1", "1.0", "2"], ("1", "1.0", "2")),
        (["+1", "1", "2"], ("+1", "1", "2")),
        (["1.5", "1.50", "2"], ("1.5", "1.50", "2")),
        (["10", "9", "-3"], ("-3", "9", "10")),
        (["2.0", "1.0", "3.0"], ("1", "2", "3")),
    ],
)
@pytest.mark.parametrize("missing", ["", "NA"])
def test_names_of_classes_are_the_texts_of_their_cells(
    tmp_path: Path, cells: list[str], names: tuple[str, ...], missing: str
) -> None:
    found = dataset(tmp_path, [*cells * 10, missing], {"x": "classification"})
    (task,) = found.tasks
    assert isinstance(task, Classification)
    assert task.names == names
    wanted = [names.index(text.removesuffix(".0") if text not in names else text) for text in cells]
    assert in_order(found, "x").tolist() == [*wanted * 10, -1]


def test_the_same_cells_are_numbers_for_a_regression(tmp_path: Path) -> None:
    found = dataset(tmp_path, ["1E1", "007", "+5", "NA"] * 10, {"x": "regression"})
    np.testing.assert_array_equal(in_order(found, "x"), np.float32([10, 7, 5, NAN] * 10))


def test_a_kind_is_not_found_where_a_number_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"row 100 .*'high'.*`missing: \[high\]`.*`dataset.tasks.x: classification`"):
        dataset(tmp_path, [*MANY, "high"], ["x"])


@pytest.mark.parametrize("pair", [("False", "True"), ("no", "yes"), ("F", "T"), ("n", "y")])
def test_words_for_yes_and_no_are_two_values(tmp_path: Path, pair: tuple[str, str]) -> None:
    values = [number % 3 % 2 for number in range(60)]
    cells = [pair[value] for value in values]
    found = dataset(tmp_path, cells, ["x"])
    (task,) = found.tasks
    assert isinstance(task, Binary)
    assert (task.names, in_order(found, "x").tolist()) == (pair, values)
    assert in_order(as_input(tmp_path, cells)).ravel().tolist() == values
    regression = dataset(tmp_path, cells, {"x": "regression"})
    assert isinstance(regression.tasks[0], Regression)
    assert in_order(regression, "x").tolist() == values


def test_words_for_yes_and_no_in_several_spellings_are_two_classes(tmp_path: Path) -> None:
    found = dataset(tmp_path, ["Yes", "no", "YES", "No"] * 10, ["x"])
    assert isinstance(found.tasks[0], Binary)
    assert (found.tasks[0].names, in_order(found, "x").tolist()) == (("no", "yes"), [1, 0] * 20)


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [(["no", "yes"], [1, 0]), (["yes", "no"], [0, 1]), (["low", "high"], [1, 0]), (2, [1, 0])],
)
def test_words_for_yes_and_no_with_names(tmp_path: Path, classes: Any, wanted: list[int]) -> None:
    found = dataset(tmp_path, ["Yes", "No"] * 20, {"x": {"kind": "binary", "classes": classes}})
    assert in_order(found, "x").tolist() == wanted * 20


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_several_columns_of_yes_and_no_are_labels(tmp_path: Path, ending: str) -> None:
    tea, milk = [number % 2 == 0 for number in range(60)], [number % 3 == 0 for number in range(60)]
    path = written(tmp_path, "n;tea;milk", list(zip(range(60), tea, [["no", "yes"][one] for one in milk], strict=True)))
    if ending == "parquet":
        path = tmp_path / "data.parquet"
        parquet.write_table(pa.table({"n": range(60), "tea": tea, "milk": milk}), path)
    separator = ";" if ending == "csv" else None
    found = load_dataset("table", file=str(path), separator=separator, tasks={"x": {"columns": ["tea", "milk"]}})
    assert isinstance(found.tasks[0], MultiLabel)
    assert in_order(found, "x").tolist() == [[int(one), int(other)] for one, other in zip(tea, milk, strict=True)]


def test_a_label_that_is_neither_yes_nor_no(tmp_path: Path) -> None:
    path = written(tmp_path, "n;tea;milk", [(n, n % 2, "maybe" if n == 7 else ("no", "yes")[n % 2]) for n in range(40)])
    tasks = {"x": {"kind": "multi_label", "columns": ["tea", "milk"]}}
    with pytest.raises(UserError, match=r"row 7 \(line 9\), column `milk`: must be 0 or 1 .* yes or no.* 'maybe'"):
        load_dataset("table", file=str(path), separator=";", tasks=tasks)


def test_groups_and_splits_are_named_as_their_cells(tmp_path: Path) -> None:
    rows = [(n, n % 2, ("1", "01", "2", "3", "4", "5")[n // 10]) for n in range(60)]
    path = written(tmp_path, "n;y;home", rows)
    split = {"group": "home", "val": 0.2, "test": 0.2, "stratify": None}
    found = load_dataset("table", file=str(path), separator=";", tasks=["y"], split=split)
    sizes = [len(rows) for rows in found.rows.values()]
    assert sorted(sizes) == [10, 10, 40]


def test_what_is_hardly_meant_as_an_input_is_told(tmp_path: Path) -> None:
    words = ("Train", "dev", "test")
    rows = [(number + 1, words[number % 3], number % 2) for number in range(60)]
    path = written(tmp_path, "id;part;y", rows)
    notes = load_dataset("table", file=str(path), separator=";", tasks=["y"]).found["notes"]
    assert [note.partition(":")[0] for note in notes] == [
        "id only counts the rows",
        "part holds only names of splits and is an input",
    ]
    assert "`split: part`" in notes[1]
    divided = load_dataset("table", file=str(path), separator=";", tasks=["y"], split="part", inputs=["id"])
    assert divided.rows["val"].tolist() == list(range(1, 60, 3))
    shuffled = written(tmp_path, "id;y", [(number * 7 % 60, number % 2) for number in range(60)])
    counted = load_dataset("table", file=str(shuffled), separator=";", tasks=["y"]).found["notes"]
    assert [note.partition(":")[0] for note in counted] == ["id only counts the rows"]
    repeated = written(tmp_path, "id;y", [(number * 7 % 59, number % 2) for number in range(60)])
    assert "notes" not in load_dataset("table", file=str(repeated), separator=";", tasks=["y"]).found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimal": ",,"}, "`dataset.decimal` must be one character"),
        ({"thousands": ""}, "`dataset.thousands` must be one character"),
        ({"thousands": "."}, "`dataset.thousands` must be another character than `decimal`"),
        ({"decimal": "1"}, "`dataset.decimal` must be a character that no digits"),
    ],
)
def test_a_notation_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    assert message in refused(tmp_path, MANY, **options)


HELPED: dict[str, tuple[list[object], dict[str, Any], list[str]]] = {
    "a decimal point where commas are": (
        ["0.126", *(f"{number},5" for number in range(40))],
        {"decimal": ","},
        ["0.126", "decimal point"],
    ),
    "three decimals behind a comma": (["0,126", *MANY], {}, ["decimal comma"]),
    "an amount with its sign": ([f"-${number},000.50" for number in range(1, 60)], {}, ["-$1,000.50", "its unit"]),
    "thousands as a letter": ([f"{number}k" for number in range(60)], {}, ["0k", "its unit"]),
    "infinity": ([*MANY, "Inf"], {}, ["must be finite, but got Inf", "`missing: [Inf]`"]),
    "texts": ([f"name {number}" for number in range(60)], {}, ["too many to be categories, such as 'name 0'"]),
}


@pytest.mark.parametrize("case", HELPED.values(), ids=HELPED)
def test_what_is_no_number_is_named_with_what_helps(
    tmp_path: Path, case: tuple[list[object], dict[str, Any], list[str]]
) -> None:
    cells, options, fragments = case
    told = refused(tmp_path, cells, **options)
    assert all(fragment in told for fragment in fragments), told


def test_few_numbers_with_a_unit_are_categories_and_said(tmp_path: Path) -> None:
    found = as_input(tmp_path, [f"{number % 3}%" for number in range(60)]).found
    assert found["features"] == ["x=0%", "x=1%", "x=2%"]
    assert found["notes"][0].startswith("x is read as categories, one for each text, for `0%`")


def test_a_word_for_a_missing_number_among_texts_is_said(tmp_path: Path) -> None:
    cells = ["ABC"[number % 3] for number in range(59)] + ["NA"]
    told = as_input(tmp_path, cells).found["notes"]
    assert told == ["`NA` in x is a text like the others; say `missing: [NA]` if it stands for an empty cell"]
    asked = as_input(tmp_path, cells, missing=("NA",), missing_inputs="zero").found
    assert (asked["features"], "notes" in asked) == (["x=A", "x=B", "x=C"], False)


def test_two_classes_and_a_word_say_what_helps(tmp_path: Path) -> None:
    for cells, word in ((["off", "on"] * 20 + ["NA"], "NA"), (["0", "1"] * 30 + ["unknown"] * 2, "unknown")):
        with pytest.raises(UserError, match=rf"must have two classes.*`missing: \[{word}\]`"):
            dataset(tmp_path, cells, {"x": "binary"})


def test_columns_named_as_divisions_or_indices_are_said(tmp_path: Path) -> None:
    rows = [(number % 5, number % 2, 3 * number, number / 7, number % 2) for number in range(60)]
    path = written(tmp_path, "fold;is_test;Unnamed: 0;x;y", rows)
    notes = load_dataset("table", file=str(path), separator=";", tasks=["y"]).found["notes"]
    assert [note.partition(":")[0] for note in notes] == [
        "Unnamed",
        "fold is an input and named as what divides the rows",
        "is_test is an input and named as what divides the rows",
    ]
