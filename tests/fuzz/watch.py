"""Calls something, and says what broke the rules: an exception, an unreadable message, time, memory, an escape."""

import io
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from unicodedata import category

from guard import Guard

import mtl_search
from mtl_search.errors import MTLSearchError

CPU_S = 5
"""Seconds of the processor that a call may take. The clock would say more of what else the machine does."""
WALL_S = 30
"""Seconds by the clock: who waits for something that does not come takes no time of the processor."""
PROCESS_S = 100
"""The same for what starts a process, which first loads torch: on a machine that is busy, for half a minute."""
MEMORY = 2**30
"""Bytes that a call may take beyond what the process had."""
ADDRESSES = 4 * 2**30
"""Bytes of addresses that a call may ask for; what reserves them need not use them."""
MESSAGE = 2_000
"""Characters of a message."""
LINES = 12
"""Lines of a message: one, and a list."""
UNSEEN, TURNING = {"Cc", "Cs", "Zl", "Zp"}, set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What may not be shown: control characters, surrogates, other ends of lines; and what turns the way of a text."""
ALLOWED_STATUS = (None, 0, 1, 2)
PACKAGE = str(Path(mtl_search.__file__).parent)


@dataclass(frozen=True)
class Failure:
    """What broke a rule.

    :param kind: The type of the exception, or the rule.
    :param place: The innermost line of the package.
    :param message: More about it.
    """

    kind: str
    place: str
    message: str


class TooSlow(BaseException):
    """A call takes too long. No ``except Exception`` stops it."""


class Refused(Exception):
    """A command line has ended with a message.

    :param status: How it ended.
    """

    def __init__(self, status: object, message: str) -> None:
        super().__init__(message)
        self.status = status


def watched(call: Callable[[], str], guard: Guard) -> Failure | None:
    """Call something, and say what broke the rules, if anything did.

    :param call: Returns what it shows to a user; raises an error of the package, or :class:`Refused`.
    :param guard: What is on while it is called.
    """
    before = _memory_now()
    with warnings.catch_warnings(record=True) as heard, _limits(WALL_S if guard.folder else PROCESS_S):
        warnings.simplefilter("always", RuntimeWarning)
        warnings.simplefilter("always", UserWarning)
        try:
            with guard:
                text = call()
            failure = _wrong_text(text, "what is shown", most=None)
        except Refused as refused:
            failure = _wrong_refusal(refused)
        except MTLSearchError as error:
            failure = _wrong_text(str(error), "a message", most=MESSAGE, error=error)
        except BaseException as error:
            failure = Failure(type(error).__name__, _place(error), str(error)[:300])
    if guard.escapes:
        return Failure("escaped", failure.place if failure else "", guard.escapes[0])
    if failure is None and heard:
        failure = Failure(heard[0].category.__name__, "on standard error", str(heard[0].message)[:300])
    used = _most_memory() - before
    if failure is None and used > MEMORY:
        failure = Failure("memory", "", f"{used / 2**20:,.0f} MB more than before")
    return failure


def start_clock() -> None:
    """Count the time of the processor anew, where it is counted: for the next of several commands."""
    if signal.getitimer(signal.ITIMER_PROF)[0]:
        signal.setitimer(signal.ITIMER_PROF, CPU_S)


def command(*arguments: object) -> str:
    """Run a command line in this process, the way that a user's goes.

    :returns: What it shows.
    :raises Refused: If it ends with another status than 0.
    """
    from mtl_search.cli.commands import main

    shown, told, before = io.StringIO(), io.StringIO(), (list(sys.path), sys.argv)
    sys.argv = ["mtl-search", *map(str, arguments)]
    status: object = None
    try:
        with redirect_stdout(shown), redirect_stderr(told):
            main()
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.path[:], sys.argv = before
    if status not in (None, 0):
        raise Refused(status, told.getvalue())
    return shown.getvalue() + told.getvalue()


def _wrong_refusal(refused: Refused) -> Failure | None:
    if refused.status not in ALLOWED_STATUS:
        return Failure("status", "", f"{refused.status}: {str(refused)[:300]}")
    error: BaseException | None = refused
    while error is not None and not isinstance(error, MTLSearchError):
        error = error.__context__
    return _wrong_text(str(refused), "a message", most=MESSAGE, error=error)


def _wrong_text(text: str, what: str, most: int | None, error: BaseException | None = None) -> Failure | None:
    place = _place(error) if error else ""
    odd = next((one for one in text if one != "\n" and (category(one) in UNSEEN or one in TURNING)), None)
    if odd is not None:
        return Failure("unprintable", place, f"{what} holds {odd!r}: {text[:300]!r}")
    if most is not None and not text.strip():
        return Failure("no message", place, what)
    if most is not None and (len(text) > most or text.strip().count("\n") >= LINES):
        return Failure("long message", place, f"{len(text):,} characters: {text[:200]}")
    return None


def _place(error: BaseException) -> str:
    """The innermost line of the package that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    if not ours:
        return ""
    return f"{os.path.relpath(ours[-1].filename, PACKAGE)}:{ours[-1].lineno} {ours[-1].name}"


@contextmanager
def _limits(wall_s: float) -> Iterator[None]:
    """Limits of time and memory for what is called inside."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise TooSlow("5 seconds of the processor" if number == signal.SIGPROF else f"{wall_s:g} seconds of waiting")

    _forget_most_memory()
    most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + ADDRESSES, most[1]))
    signal.signal(signal.SIGPROF, ended)
    signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, most)


def _status(name: str) -> int:
    """A number of bytes that Linux tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _memory_now() -> int:
    return _status("VmRSS")


def _most_memory() -> int:
    return _status("VmHWM")


def _forget_most_memory() -> None:
    Path("/proc/self/clear_refs").write_text("5")
