"""How a process that trains keeps its memory, and how much there is."""

import ctypes
import resource
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Settings of ``mallopt`` in the C library of GNU."""
LARGEST = 2**31 - 1
AT_A_TIME = 64 * 2**20


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


def available_bytes() -> int | None:
    """Memory that this process may still take; ``None`` where the system does not say.

    The smaller of what is free and of what the limit of the process (``ulimit -v``) leaves.
    """
    found = []
    information = Path("/proc/meminfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    sizes = Path("/proc/self/statm")
    if limit != resource.RLIM_INFINITY and sizes.exists():
        found.append(limit - resource.getpagesize() * int(sizes.read_text(encoding="utf-8").split()[0]))
    return max(0, min(found)) if found else None
