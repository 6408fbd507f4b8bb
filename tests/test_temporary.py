"""The temporary folder of a process: for it alone, short, and cleared away by the next where it was left."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl_search.errors import UserError
from mtl_search.internal.temporary import LOCK, NAME, OLD, SHORT, clear_left_overs, temporary_folder

HOLD = "import sys; from mtl_search.internal.temporary import temporary_folder\nwith temporary_folder() as f: print(f, flush=True); input()"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short one: those of pytest are too long for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_it_is_for_its_owner_alone_and_nothing_is_left(place: Path) -> None:
    with temporary_folder() as folder:
        assert folder.parent == place
        assert NAME.fullmatch(folder.name)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / LOCK).stat().st_mode & 0o777 == 0o600
        (folder / "something").mkdir()
    assert not list(place.iterdir())


@pytest.mark.parametrize("name", ["a" * 60, "größe"])
def test_where_sockets_do_not_fit_it_lies_in_a_short_place(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place / name))
    with temporary_folder() as folder:
        assert str(folder.parent) == SHORT[0]
        assert not list((place / name).iterdir())


def test_without_a_short_place_it_is_said_what_to_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / ("a" * 60)))
    monkeypatch.setattr("mtl_search.internal.temporary.SHORT", (str(place / "missing"),))
    with pytest.raises(UserError, match=r"must have a path of at most 25 ASCII letters .* or train .* `--workers 0`"):
        temporary_folder().__enter__()


def test_what_a_killed_process_left_is_removed_by_the_next(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        (left / "r").mkdir()
        clear_left_overs(place)
        assert left.is_dir(), "in use"
        process.kill()
        process.wait()
    with temporary_folder() as folder:
        assert list(place.iterdir()) == [folder]


def test_only_our_own_folders_are_removed(place: Path) -> None:
    """A user's folder may be named alike; one that an earlier version left has no lock, but what Ray makes."""
    (place / "mtl-datasets").mkdir()
    (place / "mtl-datasets" / "mine.csv").write_text("1\n")
    (place / "mtl-link_abc").symlink_to(place / "mtl-datasets")
    for name, age in (("mtl-young123", 0), ("mtl-older123", OLD + 60)):
        (place / name / "session_1").mkdir(parents=True)
        (place / name / "session_latest").symlink_to(place / name / "session_1")
        os.utime(place / name, times=(time.time() - age, time.time() - age))
    clear_left_overs(place)
    assert sorted(one.name for one in place.iterdir()) == ["mtl-datasets", "mtl-link_abc", "mtl-young123"]
    assert (place / "mtl-datasets" / "mine.csv").read_text() == "1\n"
