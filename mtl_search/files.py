"""Files that are never seen half written, and a folder that one process has for itself."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from mtl_search.errors import RunFolderError

LOCK = ".lock"


def user_cache() -> Path:
    """Where the package keeps what it can make again: ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtl_search"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, wait until it is on the disk, then rename it into its place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file as :func:`write_bytes` does."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append a whole line and wait until it is on the disk; where it does not fit, the file stays as it was.

    The file must exist.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        before, data = os.fstat(descriptor).st_size, line.encode()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def cut_torn_line(path: Path) -> None:
    """Remove what stands after the last line end of a file: a line that a dying machine wrote half of."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder. The system lets go of it when this process ends, however it ends.

    :raises RunFolderError: If another process works there, the message says which; or if the folder cannot be locked.
    """
    try:
        file = _locked(folder)
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"process": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
    except BlockingIOError as error:
        raise RunFolderError(f"{folder}: another process works in this folder{_holder(folder)}.") from error
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be locked: {error.strerror}.") from error
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        file.close()


def is_worked_in(folder: Path) -> bool:
    """Whether a living process works in a folder."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _locked(folder: Path) -> TextIO:
    """The open lock of a folder, held by this process; opened anew where another process has just removed it."""
    while True:
        file = (folder / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(file, folder / LOCK):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_file(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one that is at a path now."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _holder(folder: Path) -> str:
    """The process that a lock names, as the rest of a sentence; empty where that cannot be read."""
    try:
        held = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return f": process {held['process']} on {held['host']}, since {held['since']}"
