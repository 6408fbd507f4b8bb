"""How a process that trains keeps its memory, and how much of it there is."""

import ctypes
import mmap
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from mtl_search.internal.control_groups import MOUNTED, OURS, own_groups

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Settings of ``mallopt`` in the C library of GNU."""
LARGEST = 2**31 - 1
"""Bytes that may lie free at the end of the heap, the most that ``mallopt`` takes: nothing is given back."""
AT_A_TIME = 64 * 2**20
"""Bytes by which the heap grows at once: a few calls of the system until a step has all that it needs."""
MADV_HUGEPAGE = 14
"""What ``madvise`` of Linux takes for large pages, from ``bits/mman-linux.h``."""
LARGE_PAGE = 2 * 2**20
"""Bytes of a large page, on most processors."""
GROUP_FILES = {2: ("memory.max", "anon"), 1: ("memory.limit_in_bytes", "total_rss")}
"""Version of a control group -> its file with the limit; what `memory.stat` calls memory that is not of files."""


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for the next step of a training to use.

    It would give large tensors back to the system, which clears as much memory again in every step: a tenth of a step's
    time on a processor, and half of it where many large tensors are made. The process holds on to the most that it ever
    used. Where there is another C library, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for setting, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_TOP_PAD, AT_A_TIME)):
            mallopt(setting, value)


def prefer_large_pages(start: int, size: int) -> None:
    """Ask Linux for large pages (transparent huge pages) where memory is written to for the first time.

    Where freed memory is not kept, a step takes 3 to 12 % less time: it meets a tenth of the page faults. On other
    systems, and where large pages are switched off, nothing happens.

    :param start: Address of the first byte.
    :param size: Size of the block in bytes; less than :data:`LARGE_PAGE` is left as it is.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" and size >= LARGE_PAGE else None
    if madvise is not None:
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(start + size - first), MADV_HUGEPAGE)


def available_bytes() -> int:
    """Memory that this process may still take: of the machine, of its control groups, and below its own limits.

    The limits are those of ``ulimit -v`` and ``ulimit -d``. What is kept of files, and given back when it is needed, is
    counted as available.
    """
    return max(0, min([_of_machine(), *_below_limits(), *_below_groups()]))


def _of_machine() -> int:
    """What the system says it can give without swapping; where it does not say that, all memory there is."""
    told = Path("/proc/meminfo")
    if not told.exists():
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return _table(told)["MemAvailable"] * 1024


def _below_limits() -> Iterator[int]:
    status = Path("/proc/self/status")
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and status.exists():
            yield most - _table(status)[used] * 1024


def _below_groups(mounted: Path = MOUNTED, ours: Path = OURS) -> Iterator[int]:
    """What the limits of the control groups leave that this process is in, version 2 or 1, up to the root."""
    for group, version in own_groups("memory", mounted, ours):
        limit, used = GROUP_FILES[version]
        if (group / limit).exists():
            most = (group / limit).read_text(encoding="utf-8").strip()
            yield sys.maxsize if most == "max" else int(most) - _table(group / "memory.stat")[used]


def _table(path: Path) -> dict[str, int]:
    """Name -> number, of a file of lines with both; of other lines nothing."""
    lines = (line.replace(":", " ").split() for line in path.read_text(encoding="utf-8").splitlines())
    return {name: int(number) for name, number, *_ in (line for line in lines if len(line) > 1) if number.isdecimal()}
