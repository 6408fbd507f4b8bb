"""Columns of the user's own tables as tasks with their targets.

Where a task is declared without a kind it is found from the data: several columns of 0 and 1, or of words for no and
yes, are ``multi_label``, several of other numbers ``regression``; one column of tags (``cat|bird``) is ``multi_label``,
of two values ``binary``, of texts or of few whole numbers ``classification``, of other numbers ``regression``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._declared import Declared
from mtl_search.datasets._tables import FEW, MISSING, Column, Notation, flag, shown, yaml_text
from mtl_search.errors import DatasetError, FieldError, UserError
from mtl_search.internal.arrays import Array
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Task

BETWEEN = "|"
"""What stands between the tags of a cell where nothing is said; a cell of it alone has none."""
MOST_TAGS = 1_000
"""Tags that are found in a column; the largest usual sets have some hundreds, and free text has thousands."""
LISTED, SHOWN = 20, 5
"""Classes of a task that a message lists, of more it says how many they are; and names of classes that it shows to say
what was found: enough to recognise the column by."""


@dataclass(frozen=True)
class Labelled:
    """A task with its targets.

    :param task: The task, which knows its classes or the scale of its targets.
    :param targets: ``[rows]`` or ``[rows, columns]``, as the kind has them.
    :param found: Whether its kind was found from the data.
    """

    task: Task
    targets: Array
    found: bool = False


def label(declared: Declared, columns: Sequence[Column]) -> Labelled:
    """The task and its targets, from the columns where they stand.

    :raises UserError: If the kind needs other columns, an option breaks a rule, or a cell cannot be a target; the
        message names the key, or the file, the row and the column.
    """
    for column in columns:
        if column.missing.all():
            raise DatasetError(f"{column.title}: every cell is empty, so task `{declared.name}` has no targets.")
    kind = declared.kind or found_kind(declared, columns)
    maker = MAKERS.get(kind, _other)
    if maker in (_classification, _binary, _other) and len(columns) > 1:
        raise FieldError(f"{declared.key}.columns", f"must be one column for {kind}", list(declared.columns))
    task, targets = maker(declared, kind, columns)
    return Labelled(task, targets, found=declared.kind is None)


def found_kind(declared: Declared, columns: Sequence[Column]) -> str:
    """The kind of task that columns are taken for.

    :raises DatasetError: If a single column holds one value only, nearly as many texts as rows, or texts among what are
        nearly all numbers.
    """
    if len(columns) > 1:
        names = next((one for one in columns if one.is_text and one.odd is None), None)
        if names is not None:
            rule = f"a number, or one of yes and no, as `{declared.key}` has several columns"
            raise names.wrong(int(np.argmin(names.missing)), rule)
        are_labels = all(not one.is_text and set(np.unique(one.present)) <= {0, 1} for one in columns)
        return "multi_label" if are_labels else "regression"
    column = columns[0]
    if column.is_text and any(BETWEEN in text for text in column.texts[~column.missing]):
        return "multi_label"
    column.check_categories(f"If they are classes, say `{declared.key}: classification`.")
    if not column.is_text and len(np.unique(column.present)) > FEW:
        return "regression"
    values = np.unique(column.texts[~column.missing].astype(str))
    if len(values) == 1:
        raise DatasetError(f"{column.title}: every cell is {shown(values[0])}, so task `{declared.name}` is constant.")
    if len(values) == 2:
        return "binary"
    if column.is_text:
        if 2 * len(values) > len(column.present):
            raise DatasetError(
                f"{column.title}: holds {len(values):,} different texts in {len(column):,} rows, too many to be "
                f"taken for classes: say `{declared.key}: classification` if they are, or leave the task out."
            )
        return "classification"
    return "classification" if np.array_equal(column.present, np.floor(column.present)) else "regression"


def is_dense(kind: str) -> bool:
    """Whether tasks of a kind have a target for every pixel."""
    found = TASKS.get(kind)
    return isinstance(found, type) and issubclass(found, Task) and found.dense


def _classification(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    options = dict(declared.options)
    names, targets = _classes(declared, columns[0], options.pop("classes", None))
    return declared.make(kind, {**options, "classes": len(names), "names": told(names)}), targets


def _binary(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    options = dict(declared.options)
    classes = options.pop("classes", None)
    names, targets = _classes(declared, columns[0], classes)
    if len(names) != 2:
        rule = f"must have two classes, which {columns[0].title} has not{_with_missing(columns[0], names)}"
        raise FieldError(declared.key, rule, ", ".join(names[:SHOWN]))
    return declared.make(kind, {**options, "names": told(names)}), targets


def _with_missing(column: Column, names: Sequence[str]) -> str:
    """What helps where one of the names may stand for an empty cell."""
    words = [name for name in names if name.lower() in MISSING]
    if column.odd is not None:
        words.append(str(column.values[column.odd.rows[0]]))
    return f" (`missing: [{yaml_text(words[0])}]` if that stands for an empty cell)" if words else ""


def told(names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes or columns, none where they are the numbers from 0."""
    return () if list(names) == [str(number) for number in range(len(names))] else tuple(names)


def _classes(declared: Declared, column: Column, given: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the classes and the number of each row's, -1 where missing.

    Where names are given and the column holds numbers, these are their places among the names, from 0. Words for no and
    yes are the names that mean the same, else 0 and 1.
    """
    labels = column.labels()
    if given is None:
        values = np.unique(labels)
        if len(values) < 2:
            found = shown(str(values[0]))
            raise DatasetError(f"{column.title}: every cell is {found}, so task `{declared.name}` is constant.")
        names = [str(value) for value in values]
    else:
        names = class_names(given, f"{declared.key}.classes")
    numbers = {name: number for number, name in enumerate(names)}
    if given is not None and column.flags:
        labels = np.array([_named_flag(int(value), names) for value in column.present], str)
    elif given is not None and not column.is_text and all(Notation().number(name) is None for name in names):
        numbers = {str(number): number for number in range(len(names))}
    targets = np.full(len(column), -1, np.int64)
    targets[~column.missing] = [numbers.get(text, len(names)) for text in labels.astype(str)]
    outside = np.flatnonzero(targets == len(names))
    if len(outside):
        rule = f"one of {', '.join(numbers)}" if len(numbers) <= LISTED else f"one of {len(numbers)}"
        row = int(outside[0])
        written = None if column.is_text else shown(column.texts[row])
        raise column.wrong(row, f"a class of `{declared.key}`, {rule}, or nothing where it is missing", found=written)
    return names, targets


def _named_flag(value: int, names: Sequence[str]) -> str:
    """The name of the class that 0 or 1 is: the one that means it, else the one in its place."""
    return next((name for name in names if flag(name) == value), names[value] if len(names) == 2 else str(value))


def class_names(given: Any, key: str) -> list[str]:
    """What ``classes`` says: how many, for the numbers from 0; or their names, in their order."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 2:
        return [str(number) for number in range(given)]
    if not isinstance(given, list | tuple) or len(given) < 2:
        raise FieldError(key, "must be the number of classes, at least 2, or a list of them", given)
    for name in given:
        if isinstance(name, bool):
            raise FieldError(key, "must be texts or numbers (put `yes`, `no`, `on`, `off` in quotes)", name)
    names = [str(name) for name in given]
    if len(set(names)) < len(names):
        raise FieldError(key, "must name no class twice", names)
    return names


def _multi_label(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    texts = len(columns) == 1 and columns[0].is_text and columns[0].odd is None
    if texts or {"between", "classes"} & {*declared.options}:
        return _tags(declared, kind, columns)
    targets = np.full((len(columns[0]), len(columns)), -1, np.int64)
    rule = f"0 or 1 for `{declared.key}`, or yes or no, or nothing where it is missing"
    for number, column in enumerate(columns):
        if column.is_text:
            says = [text in ("0", "1") or flag(text) is not None for text in column.texts]
            raise column.wrong(int(np.argmin(column.missing | says)), rule)
        values = column.numbers()
        outside = np.flatnonzero(~column.missing & (values != 0) & (values != 1))
        if len(outside):
            raise column.wrong(int(outside[0]), rule)
        targets[~column.missing, number] = column.present.astype(np.int64)
    return declared.make(kind, {**declared.options, "labels": len(columns), "names": told(declared.columns)}), targets


def _tags(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    """A column whose cells are the names of labels, all that a row has: of an empty cell nothing is known."""
    if len(columns) > 1:
        rule = "must be one column of tags, or several of 0 and 1, without `between` and `classes`"
        raise FieldError(f"{declared.key}.columns", rule, list(declared.columns))
    column, options = columns[0], dict(declared.options)
    between, given = options.pop("between", BETWEEN), options.pop("classes", None)
    if not isinstance(between, str) or not between:
        raise FieldError(f"{declared.key}.between", "must be the text between the tags of a cell", between)
    tags = [{tag.strip() for tag in text.split(between)} - {""} for text in column.texts.astype(str)]
    names = sorted(set().union(*tags)) if given is None else class_names(given, f"{declared.key}.classes")
    for row, of_row in enumerate(tags):
        if other := sorted(of_row - {*names}):
            raise column.wrong(row, f"tags of `{declared.key}`, of {', '.join(names[:LISTED])}", found=shown(other[0]))
    if given is None and len(names) > MOST_TAGS:
        raise DatasetError(
            f"{column.title}: holds {len(names):,} different tags, too many to be learned by so small a network: name "
            f"those that count in `{declared.key}.classes`, and make the others empty."
        )
    targets = np.array([[name in of_row for name in names] for of_row in tags], np.int64).reshape(len(column), -1)
    targets[column.missing] = -1
    return declared.make(kind, {**options, "labels": len(names), "names": told(names)}), targets


def _regression(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    targets = np.stack([as_float32(column, column.numbers()) for column in columns], axis=1)
    if len(columns) == 1:
        return declared.make(kind, declared.options), targets[:, 0]
    return declared.make(kind, {**declared.options, "size": len(columns), "names": told(declared.columns)}), targets


def _other(declared: Declared, kind: str, columns: Sequence[Column]) -> tuple[Task, NDArray[Any]]:
    """A kind of the user's own, with one number for each sample."""
    if is_dense(kind):
        raise UserError(f"`{declared.key}`: {kind} has a target for every pixel, which no column can hold.")
    task, column = declared.make(kind, declared.options), columns[0]
    values = column.numbers()
    if not task.integer:
        return task, as_float32(column, values)
    broken = np.flatnonzero(~column.missing & (values != np.floor(values)))
    if len(broken):
        raise column.wrong(int(broken[0]), "a whole number")
    return task, np.where(column.missing, -1, values).astype(np.int64)


Maker = Callable[[Declared, str, Sequence[Column]], tuple[Task, NDArray[Any]]]
MAKERS: Mapping[str, Maker] = {
    "classification": _classification,
    "binary": _binary,
    "multi_label": _multi_label,
    "regression": _regression,
}


def check_float32(column: Column, values: NDArray[np.float64]) -> None:
    """:raises DatasetError: If a number of a column is too large for float32; the message names its row."""
    large = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
    if len(large):
        raise column.wrong(int(large[0]), f"at most {np.finfo(np.float32).max:.4g} in size")


def as_float32(column: Column, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Numbers of a column as targets are computed on.

    :raises DatasetError: As :func:`check_float32`.
    """
    check_float32(column, values)
    return values.astype(np.float32)
