"""The C compiler of this machine: found, asked who it is, and run with a limit to its time and to what it says."""

import contextlib
import os
import platform
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMPILING_S = 120
"""Seconds for one step. Compiling takes 5 seconds on a processor of 2020 that has nothing else to do."""
ANSWERING_S = 10
"""Seconds for telling the version, which takes some hundredths; a wrapper may have to wake up."""
TOLD = 600
"""Characters kept of what a compiler says; the first ones, for the first error is the one that counts."""


class BuildError(Exception):
    """The library cannot be built or loaded on this machine; the message says why."""


class TooSlowError(BuildError):
    """A compiler did not end in time: it is not tried a second time."""


@dataclass(frozen=True)
class Compiler:
    """A compiler.

    :param command: How it is called: a program, and arguments that it always gets.
    :param identity: What its libraries depend on besides sources and flags: its version, and the C library.
    """

    command: tuple[str, ...]
    identity: str

    def library(self, source: Path, flags: Sequence[str]) -> bytes:
        """Compile a file into a shared library.

        Nothing is linked with it: torch has loaded the OpenMP that it calls, whose threads are so the ones that torch
        uses.

        :raises BuildError: If the compiler fails, or takes too long.
        """
        with tempfile.TemporaryDirectory(prefix="mtl_search-kernels-") as folder:
            made, linked = Path(folder, "kernels.o"), Path(folder, "kernels.so")
            for arguments in ([*flags, "-c", source, "-o", made], ["-shared", made, "-o", linked]):
                status, told = _run([*self.command, *map(str, arguments)], COMPILING_S)
                if status != 0:
                    told = told.replace(f"{folder}/", "")  # the same reason every time: a run notes it
                    raise BuildError(f"{shlex.join(self.command)} failed: {told or f'status {status}, without a word'}")
            if not linked.is_file():
                raise BuildError(f"{shlex.join(self.command)} failed: it wrote no library")
            return linked.read_bytes()


def find_compiler() -> Compiler:
    """The compiler that ``$CC`` names, with arguments or without (``ccache gcc``, ``gcc -m64``); ``cc`` if it is unset.

    :raises BuildError: If there is none, or it does not tell its version in time.
    """
    given = os.environ.get("CC", "").strip() or "cc"
    command = _command(given)
    program = shutil.which(command[0])
    if program is None:
        named = f": there is no `{command[0]}`, which $CC names" if os.environ.get("CC") else ""
        raise BuildError(f"no C compiler{named}")
    command = (program, *command[1:])
    _, version = _run([*command, "--version"], ANSWERING_S)
    return Compiler(command, "\n".join([version, *platform.libc_ver()]))


def _command(given: str) -> tuple[str, ...]:
    """The words of a command line; a path that exists as it stands is one, whatever spaces it has."""
    if shutil.which(given):
        return (given,)
    try:
        return tuple(shlex.split(given))
    except ValueError as error:
        raise BuildError(f"no C compiler: $CC is {given!r}, which cannot be read: {error}") from error


def _run(command: Sequence[str], limit_s: float) -> tuple[int, str]:
    """Run a program: its status, and the beginning of what it says.

    It gets a process group of its own, so that what it has started ends with it.

    :raises BuildError: If it cannot be started, or does not end in time.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        raise BuildError(f"{command[0]} cannot be started: {error.strerror}") from error
    ends = time.monotonic() + limit_s
    try:
        told = _listened(process, ends)
        return process.wait(max(0.0, ends - time.monotonic())), told
    except subprocess.TimeoutExpired as error:
        raise TooSlowError(f"{shlex.join(command[:2])} did not end within {limit_s} seconds") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listened(process: subprocess.Popen[bytes], ends: float) -> str:
    """The beginning of what a process says, until it says no more or its time is over; the rest is thrown away."""
    assert process.stdout is not None
    told = b""
    with process.stdout as stream:
        while select.select([stream], [], [], max(0.0, ends - time.monotonic()))[0]:
            part = os.read(stream.fileno(), 2**16)  # what a pipe holds
            if not part or time.monotonic() > ends:
                break
            told += part[: 4 * TOLD - len(told)]  # a character has up to 4 bytes
    return told.decode(errors="replace").strip()[:TOLD]
