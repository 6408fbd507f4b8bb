"""How many processors this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from mtl_search.internal.control_groups import MOUNTED, OURS, own_groups


def processors() -> int:
    """Processors that this process may use, at least one: of those it may run on, as many as its groups' quotas allow.

    The first is what ``taskset``, Slurm and ``docker --cpuset-cpus`` set, the second ``docker --cpus``. A part of a
    processor counts as one.
    """
    return max(1, math.ceil(min([_may_run_on(), *_quotas()])))


def _may_run_on() -> int:
    """By affinity; systems other than Linux know none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(mounted: Path = MOUNTED, ours: Path = OURS) -> Iterator[float]:
    """Processors' worth of time that each bounded control group of this process may use."""
    for group, version in own_groups("cpu", mounted, ours):
        quota, period = _limits(group, version)
        if quota.isdecimal():
            yield int(quota) / int(period)


def _limits(group: Path, version: int) -> tuple[str, str]:
    """Time that a group may use in a period, and the period, in microseconds: text that is no number for no limit."""
    files = [group / name for name in (["cpu.max"] if version == 2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"])]
    if not all(file.exists() for file in files):
        return "max", ""
    quota, period = " ".join(file.read_text(encoding="utf-8") for file in files).split()
    return quota, period
