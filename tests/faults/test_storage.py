"""A folder that can no longer be written ends the search clearly; what was written before is whole."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import made_processes
from made_faults import SEARCH, assert_same_as, trials_ended
from made_processes import driver
from mtl_search.runs.folder import Run, load_run

BYTES = 12_000_000


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """With room for a part of a search."""
    with mounted(tmp_path / "disk", f"size={BYTES}") as place:
        yield place


@pytest.mark.slow
def test_a_full_disk_ends_the_search_and_loses_nothing(undisturbed: Run, small_disk: Path) -> None:
    folder = small_disk / "run"
    with driver([*SEARCH, "--workers", "0", "--out", str(folder)]) as search:
        search.wait_for(lambda: trials_ended(folder) > 1)
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"0" * 4096)
        status, shown = search.end()
    assert status == 1, shown
    assert f"{folder}: can no longer be written: No space left on device" in shown
    assert f"mtl-search resume {folder}" in shown
    assert "Traceback" not in shown
    assert load_run(folder).trials
    assert not list(folder.rglob("*.tmp"))
    (small_disk / "filler").unlink()
    status, shown = made_processes.run(["resume", str(folder), "--workers", "0"])
    assert status == 0, shown
    assert_same_as(undisturbed, folder)


@pytest.mark.slow
def test_a_file_system_that_is_read_only_is_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "ro,size=1m") as place:
        status, shown = made_processes.run([*SEARCH, "--workers", "0", "--out", str(place / "run")])
    assert status == 2
    assert f"{place / 'run'}: cannot be written: Read-only file system" in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
@pytest.mark.slow
def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    status, shown = made_processes.run([*SEARCH, "--workers", "0", "--out", str(tmp_path / "closed" / "run")])
    assert status == 2
    assert "cannot be written: Permission denied" in shown


@pytest.mark.slow
def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, shown = made_processes.run([*SEARCH, "--workers", "0", "--out", str(tmp_path / "file" / "run")])
    assert status == 2
    assert "cannot be written: Not a directory" in shown
