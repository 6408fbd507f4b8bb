"""How Ray starts: what is changed about it meanwhile, and what ends a start that comes to nothing.

Ray waits in vain, for half a minute or for ever, for a program of its own that has ended. Signals it answers below
Python, with a dump of its stack.
"""

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray._private import node, ray_constants, services, utils, worker

from mtl_search.internal.signals import end_with, signals_wait
from mtl_search.internal.streams import foreign_output_hidden

NODE: Any = node.Node
NODE_MODULE: Any = node
SERVICES: Any = services
WORKER: Any = worker
"""What Ray does not show to the outside, without types."""

NEEDED = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)
"""Programs of a cluster that do not end as long as it is there."""
LOOK_SECONDS = 0.1
"""How often it is looked whether Ray's programs still run: far more often than they need to start, some seconds."""
DEAD_SECONDS = 1.0
"""For Ray to notice that its program has ended, in Python; its core ends this process some 2 seconds after it."""


class ProgramEndedError(Exception):
    """A program of Ray ended while Ray waited for it, which takes a RuntimeError for a reason to wait on."""


@contextmanager
def ray_starts(known: list[node.Node], told: Callable[[str], str]) -> Iterator[None]:
    """Within, Ray may be started: our answers to signals stay, and nothing of its own is shown.

    :param known: Takes the nodes that Ray makes, each before its first program.
    :param told: What to say at the end of this process, which is all that is left where Ray's core waits for a program
        that has ended; given the reason.
    :raises ProgramEndedError: If a program of it ends while Ray waits for it in Python.
    """
    with (
        foreign_output_hidden(),
        _answers_kept(),
        _own_groups(),
        _known_nodes(known),
        _waits_end(known),
        _watched(known, told),
    ):
        yield


@contextmanager
def loopback() -> Iterator[None]:
    """A cluster of one machine needs no address that others reach; Ray does so by itself on macOS."""
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _answers_kept() -> Iterator[None]:
    """Our answers to signals stay: Python's, and the ones that Ray's core sets below Python."""
    connect, set_handler = WORKER.connect, utils.set_sigterm_handler

    def connect_without_signals(*arguments: Any, **options: Any) -> None:
        with signals_wait():
            connect(*arguments, **options)

    WORKER.connect, utils.set_sigterm_handler = connect_without_signals, lambda handler: None
    try:
        yield
    finally:
        WORKER.connect, utils.set_sigterm_handler = connect, set_handler


@contextmanager
def _own_groups() -> Iterator[None]:
    """Ray's processes start in groups of their own: a signal to ours, as a terminal sends it, is for us to answer."""
    start = SERVICES.ConsolePopen
    SERVICES.ConsolePopen = functools.partial(start, process_group=0)
    try:
        yield
    finally:
        SERVICES.ConsolePopen = start


@contextmanager
def _known_nodes(known: list[node.Node]) -> Iterator[None]:
    """Take down the nodes that Ray makes meanwhile, each before it starts its first process."""
    initialise = NODE.__init__

    def noted(self: node.Node, *arguments: Any, **options: Any) -> None:
        known.append(self)
        initialise(self, *arguments, **options)

    NODE.__init__ = noted
    try:
        yield
    finally:
        NODE.__init__ = initialise


@contextmanager
def _waits_end(known: list[node.Node]) -> Iterator[None]:
    """Where Ray waits for its programs in Python, and where it does so with all threads standing still."""
    get_node, wait_for_port = SERVICES.get_node, NODE_MODULE.wait_for_persisted_port

    def node_found(*arguments: Any) -> Any:
        _check(known)
        return get_node(*arguments)

    def port_found(*arguments: Any, timeout_ms: int) -> Any:
        end = time.monotonic() + timeout_ms / 1000
        while True:
            _check(known)
            try:
                return wait_for_port(*arguments, timeout_ms=int(LOOK_SECONDS * 1000))
            except RuntimeError:
                if time.monotonic() > end:
                    raise

    SERVICES.get_node, NODE_MODULE.wait_for_persisted_port = node_found, port_found
    try:
        yield
    finally:
        SERVICES.get_node, NODE_MODULE.wait_for_persisted_port = get_node, wait_for_port


@contextmanager
def _watched(known: list[node.Node], told: Callable[[str], str]) -> Iterator[None]:
    """End this process where Ray's core waits in vain."""
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(known, told, over), name="mtl-search-start", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()


def _watch(known: list[node.Node], told: Callable[[str], str], over: threading.Event) -> None:
    died = float("inf")
    while not over.wait(LOOK_SECONDS):
        now = time.monotonic()
        ended = _ended(known)
        died = min(died, now) if ended else died
        if now - died > DEAD_SECONDS:
            end_with(told(ended), 1)


def _check(known: list[node.Node]) -> None:
    ended = _ended(known)
    if ended:
        raise ProgramEndedError(ended)


def _ended(known: list[node.Node]) -> str:
    """Which program of Ray has ended, and how; empty if none has."""
    programs = [
        (name, info.process.poll())
        for one in known
        for name in NEEDED
        for info in getattr(one, "all_processes", {}).get(name, [])  # a node that is being made has none yet
    ]
    return next((_told(name, status) for name, status in programs if status is not None), "")


def _told(name: str, status: int) -> str:
    how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
    return f"its program `{name}` ended {how}"
