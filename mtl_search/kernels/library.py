"""The library of kernels, built for this processor where it is first needed, and kept in the user's cache.

It takes a C compiler (``$CC``, or ``cc``). Where there is none, or ``MTL_SEARCH_NATIVE=0`` is set, nothing is built,
and torch's own operations are used. Where the cache cannot be ours alone, every process builds its own.
"""

import ctypes
import functools
import hashlib
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mtl_search.kernels.autograd import can_stand_in
from mtl_search.kernels.cache import DIGEST, UnsafeError, kept
from mtl_search.kernels.compiler import BuildError, Compiler, TooSlowError, find_compiler

SWITCH = "MTL_SEARCH_NATIVE"
SOURCES = Path(__file__).parent
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC")
WITH_THREADS, WITHOUT_THREADS = ("-fopenmp",), ("-Wno-unknown-pragmas",)
REALS = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Built:
    """What came of building a library.

    :param library: The loaded library, where it can be used.
    :param problem: Why there is no library to use; empty where there is one.
    :param not_kept: Why the library was not kept in the cache, so that each process builds it; empty where it was kept.
    """

    library: ctypes.CDLL | None
    problem: str = ""
    not_kept: str = ""


def library(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The kernels for tensors of a type; ``None`` where this machine cannot build them, or there are none."""
    return built(REALS[dtype]).library if dtype in REALS else None


def trains(x: Tensor) -> bool:
    """Whether the kernels take a tensor of a training step: on the processor, of a type of theirs."""
    return can_stand_in(x) and x.numel() > 0 and library(x.dtype) is not None


@functools.cache
def built(real: str) -> Built:
    """Build the kernels for a type of C, or take them from the cache."""
    if os.environ.get(SWITCH) == "0":
        return Built(None, f"switched off by {SWITCH}=0")
    try:
        return _built(find_compiler(), real)
    except (BuildError, OSError) as error:
        return Built(None, str(error))


def _built(compiler: Compiler, real: str) -> Built:
    try:
        return _load(compiler, real, WITH_THREADS)
    except TooSlowError:
        raise
    except (BuildError, OSError):
        pass  # a compiler that knows no OpenMP, or another one than torch's: on one thread, then
    return _load(compiler, real, WITHOUT_THREADS)


def _load(compiler: Compiler, real: str, threads: tuple[str, ...]) -> Built:
    flags = (*FLAGS, *threads, f"-DREAL={real}")

    @functools.cache
    def make() -> bytes:
        return compiler.library(SOURCES / "kernels.c", flags)

    try:
        return Built(ctypes.CDLL(str(kept(_digest(compiler, flags), make))))
    except UnsafeError as error:
        _say_not_kept(str(error))
        return Built(_loaded_once(make()), not_kept=str(error))


def _loaded_once(data: bytes) -> ctypes.CDLL:
    """A library that stays loaded, and whose file does not stay."""
    with tempfile.TemporaryDirectory(prefix="mtl_search-kernels-") as folder:
        path = Path(folder, "kernels.so")
        path.write_bytes(data)
        return ctypes.CDLL(str(path))


@functools.cache
def _say_not_kept(reason: str) -> None:
    print(f"note: the kernels in C are built anew by every process: {reason}.", file=sys.stderr)


def _digest(compiler: Compiler, flags: tuple[str, ...]) -> str:
    """Of all that a library depends on: sources, compiler, C library, flags, the processor and its instructions."""
    digest = hashlib.blake2b(digest_size=DIGEST)
    for source in sorted([*SOURCES.glob("*.[ch]")]):
        digest.update(source.read_bytes())
    told = (*compiler.command, compiler.identity, *flags, torch.__version__, platform.machine(), _instructions())
    digest.update("\0".join(told).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _instructions() -> str:
    """The line of the processor's instructions, as Linux tells it; elsewhere its name."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor()
    lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join(sorted(set(told)))
