"""Which rows are for training, validation and test: as a column says, as given, or drawn by lot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from mtl_search.datasets import SPLITS
from mtl_search.datasets._tables import Column
from mtl_search.errors import DatasetError, FieldError, suggestion

ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
"""Other words for a split."""

Rows = dict[str, NDArray[np.int64]]
"""Split -> numbers of its rows, from 0, ascending."""


@dataclass(frozen=True)
class Drawn:
    """Splits that are drawn by lot.

    :param val: Share of the rows for validation.
    :param test: Share of the rows for the test; what is left is for training.
    :param seed: Of the drawing.
    :param stratify: Task whose classes have the same shares in all splits; ``None`` for the first that has classes,
        ``False`` for none.
    :param group: Column whose equal values are kept in one split: the pictures of one patient.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    val: Annotated[float, Field(gt=0, lt=1)] = 0.15
    test: Annotated[float, Field(gt=0, lt=1)] = 0.15
    seed: Annotated[int, Field(ge=0)] = 0
    stratify: str | bool | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if self.val + self.test >= 1:
            raise ValueError(
                f"`val` and `test` must leave something to train on, but add up to {self.val + self.test:g}"
            )
        if self.group is not None and self.stratify:
            raise ValueError("`group` and `stratify` cannot both be had: leave one out")

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of the splits, in their order."""
        return np.array([1 - self.val - self.test, self.val, self.test])


def splits_of_column(column: Column) -> Rows:
    """Splits as a column says: ``train``, ``val`` and ``test``, or other words for them.

    :raises DatasetError: For another value, or a split without rows; the message names the row.
    """
    words = {**{name: name for name in SPLITS}, **ALIASES}
    values = column.values.astype(str)
    parts = np.full(len(column), -1)
    for word in np.unique(values):
        name = words.get(word.lower())
        if name is None:
            row = int(np.flatnonzero(values == word)[0])
            raise column.wrong(row, f"{', '.join(SPLITS[:-1])} or {SPLITS[-1]}")
        parts[values == word] = SPLITS.index(name)
    return _filled(_rows(parts), f"column `{column.name}`")


def given_splits(given: Mapping[str, Sequence[int]], count: int) -> Rows:
    """Splits whose rows are given.

    :param given: Split -> numbers of rows, from 0.
    :param count: Rows that there are.
    :raises DatasetError: For an unknown split, a number of no row, or a row that is given twice.
    """
    for name in given:
        if name not in SPLITS:
            raise DatasetError(f"`dataset.split.{name}` is no split.{suggestion(name, SPLITS)}")
    parts = np.full(count, -1)
    for number, name in enumerate(SPLITS):
        for row in given.get(name, ()):
            if type(row) is not int or not 0 <= row < count:
                raise FieldError(f"dataset.split.{name}", f"must be numbers of rows, 0 to {count - 1}", row)
            if parts[row] >= 0:
                raise FieldError(f"dataset.split.{name}", "must name no row that was named before", row)
            parts[row] = number
    return _filled(_rows(parts), "`dataset.split`")


def draw_splits(drawn: Drawn, count: int, classes: NDArray[Any] | None = None, groups: Column | None = None) -> Rows:
    """Splits by lot: the same seed, shares and classes give the same.

    :param count: Rows that there are.
    :param classes: ``[rows]``, what is to have the same shares in all splits: classes, -1 where missing.
    :param groups: Whose equal values are kept in one split.
    :raises DatasetError: If a split has no rows.
    """
    lot = np.random.default_rng(drawn.seed)
    if groups is not None:
        parts = _by_groups(groups, drawn.shares, lot)
    else:
        parts = _by_classes(np.zeros(count, np.int64) if classes is None else classes, drawn.shares, lot)
    return _filled(_rows(parts), f"of {count} rows, with the shares of `dataset.split`,")


def check_strata(rows: Rows, labels: NDArray[np.int64], names: Sequence[str], task: str) -> None:
    """Refuse a stratification that was asked for and leaves a split without a class.

    :param labels: ``[rows]``, classes, -1 where missing.
    :param names: Of the classes.
    :raises DatasetError: If there are too few rows of a class.
    """
    for split, chosen in rows.items():
        for number, count in enumerate(np.bincount(labels[labels >= 0], minlength=len(names))):
            if not (labels[chosen] == number).any():
                raise DatasetError(
                    f"`dataset.split.stratify`: class {names[number]!r} of task `{task}` has too few rows, {count}, "
                    f"for one of them to be in split `{split}`: enlarge its share, or say `stratify: false`."
                )


def _by_classes(classes: NDArray[Any], shares: NDArray[np.float64], lot: np.random.Generator) -> NDArray[np.int64]:
    """The split of every row: of each class its share, and of all rows, to within one."""
    parts = np.empty(len(classes), np.int64)
    owed = np.zeros(len(shares))
    for value in np.unique(classes):
        rows = lot.permutation(np.flatnonzero(classes == value))
        owed += len(rows) * shares
        counts = _whole(owed, len(rows))
        owed -= counts
        parts[rows] = np.repeat(np.arange(len(shares)), counts)
    return parts


def _whole(owed: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Whole numbers that add up to ``count``: the parts of what is owed, the rest to those owed the most."""
    counts = np.floor(np.maximum(owed, 0) + 1e-9).astype(np.int64)
    while counts.sum() != count:
        step = 1 if counts.sum() < count else -1
        left = np.where((counts > 0) | (step > 0), step * (owed - counts), -np.inf)
        counts[int(np.argmax(left))] += step
    return counts


def _by_groups(groups: Column, shares: NDArray[np.float64], lot: np.random.Generator) -> NDArray[np.int64]:
    """The split of every row: large groups first, each to the split that lacks the most rows."""
    if groups.missing.any():
        raise groups.wrong(int(np.argmax(groups.missing)), "the name of a group")
    _, members, sizes = np.unique(groups.values.astype(str), return_inverse=True, return_counts=True)
    order = lot.permutation(len(sizes))
    wanted, part_of = shares * len(groups), np.empty(len(sizes), np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        part_of[group] = np.argmax(wanted)
        wanted[part_of[group]] -= sizes[group]
    return part_of[members]


def _rows(parts: NDArray[np.int64]) -> Rows:
    return {name: np.flatnonzero(parts == number) for number, name in enumerate(SPLITS)}


def _filled(rows: Rows, source: str) -> Rows:
    for name, chosen in rows.items():
        if not len(chosen):
            raise DatasetError(f"split `{name}` is empty: {source} leaves it no row, and each needs at least one.")
    return rows
