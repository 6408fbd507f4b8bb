"""As many processors are counted as this process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.internal import processors
from mtl_search.runs.environment import describe_environment

ON_ONE = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"


def told(*lines: str) -> str:
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to processors")
def test_processors_are_those_that_the_process_may_run_on() -> None:
    assert told(ON_ONE, "from mtl_search.internal.processors import processors", "print(processors())") == "1"
    cores = "from mtl_search.runs.environment import describe_environment as told; print(told(0)['hardware']['cores'])"
    assert told(ON_ONE, cores) == "1"


def group(folder: Path, version: int, quota: str, period: str = "100000") -> Path:
    """A control group with a quota; in version 2 both numbers stand in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota} {period}\n")
    else:
        (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu.cfs_period_us").write_text(f"{period}\n")
    return folder


@pytest.mark.parametrize(
    ("version", "inner", "outer", "quotas"),
    [
        (2, "max", "150000", [1.5]),
        (2, "50000", "400000", [0.5, 4.0]),
        (2, "max", "max", []),
        (1, "-1", "200000", [2.0]),
        (1, "-1", "-1", []),
    ],
)
def test_quotas_are_those_of_all_groups_up_to_the_root(
    version: int, inner: str, outer: str, quotas: list[float], tmp_path: Path
) -> None:
    root = tmp_path if version == 2 else tmp_path / "cpu,cpuacct"
    group(root / "docker" / "one", version, inner)
    group(root / "docker", version, outer)
    ours = tmp_path / "ours"
    ours.write_text(f"4:memory:/elsewhere\n3:{'' if version == 2 else 'cpu,cpuacct'}:/docker/one\n")
    assert list(processors._quotas(tmp_path, ours)) == quotas


def test_a_group_that_is_seen_from_outside_of_its_container_is_bounded_by_the_root(tmp_path: Path) -> None:
    group(tmp_path, 2, "250000")
    ours = tmp_path / "ours"
    ours.write_text("0::/system.slice/a name with spaces.scope\n")
    assert list(processors._quotas(tmp_path, ours)) == [2.5]


@pytest.mark.parametrize(("quotas", "counted"), [([0.2], 1), ([1.5], 2), ([2.0, 8.0], 2), ([], 8), ([64.0], 8)])
def test_a_part_of_a_processor_counts_as_one(
    quotas: list[float], counted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_quotas", lambda: quotas)
    monkeypatch.setattr(processors, "_may_run_on", lambda: 8)
    assert processors.processors() == counted


def test_the_environment_tells_them() -> None:
    assert describe_environment(0)["hardware"]["cores"] == processors.processors()
