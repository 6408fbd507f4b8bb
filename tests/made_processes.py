"""Searches in processes of their own, to which things are done."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class Driver:
    """A command of ``mtl-search`` in a process group of its own, with all processes that come from it."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self.mark = uuid.uuid4().hex
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves are to outlive a terminal
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mtl_search.launch", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, "MTL_SEARCH_TEST": self.mark, **(environment or {})},
        )

    def wait_for(self, condition: Callable[[], object], seconds: float = 600) -> None:
        """Wait until something holds; fails when the process ends before, or after a time."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)

    def end(self, seconds: float = 600) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it printed."""
        shown, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, shown

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def workers(self) -> list[int]:
        """Its Ray workers that hold a trial."""
        return [pid for pid in self.processes() if command_of(pid).startswith("ray::JobTrainable")]

    def processes(self) -> list[int]:
        """All processes that inherited the mark in their environment, whatever group they are in."""
        folders = [folder for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return [int(folder.name) for folder in folders if self.mark in read(folder / "environ")]

    def wait_until_all_are_gone(self, seconds: float = 60) -> bool:
        """Whether no process is left after a time."""
        end = time.monotonic() + seconds
        while self.processes() and time.monotonic() < end:
            time.sleep(0.2)
        return not self.processes()

    def kill_all(self) -> None:
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def driver(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[Driver]:
    """A command, of which nothing is left afterwards.

    :param folder: Where it runs.
    """
    started = Driver(arguments, environment, folder)
    try:
        yield started
    finally:
        started.kill_all()
        started.process.wait(timeout=30)
        assert started.process.stdout is not None
        started.process.stdout.close()


def run(arguments: Sequence[str], folder: Path | None = None) -> tuple[int, str]:
    """Run a command to its end: the exit status, and what it printed."""
    with driver(arguments, folder=folder) as started:
        return started.end()


def command_of(pid: int) -> str:
    return read(Path(f"/proc/{pid}/cmdline"))


def read(path: Path) -> str:
    """A file of /proc; empty when its process is gone or not ours."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
