"""Rows of the tables in a run's folder: CSV, read strictly, so that nothing shifts into another column unseen."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mtl_search.errors import RunFolderError, UserError
from mtl_search.internal.characters import FORMULA, printable, quoted
from mtl_search.internal.reading import JSON_LIMIT, read_text
from mtl_search.runs.trial import State

Row = TypeVar("Row")

LARGEST = 1e30
"""Largest magnitude of a number: sums and squares of such are still finite."""
DIGITS = 24
"""Most digits of a whole number in a table: multiplications of a whole training may have twenty."""


def written_seconds(seconds: float) -> float:
    """Seconds as tables and notes have them: to the millisecond, far below what two trainings alike differ by."""
    return round(seconds, 3)


def csv_line(values: Sequence[Any]) -> str:
    """A line of a CSV file, in which no text is a formula: an apostrophe stands before one that would be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([f"'{one}" if _is_formula(one) else one for one in values])
    return text.getvalue()


def _is_formula(value: Any) -> bool:
    """Whether a spreadsheet would calculate with a text, or run what it names; a number is none."""
    return isinstance(value, str) and value.startswith((*FORMULA, "\t")) and not _is_number(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Table:
    """A table as it stands in its file.

    :param columns: Names of the columns of the table.
    :param rows: Each with the line on which it ends; every value as its text.
    """

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]


def read_table(path: Path, columns: Sequence[str], limit: int = JSON_LIMIT) -> Table:
    """The table in a CSV file. A last line without an end, half written, is no row.

    :param columns: Columns that it must have.
    :param limit: Most bytes that it may have.
    :raises RunFolderError: If it cannot be read, has not all of them, or a row has more or fewer values than columns.
    """
    try:
        text = read_text(path, limit, follow=False)
        reader = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)
        lines = [(reader.line_num, values) for values in reader if values]
    except csv.Error as error:
        raise RunFolderError(f"{path}: line {reader.line_num}: is no row of a table: {error}.") from error
    except UserError as error:
        raise RunFolderError(str(error)) from error
    if not lines:
        raise RunFolderError(f"{path}: holds no table: it is empty. Put it back from a copy.")
    (_, header), *rows = lines
    for column in columns:
        if column not in header:
            raise RunFolderError(f"{path}: has no column `{column}`.")
    if len(set(header)) < len(header):
        twice = next(column for column in header if header.count(column) > 1)
        raise RunFolderError(f"{path}: has the column {quoted(twice)} twice.")
    for line, values in rows:
        if len(values) != len(header):
            raise RunFolderError(f"{path}: line {line}: has {len(values)} values, but there are {len(header)} columns.")
    return Table(header, [(line, dict(zip(header, values, strict=True))) for line, values in rows])


def once(
    path: Path, rows: Iterable[tuple[int, dict[str, str]]], key: Sequence[str]
) -> list[tuple[int, dict[str, str]]]:
    """Each row once: one that stands twice, value for value, is one row.

    :param key: The columns that say what a row is about.
    :raises RunFolderError: If two rows about the same differ.
    """
    found: dict[tuple[str, ...], tuple[int, dict[str, str]]] = {}
    for line, row in rows:
        about = tuple(row[column] for column in key)
        before, first = found.setdefault(about, (line, row))
        if first != row:
            named = ", ".join(f"{column} {printable(row[column])}" for column in key)
            raise RunFolderError(
                f"{path}: line {line}: holds {named} again, with other values than line {before}. "
                "Remove the line that is wrong."
            )
    return list(found.values())


def parsed(
    path: Path, rows: Iterable[tuple[int, dict[str, str]]], parse: Callable[[dict[str, str]], Row]
) -> Iterator[Row]:
    """What ``parse`` makes of each row.

    :raises RunFolderError: If it raises a :class:`ValueError`; the message has the file, the line and the rule.
    """
    for line, row in rows:
        try:
            yield parse(row)
        except ValueError as error:
            raise RunFolderError(f"{path}: line {line}: {error}") from error


def of_training(row: Mapping[str, str]) -> dict[str, Any]:
    """What a row of ``trials.csv`` and one of ``baselines.csv`` both tell of a training, by the names of its fields."""
    return {
        "method": printable(row["method"]),
        "seed": whole(row, "seed"),
        "epochs": whole(row, "epochs"),
        "seconds": real(row, "seconds", least=0),
        "accuracy": real_or_none(row, "accuracy"),
        "delta_m": real_or_none(row, "delta_m"),
        "learnable_parameters": whole(row, "learnable_parameters"),
        "fixed_parameters": whole(row, "fixed_parameters"),
        "macs": whole(row, "macs"),
        "error": printable(row["error"]),
        "scores": scores(row),
    }


def state_of(row: Mapping[str, str], states: Sequence[State]) -> State:
    """The state in a row.

    :param states: States that the trial may be in.
    :raises ValueError: If it is none of them.
    """
    if row["state"] not in states:
        raise ValueError(f"`state` must be one of {', '.join(states)}, but got {quoted(row['state'])}.")
    return State(row["state"])


def whole(row: Mapping[str, str], column: str) -> int:
    """The whole number in a column, 0 or above.

    :raises ValueError: If there is none; the message names the column.
    """
    text = row[column]
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise ValueError(f"`{column}` must be a whole number from 0 on, but got {quoted(text)}.")
    return int(text)


def real(row: Mapping[str, str], column: str, least: float = -math.inf) -> float:
    """The number in a column; it is finite.

    :raises ValueError: If there is none, or it is below ``least``; the message names the column.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not max(least, -LARGEST) <= value <= LARGEST:
        rule = "a finite number" if least < 0 else f"a number of at least {least:g}"
        raise ValueError(f"`{column}` must be {rule}, but got {quoted(row[column])}.")
    return value


def real_or_none(row: Mapping[str, str], column: str) -> float | None:
    """The same; ``None`` where the column is empty or not there."""
    return real(row, column) if row.get(column) else None


def scores(row: Mapping[str, str]) -> dict[str, float]:
    """The values of the columns ``<task>/<metric>`` that are not empty."""
    return {name: real(row, name) for name, value in row.items() if "/" in name and value != ""}
