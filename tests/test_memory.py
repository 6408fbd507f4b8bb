"""A process that trains uses its memory again."""

import subprocess
import sys

import pytest

PAGES_OF_A_TENSOR = 64 * 2**20 // 4096
STEPS = 5
STEP_AFTER_STEP = f"""
import resource, sys, torch
from mtl_search.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    torch.ones(64 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    torch.ones(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_cleared(keep: str) -> int:
    shown = subprocess.run([sys.executable, "-c", STEP_AFTER_STEP, keep], capture_output=True, text=True, check=True)
    return int(shown.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of the C library of Linux")
def test_large_tensors_take_the_memory_of_those_before() -> None:
    assert pages_cleared("keep") < PAGES_OF_A_TENSOR / 10
    assert pages_cleared("give back") >= STEPS * PAGES_OF_A_TENSOR, "what it saves"
