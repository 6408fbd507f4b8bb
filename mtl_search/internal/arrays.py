"""Arrays, also such as are larger than memory: of those in a file only what is asked for is read."""

import copy
import math
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mtl_search.errors import DatasetError

AT_ONCE = 2**22
"""Numbers that are gone through at a time: in float64 they take 32 MB."""
DAMAGED = (ValueError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, RecursionError, MemoryError)
"""What numpy raises for the header of an array that was damaged: it is read as a line of Python's."""
IN_CACHE = 2**18
"""Numbers that are computed on at a time, where the memory that holds them is used several times over."""


class FileArray:
    """Some rows of an array in a file in numpy's format, in any order. What is asked for is read, nothing is kept.

    Parts of it, by slice or by row numbers, are made without reading: ``numpy.asarray`` does that. Rows are read, and
    not mapped: a mapped file counts as memory of the process (``ulimit -v``), whatever is used of it. An array is
    pickled as its path and its row numbers, so that the file must be there wherever it is used.

    :param path: Path of the file; the array is in C order.
    :param rows: Numbers of the rows in the file; all if left out.
    :param place: First byte of the array, header included, and number of its bytes; those of the whole file, a ``.npy``
        one, if left out. In an ``.npz`` file that is not compressed arrays lie as they are.
    :raises DatasetError: If the file cannot be read, or is no such file.
    """

    def __init__(
        self, path: Path, rows: "range | NDArray[np.int64] | None" = None, place: tuple[int, int] | None = None
    ) -> None:
        self.path = path.absolute()
        count, self.row_shape, self.dtype, self.start = _header(self.path, place)
        self.rows = range(count) if rows is None else rows

    def shaped(self, row_shape: tuple[int, ...]) -> "FileArray":
        """The same numbers with rows of another shape, not read yet."""
        assert np.prod(row_shape, dtype=np.int64) == np.prod(self.row_shape, dtype=np.int64)
        same = copy.copy(self)
        same.row_shape = row_shape
        return same

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, ...)``"""
        return (len(self.rows), *self.row_shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of numbers."""
        return len(self.rows) * int(np.prod(self.row_shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: "slice | NDArray[np.integer[Any]]") -> "FileArray":
        """Those rows, not read yet."""
        part = copy.copy(self)
        part.rows = self.rows[rows] if isinstance(rows, slice) else self._numbers[rows]
        return part

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read it.

        :raises DatasetError: If the file cannot be read.
        """
        found = np.empty(self.shape, self.dtype)
        memory = found.reshape(-1).view(np.uint8).data
        width = self.nbytes // max(1, len(self))
        try:
            with self.path.open("rb", buffering=0) as file:
                for row, place, count in self._runs():
                    _fill(memory[place * width : (place + count) * width], file.fileno(), self.start + row * width)
        except (OSError, EOFError) as error:
            raise DatasetError(f"{self.path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        return found if dtype is None else found.astype(dtype, copy=False)

    @property
    def _numbers(self) -> NDArray[np.int64]:
        rows = self.rows
        return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """Rows that follow each other in the file: number of the first one, its place here, and how many they are."""
        rows = self._numbers
        places = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        return ((int(rows[place]), place, end - place) for place, end in pairwise(places) if end > place)


Array = NDArray[Any] | FileArray
"""Rows in memory or in a file. Both have ``shape``, ``dtype``, ``size``, ``nbytes``; slices are of the same sort."""


def parts(array: Array, at_once: int = AT_ONCE) -> Iterator[tuple[int, NDArray[Any]]]:
    """An array some rows at a time, in memory, each part with the number of its first row; one part if there are none.

    :param at_once: Numbers in a part, unless a single row has more.
    """
    size = max(1, at_once * len(array) // max(1, array.size))
    return ((start, np.asarray(array[start : start + size])) for start in range(0, max(1, len(array)), size))


def moments(array: Array) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Of the numbers of every column those that are not NaN: how many they are, their mean and standard deviation.

    Summed in float64, part by part (Chan, Golub & LeVeque, 1979). Where there are none the last two are 0.

    :param array: ``[rows]``, ``[rows, columns]`` or ``[rows, columns, ...]``
    """
    columns = 1 if array.ndim == 1 else array.shape[1]
    count, mean, squares = np.zeros(columns, np.int64), np.zeros(columns), np.zeros(columns)
    for _, part in parts(array, IN_CACHE):
        values = part.reshape(len(part), columns, -1).astype(np.float64)
        missing = np.isnan(values)
        more = len(part) * values.shape[2] - np.count_nonzero(missing, axis=(0, 2))
        both = np.maximum(1, count + more)
        values[missing] = 0
        of_part = values.sum(axis=(0, 2)) / np.maximum(1, more)
        values -= of_part[:, None]
        values[missing] = 0
        apart = of_part - mean
        squares += np.einsum("rcs,rcs->c", values, values) + apart**2 * count * more / both
        mean += apart * more / both
        count += more
    return count, mean, np.sqrt(squares / np.maximum(1, count))


def joined(arrays: Sequence[Array]) -> Array:
    """The rows of several arrays one after the other; of arrays in one file without reading them."""
    of_files = [array for array in arrays if isinstance(array, FileArray)]
    if len(of_files) < len(arrays) or len({(array.path, array.start) for array in of_files}) > 1:
        return np.concatenate([np.asarray(array) for array in arrays])
    whole = of_files[0][:]
    whole.rows = _compact(np.concatenate([array._numbers for array in of_files]))
    return whole


def held_bytes(array: Array) -> int:
    """What an array takes in memory: of one in a file its row numbers, where these are no range."""
    if isinstance(array, FileArray):
        return 0 if isinstance(array.rows, range) else array.rows.nbytes
    return array.nbytes


def _compact(rows: NDArray[np.int64]) -> "range | NDArray[np.int64]":
    """The same rows, as a range where one follows the other."""
    follow = len(rows) > 0 and bool((np.diff(rows) == 1).all())
    return range(int(rows[0]), int(rows[-1]) + 1) if follow else rows


def _header(path: Path, place: tuple[int, int] | None) -> tuple[int, tuple[int, ...], np.dtype[Any], int]:
    """Number of rows, shape of a row, type, and where in the file the first row begins."""
    try:
        with path.open("rb") as file:
            first, length = place or (0, os.fstat(file.fileno()).st_size)
            file.seek(first)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            start, end = file.tell(), first + length
    except (OSError, *DAMAGED) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read as an array of numpy: {reason}.") from error
    if not shape or fortran or dtype.hasobject:
        raise DatasetError(f"{path}: must hold rows of numbers in C order, but got {dtype} of shape {shape}.")
    expected = math.prod(shape) * dtype.itemsize
    if end - start != expected:
        raise DatasetError(f"{path}: must hold {expected:,} bytes of data by its header, but got {end - start:,}.")
    return shape[0], shape[1:], dtype, start


def _fill(memory: memoryview, file: int, start: int) -> None:
    """Read from a place in a file until the memory is full."""
    while memory:
        if not (count := os.preadv(file, [memory], start)):
            raise EOFError("it ends before the last row")
        memory, start = memory[count:], start + count
