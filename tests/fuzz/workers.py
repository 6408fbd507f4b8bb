"""Draws mutations by their numbers, and tries them in forked processes, so that the death of one is caught.

A mutation is known by a seed and a number: the same two make the same one.
"""

import json
import os
import select
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import mutations
from guard import CANARY, Guard
from targets import TARGETS, Target
from watch import PROCESS_S, Failure, watched

CANARY_TEXT = """\
import os


class Canary:
    method = property(lambda self: os.system("true"))


def called(*arguments, **options):
    os.system("true")
"""
HANGS_S = 1.5 * PROCESS_S
"""Seconds after which a worker that says nothing is ended: its own limits did not reach it."""


@dataclass(frozen=True)
class Mutation:
    """One changed input.

    :param seed: Of the whole run.
    :param index: Its number.
    """

    seed: int
    index: int

    @property
    def random(self) -> Random:
        """All that is drawn for it."""
        return Random(f"{self.seed}:{self.index}")


@dataclass(frozen=True)
class Result:
    """What came of a mutation.

    :param target: What was called.
    :param change: What was changed, in words.
    :param failure: What broke a rule, if anything did.
    :param seconds: How long it took, by the clock.
    """

    seed: int
    index: int
    target: str
    change: str
    failure: Failure | None
    seconds: float


def write_seeds(folder: Path) -> None:
    """The valid inputs of all targets, a folder for each that is written by its own function.

    Each target is called with a copy of its own, which must be taken; and what it imports is there before processes
    fork.
    """
    for target in TARGETS:
        place, copy = folder / target.write.__name__, folder / "tried" / "input"
        if not place.exists():
            place.mkdir(parents=True)
            target.write(place)
        if target.guarded and target.valid:
            shutil.copytree(place, copy)
            target.call(copy)
            shutil.rmtree(copy)


def drawn(mutation: Mutation) -> tuple[Target, Random]:
    """The target of a mutation, and what the rest of it is drawn from."""
    random = mutation.random
    (target,) = random.choices(TARGETS, [target.weight for target in TARGETS])
    return target, random


def make(mutation: Mutation, seeds: Path, folder: Path) -> str:
    """Write the changed input into a new folder, and say what was changed."""
    target, random = drawn(mutation)
    shutil.copytree(seeds / target.write.__name__, folder)
    files = sorted({path for pattern in target.changed for path in folder.glob(pattern) if path.is_file()})
    (folder / f"{CANARY}.py").write_text(CANARY_TEXT)
    change = mutations.change_folder if random.random() < target.folders else mutations.change_file
    return change(folder, files, random)


def tried(mutation: Mutation, seeds: Path, scratch: Path, guard: Guard, kept: Path) -> Result:
    """Make a mutation, call its target with it, and keep the input if that broke a rule."""
    target, _ = drawn(mutation)
    folder, started = scratch / "input", time.monotonic()
    os.chdir(seeds)
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "home").mkdir(parents=True)
    change = make(mutation, seeds, folder)
    copy = kept / f"{mutation.seed}-{mutation.index}"
    shutil.copytree(folder, copy, symlinks=True, copy_function=_copied)
    failure = call(target, folder, guard)
    if failure is None:
        shutil.rmtree(copy)
    return Result(mutation.seed, mutation.index, target.name, change, failure, time.monotonic() - started)


def call(target: Target, folder: Path, guard: Guard) -> Failure | None:
    """Call a target with a folder, in which this process then is, and beside which it has its home."""
    home = str(folder.parent / "home")
    os.environ.update(HOME=home, XDG_CACHE_HOME=home, TMPDIR=home, MTL_SEARCH_NATIVE="0")
    tempfile.tempdir = home
    os.chdir(folder)
    guard.folder, guard.foreign = os.path.realpath(folder.parent) if target.guarded else "", target.foreign
    try:
        return watched(lambda: target.call(folder), guard)
    finally:
        sys.modules.pop(CANARY, None)


def _copied(source: str, place: str) -> None:
    """Copy a file, or make another pipe."""
    if stat.S_ISFIFO(os.lstat(source).st_mode):
        os.mkfifo(place)
    else:
        shutil.copy2(source, place)


def try_all(seed: int, numbers: Sequence[int], seeds: Path, scratch: Path, kept: Path) -> Generator[Result, None, None]:
    """Try mutations one after the other in a forked process, and in another one where that dies or hangs."""
    while numbers:
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reader)
            _work(seed, numbers, seeds, scratch, kept, writer)
        os.close(writer)
        try:
            with open(reader, "rb") as results:
                for result in _heard(results.fileno()):
                    numbers = numbers[1:]
                    yield result
        finally:  # it hangs, or no more is asked for; one that has ended keeps its status
            os.kill(process, signal.SIGKILL)
            status = os.waitpid(process, 0)[1]
        if numbers:
            yield _dead(Mutation(seed, numbers[0]), status)
            numbers = numbers[1:]


def _work(seed: int, numbers: Sequence[int], seeds: Path, scratch: Path, kept: Path, writer: int) -> None:
    """What a forked process does: it never returns."""
    guard = Guard()
    sys.dont_write_bytecode = True
    try:
        for number in numbers:
            result = asdict(tried(Mutation(seed, number), seeds, scratch, guard, kept))
            os.write(writer, json.dumps(result).encode() + b"\n")
    except BaseException:
        traceback.print_exc()
        os._exit(3)
    os._exit(0)


def _heard(results: int) -> Iterator[Result]:
    """What a worker tells, until it ends or hangs."""
    told = b""
    while select.select([results], [], [], HANGS_S)[0]:
        part = os.read(results, 2**16)
        if not part:
            return
        *lines, told = (told + part).split(b"\n")
        for line in lines:
            data = json.loads(line)
            failure = Failure(**data.pop("failure")) if data["failure"] else data.pop("failure")
            yield Result(**data, failure=failure)


def _dead(mutation: Mutation, status: int) -> Result:
    """A mutation under which its process died."""
    code = os.waitstatus_to_exitcode(status)
    how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    failure = Failure("death", "", f"the process {how}")
    return Result(mutation.seed, mutation.index, drawn(mutation)[0].name, "", failure, 0.0)
