"""A column of a table, or of an archive of arrays: numbers, or texts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._tables.notation import WHOLE, advice, shown, yaml_text
from mtl_search.errors import DatasetError

LARGEST_LABEL = 2.0**53
"""Numbers from here on cannot be told apart as they are read."""


@dataclass(frozen=True)
class Odd:
    """What is no number in a column of others that are.

    :param rows: Numbers of the rows that hold the value, ascending.
    :param is_wrong: Whether it is wrong there, for nearly all cells are numbers; else the column holds categories.
    """

    rows: NDArray[np.int64]
    is_wrong: bool


@dataclass(frozen=True)
class Column:
    """A column: numbers if every cell that is not missing is one, or a word for yes or no; else texts.

    :param name: Name of the column.
    :param values: ``[rows]``, float64 with NaN in missing cells, or texts with ``""`` there.
    :param missing: ``[rows]``, which cells are empty, or hold what stands for that.
    :param title: File and column, for messages.
    :param place: Says where a row is, for messages: number of the row from 0 -> file, row, line and column.
    :param written: Gives the cells as they are written, ``[rows]`` of texts; ``None`` for stored numbers.
    :param flags: Whether the numbers are 0 and 1 for words such as no and yes.
    :param words: Usual word for a missing number -> the rows where it was read as such.
    :param odd: What is no number where others are; ``None`` if there is no such.
    :param stored: Gives the cells as they are stored, ``[rows]``, where that is not in float64.
    """

    name: str
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    title: str
    place: Callable[[int], str]
    written: Callable[[], NDArray[Any]] | None = None
    flags: bool = False
    words: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    odd: Odd | None = None
    stored: Callable[[], NDArray[Any]] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether a cell is no number."""
        return self.values.dtype == object

    @property
    def present(self) -> NDArray[Any]:
        """The values of the cells that are not missing."""
        return self.values[~self.missing]

    @property
    def different(self) -> int:
        """Different values of the cells that are not missing, those too that are one in float64."""
        cells = self.written if self.stored is None else self.stored
        if cells is None or np.abs(self.present).max(initial=0) < LARGEST_LABEL:
            return len(np.unique(self.present))
        return len(set(cells()[~self.missing].tolist()))

    @cached_property
    def texts(self) -> NDArray[Any]:
        """``[rows]``, the cells as texts, ``""`` where they are missing: names of classes, files, groups or splits.

        They are as written, but for a column of whole numbers, in which 2.0 is 2.
        """
        if self.is_text:
            return self.values
        if self._is_whole:
            return np.where(self.missing, "", _each(lambda value: f"{value:.0f}", self.values))
        if self.written is None:
            return np.where(self.missing, "", _each(str, self.values))
        return np.where(self.missing, "", self._one_spelling(self.written()) if self.flags else self.written())

    def wrong(self, row: int, rule: str, more: str = "", found: str | None = None) -> DatasetError:
        """The error of a cell that breaks a rule.

        :param rule: What it must be, as the rest of the sentence "must be ...".
        :param more: What helps, as a sentence.
        :param found: What it is; its value if left out.
        """
        value = self.values[row]
        if found is None:
            written = f"{value:g}" if self.written is None else shown(str(self.written()[row]))
            found = "nothing" if self.missing[row] else f"'{shown(value)}'" if self.is_text else written
        return DatasetError(f"{self.place(row)}: must be {rule}, but got {found}.{f' {more}' if more else ''}")

    def numbers(self) -> NDArray[np.float64]:
        """The values, NaN in missing cells.

        :raises DatasetError: If a cell is no number, or not finite; the message names its row and what may help.
        """
        if self.is_text:
            raise self._no_number(0 if self.odd is None else int(self.odd.rows[0]))
        endless = np.flatnonzero(np.isinf(self.values))
        if len(endless):
            row = int(endless[0])
            text = "inf" if self.written is None else str(self.written()[row])
            raise self.wrong(row, "finite", f"Say `missing: [{yaml_text(text)}]` if it stands for an empty cell.")
        return self.values

    def check_categories(self, way_out: str) -> None:
        """Refuse texts among what are nearly all numbers, for they would make a category of each number.

        :param way_out: What can be said if categories are meant, as a sentence.
        :raises DatasetError: If there is one; the message names its row and what may help.
        """
        if self.odd is not None and self.odd.is_wrong:
            raise self._no_number(int(self.odd.rows[0]), f" {way_out}")

    def labels(self) -> NDArray[Any]:
        """The cells that are not missing as they name classes: whole numbers, or texts.

        :raises DatasetError: For a whole number that is too large to be told apart; the message names its row.
        """
        if not self._is_whole:
            return self.texts[~self.missing].astype(str)
        large = np.flatnonzero(np.abs(self.values) >= LARGEST_LABEL)
        if len(large):
            raise self.wrong(int(large[0]), "below 2**53 in size to name a class")
        return self.present.astype(np.int64)

    def _no_number(self, row: int, more: str = "") -> DatasetError:
        while self.missing[row]:
            row += 1
        on_top = self.odd is not None and self.odd.is_wrong and self.odd.rows.tolist() == [0]
        return self.wrong(row, "a number", advice(str(self.values[row]), on_top) + more)

    @cached_property
    def _is_whole(self) -> bool:
        """Whether every cell is a whole number, written as programs do, and none is written in two ways."""
        if self.is_text or (self.flags and self.written is not None):
            return False
        if self.written is None:
            return bool((self.present == np.floor(self.present)).all())
        found = {str(text) for text in self.written()[~self.missing]}
        return all(WHOLE.fullmatch(text) for text in found) and len({_bare(text) for text in found}) == len(found)

    def _one_spelling(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Words as they are written, in small letters where one of them is written in several ways."""
        found = {str(text) for text in cells[~self.missing]}
        return cells if len({text.lower() for text in found}) == len(found) else _each(str.lower, cells)


def _bare(text: str) -> str:
    return text.removesuffix(".0")


def _each(printed: Callable[[Any], str], values: NDArray[Any]) -> NDArray[Any]:
    return np.array([printed(value) for value in values], object)
