"""Tables in files: CSV or Parquet, as columns of numbers or of texts. The only home of pyarrow."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet
from pyarrow import csv as arrow_csv

from mtl_search.errors import DatasetError, no_such_file, suggestion

LARGEST_LABEL = 2.0**53
"""Numbers from here on cannot be told apart as they are read."""
PARQUET = (".parquet", ".pq")
SEPARATORS = {".tsv": "\t", ".tab": "\t"}
"""Ending of a file -> what stands between its cells; a comma in all others."""


@dataclass(frozen=True)
class Column:
    """A column: numbers if every cell that is not empty is one, else texts.

    :param name: Its name.
    :param values: ``[rows]``, float64 with NaN in empty cells, or texts with ``""`` there.
    :param missing: ``[rows]``, which cells are empty.
    :param title: File and column, for messages.
    :param place: Says where a row is, for messages: number of the row from 0 -> file, row, line and column.
    """

    name: str
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    title: str
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether a cell is no number."""
        return self.values.dtype == object

    @property
    def present(self) -> NDArray[Any]:
        """The values of the cells that are not empty."""
        return self.values[~self.missing]

    def wrong(self, row: int, rule: str) -> DatasetError:
        """The error of a cell that breaks a rule.

        :param rule: What it must be, as the rest of the sentence "must be ...".
        """
        value = self.values[row]
        found = "nothing" if self.missing[row] else repr(value) if self.is_text else f"{value:g}"
        return DatasetError(f"{self.place(row)}: must be {rule}, but got {found}.")

    def numbers(self) -> NDArray[np.float64]:
        """The values, NaN in empty cells.

        :raises DatasetError: If a cell is no number, or not finite; the message names its row.
        """
        if self.is_text:
            raise self.wrong(next(self._without_number()), "a number")
        endless = np.flatnonzero(np.isinf(self.values))
        if len(endless):
            raise self.wrong(int(endless[0]), "finite")
        return self.values

    def labels(self) -> NDArray[Any]:
        """The values as they name classes: whole numbers, or texts, of the cells that are not empty.

        :raises DatasetError: For a number that is too large to be told apart from others; the message names its row.
        """
        if self.is_text:
            return self.present.astype(str)
        large = np.flatnonzero(np.abs(self.values) >= LARGEST_LABEL)
        if len(large):
            raise self.wrong(int(large[0]), "below 2**53 in size to name a class")
        whole = np.array_equal(self.present, np.floor(self.present))
        return self.present.astype(np.int64) if whole else self.present.astype(str)

    def _without_number(self) -> Iterator[int]:
        return (row for row, value in enumerate(self.values) if not self.missing[row] and not _is_number(value))


@dataclass(frozen=True)
class Table:
    """A table that was read.

    :param path: Its file.
    :param columns: Names of the columns.
    """

    path: Path
    columns: tuple[str, ...]
    cells: pa.Table
    missing: tuple[str, ...]
    separator: str | None

    def __len__(self) -> int:
        return int(self.cells.num_rows)

    def column(self, name: str, key: str) -> Column:
        """The column of that name.

        :param key: What names it in the experiment, for messages.
        :raises DatasetError: If there is none; the message says the nearest name.
        """
        if name not in self.columns:
            raise DatasetError(f"{self.path}: has no column `{name}` for `{key}`.{suggestion(name, self.columns)}")
        title = f"{self.path}, column `{name}`"
        try:
            values, missing = _values(self.cells.column(self.columns.index(name)), self.missing)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            found = self.cells.schema.types[self.columns.index(name)]
            raise DatasetError(f"{title}: must hold numbers or texts, but got {found}.") from error
        return Column(name, values, missing, title, lambda row: f"{self.at(row)}, column `{name}`")

    def texts(self, name: str, key: str) -> Column:
        """The column with its cells as the texts that they are, so that ``007`` stays the name of a file.

        :param key: What names it in the experiment, for messages.
        :raises DatasetError: As :meth:`column`, or if the numbers of a Parquet file are not whole.
        """
        column, cells = self.column(name, key), self.cells.column(self.columns.index(name))
        if column.is_text:
            return column
        if pa.types.is_floating(cells.type):
            raise column.wrong(int(np.argmin(column.missing)), "a text or a whole number")
        texts = compute.utf8_trim_whitespace(cells.cast(pa.string()).fill_null(""))
        return replace(column, values=np.where(column.missing, "", texts.to_numpy().astype(object)))

    def at(self, row: int) -> str:
        """Where a row is, for messages: the file, the row from 0, and the line of a CSV file."""
        line = "" if self.separator is None else f" (line {_line(self.path, row, self.separator)})"
        return f"{self.path}, row {row}{line}"


def read_table(path: Path, missing: Sequence[str] = (), separator: str | None = None) -> Table:
    """Read a CSV file (in UTF-8, with a header), or a Parquet file.

    Rows are counted from 0, the first one below the header. Empty lines of a CSV file are no rows.

    :param missing: Texts that stand for an empty cell, besides the empty one.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in a ``.tsv``.
    :raises DatasetError: If it cannot be read, has no rows, or a column twice; the message names the file and the row.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: {no_such_file(path)}")
    if any(ending.lower() in PARQUET for ending in path.suffixes):
        separator, cells = None, _read_parquet(path)
    else:
        separator = separator or SEPARATORS.get(path.suffix.lower(), ",")
        cells = _read_csv(path, separator)
    columns = tuple(cells.column_names)
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise DatasetError(f"{path}: has the column `{twice[0]}` twice: each must have a name of its own.")
    if not cells.num_rows:
        raise DatasetError(f"{path}: has a header and no rows.")
    return Table(path, columns, cells, ("", *missing), separator)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path}: is no Parquet file that can be read: {_sentence(error)}.") from error


def _read_csv(path: Path, separator: str) -> pa.Table:
    """Every cell as its text."""
    header = _header(path, separator)
    wrong: list[arrow_csv.InvalidRow] = []

    def refuse(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    try:
        return arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(use_threads=False),
            arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError) as error:
        if wrong:
            row, cells = wrong[0].number - 2, f"{wrong[0].expected_columns} cells as the header has"
            line = _line(path, row, separator)
            found = wrong[0].actual_columns
            raise DatasetError(f"{path}, row {row} (line {line}): must have {cells}, but got {found}.") from error
        raise DatasetError(f"{path}: is no CSV file that can be read: {_sentence(error)}.") from error


def _header(path: Path, separator: str) -> list[str]:
    """The names of the columns; looks through the whole file for what is no text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next((row for row in csv.reader(file, delimiter=separator) if row), [])
            text = "".join(header)
            while text and "\0" not in text:
                text = file.read(2**20)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = _line_that_is_not_utf8(path)
        raise DatasetError(
            f"{path}, line {line}: must be UTF-8, but got the byte 0x{error.object[error.start]:02x}."
        ) from error
    except csv.Error as error:
        raise DatasetError(f"{path}: is no CSV file that can be read: {error}.") from error
    if text:
        raise DatasetError(f"{path}: is no CSV file: it holds bytes that are no text.")
    if not header:
        raise DatasetError(f"{path}: is empty: a CSV file begins with the names of its columns.")
    return header


def _line_that_is_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    raise AssertionError(f"{path} is UTF-8")


def _line(path: Path, row: int, separator: str) -> int:
    """The line of a CSV file on which a row ends; cells may hold line ends, and empty lines are no rows."""
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        reader = csv.reader(file, delimiter=separator)
        filled = (reader.line_num for cells in reader if cells)
        return next(line for number, line in enumerate(filled, start=-1) if number == row)


def _values(cells: pa.ChunkedArray, missing: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers or texts, and which are missing."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells, kind = cells.cast(kind.value_type), kind.value_type
    if pa.types.is_boolean(kind):
        cells, kind = cells.cast(pa.int8()), pa.int8()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = np.array(cells.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        return numbers, np.isnan(numbers)
    texts = compute.utf8_trim_whitespace(cells.cast(pa.string()).fill_null(""))
    empty = compute.is_in(texts, value_set=pa.array(list(missing), pa.string()))
    try:
        numbers = np.array(compute.if_else(empty, None, texts).cast(pa.float64()).to_numpy(), dtype=np.float64)
        return numbers, np.isnan(numbers)
    except pa.ArrowInvalid:
        gone = np.array(empty.to_numpy(), dtype=np.bool_)
        return np.where(gone, "", texts.to_numpy().astype(object)), gone


def _is_number(text: str) -> bool:
    try:
        compute.cast(pa.array([text]), pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
