"""What a file is, told by how it begins, and its bytes, unpacked where they are compressed."""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mtl_search.errors import DatasetError
from mtl_search.internal.memory import available_bytes

OPENERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
"""How a compressed file begins -> what opens it."""
BROKEN = (OSError, EOFError, RuntimeError, NotImplementedError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)
"""What unpacking a damaged, encrypted or unknown file raises."""
ENDINGS = (".gz", ".gzip", ".bz2", ".xz", ".zip")
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How an archive begins, the second where there is nothing in it."""
FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook or another file of Office: save the sheet as CSV (UTF-8)"),
    (b"(\xb5/\xfd", "compressed with zstd: unpack it"),
    (b"\x89HDF", "an HDF5 file: save the table as Parquet or CSV"),
    (b"\x93NUMPY", "an array of numpy: save it with `numpy.savez` and say `name: arrays`"),
    (b"SQLite format 3", "a database of SQLite: export the table as CSV"),
    (b"ORC", "an ORC file: save the table as Parquet or CSV"),
    (b"\x80\x04", "pickled, which is never read, for it may run code: save the table as Parquet or CSV"),
    (b"\x80\x05", "pickled, which is never read, for it may run code: save the table as Parquet or CSV"),
    (b"%PDF", "a PDF file: save the table as CSV"),
    (b"version https://", "what Git LFS keeps in the place of a file: `git lfs pull` fetches the file itself"),
    *((start, "a page of the web and no table: fetch the file itself") for start in (b"<!", b"<html", b"<HTML")),
    (b"<?xml", "an XML file: save the table as CSV"),
)
"""How other files begin -> what they are, and what to do."""
PACKED = (
    *((start, "compressed twice: unpack it") for start in (*(mark for mark, _ in OPENERS), *ZIP)),
    *((start, "a compressed file of Parquet or Feather: unpack it") for start in (b"PAR1", b"ARROW1", b"FEA1")),
)
"""The same of what was compressed."""
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks -> the encoding."""
SMALL, LARGEST_RATIO = 64 * 2**20, 100
"""Bytes that any compressed file may hold; beyond these no more than so many times its own: tables of text have 3 to
30 times, a bomb of zeros about 1,000 times."""
MEMORY_SHARE = 0.25
"""Of the memory that there is: what is unpacked may take no more, for it is read into columns afterwards."""
CHUNK = 2**20
"""Bytes that are unpacked or looked at in a time: so much more than allowed may be held before a bomb is noticed."""
MAGIC = 16
"""Bytes at the beginning of a file that tell what it is: the longest of the signs above, that of Git LFS, has so
many."""


@dataclass(frozen=True)
class Source:
    """A file of text.

    :param path: Path of the file that is read.
    :param data: Contents of the file in UTF-8 where they are not as in the file; ``None`` to read them from there.
    :param member: Name of the file in an archive that they are from.
    """

    path: Path
    data: bytes | None = None
    member: str = ""

    def opened(self) -> IO[bytes]:
        """The contents in UTF-8, with or without a byte order mark."""
        return self.path.open("rb") if self.data is None else io.BytesIO(self.data)

    @property
    def ending(self) -> str:
        """Of its name, in small letters; of a compressed file that before the one that says so, or of what is in it."""
        endings = [one.lower() for one in Path(self.member or self.path.name).suffixes if one.lower() not in ENDINGS]
        return endings[-1] if endings else ""


def beginning(path: Path) -> bytes:
    """The first bytes of a file, which say what it is.

    :raises DatasetError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAGIC)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}.") from error


def text_source(path: Path) -> Source:
    """The text of a file, unpacked where it is compressed (gz, bz2, xz, zip), in UTF-8 where it is UTF-16 or UTF-32.

    :raises DatasetError: If it is no text, or takes too much memory.
    """
    start, data, member = beginning(path), None, ""
    for mark, opener in OPENERS:
        if start.startswith(mark):
            data = _unpacked(path, opener)
    if start.startswith(ZIP):
        data, member = _of_zip(path)
    if data is not None:
        start = data[:MAGIC]
        _refuse(path, start, (*FOREIGN, *PACKED))
    encoding = next((name for mark, name in MARKS if start.startswith(mark)), None)
    if encoding is not None:
        data = _decoded(path, path.read_bytes() if data is None else data, encoding)
    return Source(path, data, member)


def is_compressed(start: bytes) -> bool:
    """Whether a file that begins so is compressed, or an archive."""
    return start.startswith((*(mark for mark, _ in OPENERS), *ZIP))


def refuse_foreign(path: Path) -> None:
    """:raises DatasetError: If a file begins as what is no table; the message says what it is and what to do."""
    _refuse(path, beginning(path), FOREIGN)


def _refuse(path: Path, start: bytes, kinds: Sequence[tuple[bytes, str]]) -> None:
    for mark, what in kinds:
        if start.startswith(mark):
            raise DatasetError(f"{path}: is {what}.")


def _decoded(path: Path, data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        raise DatasetError(f"{path}: begins as {encoding.upper()} and is not: {error.reason}.") from error  # type: ignore[attr-defined]


def _unpacked(path: Path, opener: Callable[..., Any]) -> bytes:
    """The contents of a compressed file, refused while they are read if they grow too large."""
    try:
        with path.open("rb") as packed, opener(packed) as file:
            return _read(path, file, packed.tell)
    except BROKEN as error:
        raise DatasetError(f"{path}: is compressed and cannot be unpacked: {_sentence(error)}.") from error


def _of_zip(path: Path) -> tuple[bytes, str]:
    """The one file in an archive, and its name; what systems put beside it is none.

    :raises DatasetError: If it holds several, or what is no table.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                one
                for one in archive.infolist()
                if not one.is_dir() and not one.filename.startswith("__MACOSX/") and not _is_hidden(one.filename)
            ]
            names = [one.filename for one in members]
            if any(name.startswith("xl/") or name == "content.xml" for name in names):
                raise DatasetError(f"{path}: is a workbook (Excel or OpenDocument): save the sheet as CSV (UTF-8).")
            if names and all(name.endswith(".npy") for name in names):
                raise DatasetError(f"{path}: is an npz file of arrays: say `name: arrays`.")
            if len(members) != 1:
                raise DatasetError(f"{path}: must hold one file, but it is an archive of {len(members)}: unpack it.")
            with archive.open(members[0]) as file:
                return _read(path, file, lambda: members[0].compress_size), members[0].filename
    except BROKEN as error:
        raise DatasetError(f"{path}: is an archive that cannot be unpacked: {_sentence(error)}.") from error


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".")


def _read(path: Path, file: IO[bytes], taken: Callable[[], int]) -> bytes:
    """:param taken: Says how many compressed bytes were read so far."""
    parts, size, room = [], 0, MEMORY_SHARE * available_bytes()
    while part := file.read(CHUNK):
        parts.append(part)
        size += len(part)
        if size > SMALL and size > LARGEST_RATIO * taken():
            raise DatasetError(
                f"{path}: holds more than {LARGEST_RATIO} times its own size: if that is meant, unpack it."
            )
        if size > room:
            raise DatasetError(f"{path}: holds more than the {room:,.0f} bytes that may be unpacked here: unpack it.")
    return b"".join(parts)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
