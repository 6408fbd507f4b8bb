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
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Processes that were started with the token in a folder; systems without ``/proc`` tell of none."""
    mark = f"RAY_AUTH_TOKEN_PATH={folder}/".encode()
    places = Path("/proc").glob("[0-9]*/environ")
    return [int(place.parent.name) for place in places if any(one.startswith(mark) for one in _environment(place))]


def _environment(place: Path) -> list[bytes]:
    try:
        return place.read_bytes().split(b"\0")
    except OSError:  # another user's, or gone
        return []


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
