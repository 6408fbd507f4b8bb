"""Predictions as a table and as files of maps."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtl_search.datasets._samples import Samples
from mtl_search.errors import UserError, no_such_folder, shown_path
from mtl_search.exporting.answers import columns_of, maps_of, write_map
from mtl_search.exporting.model import Model
from mtl_search.internal.files import write_text
from mtl_search.runs.rows import csv_line

FLOAT32_DIGITS, FLOAT64_DIGITS = 7, 12
"""Digits that are told of a number: those that probabilities have, and more for values, whose mean may be large."""
FILE = "file"
"""The column with the file of a picture."""

Row = dict[str, Any]
"""Column -> text or number, of one sample."""


def check_out(out: Path, data: Path) -> None:
    """Check where predictions are to be written, before a network is loaded.

    :param out: The file of the table.
    :param data: What is predicted from.
    :raises UserError: If it is no place for a file, would take the place of the data, or there are maps already.
    """
    if not out.parent.is_dir():
        raise UserError(f"{shown_path(out)}: {no_such_folder(out.parent)}")
    if out.is_dir():
        raise UserError(f"{shown_path(out)}: is a folder; `--out` must be a file.")
    if out.exists() and out.samefile(data):
        raise UserError(f"{shown_path(out)}: is the data itself; give another `--out`.")
    if maps_folder(out).exists():
        raise UserError(f"{shown_path(maps_folder(out))}: is there already; remove it, or give another `--out`.")


def maps_folder(out: Path) -> Path:
    """Where the maps are that belong to a table."""
    return out.with_name(f"{out.stem}_maps")


def write_predictions(model: Model, samples: Samples, out: Path) -> list[Row]:
    """Write predictions as CSV, and maps into a folder beside it: all of them, or nothing.

    :param model: The network that predicts.
    :param samples: The samples that it is asked about.
    :param out: The file of the table.
    :returns: The rows of the table.
    :raises UserError: If it cannot be written, or a sample cannot be read.
    """
    writing = out.with_name(f".{out.stem}_maps.{os.getpid()}.tmp")
    try:
        if any(task.dense for task in model.tasks):
            writing.mkdir()
        rows = rows_of(model, samples, writing, maps_folder(out).name)
        if writing.exists():
            writing.rename(maps_folder(out))
        write_text(out, csv_text(rows))
    except OSError as error:
        raise UserError(f"{shown_path(out)}: cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return rows


def rows_of(model: Model, samples: Samples, maps: Path | None = None, shown: str = "") -> list[Row]:
    """A row for each sample: its file, where it is a picture, then the columns of the tasks in their order.

    :param model: The network that predicts.
    :param samples: The samples that it is asked about.
    :param maps: The folder that maps are written into, for tasks that have them.
    :param shown: The folder as the table names it.
    """
    rows: list[Row] = []
    name = _free_name(model)
    for outputs in model.outputs(samples):
        first = len(rows)
        count = len(next(iter(outputs.values())))
        rows += [{name: samples.files[row]} if samples.files else {} for row in range(first, first + count)]
        for task in model.tasks:
            if task.dense:
                assert maps is not None, "it is asked for where a task has maps"
                for row, found in enumerate(maps_of(task, outputs[task.name]), start=first):
                    file = write_map(maps, f"{task.name}-{row:06}", task, found)
                    rows[row][task.name] = f"{shown}/{file.name}"
                continue
            for column, values in columns_of(task, outputs[task.name]).items():
                for row, value in enumerate(values, start=first):
                    rows[row][column] = _plain(value)
    return rows


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a header; no text in it is a formula."""
    return "".join([csv_line(list(rows[0])), *(csv_line(list(row.values())) for row in rows)])


def _free_name(model: Model) -> str:
    """The column of the files: another name where a task has this one."""
    name = FILE
    while name in {task.name for task in model.tasks}:
        name += "_"
    return name


def _plain(value: Any) -> Any:
    """A text or a number of Python, with the digits that are told."""
    if isinstance(value, np.floating):
        return float(f"{value:.{FLOAT32_DIGITS if value.dtype == np.float32 else FLOAT64_DIGITS}g}")
    return value.item() if isinstance(value, np.generic) else value
