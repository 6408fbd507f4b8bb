"""New samples for a trained network, read as those that it was trained on: tables, arrays, pictures."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset
from mtl_search.datasets._archives import open_archive, raw_inputs
from mtl_search.datasets._array_inputs import channels_are_last, check_numbers, laid_out
from mtl_search.datasets._declared import notation_of
from mtl_search.datasets._input_columns import InputColumn
from mtl_search.datasets._sequences import TOKENS, is_tokens, sequence_inputs
from mtl_search.datasets._tables import Table, read_table
from mtl_search.datasets._tables.frames import is_frame, table_of
from mtl_search.errors import DatasetError, no_such_file
from mtl_search.internal.arrays import Array
from mtl_search.internal.characters import printable

AT_ONCE = 2**22
"""Numbers of inputs that are read and computed on at a time: in float32 they take 16 MB."""
MOST_AT_ONCE = 1024
"""Samples at a time, however small they are."""
ARRAY = "inputs"
"""Name of the array of inputs where the dataset says none."""
FRAME = "the frame"
"""What stands for a file in messages."""


@dataclass(frozen=True)
class Reading:
    """What has to be known of the dataset that a network was trained on, to read others alike. It is plain data.

    :param dataset: Name of the dataset.
    :param options: The options that it was loaded with, besides the defaults.
    :param input_shape: Shape of a sample, see :attr:`~mtl_search.datasets.Dataset.input_shape`.
    :param stored: Type of the numbers of its inputs: ``uint8``, ``uint16`` or ``float32``, of tokens ``int16`` or
        ``int32``.
    :param exact: Whether inputs are to be float64, for float32 makes one of several numbers.
    :param columns: How the columns of a table became features; empty where there is no table.
    """

    dataset: str
    options: Mapping[str, Any]
    input_shape: tuple[int, ...]
    stored: str
    exact: bool
    columns: tuple[InputColumn, ...] = ()

    @property
    def number_type(self) -> type[np.floating[Any]]:
        """Of the inputs that a network reads."""
        return np.float64 if self.exact else np.float32

    @property
    def numbers(self) -> int:
        """How many numbers the input of one sample is made of."""
        return self.input_shape[0] if self.stored in TOKENS else math.prod(self.input_shape)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "options": dict(self.options), "columns": [asdict(one) for one in self.columns]}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Reading":
        """What :meth:`to_dict` gave."""
        columns = (
            InputColumn(**{**one, "categories": None if one["categories"] is None else tuple(one["categories"])})
            for one in told["columns"]
        )
        return cls(**{**told, "input_shape": tuple(told["input_shape"]), "columns": tuple(columns)})


def reading_of(dataset: Dataset) -> Reading:
    """How the inputs of a dataset are read."""
    stored = str(dataset.splits["train"].inputs.dtype)
    columns = tuple(InputColumn(**column) for column in dataset.columns)
    return Reading(dataset.name, dataset.options, dataset.input_shape, stored, dataset.centre is not None, columns)


@dataclass(frozen=True)
class Samples:
    """Samples in the units of the data, in their order.

    :param count: How many samples there are.
    :param read: Reads some of them, from a first one to the one before a last: ``[samples, *input_shape]``.
    :param files: The file of each, as it was named; empty where they are no files.
    :param notes: What is worth telling, each as a sentence.
    :param index: Labels of the rows of a frame of pandas; ``None`` where there is none.
    """

    count: int
    read: Callable[[int, int], NDArray[Any]]
    files: Sequence[str] = ()
    notes: Sequence[str] = ()
    index: Any = None

    def batches(self, numbers: int) -> Iterator[NDArray[Any]]:
        """All samples, a part at a time.

        :param numbers: How many numbers the input of one sample is made of.
        """
        size = max(1, min(MOST_AT_ONCE, AT_ONCE // numbers))
        for start in range(0, self.count, size):
            yield self.read(start, min(start + size, self.count))


def samples_of_table(reading: Reading, data: Any) -> Samples:
    """Rows of a table, with or without the columns of the tasks.

    :param data: The path of a table as the dataset ``table`` reads it, or a frame of pandas.
    :raises DatasetError: If it cannot be read, lacks a column, or a cell cannot be an input; the message names the
        column, with the nearest name, or the file and the row.
    """
    if not reading.columns:
        raise DatasetError(
            f"{_title(data)}: the dataset `{reading.dataset}`, on which the network was trained, is no table: give an "
            f"npz file with its inputs, {list(reading.input_shape)} each."
        )
    table = opened_table(reading, data)
    made, notes = [], []
    for told in reading.columns:
        column = table.column(told.name, "dataset.inputs")
        made.append(told.values(column))
        if told.categories is not None:
            texts = told.texts(column)
            unknown = int(np.count_nonzero((texts != "") & ~np.isin(texts.astype(str), told.categories)))
            if unknown:
                notes.append(
                    f"{told.name}: {unknown:,} of {len(table):,} rows have a category that no training row had, and "
                    "so none of its features"
                )
    values = np.concatenate(made, axis=1).astype(reading.number_type)
    return Samples(len(table), lambda start, end: values[start:end], notes=notes, index=getattr(data, "index", None))


def opened_table(reading: Reading, data: Any) -> Table:
    """A table, with the options of the dataset for how its cells are written.

    :param data: The path of the table, or a frame of pandas.
    """
    told = reading.options
    missing = tuple(told.get("missing", ()))
    notation = notation_of(told.get("separator"), told.get("decimal", "."), told.get("thousands"))
    if isinstance(data, Path):
        return read_table(data, missing, told.get("separator"), notation)
    if not is_frame(data):
        raise DatasetError(f"samples must be a frame of pandas, an array or a path, but got a {type(data).__name__}.")
    return table_of(data, FRAME, missing=missing, notation=notation)


def samples_of_archive(reading: Reading, path: Path) -> Samples:
    """Samples of an npz file, in the array that the dataset named, or ``inputs``.

    :raises DatasetError: If there is no such array, or it holds samples of another shape or no finite numbers.
    """
    archive = open_archive(path)
    named = reading.options.get("inputs") if reading.dataset == "arrays" else None
    name = named or ARRAY
    values = raw_inputs(archive, name)
    return _of_array(reading, values, archive.title(name), lambda row: f"{archive.at(row)}, array `{name}`")


def samples_of_array(reading: Reading, values: NDArray[Any]) -> Samples:
    """Samples of an array of numpy, ``[samples, features]``, or images as the dataset ``arrays`` takes them.

    :raises DatasetError: If they are of another shape or no finite numbers.
    """
    return _of_array(reading, values, "the array", lambda row: f"the array, row {row}")


def _of_array(reading: Reading, values: Array, title: str, place: Callable[[int], str]) -> Samples:
    last = channels_are_last(values, reading.options.get("channels") if reading.dataset == "arrays" else None)
    if len(reading.input_shape) == 2:
        return _of_sequences(reading, values, title, place)
    none = np.empty((0, *values.shape[1:]), values.dtype)
    if values.ndim not in (2, 3, 4) or laid_out(none, last).shape[1:] != reading.input_shape:
        raise DatasetError(
            f"{title}: must be {['samples', *reading.input_shape]} as where the network was trained, but its shape is "
            f"{list(values.shape)}.".replace("'", "")
        )
    check_numbers(values, title, place)

    def read(start: int, end: int) -> NDArray[Any]:
        return laid_out(np.asarray(values[start:end]), last).astype(reading.number_type)

    return Samples(len(values), read)


def _of_sequences(reading: Reading, values: Array, title: str, place: Callable[[int], str]) -> Samples:
    """Sequences, which may be shorter than those that the network was trained on, but not longer."""
    found = sequence_inputs(values, title, place)
    length, channels = reading.input_shape
    tokens, wanted = is_tokens(found), reading.stored in TOKENS
    if tokens != wanted or found.shape[1] > length or (not tokens and found.shape[2] != channels):
        kind = "whole numbers [samples, length]" if wanted else f"numbers [samples, length, {channels}]"
        raise DatasetError(
            f"{title}: must be {kind} of a length of at most {length}, as where the network was trained, but got "
            f"{values.dtype} {list(values.shape)}."
        )
    unknown = found >= channels if tokens else np.zeros((0, 1), np.bool_)
    if unknown.any():
        row, position = map(int, np.argwhere(unknown)[0])
        rule = f"must be a token below {channels}, as where the network was trained, but got {found[row, position]}"
        raise DatasetError(f"{place(row)}, position {position}: {rule}.")
    return Samples(len(found), lambda start, end: found[start:end].astype(np.int64 if tokens else np.float32))


def existing(path: Path) -> Path:
    """A file or a folder of data.

    :raises DatasetError: If there is none.
    """
    if not path.exists():
        raise DatasetError(f"{printable(str(path))}: {no_such_file(path)}")
    return path


def _title(data: Any) -> str:
    return str(data) if isinstance(data, Path) else FRAME
