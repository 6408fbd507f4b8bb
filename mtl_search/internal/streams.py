"""The standard streams of the command: nobody has to read them, and a terminal may lack letters."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mtl_search.errors import StreamError
from mtl_search.internal.characters import printable

GONE = {errno.EPIPE, errno.EIO, errno.ENXIO}
"""What the system says when nobody reads any more: the end of a pipe, or a terminal that was closed."""


class _StandardError:
    """``descriptor``: of what this process was given, also while others are kept from writing there."""

    descriptor = 2


class _Outlet(io.FileIO):
    """A stream whose reader may leave: what is written then goes nowhere. So does what follows a failure."""

    failed = False

    def write(self, data: object) -> int:
        """:raises StreamError: If what a user asked for cannot be written."""
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        if self.failed:
            return size
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            self.failed = True
            if error.errno in GONE or self.fileno() != 1:
                return size
            raise StreamError(f"standard output cannot be written: {error.strerror}") from error


def open_streams() -> None:
    """Make standard output and error write whatever they are given: letters that they lack are replaced.

    Streams that were closed when the process began lead nowhere, so that no file of ours takes their place.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    sys.stdout = _opened(1, sys.stdout)
    sys.stderr = _opened(2, sys.stderr)


def say_on_terminal(text: str, shown: bool = True) -> None:
    """Write a line to standard error where that is a terminal: what is being done while there is nothing else to show.

    Elsewhere nobody waits, and what is refused is told in one line.

    :param shown: Whether the caller wants such lines at all.
    """
    if shown and sys.stderr.isatty():
        print(printable(text), file=sys.stderr, flush=True)


def say_last(text: str) -> None:
    """Write a line to standard error where the process ends at once, whatever is hidden."""
    with suppress(OSError):  # where nobody reads it
        os.write(_StandardError.descriptor, f"{text}\n".encode(errors="replace"))


@contextmanager
def foreign_output_hidden() -> Iterator[None]:
    """What is written to standard error goes nowhere: from C, too, and by programs that are started meanwhile."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        _StandardError.descriptor = before
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        _StandardError.descriptor = 2
        os.close(before)
        os.close(nowhere)


def _opened(descriptor: int, before: object) -> io.TextIOWrapper:
    """A stream of text over a descriptor, with encoding and buffering of the one before."""
    found = before if isinstance(before, io.TextIOWrapper) else None
    lines = found.line_buffering if found is not None else True
    encoding = found.encoding if found is not None else "utf-8"
    raw = _Outlet(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="replace", line_buffering=lines)
