"""A folder of this process alone for what it needs while it works; what killed processes left is cleared away."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_search.errors import UserError

NAME = re.compile(r"mtl-[a-z0-9_]{8}")
EXAMPLE = "/mtl-12345678"
"""As long as the name of a folder of ours in another one."""
LOCK = "mtl-search.lock"
"""Locked by the process whose folder it is, as long as that lives: a folder that has it is ours."""
LONGEST = 38
"""Bytes of its path: Ray puts sockets 69 bytes below it, and the system takes paths of up to 107 for them."""
SHORT = ("/tmp", "/var/tmp", "/dev/shm")
"""Where it lies when the user's folder for temporary files has a long path or letters that are not ASCII."""
OLD = 24 * 3600
"""Seconds after which a folder is left over that has no lock: one of a version that made none. One that such a
version still works in would be lost to it after that time."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that nobody else can read, of which nothing is left afterwards.

    :raises UserError: If there is no place for it.
    """
    place = _place()
    clear_left_overs(place)
    folder, lock = _locked_folder(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear_left_overs(place: Path) -> None:
    """Remove folders of ours whose processes are gone."""
    for folder in place.glob("mtl-*"):
        try:
            if NAME.fullmatch(folder.name) and _is_own_folder(folder):
                _remove_if_left(folder)
        except OSError:  # another process that clears away was quicker
            continue


def _place() -> Path:
    try:
        wanted = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(f"there is no folder for temporary files that can be written: {error.strerror}.") from error
    if _is_short(wanted):
        return Path(wanted)
    found = next((Path(place) for place in SHORT if _is_short(place) and os.access(place, os.W_OK | os.X_OK)), None)
    if found is None:
        raise UserError(
            f"the folder for temporary files, {wanted}, must have a path of at most {LONGEST - len(EXAMPLE)} ASCII "
            f"letters for Ray's sockets, and none of {', '.join(SHORT)} can be written: set TMPDIR, or train in this "
            "process with `--workers 0`."
        )
    return found


def _is_short(place: str) -> bool:
    return place.isascii() and len(place + EXAMPLE) <= LONGEST


def _locked_folder(place: Path) -> tuple[Path, int]:
    """A new folder, and its open lock; made anew where another process took it for left over before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix="mtl-", dir=place))
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def _is_own_folder(folder: Path) -> bool:
    return not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid()


def _remove_if_left(folder: Path) -> None:
    if not (folder / LOCK).exists():
        if (folder / "session_latest").is_symlink() and time.time() - folder.stat().st_mtime > OLD:
            shutil.rmtree(folder)
        return
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
