"""Files that are never seen half written, and a folder that one process has for itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.errors import RunFolderError, no_such_file
from mtl_search.files import alone_in, append_line, cut_torn_line, is_worked_in, write_text
from mtl_search.layout import LOCK


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
    code = "import os, sys; from pathlib import Path; from mtl_search.files import alone_in\n"
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
