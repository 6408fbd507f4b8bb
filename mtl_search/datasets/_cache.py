"""A folder of arrays that were decoded once from files of the user, so that they are read from there afterwards.

Every folder is made by one process under a temporary name and renamed when it is whole: another process sees all of it
or nothing, and of two that make the same one the first is kept. A header says what it was made from and what it holds;
where that is not what is wanted or not what is there, the folder is made again.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import FileArray
from mtl_search.internal.files import alone_in, is_worked_in, user_cache, write_json
from mtl_search.internal.layout import LOCK

FORMAT = 2
"""Number of the layout of a folder; another one is made again."""
HEADER = "header.json"
LARGEST_HEADER = 2**20
"""Bytes of a header: it says little of a few arrays, so that a larger file is none."""
MAKING = re.compile(r"\.\w+-[0-9a-f]{16}\..{8}\.tmp(\.damaged\.tmp)?")
"""Names of folders that are being made or were put aside."""
DIGEST, KEY = 16, 8
"""Bytes of a digest of contents, which none other has by accident, and of one that only names a folder: what it was
made from is compared, too."""
ABANDONED_SECONDS = 60
"""Age of a temporary folder that no process works in, after which it is removed."""

Sample = Mapping[str, NDArray[Any]]
"""Name of the array -> what one sample has in it."""


@dataclass(frozen=True)
class Source:
    """What arrays are made from: another source makes other ones.

    :param name: Name of the dataset.
    :param files: All files that are read, each found again by its path, size and time of change.
    :param options: What else decides over their contents.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """As plain data for JSON, the files as one digest."""
        digest = hashlib.blake2b(digest_size=DIGEST)
        for path in self.files:
            found = path.stat()
            digest.update(f"{path.absolute()}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
        files = {"count": len(self.files), "digest": digest.hexdigest()}
        return {"name": self.name, "files": files, "options": dict(self.options)}


def cached(source: Source, folder: str | None, samples: Iterable[Sample]) -> dict[str, FileArray]:
    """The arrays of a source: from the cache, or made of its samples and put there.

    :param folder: Folder of the cache; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    :param samples: Gone through only where they are not in the cache. All have arrays of the same names, shapes, types.
    :raises DatasetError: If the cache cannot be written; or as the samples do, and nothing is written then.
    """
    made_from = json.loads(json.dumps(source.describe()))
    key = hashlib.blake2b(json.dumps(made_from, sort_keys=True).encode(), digest_size=KEY).hexdigest()
    place = cache_folder(folder) / f"{source.name}-{key}"
    if not _is_whole(place, made_from):
        try:
            _make(place, made_from, samples)
        except OSError as error:
            raise DatasetError(
                f"the cache {place.parent} cannot be written ({error.strerror or error}): make room there, or name "
                "another folder by `dataset.cache`."
            ) from error
    return {name: FileArray(place / f"{name}.npy") for name in _header(place)["arrays"]}


def cache_folder(folder: str | None) -> Path:
    """Where caches are: the folder of the option ``cache``, or the user's own."""
    return user_cache() if folder is None else Path(folder).expanduser()


def _is_whole(place: Path, made_from: Mapping[str, Any]) -> bool:
    """Whether a folder holds what its header says, made from this."""
    try:
        header = None if place.is_symlink() else _header(place)
        if header is None or (header["format"], header["made_from"]) != (FORMAT, made_from):
            return False
        if header["digest"] != _digest(header["arrays"]):
            return False
        return all(_describe(place / f"{name}.npy") == told for name, told in header["arrays"].items())
    except (DatasetError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _header(place: Path) -> dict[str, Any]:
    _check_own(place / HEADER)
    with (place / HEADER).open(encoding="utf-8") as file:
        return json.loads(file.read(LARGEST_HEADER))


def _digest(arrays: Mapping[str, Any]) -> str:
    """Of what a header says of all arrays, so that none is left out of it."""
    return hashlib.blake2b(json.dumps(arrays, sort_keys=True).encode(), digest_size=DIGEST).hexdigest()


def _check_own(path: Path) -> None:
    """Refuse what no file of the cache is: a link leads elsewhere, and a pipe would be waited for.

    :raises OSError: If it is something else than a file, or not there.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(f"{path} is no file")


def _describe(path: Path) -> dict[str, Any]:
    """What a header says of an array. Whoever writes into the file changes its time."""
    _check_own(path)
    array = FileArray(path)
    return {"shape": list(array.shape), "type": str(array.dtype), "changed_ns": path.stat().st_mtime_ns}


def _make(place: Path, made_from: Mapping[str, Any], samples: Iterable[Sample]) -> None:
    """Make a folder: under another name, and into its place once it is whole."""
    with _existing(place.parent) as parent:
        _remove_abandoned(parent)
        making = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".tmp", dir=parent))
        try:
            with alone_in(making):
                arrays = _write(making, samples)
                write_json(
                    making / HEADER,
                    {"format": FORMAT, "made_from": made_from, "arrays": arrays, "digest": _digest(arrays)},
                )
                os.utime(making)
            _move(making, place, made_from)
        finally:
            shutil.rmtree(making, ignore_errors=True)


@contextmanager
def _existing(folder: Path) -> Iterator[Path]:
    """A folder, made if it is not there; removed again after an error if it is empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        for path in missing:
            if any(path.iterdir()):
                break
            path.rmdir()
        raise


def _remove_abandoned(parent: Path) -> None:
    """Remove what processes left that died while they made a folder."""
    for left in parent.glob(".*.tmp"):
        ours = MAKING.fullmatch(left.name) and left.is_dir() and not left.is_symlink()
        old = ours and time.time() - left.stat().st_mtime > ABANDONED_SECONDS
        if old and not _has_special_lock(left) and not is_worked_in(left):
            shutil.rmtree(left, ignore_errors=True)


def _has_special_lock(folder: Path) -> bool:
    """Whether what stands for the lock of a folder is no file."""
    return os.path.lexists(folder / LOCK) and not (folder / LOCK).is_file()


def _write(folder: Path, samples: Iterable[Sample]) -> dict[str, dict[str, Any]]:
    """Write samples one after the other into a file for each array; what the header says of these."""
    with ExitStack() as stack:
        writers: dict[str, _Writer] = {}
        for sample in samples:
            for name, values in sample.items():
                if name not in writers:
                    writers[name] = stack.enter_context(_writing(folder / f"{name}.npy", values))
                writers[name].add(values)
    return {name: _describe(folder / f"{name}.npy") for name in writers}


class _Writer:
    """Appends rows to a file in numpy's format, whose header is written at the end: only then their number is known."""

    def __init__(self, file: BinaryIO, row: NDArray[Any]) -> None:
        self.file, self.shape, self.dtype, self.rows = file, row.shape, row.dtype, 0
        self.header()

    def header(self) -> None:
        """Write the header; its length is the same for any number of rows."""
        described = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.rows, *self.shape)}
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(self.file, described)

    def add(self, row: NDArray[Any]) -> None:
        """Append a row."""
        assert (row.shape, row.dtype) == (self.shape, self.dtype), f"{row.dtype} {row.shape} after {self.shape}"
        self.file.write(np.ascontiguousarray(row).data)
        self.rows += 1


@contextmanager
def _writing(path: Path, row: NDArray[Any]) -> Iterator[_Writer]:
    """A file to append rows like this one to; it is on the disk afterwards."""
    with path.open("wb") as file:
        writer = _Writer(file, row)
        yield writer
        writer.header()
        file.flush()
        os.fsync(file.fileno())


def _move(making: Path, place: Path, made_from: Mapping[str, Any]) -> None:
    """Give a folder that is whole its name, unless another process was first; a damaged one makes way."""
    while True:
        try:
            making.rename(place)
        except OSError:
            if not os.path.lexists(place):
                raise
        else:
            return
        if _is_whole(place, made_from):
            return
        damaged = making.with_name(f"{making.name}.damaged.tmp")
        place.rename(damaged)
        _remove(damaged)


def _remove(path: Path) -> None:
    """Remove a folder, or what stood in its place; of a link nothing but the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
