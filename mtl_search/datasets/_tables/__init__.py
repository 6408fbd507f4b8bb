"""Tables in files: CSV, JSON lines, Parquet or Feather, as columns of numbers or of texts. The only home of pyarrow."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtl_search.datasets._tables.binary import is_binary, read_binary, read_folder, read_json
from mtl_search.datasets._tables.cells import PLAIN, column_of
from mtl_search.datasets._tables.columns import LARGEST_LABEL, Column
from mtl_search.datasets._tables.delimited import SEPARATORS, check_text, line_of, read_csv
from mtl_search.datasets._tables.notation import FEW, MISSING, Notation, flag, shown, yaml_text
from mtl_search.datasets._tables.remarks import named, notes_of
from mtl_search.datasets._tables.sources import Source, refuse_foreign, text_source
from mtl_search.errors import DatasetError, no_such_file, suggestion

__all__ = [
    "FEW",
    "LARGEST_LABEL",
    "MISSING",
    "Column",
    "Notation",
    "Table",
    "check_names",
    "flag",
    "named",
    "notes_of",
    "read_table",
    "shown",
    "text_column",
    "yaml_text",
]

JSON = (".jsonl", ".ndjson", ".json")
INDEX = "__index_level_"
"""How pandas names an index without a name where it writes one."""


@dataclass(frozen=True)
class Table:
    """A table that was read.

    :param path: Path of the table: its file, or the folder of its files.
    :param columns: Names of the columns.
    :param index: Names of the columns that hold an index of pandas.
    """

    path: Path
    columns: tuple[str, ...]
    index: tuple[str, ...]
    cells: pa.Table
    missing: tuple[str, ...]
    notation: Notation
    source: Source | None
    separator: str | None

    def __len__(self) -> int:
        return int(self.cells.num_rows)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.columns)}

    def column(self, name: str, key: str) -> Column:
        """The column of that name.

        :param key: What names it in the experiment, for messages.
        :raises DatasetError: If there is none, the message says the nearest name; or if it holds neither numbers nor
            texts.
        """
        if name not in self._numbers:
            raise DatasetError(f"{self.path}: has no column `{name}` for `{key}`.{suggestion(name, self.columns)}")
        cells, title = self.cells.column(self._numbers[name]), f"{self.path}, column `{name}`"
        return column_of(
            name, cells, title, lambda row: f"{self.at(row)}, column `{name}`", self.missing, self.notation
        )

    def at(self, row: int) -> str:
        """Where a row is, for messages: the file, the row from 0, and the line of a CSV file."""
        line = ""
        if self.source is not None and self.separator is not None:
            line = f" (line {line_of(self.source, row, self.separator)})"
        return f"{self.path}, row {row}{line}"


def read_table(
    path: Path, missing: Sequence[str] = (), separator: str | None = None, notation: Notation = PLAIN
) -> Table:
    """Read a CSV file with a header (in UTF-8 or UTF-16), JSON lines, Parquet, a folder of it, or Feather.

    Rows are counted from 0, the first one below the header. Empty lines of a CSV file are no rows. Text may be
    compressed (gz, bz2, xz, or a zip of one file).

    :param missing: Texts that stand for an empty cell, besides the empty one.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in a ``.tsv``.
    :param notation: How numbers are written in texts: signs for decimals and thousands.
    :raises DatasetError: If it cannot be read, has no rows, or a column twice; the message names the file and the row.
    """
    source = None
    if path.is_dir():
        separator, cells = None, read_folder(path)
    elif _is_binary(path):
        separator, cells = None, read_binary(path)
    else:
        source = text_source(path)
        if source.ending in JSON:
            check_text(source, "file of JSON")
            separator, cells = None, read_json(source)
        else:
            separator = separator or SEPARATORS.get(source.ending, ",")
            cells = read_csv(source, separator)
    columns = _names(path, cells)
    check_names(path, columns)
    if not cells.num_rows:
        raise DatasetError(f"{path}: has a header and no rows.")
    return Table(path, columns, _index(path, cells, columns), cells, tuple(missing), notation, source, separator)


def _is_binary(path: Path) -> bool:
    """Whether a file is Parquet or Feather, or is named so.

    :raises DatasetError: If there is none, or it begins as what is no table.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: {no_such_file(path)}")
    refuse_foreign(path)
    return is_binary(path)


def text_column(name: str, texts: NDArray[np.str_], title: str, place: Callable[[int], str]) -> Column:
    """A column of texts that no file of a table holds, read as if one did.

    :param title: Name of the place where it stands, for messages.
    :param place: Says where a row is, for messages.
    """
    return column_of(name, pa.chunked_array([pa.array(texts.tolist(), pa.large_string())]), title, place)


def _names(path: Path, cells: pa.Table) -> tuple[str, ...]:
    """:raises DatasetError: If a name is no text."""
    try:
        return tuple(cells.column_names)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: has a column whose name is no text in UTF-8: give it another one.") from error


def check_names(path: Path, columns: Sequence[str]) -> None:
    """:raises DatasetError: If two columns have the same name, or one a name that cannot be shown in a line."""
    twice = next((name for name, count in Counter(columns).items() if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}: has the column `{shown(twice)}` twice: each must have a name of its own.")
    for number, name in enumerate(columns):
        # Unicode's control characters
        if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in name):
            raise DatasetError(
                f"{path}: column {number} is named `{shown(name)}`, with a line end or another control character in "
                "it: give it another name."
            )


def _index(path: Path, cells: pa.Table, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that hold an index of pandas, as the file says, or a name that only pandas gives.

    :raises DatasetError: If what pandas has noted in it is damaged.
    """
    noted = (cells.schema.metadata or {}).get(b"pandas", b"{}")
    try:
        told = json.loads(noted).get("index_columns", [])
        named = {name for name in told if isinstance(name, str)}
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"{path}: what pandas has noted in it is damaged: write the table again, or put it back from a copy."
        ) from error
    return tuple(name for name in columns if name in named or name.startswith(INDEX))
