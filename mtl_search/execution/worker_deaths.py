"""Why a worker process died, from what Ray tells of it as text."""

import re
from dataclasses import dataclass

from mtl_search.internal.characters import printable

LOW_MEMORY = "running low on memory"
"""Stands in what Ray says when it ended a worker itself."""
MOST = 500
"""Characters of a cause: as of every other reason of a failed trial."""
NOT_STARTED = "error raised in its creation task"
"""Stands in what Ray says when a worker could not make what it is for."""


@dataclass(frozen=True)
class Death:
    """The end of a worker process.

    :param what: What happened to the worker, in a few words.
    :param cause: Why, where that is known.
    :param final: Whether the same would happen again, so that the job is given to no other worker.
    """

    what: str = "the worker process died"
    cause: str = ""
    final: bool = False

    def told(self, times: int) -> str:
        """As the reason of a failed trial, after it happened so many times in a row."""
        repeated = f" {times} times" if times > 1 else ""
        return f"{self.what}{repeated}{f': {self.cause}' if self.cause else ''}"


def death_of(text: str) -> Death:
    """What an error of Ray tells of a worker that is gone."""
    if LOW_MEMORY in text:
        return Death("out of memory", "the machine had little left, and Ray ended the worker", final=True)
    if NOT_STARTED in text:
        return Death("a worker could not start", raised(text))
    return Death()


def raised(text: str) -> str:
    """The exception at the end of the last traceback in a text, as one line; of a text without one its last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    within = [number for number, line in enumerate(lines) if re.match(r"\s+File \"|Traceback \(most recent", line)]
    after = lines[within[-1] + 1 :] if within else lines[-1:]
    indented = next((number for number, line in enumerate(after) if not line.startswith(" ")), 0)
    return printable(" ".join(" ".join(after[indented:]).split())[:MOST])
