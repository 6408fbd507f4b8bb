"""The library of kernels, built for this processor where it is first needed, and kept in the user's cache.

It takes a C compiler (``$CC``, or ``cc``). Where there is none, or ``MTL_SEARCH_NATIVE=0`` is set, nothing is built,
and torch's own operations are used.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mtl_search.files import user_cache
from mtl_search.native.autograd import can_stand_in

SWITCH = "MTL_SEARCH_NATIVE"
SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC")
WITH_THREADS, WITHOUT_THREADS = ("-fopenmp",), ("-Wno-unknown-pragmas",)
REALS = {torch.float32: "float", torch.float64: "double"}


class BuildError(Exception):
    """The library cannot be built or loaded on this machine; the message says why."""


@dataclass(frozen=True)
class Built:
    """What came of building a library.

    :param library: It, where it can be used.
    :param problem: Otherwise why not.
    """

    library: ctypes.CDLL | None
    problem: str = ""


def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The kernels for tensors of a type; ``None`` where this machine cannot build them, or there are none."""
    return built(REALS[dtype]).library if dtype in REALS else None


def trains(x: Tensor) -> bool:
    """Whether the kernels take a tensor of a training step: on the processor, of a type that they are built for."""
    return can_stand_in(x) and library(x.dtype) is not None


@functools.cache
def built(real: str) -> Built:
    """Build the kernels for a type of C, or take them from the cache."""
    if os.environ.get(SWITCH) == "0":
        return Built(None, f"switched off by {SWITCH}=0")
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        return Built(None, "no C compiler")
    try:
        return Built(_load(compiler, real, WITH_THREADS))
    except BuildError:
        pass  # a compiler that knows no OpenMP, or another one than torch's: on one thread, then
    try:
        return Built(_load(compiler, real, WITHOUT_THREADS))
    except BuildError as error:
        return Built(None, str(error))


def _load(compiler: str, real: str, threads: tuple[str, ...]) -> ctypes.CDLL:
    flags = (*FLAGS, *threads, f"-DREAL={real}")
    place = user_cache() / "native" / f"{_digest(compiler, flags)}.so"
    try:
        if not place.exists():
            _build(compiler, flags, place)
        return ctypes.CDLL(str(place))
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{compiler} failed: {error.stderr.strip()}") from error
    except OSError as error:
        raise BuildError(str(error)) from error


def _build(compiler: str, flags: tuple[str, ...], place: Path) -> None:
    """Under a name of this process first: others may build the same at the same time.

    Nothing is linked with it: torch has loaded the OpenMP that it calls, whose threads are so the ones that torch uses.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    made, linked = (place.with_name(f"{place.stem}.{os.getpid()}{ending}") for ending in (".o", ".so"))
    compiling = [compiler, *flags, "-c", str(SOURCES / "kernels.c"), "-o", str(made)]
    linking = [compiler, "-shared", str(made), "-o", str(linked)]
    try:
        for command in (compiling, linking):
            subprocess.run(command, check=True, capture_output=True, text=True)
        linked.replace(place)
    finally:
        made.unlink(missing_ok=True)
        linked.unlink(missing_ok=True)


def _digest(compiler: str, flags: tuple[str, ...]) -> str:
    """Of all that a library depends on: sources, compiler, flags, the processor and its instructions."""
    digest = hashlib.blake2b(digest_size=12)
    for source in sorted([*SOURCES.glob("*.[ch]")]):
        digest.update(source.read_bytes())
    digest.update("\0".join([compiler, *flags, torch.__version__, platform.machine(), _instructions()]).encode())
    return digest.hexdigest()


def _instructions() -> str:
    """The line of the processor's instructions, as Linux tells it; elsewhere its name."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join(sorted(set(told)))
