"""Why workers cannot start is told from the logs of their cluster; one that only takes long is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.worker_starts import failed_start

LINE = (
    "[2026-01-02 03:04:05,678 I 1 1] (raylet) worker_pool.cc:564: Started worker process with pid {} worker_id=5e25\n"
)
SAID = """\
[2026-01-02 03:04:05,678 I 1 1] (raylet) agent_manager.cc:81: Monitor agent process
Traceback (most recent call last):
  File "start.py", line 3, in <module>
    import ray
ImportError: libfoo.so: cannot open
[2026-01-02 03:04:06,678 W 1 1] (raylet) worker_pool.cc:600: Some workers have not registered
"""


@pytest.fixture(scope="module")
def gone() -> list[int]:
    """Numbers of processes that have ended."""
    ended = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2)]
    return [process.pid for process in ended if process.wait() == 0]


def logs(folder: Path, started: list[int], said: str = "") -> Path:
    (folder / "raylet.out").write_text("".join(LINE.format(number) for number in started))
    (folder / "raylet.err").write_text(said)
    return folder


def test_a_worker_that_ended_before_it_began_is_told_in_its_own_words(gone: list[int], tmp_path: Path) -> None:
    assert failed_start(logs(tmp_path, gone[:1], SAID)) == "ImportError: libfoo.so: cannot open"


def test_one_that_lives_may_take_its_time(tmp_path: Path) -> None:
    assert failed_start(logs(tmp_path, [os.getpid()], SAID)) == ""


def test_one_that_had_begun_is_the_death_of_a_worker(gone: list[int], tmp_path: Path) -> None:
    (tmp_path / f"python-core-worker-5e25_{gone[0]}.log").touch()
    assert failed_start(logs(tmp_path, gone[:1], SAID)) == ""


@pytest.mark.parametrize(("number", "told"), [(1, ""), (2, "its process ends before it begins, without a word")])
def test_without_a_word_the_second_one_is_no_accident(number: int, told: str, gone: list[int], tmp_path: Path) -> None:
    assert failed_start(logs(tmp_path, gone[:number])) == told
