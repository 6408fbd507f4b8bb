"""Libraries kept from one process to the next, in a folder that nobody else can write, each checked before it is used.

A library is code: whoever can write it runs what he likes in our place. And one that is cut short ends the process
when it is loaded. So a library has the digest of its bytes in its name, and is taken if it is a file of ours with these
bytes.
"""

import fcntl
import grp
import hashlib
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_search.internal.files import user_cache, write_bytes

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
LOCK = ".native.lock"
"""Beside the folder. Who builds holds it; the others wait."""
DIGEST = 12
"""Bytes of a digest in the name of a library: nobody finds another file with the same of 96 bits."""
WAITING_S = 300
"""Seconds for which another process is waited for: its compiler may take two limits of its time."""


class UnsafeError(Exception):
    """Nothing can be kept; the message says why, as the rest of a sentence."""


def kept(key: str, make: Callable[[], bytes]) -> Path:
    """A library from the cache, made if it is not there as it was written.

    Of several processes one makes it.

    :param key: Digest of what it depends on.
    :raises UnsafeError: If there is no folder for it that is ours alone.
    """
    try:
        folder = _folder()
        found = _find(folder, key)
        if found is not None:
            return found
        with _alone(folder.with_name(LOCK)):
            return _find(folder, key) or _keep(folder, key, make())
    except (OSError, RuntimeError) as error:  # RuntimeError: no home is known
        raise UnsafeError(str(error)) from error


def _folder() -> Path:
    """The folder of the libraries, made if it is not there, and emptied if others could write in it.

    :raises UnsafeError: If it is not ours, or others can put another one in its place.
    """
    folder = user_cache() / "native"
    if not folder.is_absolute():
        raise UnsafeError(f"{folder.parent} is relative to where a command runs")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve(strict=True)
    for above in folder.parents:
        _check_above(above)
    about = folder.stat()
    if about.st_uid != os.geteuid():
        raise UnsafeError(f"{folder} belongs to another user")
    if about.st_mode & OTHERS_WRITE:
        folder.chmod(0o700)
        for inside in folder.iterdir():
            inside.unlink()
    return folder


def _check_above(folder: Path) -> None:
    """Refuse a folder in which others can rename what is ours; in one with the sticky bit, as ``/tmp``, they cannot."""
    about = folder.stat()
    if about.st_uid not in (0, os.geteuid()):
        raise UnsafeError(f"{folder} belongs to another user")
    if _others_write(about) and not about.st_mode & stat.S_ISVTX:
        raise UnsafeError(f"others may write in {folder} (`chmod go-w` it to keep them)")


def _others_write(about: os.stat_result) -> bool:
    """Whether somebody else may write. The group that a user has for himself is nobody else."""
    if about.st_mode & stat.S_IWOTH:
        return True
    return bool(about.st_mode & stat.S_IWGRP) and not _is_own_group(about.st_gid)


def _is_own_group(group: int) -> bool:
    """Whether a group is the first one of this user, named as he is, and has no other members."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # known to no table of this machine
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}


def _find(folder: Path, key: str) -> Path | None:
    return next((path for path in sorted(folder.glob(f"{key}-*.so")) if _is_as_written(path)), None)


def _is_as_written(path: Path) -> bool:
    """Whether it is a regular file that we alone can write, with the bytes that its name tells."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # a link, or taken away
        return False
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        ours = about.st_uid == os.geteuid() and not about.st_mode & OTHERS_WRITE
        return stat.S_ISREG(about.st_mode) and ours and path.stem.endswith(f"-{_digest(file.read())}")


def _keep(folder: Path, key: str, data: bytes) -> Path:
    """Write a library, in the place of what of this key cannot be used, and of what a killed process left."""
    for pattern in (f"{key}-*.so", ".*.tmp"):
        for unusable in folder.glob(pattern):
            unusable.unlink()
    path = folder / f"{key}-{_digest(data)}.so"
    write_bytes(path, data)
    path.chmod(0o600)
    return path


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=DIGEST).hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; go on without it where another process does not let go of it in time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        ends = time.monotonic() + WAITING_S
        while time.monotonic() < ends:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)  # compiling takes seconds
        yield
    finally:
        os.close(descriptor)
