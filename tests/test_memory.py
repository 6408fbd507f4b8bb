"""A process that trains uses its memory again."""

import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.internal import memory

PAGES_OF_A_TENSOR = 64 * 2**20 // 4096
STEPS = 5
STEP_AFTER_STEP = f"""
import resource, sys, torch
from mtl_search.internal.memory import keep_freed_memory, prefer_large_pages

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    torch.ones(64 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    made = torch.empty(16, 256, 64, 64)
    if sys.argv[1] == "large pages":
        prefer_large_pages(made.data_ptr(), made.nbytes)
    made.fill_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_cleared(keep: str) -> int:
    shown = subprocess.run([sys.executable, "-c", STEP_AFTER_STEP, keep], capture_output=True, text=True, check=True)
    return int(shown.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of the C library of Linux")
@pytest.mark.slow
def test_large_tensors_take_the_memory_of_those_before() -> None:
    assert pages_cleared("keep") < PAGES_OF_A_TENSOR / 10
    assert pages_cleared("give back") >= STEPS * PAGES_OF_A_TENSOR, "what it saves"


def large_pages() -> str:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.read_text() if setting.exists() else "[never]"


@pytest.mark.skipif("[madvise]" not in large_pages(), reason="large pages are not there for the asking")
@pytest.mark.slow
def test_tensors_are_written_to_large_pages() -> None:
    assert pages_cleared("large pages") < STEPS * PAGES_OF_A_TENSOR / 10


FEATURES = """
import resource, torch
from mtl_search.kernels.features import POOL, empty
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
made = [empty(torch.ones(1), (31, 256, 32, 32)).fill_(1) for _ in range(8)]
assert not POOL.lent
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif("[madvise]" not in large_pages(), reason="large pages are not there for the asking")
@pytest.mark.slow
def test_features_that_are_not_kept_are_written_to_large_pages() -> None:
    shown = subprocess.run([sys.executable, "-c", FEATURES], capture_output=True, text=True, check=True)
    assert int(shown.stdout) < 8 * 31 * 2**20 / 4096 / 10


LIMITED = """
import resource, sys
from mtl_search.internal.memory import available_bytes
free = available_bytes()
resource.setrlimit(getattr(resource, sys.argv[1]), (2**31, 2**31))
print(free, available_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is told by Linux")
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
@pytest.mark.thin(2)
def test_a_limit_of_the_process_leaves_less_memory(limit: str) -> None:
    command = [sys.executable, "-c", LIMITED, limit]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    free, below = map(int, shown)
    assert 0 < below < min(2**31, free)


CURRENT = {"": "memory.max", "memory": "memory.limit_in_bytes"}
STAT = {"": "anon 300\nfile 5000\n", "memory": "cache 5000\ntotal_rss 300\n"}


@pytest.mark.parametrize("controllers", CURRENT)
def test_the_narrowest_control_group_counts(controllers: str, tmp_path: Path) -> None:
    inner = tmp_path / controllers / "outer" / "inner"
    inner.mkdir(parents=True)
    for group, most in ((inner, "max" if not controllers else str(2**60)), (inner.parent, "1000")):
        (group / CURRENT[controllers]).write_text(f"{most}\n")
        (group / "memory.stat").write_text(STAT[controllers])
    ours = tmp_path / "cgroup"
    ours.write_text(f"3:cpuset:/elsewhere\n0:{controllers}:/outer/inner\n")
    assert min(memory._below_groups(tmp_path, ours)) == 700
