"""How columns of a table become features: noted at the training table, used on every table that is read later."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._columns import check_float32
from mtl_search.datasets._tables import MISSING, Column, flag
from mtl_search.errors import DatasetError


@dataclass(frozen=True)
class InputColumn:
    """How a column becomes features.

    :param name: Name of the column.
    :param categories: The texts that have a feature each; ``None`` for a column of numbers, which is one feature.
    :param as_written: Whether categories are the cells as they are written; else they are whole numbers, of which 2.0
        is 2.
    :param flags: Whether the numbers are 0 and 1 for words such as no and yes.
    :param filled: The number that stands for an empty cell; of categories 0 in all; ``None`` to refuse empty cells.
    """

    name: str
    categories: tuple[str, ...] | None = None
    as_written: bool = False
    flags: bool = False
    filled: float | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, ``<column>`` or ``<column>=<category>``."""
        return (self.name,) if self.categories is None else tuple(f"{self.name}={one}" for one in self.categories)

    def values(self, column: Column) -> NDArray[np.float64]:
        """The features of a column, ``[rows, features]``, in the units of the data.

        :raises DatasetError: For a cell that is empty where that is refused, or no number where numbers are wanted; the
            message names its row.
        """
        if self.categories is None:
            return self._numbers(column)[:, None]
        texts = self.texts(column)
        self._check_filled(column, texts == "")
        return (texts[:, None] == np.array(self.categories, object)).astype(np.float64)

    def texts(self, column: Column) -> NDArray[np.object_]:
        """The cells of a column of categories, ``[rows]``, ``""`` where they are missing."""
        if not self.as_written or column.written is None:
            return np.asarray(column.texts, object)
        words = np.isin(np.arange(len(column)), np.concatenate([[], *column.words.values()]))
        return np.where(column.missing & ~words, "", column.written())

    def _numbers(self, column: Column) -> NDArray[np.float64]:
        missing = column.missing
        if column.is_text:
            words = [text.lower() in MISSING for text in column.texts]
            missing = missing | words
            found = np.full(len(column), np.nan) if missing.all() else self._flags(column, missing)
        elif column.flags and not self.flags:
            raise column.wrong(int(np.argmin(missing)), "a number")
        else:
            found = column.numbers()
        self._check_filled(column, missing)
        values = np.where(missing, 0.0 if self.filled is None else self.filled, found)
        check_float32(column, values)
        return values

    def _flags(self, column: Column, missing: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Words for no and yes of several pairs, which make a column of texts.

        :raises DatasetError: If no words for no and yes are wanted, or a cell is none.
        """
        says = [flag(text) if self.flags else None for text in column.texts]
        wrong = np.flatnonzero(~missing & [one is None for one in says])
        if len(wrong):
            rows = wrong if column.odd is None else column.odd.rows
            raise column.wrong(int(rows[0]), "0 or 1, or yes or no" if self.flags else "a number")
        return np.array([0 if one is None else one for one in says], np.float64)

    def _check_filled(self, column: Column, missing: NDArray[np.bool_]) -> None:
        if self.filled is None and missing.any():
            raise DatasetError(
                f"{column.place(int(np.argmax(missing)))}: is empty, and the network was trained without "
                "`missing_inputs`, which says what stands for empty inputs."
            )
