"""Archives of arrays (npz): what they hold is checked against their headers before it is read, and never unpickled."""

import lzma
import math
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mtl_search.datasets._tables import LARGEST_LABEL, Column, text_column
from mtl_search.errors import DatasetError, no_such_file, suggestion
from mtl_search.internal.arrays import DAMAGED, Array, FileArray
from mtl_search.internal.memory import available_bytes

ENDING = ".npy"
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version of the format -> what reads the header."""
BROKEN = (OSError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, *DAMAGED)
"""What reading a damaged, encrypted or unknown archive raises."""
LARGEST_LIST = 2**20
"""Bytes that the list at the end of an archive may take: 15,000 arrays, which are listed within a second."""
END, LONGEST_END, LIST_SIZE = b"PK\5\6", 22 + 2**16, 12
"""What the last record of an archive begins with, bytes that it may take, and where it has the size of the list."""
FILE_SHARE = 0.1
"""Of the memory that there is: an array that takes more of it stays in its file, if it may. Trials at the same time
share the memory, and each copies what it trains on."""
ENCRYPTED = 1
"""Bit of a member's flags."""
LENGTHS = 26
"""Where in the header of a member the lengths of its name and its extra field stand, which end the header."""


@dataclass(frozen=True)
class Archive:
    """An ``.npz`` file. A row is a place along the first axis of its arrays.

    :param path: Path of the npz file.
    :param columns: Names of the arrays.
    :param rows: Rows of the inputs, which all other arrays must have, too.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int = 0

    def __len__(self) -> int:
        return self.rows

    def at(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.path}, row {row}"

    def array(self, name: str, key: str) -> NDArray[Any]:
        """An array, in memory.

        :param key: What names it in the experiment, for messages.
        :raises DatasetError: If there is none, it holds Python objects, is empty, has another number of rows, is not
            what its header says, or there is no room for it.
        """
        if name not in self.columns:
            raise DatasetError(f"{self.path}: has no array `{name}` for `{key}`.{suggestion(name, self.columns)}")
        title = self.title(name)
        with zipfile.ZipFile(self.path) as archive, self._reading(title):
            with archive.open(name + ENDING) as file:
                self._check_header(file, archive.getinfo(name + ENDING).file_size, title)
            with archive.open(name + ENDING) as file:
                return npy.read_array(file, allow_pickle=False)

    def rows_of(self, name: str, key: str) -> Array:
        """An array; one that is large for the memory that there is stays in the file, where it is not compressed.

        :param key: What names it in the experiment, for messages.
        :raises DatasetError: As :meth:`array`.
        """
        with zipfile.ZipFile(self.path) as archive, self._reading(self.title(name)):
            if f"{name}{ENDING}" not in archive.namelist():
                return self.array(name, key)
            member = archive.getinfo(name + ENDING)
            stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & ENCRYPTED
            if not stored or member.file_size <= FILE_SHARE * available_bytes():
                return self.array(name, key)
            with archive.open(member) as file:
                self._check_header(file, member.file_size, self.title(name), stays=True)
        return FileArray(self.path, place=(_first_byte(self.path, member), member.file_size))

    def column(self, name: str, key: str) -> Column:
        """An array with one number or text for each row; -1 and NaN are missing."""
        return as_column(self, name, self.array(name, key), missing=-1)

    def title(self, name: str) -> str:
        """File and array, for messages."""
        return f"{self.path}, array `{name}`"

    @contextmanager
    def _reading(self, title: str) -> Iterator[None]:
        try:
            yield
        except DatasetError:
            raise
        except BROKEN as error:
            raise DatasetError(f"{title}: cannot be read: {' '.join(str(error).split()).rstrip('.')}.") from error

    def _check_header(self, file: IO[bytes], stated: int, title: str, stays: bool = False) -> None:
        """Refuse an array before its contents are read.

        :param stated: Bytes that the archive says it holds.
        :param stays: Whether it stays in the file, and so may be larger than memory.
        """
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise DatasetError(f"{title}: must be in the format 1.0 or 2.0 of npy, but got {version[0]}.{version[1]}.")
        shape, _, kind = HEADERS[version](file)
        if kind.hasobject:
            raise DatasetError(f"{title}: must hold numbers or texts, but got Python objects, which are not unpickled.")
        size = math.prod(shape) * kind.itemsize
        if stated != file.tell() + size:
            raise DatasetError(
                f"{title}: must hold the {size:,} bytes that its header says ({kind}, {list(shape)}), but the archive "
                f"states {stated - file.tell():,}."
            )
        room = available_bytes()
        if size > room and not stays:
            found = f"{size:,} bytes ({kind}, {list(shape)})"
            raise DatasetError(
                f"{title}: must fit into memory, but takes {found} of the {room:,} there are. Inputs may be larger if "
                "nothing has to be changed: from `numpy.savez`, which does not compress, float32, or uint8 images, and "
                "channels before height and width."
            )
        if 0 in shape or not shape:
            raise DatasetError(f"{title}: must have rows and hold something, but its shape is {list(shape)}.")
        if self.rows and shape[0] != self.rows:
            raise DatasetError(f"{title}: must have a row for each of the {self.rows} inputs, but has {shape[0]}.")


def _first_byte(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the contents of a member begin: behind its own header, whose length that header says."""
    with path.open("rb") as file:
        file.seek(member.header_offset + LENGTHS)
        lengths = file.read(4)  # two of two bytes
    return member.header_offset + LENGTHS + len(lengths) + sum(struct.unpack("<HH", lengths))


def open_archive(path: Path) -> Archive:
    """The archive at a path; reads the list of its arrays only.

    :raises DatasetError: If there is no such file, or it is no archive of arrays.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: {no_such_file(path)}")
    _check_list(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(ENDING) for name in archive.namelist() if name.endswith(ENDING)]
    except BROKEN as error:
        raise DatasetError(f"{path}: is no npz file that can be read: {error}.") from error
    if not names:
        raise DatasetError(f"{path}: is no npz file: it holds no arrays.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DatasetError(f"{path}: holds the array `{name}` twice.")
    return Archive(path, tuple(names))


def _check_list(path: Path) -> None:
    """Refuse an archive of so many arrays that listing them takes long."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_END))
        _, found, end = file.read().rpartition(END)
    size = int.from_bytes(end[LIST_SIZE - len(END) :][:4], "little") if found else 0
    if size > LARGEST_LIST:
        raise DatasetError(f"{path}: holds too many arrays: their list takes more than {LARGEST_LIST:,} bytes.")


def as_column(archive: Archive, name: str, values: NDArray[Any], missing: float | None) -> Column:
    """An array of one axis as a column.

    :param missing: A number that is missing where it stands; NaN always is.
    :raises DatasetError: If it has more axes, or holds something else than numbers and texts.
    """
    title = archive.title(name)
    if values.ndim != 1:
        raise DatasetError(f"{title}: must have one value for each row, but its shape is {list(values.shape)}.")

    def place(row: int) -> str:
        return f"{archive.at(row)}, array `{name}`"

    if values.dtype.kind == "U":
        return text_column(name, values, title, place)
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{title}: must hold numbers or texts, but got {values.dtype}.")
    if values.dtype.kind in "iu":
        large = np.flatnonzero((values >= LARGEST_LABEL) | (values <= -LARGEST_LABEL))
        if len(large):
            raise DatasetError(f"{place(int(large[0]))}: must be below 2**53 in size, but got {values[large[0]]}.")
    numbers = values.astype(np.float64)
    gone = np.isnan(numbers) if missing is None else np.isnan(numbers) | (numbers == missing)
    return Column(name, np.where(gone, np.nan, numbers), gone, title, place, flags=values.dtype.kind == "b")


def raw_inputs(archive: Archive, name: str) -> Array:
    """The array of inputs as it is in the file, where it may stay.

    :raises DatasetError: If it is neither a table nor images.
    """
    values = archive.rows_of(name, "dataset.inputs")
    if values.ndim not in (2, 3, 4):
        axes = "[samples, features], [samples, height, width] or that with channels"
        raise DatasetError(f"{archive.title(name)}: must be {axes}, but its shape is {list(values.shape)}.")
    return values
