"""Files that are never seen half written, and a folder that one process has for itself."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mtl_search.errors import RunFolderError, no_such_file
from mtl_search.internal.files import alone_in, append_line, cut_torn_line, is_worked_in, write_text
from mtl_search.internal.layout import LOCK


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_text(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_lines_are_appended_whole(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("a,b\n")
    append_line(path, "1,2\n")
    assert path.read_text() == "a,b\n1,2\n"


def test_a_line_is_not_appended_to_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        append_line(tmp_path / "table", "1,2\n")


@pytest.mark.parametrize(("text", "whole"), [("a\nb\n", "a\nb\n"), ("a\nb", "a\n"), ("a", ""), ("", "")])
def test_a_torn_line_is_cut(text: str, whole: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text(text)
    cut_torn_line(path)
    assert path.read_text() == whole


def test_a_folder_is_for_one_process(tmp_path: Path) -> None:
    assert not is_worked_in(tmp_path)
    with alone_in(tmp_path):
        assert is_worked_in(tmp_path)
        refused = pytest.raises(RunFolderError, match=r"another process works in this folder: process \d+ on ")
        with refused, alone_in(tmp_path):
            pass
        assert is_worked_in(tmp_path), "who was refused takes nothing away"
    assert not is_worked_in(tmp_path)
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_dead_process_holds_nobody_up(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from mtl_search.internal.files import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert json.loads((tmp_path / LOCK).read_text())["process"]
    assert not is_worked_in(tmp_path)
    with alone_in(tmp_path):
        assert is_worked_in(tmp_path)


def test_a_file_that_is_not_there_is_told_by_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").touch()
    assert no_such_file(tmp_path / "patient.csv") == "there is no such file. Did you mean `patients.csv`?"
    assert no_such_file(tmp_path / "zzz.npz") == "there is no such file."
    assert no_such_file(tmp_path / "none" / "a.csv") == f"there is no such file, and no folder {tmp_path / 'none'}."


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", "[]", "5", "null", '{"process": "x", "host": 1, "since": 2}', '{"process": 7}', "[" * 10_000, "\0"],
)
@pytest.mark.thin(9)
def test_a_lock_with_odd_content_breaks_no_message(content: str, tmp_path: Path) -> None:
    with alone_in(tmp_path):
        (tmp_path / LOCK).write_text(content)
        assert is_worked_in(tmp_path)
        with pytest.raises(RunFolderError, match=r"another process works in this folder\.$"), alone_in(tmp_path):
            pass


def test_what_a_lock_says_is_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        held = {"process": 7, "host": "\x1b[2Jhost", "since": "2026-01-02"}
        (tmp_path / LOCK).write_text(json.dumps(held))
        refused = r": process 7 on \\x1b\[2Jhost, since 2026-01-02\.$"
        with pytest.raises(RunFolderError, match=refused), alone_in(tmp_path):
            pass


def test_the_lock_of_another_process_is_not_removed(tmp_path: Path) -> None:
    """Someone has removed ours, and another process has made one of its own."""
    with alone_in(tmp_path):
        (tmp_path / LOCK).unlink()
        (tmp_path / LOCK).write_text("another's")
    assert (tmp_path / LOCK).read_text() == "another's"


def test_who_looks_whether_a_folder_is_worked_in_keeps_nobody_out(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (looking.fileno(), fcntl.LOCK_UN)).start()
        with alone_in(tmp_path):
            assert is_worked_in(tmp_path)


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / LOCK).touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunFolderError, match=r"cannot be locked: .*\. Put it on a file system that has locks"):
        alone_in(tmp_path).__enter__()
    assert not is_worked_in(tmp_path)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious\n")
    (tmp_path / "table").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        append_line(tmp_path / "table", "1,2\n")
    (tmp_path / f".new.{os.getpid()}.tmp").symlink_to(outside)
    write_text(tmp_path / "new", "new")
    assert outside.read_text() == "precious\n"
    assert (tmp_path / "new").read_text() == "new"
