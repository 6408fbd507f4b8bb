"""Which rows are for training, validation and test: as a column says, as given, or drawn by lot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from mtl_search.datasets import SPLITS
from mtl_search.datasets._columns import Labelled
from mtl_search.datasets._tables import Column, read_table
from mtl_search.errors import DatasetError, FieldError, suggestion
from mtl_search.internal.options import build
from mtl_search.tasks import Binary, Classification

ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""Other words for a split."""
COLUMN = "split"
"""The column that says the splits where nothing else does."""

Rows = dict[str, NDArray[np.int64]]
"""Split -> numbers of its rows, from 0, ascending."""


class Columns(Protocol):
    """What has columns: a table, or an archive of arrays."""

    @property
    def columns(self) -> Sequence[str]:
        """Their names."""

    def __len__(self) -> int:
        """Rows."""

    def column(self, name: str, key: str) -> Column:
        """The column of that name, as in :class:`~mtl_search.datasets._tables.Table`."""


@dataclass(frozen=True)
class Drawn:
    """Splits that are drawn by lot.

    :param val: Share of the rows for validation; by default as much as for the test, which leaves 0.7 for training.
    :param test: Share of the rows for the test; what is left is for training.
    :param seed: Seed of the draw of the splits.
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


def split_rows(split: Any, source: Columns, labelled: Sequence[Labelled]) -> Rows:
    """The rows of every split, as ``dataset.split`` says.

    :param split: Name of a column; a mapping with the key ``column``, or ``file``: a table with the columns ``row`` and
        ``split``; one of rows, ``{train: [0, 1], ...}``; or the options of :class:`Drawn`. Where it is ``None`` the
        column ``split`` is taken, and without one they are drawn.
    :param labelled: What may be stratified by.
    :raises UserError: If something in it breaks a rule, or a split has no rows.
    """
    if split is None:
        split = COLUMN if COLUMN in source.columns else {}
    if isinstance(split, str):
        return splits_of_column(source.column(split, "dataset.split"))
    if not isinstance(split, Mapping):
        raise FieldError("dataset.split", "must be the name of a column, or a mapping", split)
    for key, read in (("column", _column_named), ("file", _file_named)):
        if key in split:
            if len(split) > 1 or not isinstance(split[key], str):
                raise FieldError("dataset.split", f"must have nothing besides the name of its `{key}`", dict(split))
            return read(split[key], source)
    if any(isinstance(rows, list | tuple) for rows in split.values()):
        return given_splits(split, len(source))
    drawn = build(Drawn, split, "dataset.split", "splits that are drawn")
    groups = None if drawn.group is None else source.column(drawn.group, "dataset.split.group")
    strata = _strata(drawn, labelled)
    rows = draw_splits(drawn, len(source), None if strata is None else np.asarray(strata.targets), groups)
    if strata is not None and isinstance(drawn.stratify, str):
        _check_strata(rows, strata)
    return rows


def split_columns(split: Any, columns: Sequence[str]) -> set[str]:
    """The columns that ``dataset.split`` names, and that are therefore no inputs."""
    if isinstance(split, Mapping):
        return {name for key in ("column", "group") if isinstance(name := split.get(key), str)}
    return {split if isinstance(split, str) else COLUMN} & set(columns)


def _column_named(name: str, source: Columns) -> Rows:
    return splits_of_column(source.column(name, "dataset.split.column"))


def _file_named(path: str, source: Columns) -> Rows:
    """Splits from a table of rows and splits, as a run's folder holds one."""
    table = read_table(Path(path))
    rows, parts = table.column("row", "dataset.split.file"), table.column("split", "dataset.split.file")
    for place, row in enumerate(rows.numbers()):
        if not (0 <= row < len(source) and row == int(row)):
            raise rows.wrong(place, f"the number of a row, 0 to {len(source) - 1}")
    given = {split: rows.values[chosen].astype(int).tolist() for split, chosen in splits_of_column(parts).items()}
    return given_splits(given, len(source))


def _strata(drawn: Drawn, labelled: Sequence[Labelled]) -> Labelled | None:
    """What is stratified by: the task that was named, or the first that has classes."""
    with_classes = {
        one.task.name: one for one in labelled if isinstance(one.task, Classification | Binary) and not one.task.dense
    }
    if isinstance(drawn.stratify, str):
        if drawn.stratify not in with_classes:
            rule = f"must be a task with a class for each sample.{suggestion(drawn.stratify, with_classes)}"
            raise DatasetError(f"`dataset.split.stratify` {rule}")
        return with_classes[drawn.stratify]
    if drawn.stratify is False or drawn.group is not None:
        return None
    return next(iter(with_classes.values()), None)


def splits_of_column(column: Column) -> Rows:
    """Splits as a column says: ``train``, ``val`` and ``test``, or other words for them.

    :raises DatasetError: For another value, or a split without rows; the message names the row.
    """
    words = {**{name: name for name in SPLITS}, **ALIASES}
    values = column.texts.astype(str)
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
    rng = np.random.default_rng(drawn.seed)
    if groups is not None:
        parts = _by_groups(groups, drawn.shares, rng)
    else:
        parts = _by_classes(np.zeros(count, np.int64) if classes is None else classes, drawn.shares, rng)
    return _filled(_rows(parts), f"of {count} rows, with the shares of `dataset.split`,")


def _check_strata(rows: Rows, strata: Labelled) -> None:
    """Refuse a stratification that was asked for and leaves a split without a class.

    :raises DatasetError: If there are too few rows of a class.
    """
    names, targets = getattr(strata.task, "names", ()), np.asarray(strata.targets)
    for number, count in enumerate(np.bincount(targets[targets >= 0])):
        for split, chosen in rows.items():
            if count and not (targets[chosen] == number).any():
                raise DatasetError(
                    f"`dataset.split.stratify`: class {names[number] if names else number} of task "
                    f"`{strata.task.name}` has too few rows, {count}, for one of them to be in split `{split}`: "
                    "enlarge its share, or say `stratify: false`."
                )


def _by_classes(classes: NDArray[Any], shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The split of every row: of each class its share, and of all rows, to within one."""
    parts = np.empty(len(classes), np.int64)
    owed = np.zeros(len(shares))
    for value in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == value))
        owed += len(rows) * shares
        counts = _whole(owed, len(rows))
        owed -= counts
        parts[rows] = np.repeat(np.arange(len(shares)), counts)
    return parts


def _whole(owed: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Whole numbers that add up to ``count``: the parts of what is owed, the rest to those owed the most."""
    counts = np.floor(np.maximum(owed, 0) + 1e-9).astype(np.int64)  # + 1e-9: what rounding took from a whole number
    while counts.sum() != count:
        step = 1 if counts.sum() < count else -1
        left = np.where((counts > 0) | (step > 0), step * (owed - counts), -np.inf)
        counts[int(np.argmax(left))] += step
    return counts


def _by_groups(groups: Column, shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """The split of every row: large groups first, each to the split that lacks the most rows."""
    if groups.missing.any():
        raise groups.wrong(int(np.argmax(groups.missing)), "the name of a group")
    _, members, sizes = np.unique(groups.texts.astype(str), return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
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
