"""SIGINT and SIGTERM end a run alike, but never in the middle of writing its files."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Held:
    """A signal that came while it had to wait."""

    depth = 0
    signalled = False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A signal waits for the end of what is done here: a file half written or a lock half released helps nobody."""
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
    if _Held.signalled and not _Held.depth:
        _Held.signalled = False
        raise KeyboardInterrupt


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does. Signals can be handled in the main thread only."""

    def interrupt(number: int, frame: object) -> None:
        if _Held.depth:
            _Held.signalled = True
        else:
            raise KeyboardInterrupt

    _Held.signalled = False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
