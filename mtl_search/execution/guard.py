"""Ends what a cluster of ours has left, however its command ended: a program of its own, run by :mod:`.ray_cluster`.

Ray's agents and workers notice the death of the command by themselves, some of them only after a minute.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE = 5.0
"""Seconds for processes that are killed to be gone."""
QUIET = 0.5
"""Seconds for which there must be none: one that is just being started does not show yet whose it is."""


def main() -> None:
    """Wait for the end of standard input, which the command holds; then kill the cluster and remove its folder."""
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end = time.monotonic() + PATIENCE
    last = time.monotonic()
    while time.monotonic() < min(end, last + QUIET):
        for process in processes_of(folder):
            _kill(process)
            last = time.monotonic()
        time.sleep(0.05)  # ten looks in the time that must be quiet
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Processes that were started with the token in a folder. Systems without ``/proc`` tell of none."""
    places = Path("/proc").glob("[0-9]*")
    return [int(place.name) for place in places if _has_token(place, folder) or _is_titled_and_there(place, folder)]


def _has_token(place: Path, folder: Path) -> bool:
    mark = f"RAY_AUTH_TOKEN_PATH={folder}/".encode()
    try:
        return any(one.startswith(mark) for one in (place / "environ").read_bytes().split(b"\0"))
    except OSError:  # another user's, or gone
        return False


def _is_titled_and_there(place: Path, folder: Path) -> bool:
    """Whether a process of Ray, whose title stands where the token stood, has a file open in the folder."""
    try:
        titled = (place / "cmdline").read_bytes().startswith(b"ray::")
        return titled and any(os.readlink(one).startswith(f"{folder}/") for one in (place / "fd").iterdir())
    except OSError:  # another user's, or gone, or a file of it is
        return False


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
