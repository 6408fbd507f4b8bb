"""Files that are never seen half written, and a folder that one process has for itself."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from mtl_search.errors import RunFolderError
from mtl_search.internal.characters import printable
from mtl_search.internal.layout import LOCK, RUN, Layout, check_inside

NOT_FOLLOWED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How files of a run's folder are opened to be changed: no link is followed, no pipe waited for."""
PATIENCE = 1.0
"""Seconds to try for a lock: who looks whether a folder is worked in holds it for an instant, too."""
UNLOCKABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What systems say of a file system without locks."""


def user_cache() -> Path:
    """Where the package keeps what it can make again: ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtl_search"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as :func:`write_file` does."""
    write_file(path, lambda file: file.write(data))


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name, wait until it is on the disk, then rename it into its place.

    :param write: Writes the contents into the open file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            write(file)
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
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | NOT_FOLLOWED)
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
def alone_in(folder: Path, layout: Layout = RUN) -> Iterator[None]:
    """Keep other processes from working in a folder. The system lets go of it when this process ends, however it ends.

    :param layout: What must be plain files in it before anything is touched.
    :raises RunFolderError: If another process works there, the message says which; if a file leads out of the folder,
        or it cannot be locked.
    """
    check_inside(folder, layout)
    try:
        file = _locked(folder)
        file.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"process": os.getpid(), "host": socket.gethostname(), "since": since}, file)
        file.flush()
    except BlockingIOError as error:
        raise RunFolderError(f"{folder}: another process works in this folder{_holder(folder)}.") from error
    except OSError as error:
        without = " Put it on a file system that has locks, such as a local disk." if error.errno in UNLOCKABLE else ""
        raise RunFolderError(f"{folder}: cannot be locked: {error.strerror}.{without}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a lock that stays holds nobody up
            if _is_file(file, folder / LOCK):
                (folder / LOCK).unlink()
        file.close()


def is_worked_in(folder: Path) -> bool:
    """Whether a living process works in a folder.

    :raises RunFolderError: If its lock cannot be read.
    """
    try:
        with _opened(folder / LOCK, os.O_RDONLY) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in UNLOCKABLE:  # so that nobody can have locked it
            return False
        raise RunFolderError(f"{folder / LOCK}: cannot be read: {error.strerror}.") from error
    return False


def _locked(folder: Path) -> TextIO:
    """The open lock of a folder, held by this process; opened anew where another process has just removed it."""
    last = time.monotonic() + PATIENCE
    while True:
        file = _opened(folder / LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(file, folder / LOCK):
                return file
        except BlockingIOError:
            file.close()
            if time.monotonic() > last:
                raise
            time.sleep(PATIENCE / 20)  # twenty tries: who only looks has let go after the first
        except BaseException:
            file.close()
            raise
        file.close()


def _opened(path: Path, flags: int) -> TextIO:
    return os.fdopen(os.open(path, flags | NOT_FOLLOWED, 0o666), "r+" if flags & os.O_RDWR else "r", encoding="utf-8")


def _is_file(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one that is at a path now."""
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.lstat())


LOCK_TEXT = 10_000
"""Characters of a lock that are read: ours has about a hundred."""


def _holder(folder: Path) -> str:
    """The process that a lock names, as the rest of a sentence; empty where it does not say."""
    try:
        with _opened(folder / LOCK, os.O_RDONLY) as file:
            held = json.loads(file.read(LOCK_TEXT))
        return printable(f": process {held['process']:d} on {held['host']:.100s}, since {held['since']:.30s}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
