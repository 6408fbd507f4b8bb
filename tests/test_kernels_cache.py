"""Where the kernels in C are built and kept: nothing is loaded that others may have written, or that is cut short."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from mtl_search.kernels import cache, compiler
from mtl_search.kernels.cache import UnsafeError, kept
from mtl_search.kernels.compiler import TOLD, BuildError, TooSlowError, find_compiler
from mtl_search.kernels.library import _say_not_kept, built, library, trains
from mtl_search.runs.environment import kernels

KEY = "0123abc"
LIBRARY = b"what was compiled"

needs_compiler = pytest.mark.skipif(library(torch.float32) is None, reason="kernels need a C compiler")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the libraries of a test are kept; they are not optimised, which is what takes time."""
    monkeypatch.setattr("mtl_search.kernels.library.FLAGS", ("-O0", "-march=native", "-fPIC"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built.cache_clear()
    _say_not_kept.cache_clear()
    yield tmp_path / "mtl_search" / "native"
    built.cache_clear()


def write_program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def never() -> bytes:
    raise AssertionError("it is there")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"MTL_SEARCH_NATIVE": "0"}, "switched off by MTL_SEARCH_NATIVE=0"),
        ({"CC": "no-such-compiler -m64"}, "no C compiler: there is no `no-such-compiler`, which $CC names"),
        ({"CC": "gcc '-m64"}, 'no C compiler: $CC is "gcc \'-m64", which cannot be read: No closing quotation'),
        ({"CC": "false"}, f"{shutil.which('false')} failed: status 1, without a word"),
        ({"CC": "true"}, f"{shutil.which('true')} failed: it wrote no library"),
    ],
)
def test_a_machine_that_cannot_build_them_trains_all_the_same(
    setting: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert built("float").problem == problem
    assert kernels() == f"of torch: {problem}"
    assert not trains(torch.zeros(1))


@needs_compiler
@pytest.mark.slow
def test_a_library_is_built_once_and_kept(folder: Path) -> None:
    program = "from mtl_search.kernels.library import built; assert built('float').library"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True)
        (file,) = folder.iterdir()
        assert file.suffix == ".so"
        assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@needs_compiler
@pytest.mark.slow
def test_a_library_that_was_cut_short_is_built_again(folder: Path) -> None:
    assert built("float").library is not None
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    built.cache_clear()
    file.unlink()  # what is loaded stays mapped: it must not be cut short itself
    file.write_bytes(whole[: len(whole) // 2])
    assert built("float").library is not None
    (again,) = folder.iterdir()
    assert len(again.read_bytes()) == len(whole)


@needs_compiler
@pytest.mark.parametrize("place", ["relative/cache", "/dev/null", "/proc/no-such"])
@pytest.mark.thin(3)
def test_where_nothing_can_be_kept_it_is_said_once(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    assert built("float").library is not None
    assert built("double").library is not None
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith("note: the kernels in C are built anew by every process: ")
    assert place in note
    assert kernels() == "in C"
    assert not Path(place).is_dir()


def test_a_library_is_made_once() -> None:
    path = kept(KEY, lambda: LIBRARY)
    assert path.read_bytes() == LIBRARY
    assert kept(KEY, never) == path


def cut_short(path: Path) -> None:
    path.write_bytes(LIBRARY[:5])


def with_other_bytes(path: Path) -> None:
    path.write_bytes(LIBRARY[:-1] + b"!")


def a_link(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere")
    path.symlink_to(path.parents[2] / "elsewhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def writable_by_others(path: Path) -> None:
    path.chmod(0o666)


def in_a_writable_folder(path: Path) -> None:
    path.parent.chmod(0o777)


def of_another_user(path: Path) -> None:
    os.chown(path, 12345, -1)


@pytest.mark.parametrize(
    "spoil",
    [
        *(cut_short, with_other_bytes, a_link, a_pipe, writable_by_others, in_a_writable_folder),
        pytest.param(of_another_user, marks=as_root),
    ],
)
def test_a_library_that_is_not_as_it_was_written_is_made_again(spoil: object, folder: Path) -> None:
    assert callable(spoil)
    path = kept(KEY, lambda: LIBRARY)
    spoil(path)
    made = []
    again = kept(KEY, lambda: made.append(1) or LIBRARY)  # type: ignore[func-returns-value]
    assert made == [1]
    assert again.read_bytes() == LIBRARY
    assert not again.is_symlink()
    assert again.stat().st_uid == os.geteuid()
    assert (again.stat().st_mode | folder.stat().st_mode) & 0o077 == 0
    assert kept(KEY, never) == again


def of_others(folder: Path) -> None:
    os.chown(folder, 12345, -1)


def open_to_others(folder: Path) -> None:
    folder.parent.chmod(0o777)


def a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize("spoil", [pytest.param(of_others, marks=as_root), open_to_others, a_file])
def test_a_folder_that_cannot_be_made_safe_keeps_nothing(spoil: object, folder: Path) -> None:
    assert callable(spoil)
    folder.mkdir(parents=True)
    spoil(folder)
    with pytest.raises(UnsafeError, match=r"belongs to another user|others may write in|File exists"):
        kept(KEY, never)


def test_others_may_write_where_they_cannot_rename_what_is_ours(folder: Path) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(0o1777)
    assert kept(KEY, lambda: LIBRARY).parent == folder


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    left = folder / ".0123abc-4567.so.99.tmp"
    left.write_bytes(b"half of i")
    path = kept(KEY, lambda: LIBRARY)
    assert list(folder.iterdir()) == [path]


def test_of_several_processes_one_builds(folder: Path, tmp_path: Path) -> None:
    program = (
        "import os, time; from mtl_search.kernels.cache import kept\n"
        f"def make():\n  open({str(tmp_path / 'made')!r}, 'a').write('x'); time.sleep(1); return b'library'\n"
        "print(kept('key', make).read_bytes())"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(3)]
    assert {process.communicate()[0] for process in processes} == {b"b'library'\n"}
    assert (tmp_path / "made").read_text() == "x"
    assert len(list(folder.iterdir())) == 1


def test_one_that_waits_in_vain_builds_itself(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(cache, "WAITING_S", 0.2)
    folder.mkdir(parents=True)
    with cache._alone(folder.with_name(cache.LOCK)):
        assert kept(KEY, lambda: LIBRARY).read_bytes() == LIBRARY


def told_by(path: Path, text: str, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str] = ()) -> str:
    monkeypatch.setenv("CC", " ".join([str(write_program(path, text)), *arguments]))
    return find_compiler().identity


def test_another_version_is_another_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (told_by(tmp_path / "cc", f"echo cc {version}", monkeypatch) for version in ("12.1", "12.2"))
    assert one.startswith("cc 12.1\n")
    assert one != other


def test_a_compiler_may_have_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_by(tmp_path / "cc", 'echo "$@"', monkeypatch, ["-m64", "'-D A'"]).startswith("-m64 -D A --version")
    assert find_compiler().command == (str(tmp_path / "cc"), "-m64", "-D A")


def test_the_path_of_a_compiler_may_have_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_by(tmp_path / "my cc", "echo mine", monkeypatch).startswith("mine")


def test_a_compiler_that_hangs_is_ended_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "ANSWERING_S", 0.5)
    monkeypatch.setenv("CC", str(write_program(tmp_path / "cc", f"sleep 60 &\necho $! > {tmp_path}/started\nwait")))
    with pytest.raises(TooSlowError, match=r"cc --version did not end within 0\.5 seconds"):
        find_compiler()
    started = int((tmp_path / "started").read_text())
    end = time.monotonic() + 10  # it dies when the system gets to it; by itself it would live for 60 seconds
    while is_alive(started) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(started)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_of_what_a_compiler_says_the_beginning_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told_by(tmp_path / "cc", "echo kernels.c:1: no; head -c 30000000 /dev/zero | tr '\\0' x >&2; exit 3", monkeypatch)
    with pytest.raises(BuildError, match=r"failed: kernels\.c:1: no\nx+$") as raised:
        find_compiler().library(Path("kernels.c"), [])
    assert len(str(raised.value)) < TOLD + 300
