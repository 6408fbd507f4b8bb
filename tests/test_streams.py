"""What the command does when its streams are odd: closed, left by their reader, full, or without most letters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.internal.streams import _opened

COMMAND = [sys.executable, "-m", "mtl_search.cli.launch"]
TABLE = "größe,y\n" + "".join(f"{number},{'ab'[number % 2]}\n" for number in range(60))
EXPERIMENT = """\
dataset: {name: table, file: t.csv, tasks: {y: binary}}
backbone: {kind: vector, stages: [{width: 8}]}
space: {shared_ratio: [1.0, 0.5]}
training: {batch_size: 16}
"""


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(COMMAND)
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.format(command)}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    done = shell("{} list primitives --json | head -1", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["encoding", "locale"],
)
@pytest.mark.thin(2)
@pytest.mark.slow
def test_letters_that_a_terminal_lacks_are_replaced(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "e.yaml").write_text(EXPERIMENT, encoding="utf-8")
    done = shell("{} check e.yaml", tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 features: gr??e" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0<&- 1>&- 2>&-", "0<&-", "1>&-", "2>&-"])
def test_closed_streams_are_nobodys(closed: str, tmp_path: Path) -> None:
    assert shell(f"{{}} list primitives {closed}", tmp_path).returncode == 0
    assert shell(f"{{}} status missing {closed}", tmp_path).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    done = shell("{} list primitives > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_nothing_is_written_after_a_reader_has_left() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = _opened(writer, None)
    print("for nobody", file=stream, flush=True)
    print("again", file=stream, flush=True)
    os.close(writer)
