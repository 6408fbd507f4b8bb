"""SIGINT, SIGTERM and SIGHUP end a command alike: with status 130, and never in the middle of writing its files.

What is asked of the process is one object. A command begins with :func:`end_on_signals`: as long as there is nothing to
clean up, and wherever Python is loading a module, a signal ends it at once. A run is done within
:func:`signals_interrupt`: there the first signal raises KeyboardInterrupt, and those that follow change nothing.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from mtl_search.internal.characters import printable
from mtl_search.internal.streams import say_last

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
INTERRUPTED = 130
"""The exit status."""
TOGETHER = 1.0
"""Seconds within which signals are one: a terminal and a supervisor may both send theirs."""


class _Interruption:
    """What was asked of this process by signals, and what is to come of it.

    ``depth``: blocks under way that a signal waits for. ``runs``: runs within one another. ``requested``: a signal
    came, or a watcher gave up, while a run was under way. ``handled``: whether runs get them. ``advice``: what to say
    at the end. ``cleans_up``: whether KeyboardInterrupt is caught by the command, outside of a run. ``last``: when that
    was raised, by the monotonic clock.
    """

    depth = 0
    runs = 0
    requested = False
    handled = False
    cleans_up = False
    advice = ""
    last = -TOGETHER


def advise(text: str) -> None:
    """Say from now on, when the command is interrupted, how to go on."""
    _Interruption.advice = printable(text)


def interrupted() -> str:
    """What an interrupted command says."""
    return f"interrupted; {_Interruption.advice}" if _Interruption.advice else "interrupted"


def end_on_signals() -> None:
    """From here on a signal ends this process with status 130. A command calls it before it loads anything."""
    for number in _ending():
        signal.signal(number, _end)


@contextmanager
def caught() -> Iterator[None]:
    """Within, a signal that comes while no module is loaded raises KeyboardInterrupt; afterwards signals do nothing."""
    _Interruption.cleans_up = True
    try:
        yield
    finally:
        for number in _ending():
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A signal waits for the end of what is done here: a file half written or a lock half released helps nobody."""
    _Interruption.depth += 1
    try:
        yield
    finally:
        _Interruption.depth -= 1
    _raise_if_requested()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """The first signal raises KeyboardInterrupt. Signals can be handled in the main thread only.

    One that Python swallowed, as it does while objects are destroyed, is raised again after the next block that signals
    wait for, or at the end.
    """
    if not _Interruption.runs:
        _Interruption.requested = False
    before = _handle(_interrupt)
    _Interruption.handled = bool(before)
    _Interruption.runs += 1
    try:
        yield
    finally:
        _Interruption.runs -= 1
        for number, handler in before.items():
            signal.signal(number, handler)
    _raise_if_requested()


@contextmanager
def signals_wait() -> Iterator[None]:
    """Block signals where a library sets its own answers to them; ours are set again at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answers = {number: signal.getsignal(number) for number in ENDING}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        for number, handler in answers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(text: str, status: int) -> NoReturn:
    """End this process at once, from any thread: nothing is cleaned up."""
    say_last(text)
    os._exit(status)


def interrupt_run() -> None:
    """Interrupt the run from another thread, as a signal does; one that is not in the main thread a little later."""
    main = threading.main_thread().ident
    if _Interruption.handled and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _Interruption.requested = True


def _ending() -> list[signal.Signals]:
    """Those that are not ignored on purpose: ``nohup`` has a command outlive its terminal."""
    return [one for one in ENDING if one is not signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN]


def _handle(handler: Callable[..., Any]) -> dict[signal.Signals, Any]:
    """Set a handler for all of them; what it was before. Elsewhere than in the main thread, nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in _ending()}


def _interrupt(number: int, frame: object) -> None:
    first, _Interruption.requested = not _Interruption.requested, True
    if first and not _Interruption.depth:
        raise KeyboardInterrupt


def _raise_if_requested() -> None:
    if _Interruption.requested and not _Interruption.depth:
        raise KeyboardInterrupt


def _end(number: int, frame: Any) -> None:
    if _Interruption.cleans_up and not _loads_a_module(frame):
        before, _Interruption.last = _Interruption.last, time.monotonic()
        if _Interruption.last - before < TOGETHER:
            return
        raise KeyboardInterrupt
    end_with(interrupted(), INTERRUPTED)


def _loads_a_module(frame: Any) -> bool:
    """Whether Python is importing: libraries in C do not expect to be interrupted there."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
