"""Whether workers of a cluster of ours can start at all, from the logs of it: Ray itself tries again without a word."""

import re
from pathlib import Path

from mtl_search.worker_deaths import raised

STARTED = re.compile(r"Started worker process with pid (\d+)")
OF_RAY = re.compile(r"\[\d{4}-\d\d-\d\d ")
"""How lines of Ray's own begin, among what workers say before they have files of their own."""
SILENT = 2
"""Workers that end before they begin, without a word, before it is no accident: the system kills one for its memory."""


def failed_start(logs: Path) -> str:
    """Why workers cannot start: what one said last that ended before it began.

    However long one takes, as long as it lives nothing is wrong with it.

    :param logs: Folder with what the programs of a cluster write. A worker that has begun has a file there.
    :returns: Empty where none ended so.
    """
    ended = [number for number in _started(logs) if not _lives(number) and not _has_begun(logs, number)]
    said = [line for line in _lines(logs / "raylet.err") if not OF_RAY.match(line)]
    if ended and said:
        return raised("\n".join(said))
    return "its process ends before it begins, without a word" if len(ended) >= SILENT else ""


def _started(logs: Path) -> list[int]:
    return [int(number) for line in _lines(logs / "raylet.out") for number in STARTED.findall(line)]


def _has_begun(logs: Path, number: int) -> bool:
    return any(logs.glob(f"python-core-worker-*_{number}.log"))


def _lives(number: int) -> bool:
    """Whether a process is there and not only waits for its parent to take note of its end."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _lines(log: Path) -> list[str]:
    if not log.exists():
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines()
