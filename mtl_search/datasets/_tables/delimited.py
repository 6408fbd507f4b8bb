"""CSV files: every cell as its text, and the line on which a row stands."""

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from mtl_search.datasets._tables.notation import shown
from mtl_search.datasets._tables.sources import CHUNK, Source
from mtl_search.errors import DatasetError

SEPARATORS = {".tsv": "\t", ".tab": "\t"}
"""Ending of a file -> what stands between its cells; a comma in all others."""
USUAL = ",;\t|"
"""What stands between cells in most files."""
BLOCK = 2**26
"""Bytes that are parsed at a time: a row, the header too, may have no more. A header of 60,000 names has about 1 MB."""
LONGEST_CELL = 2**31 - 1
"""Characters, the most that Python's reader takes: of 131,072 it has a limit where none is set."""


def read_csv(source: Source, separator: str) -> pa.Table:
    """A table of texts.

    :raises DatasetError: If it is no CSV file; the message names the row and the line where there is one.
    """
    header = _header(source, separator)
    wrong: list[arrow_csv.InvalidRow] = []

    def refuse(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    try:
        with source.opened() as file:
            found = arrow_csv.read_csv(
                file,
                arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK),
                arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
            )
        return found.rename_columns([name.strip() for name in found.column_names])
    except (pa.ArrowException, OSError) as error:
        if wrong:
            row, expected = wrong[0].number - 2, wrong[0].expected_columns
            cells = f"{expected} cell{'s' if expected > 1 else ''}"
            where = f"{source.path}, row {row} (line {line_of(source, row, separator)})"
            told = f"the header has, which is `{shown(separator.join(header))}`"
            raise DatasetError(f"{where}: must have {cells} as {told}, but got {wrong[0].actual_columns}.") from error
        reason = " ".join(str(error).split()).rstrip(".")
        raise DatasetError(f"{source.path}: is no CSV file that can be read: {reason}.") from error


def line_of(source: Source, row: int, separator: str) -> int:
    """The line on which a row ends; cells may hold line ends, and empty lines are no rows."""
    with _rows(source, separator, errors="replace") as reader:
        filled = (reader.line_num for cells in reader if cells)
        return next(line for number, line in enumerate(filled, start=-1) if number == row)


@contextmanager
def _rows(source: Source, separator: str, errors: str = "strict") -> Iterator[Any]:
    """The rows as lists of texts, without a limit to the length of a cell."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        with io.TextIOWrapper(source.opened(), encoding="utf-8-sig", newline="", errors=errors) as file:
            yield csv.reader(file, delimiter=separator)
    finally:
        csv.field_size_limit(limit)


def _header(source: Source, separator: str) -> list[str]:
    """The names of the columns; looks through the whole file for what is no text."""
    path = source.path
    check_text(source)
    try:
        with _rows(source, separator) as reader:
            header: list[str] = next((row for row in reader if row), [])
    except csv.Error as error:
        raise DatasetError(f"{path}: is no CSV file that can be read: {error}.") from error
    if not header:
        raise DatasetError(f"{path}: is empty: a CSV file begins with the names of its columns.")
    other = max(USUAL.replace(separator, ""), key=header[0].count)
    if len(header) == 1 and other in header[0]:
        told = "\\t" if other == "\t" else other
        raise DatasetError(
            f"{path}: has one column, `{shown(header[0])}`: what stands between its cells seems to be `{told}`, so say "
            f'`separator: "{told}"`.'
        )
    return header


def check_text(source: Source, kind: str = "CSV file") -> None:
    """Check that a file is text.

    :param kind: What the file is to be, for messages.
    :raises DatasetError: If it is no text in UTF-8; the message names the line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with source.opened() as file:
            while part := file.read(CHUNK):
                decoder.decode(part)
                if b"\0" in part:
                    raise _no_text(source, kind)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _no_text(source, kind) from error
    except OSError as error:
        raise DatasetError(f"{source.path}: cannot be read: {error.strerror}.") from error


def _no_text(source: Source, kind: str) -> DatasetError:
    """The error of the first line that is no text."""
    with source.opened() as file:
        for number, line in enumerate(file, start=1):
            where = f"{source.path}, line {number}"
            if b"\0" in line:
                utf16 = "; if it is UTF-16 without its mark, save it as UTF-8" if line.count(b"\0") > 1 else ""
                return DatasetError(f"{where}: is no {kind}: it holds bytes that are no text{utf16}.")
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                found = f"must be UTF-8, but got the byte 0x{line[error.start]:02x}"
                return DatasetError(f"{where}: {found}: save the file as UTF-8 (`iconv -f latin1 -t utf-8`).")
    raise AssertionError(f"{source.path} is text")
