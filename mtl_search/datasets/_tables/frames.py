"""Frames of pandas, and arrays of Python objects, as the columns that a table or an archive holds."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mtl_search.datasets._tables import Notation, Table, check_names
from mtl_search.datasets._tables.cells import PLAIN
from mtl_search.errors import DatasetError

WAY_OUT = "bring all of its values to one type first, as `.astype(str)` or `pandas.to_numeric` do, or leave it out"


def is_frame(data: Any) -> bool:
    """Whether something is a frame of pandas."""
    return isinstance(data, pd.DataFrame)


def is_series(data: Any) -> bool:
    """Whether something is a column, or an index, of pandas."""
    return isinstance(data, pd.Series | pd.Index)


def joined_frames(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of several frames one after the other."""
    return pd.concat(frames.values(), ignore_index=True)


def table_of(
    frame: pd.DataFrame,
    title: str,
    columns: Collection[str] | None = None,
    missing: Sequence[str] = (),
    notation: Notation = PLAIN,
) -> Table:
    """The table of a frame of pandas; its index is left out.

    :param title: What stands for a file in messages.
    :param columns: Names of the columns that are read; all of them if ``None``.
    :param missing: Texts that stand for an empty cell, besides the empty one.
    :param notation: How numbers are written in texts: signs for decimals and thousands.
    :raises DatasetError: If it has no rows, a column holds values of several types, or a name is none.
    """
    path = Path(title)
    try:
        cells = _cells_of(frame, columns)
    except DatasetError as error:
        raise DatasetError(f"{title}: {error}") from error
    check_names(path, cells.column_names)
    if not cells.num_rows:
        raise DatasetError(f"{title}: the frame has no rows.")
    return Table(path, tuple(cells.column_names), (), cells, tuple(missing), notation, None, None)


def _cells_of(frame: pd.DataFrame, columns: Collection[str] | None) -> pa.Table:
    """The cells of a frame, without its index.

    :param columns: Names of those that are read; all of them if ``None``.
    :raises DatasetError: If a name is no text or stands twice, or a column holds values of several types.
    """
    for place, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise DatasetError(
                f"column {place} is named {name!r}: names must be texts, as `frame.columns = "
                "frame.columns.map(str)` makes them."
            )
    if columns is not None:
        frame = frame[[name for name in dict.fromkeys(frame.columns) if name in columns]]
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DatasetError(f"has the column `{twice}` twice: each must have a name of its own.")
    return pa.table({name: _cells(frame[name], f"column `{name}`") for name in frame.columns})


def _cells(values: Any, title: str) -> pa.Array:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DatasetError(f"{title}: holds values of several types ({reason}): {WAY_OUT}.") from error


def frame_of(columns: Mapping[str, NDArray[Any]], index: Any = None) -> pd.DataFrame:
    """A frame of pandas.

    :param columns: Name of each column -> its values, ``[rows]``.
    :param index: Labels of the rows; they are counted from 0 if left out.
    """
    return pd.DataFrame(dict(columns), index=index)


def category_order(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of the type ``category`` -> those of their categories that stand in a row, in the order of the type."""
    found = {}
    for name, kind in frame.dtypes.items():
        if isinstance(kind, pd.CategoricalDtype):
            used = frame[name].cat.remove_unused_categories().cat.categories
            found[str(name)] = [_as_text(value) for value in used.tolist()]
    return found


def _as_text(value: Any) -> str:
    """A category as cells of its column are written."""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def plain(values: Any, title: str) -> NDArray[Any]:
    """Python objects, or a column of pandas, as an array of numbers or texts, with NaN or ``""`` where one is missing.

    :param values: One value for each row.
    :param title: What they are, for messages.
    :raises DatasetError: If they are of several types, or of another one.
    """
    if is_series(values) and isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    cells = _cells(values, title)
    kind = cells.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(cells.fill_null("").to_pylist(), str)
    if pa.types.is_boolean(kind) and not cells.null_count:
        return np.asarray(cells.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_integer(kind) and not cells.null_count:
        return np.asarray(cells.to_numpy())
    if pa.types.is_boolean(kind):
        cells = cells.cast(pa.int8())
    if pa.types.is_null(kind) or pa.types.is_integer(cells.type) or pa.types.is_floating(kind):
        return np.array(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    raise DatasetError(f"{title}: must hold numbers or texts, but holds {kind}: make it a number, or leave it out.")
