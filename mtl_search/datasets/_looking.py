"""Looks at a table or arrays of the user's own for what an experiment is to say of them: tasks, inputs, splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtl_search.datasets._archives import Archive, open_archive
from mtl_search.datasets._declared import expanded
from mtl_search.datasets._features import counts_rows
from mtl_search.datasets._tables import FEW, Column, Table, read_table
from mtl_search.errors import DatasetError, suggestion

TASK_NAME = re.compile(r"(label|target|class|task|outcome)(s|[_ .-].*|[0-9]+)?|y[0-9]*|y_.*", re.IGNORECASE)
"""How columns and arrays are often named that are to be predicted."""
INPUT_NAMES = ("x", "inputs", "input", "images", "image", "data", "features")
"""How arrays of inputs are often named, in small letters; what stands first is looked for first."""
SPLITS = {"train", "val", "test"}


@dataclass(frozen=True)
class Looked:
    """What an experiment is to say of the data.

    :param name: Name of the dataset that reads it: ``table``, ``arrays`` or ``images``.
    :param options: Other keys of the section ``dataset`` but for the file or the folder.
    :param guessed: Whether the tasks were chosen here, for none were named.
    :param remarks: Key of the section -> why it says what it says.
    :param table: A table of pictures, as CSV, that is to be written beside the experiment; empty if there is one.
    """

    name: str
    options: dict[str, Any]
    guessed: bool
    remarks: dict[str, str] = field(default_factory=dict)
    table: str = ""


def look_at(path: Path, tasks: Sequence[str] = ()) -> Looked:
    """What an experiment is to say of a file.

    :param path: A table, as :class:`~mtl_search.datasets.table.TableFile` reads it, or an ``.npz`` file.
    :param tasks: Columns or arrays to be predicted, or patterns of them; chosen by their names if empty.
    :raises DatasetError: If the file cannot be read, or nothing is left as an input.
    """
    return _look_at_arrays(path, tasks) if path.suffix == ".npz" else _look_at_table(path, tasks)


def _look_at_table(path: Path, tasks: Sequence[str]) -> Looked:
    table = read_table(path)
    names = named(tasks, table.columns, path) or _by_name(table.columns) or [table.columns[-1]]
    split = split_column(table, names)
    others = [name for name in table.columns if name not in {*names, split, *table.index}]
    left_out, empty = _no_inputs(table, others)
    if len(left_out) == len(others):
        raise DatasetError(f"{path}: has no column that is left as an input of {', '.join(names)}.")
    options: dict[str, Any] = {"tasks": names}
    remarks = {}
    if left_out:
        options["exclude"] = list(left_out)
        remarks["exclude"] = "; ".join(dict.fromkeys(left_out.values()))
    if split:
        options["split"] = split
    if empty:
        options["missing_inputs"] = "mean"
        shown = ", ".join(empty[:3]) + (f" and {len(empty) - 3} more" if len(empty) > 3 else "")
        remarks["missing_inputs"] = f"empty cells in {shown}"
    return Looked("table", options, not tasks, remarks)


def _look_at_arrays(path: Path, tasks: Sequence[str]) -> Looked:
    archive = open_archive(path)
    names = named(tasks, archive.columns, path)
    split = next((name for name in archive.columns if name not in names and _are_splits(archive, name)), None)
    left = [name for name in archive.columns if name not in (*names, split)]
    lowered = {name.lower(): name for name in reversed(left)}
    inputs = next((lowered[name] for name in INPUT_NAMES if name in lowered), left[0] if left else None)
    if inputs is None or len(archive.columns) < 2:
        raise DatasetError(f"{path}: must hold an array of inputs and one for each task, but has {archive.columns}.")
    names = names or [name for name in left if name != inputs]
    options = {"inputs": inputs, "tasks": names, **({"split": split} if split else {})}
    return Looked("arrays", options, not tasks)


def _are_splits(archive: Archive, name: str) -> bool:
    """Whether an array says which split a sample is of."""
    values = archive.rows_of(name, "dataset.split")
    return values.ndim == 1 and values.dtype.kind == "U" and set(np.asarray(values).tolist()) == SPLITS


def named(tasks: Sequence[str], columns: Sequence[str], path: Path) -> list[str]:
    """The columns that were named, or that patterns stand for."""
    names = list(expanded(list(tasks), columns, path))
    for name in names:
        if name not in columns:
            raise DatasetError(f"{path}: has no `{name}` to be predicted.{suggestion(name, columns)}")
    return names


def _by_name(columns: Sequence[str]) -> list[str]:
    """Columns that are named as what is to be predicted, if others are left."""
    found = [name for name in columns if TASK_NAME.fullmatch(name)]
    return found if len(found) < len(columns) else []


def split_column(table: Table, tasks: Sequence[str]) -> str | None:
    """The column that says which split a row is of."""
    for name in table.columns:
        if (
            name not in tasks
            and (column := column_or_none(table, name))
            and column.is_text
            and set(column.present) == SPLITS
        ):
            return name
    return None


def column_or_none(table: Table, name: str) -> Column | None:
    """The column, or ``None`` where it holds neither numbers nor texts."""
    try:
        return table.column(name, "dataset.inputs")
    except DatasetError:  # told by what is left out
        return None


def _no_inputs(table: Table, names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Columns that are no inputs -> why, and those of the others that have empty cells."""
    left_out, empty = {}, []
    for name in names:
        column = column_or_none(table, name)
        if reason := why_left_out(name, column):
            left_out[name] = reason
        elif column is not None and column.missing.any():
            empty.append(name)
    return left_out, empty


def why_left_out(name: str, column: Column | None) -> str:
    """Why a column is neither an input nor a task, as far as nobody named it; empty if it may be one.

    :param column: What it holds; ``None`` if neither numbers nor texts.
    """
    if not name:
        return "one without a name"
    if column is None:
        return "neither numbers nor texts"
    if counts_rows(column):
        return "counts the rows"
    different = len(np.unique(column.present.astype(str)))
    if different < 2:
        return "the same in all rows"
    if column.is_text and different > FEW and 2 * different > len(column):
        return "texts that are different in most rows"
    return ""
