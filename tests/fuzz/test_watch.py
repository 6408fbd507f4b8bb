"""The fuzzing sees what it is to see: otherwise that it finds nothing would mean nothing."""

import json
import mmap
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import mutations
import nasty
import pytest
import watch
import workers
from guard import CANARY, Guard
from targets import TARGETS, Target, write_table
from watch import Failure, Refused, command, watched
from workers import Mutation, make, try_all

from mtl_search.errors import UserError

GUARD = Guard()


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guard:
    """On in a folder in which the test is, and which holds a module that may not be imported."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / f"{CANARY}.py").write_text("")
    monkeypatch.chdir(inside)
    monkeypatch.syspath_prepend(inside)
    GUARD.folder, GUARD.foreign = str(inside), True
    return GUARD


def refused(message: str) -> Callable[[], str]:
    def call() -> str:
        raise UserError(message)

    return call


def test_what_ends_well_passes(guard: Guard) -> None:
    assert watched(lambda: "two lines\nof text", guard) is None
    assert watched(refused("my.yaml: `a` must be 1, but got 2."), guard) is None


def endless() -> str:
    while True:
        pass


def warned() -> str:
    warnings.warn("a library's", UserWarning, stacklevel=1)
    return ""


def swallowed() -> str:
    try:
        Path("../outside").write_text("")
    except BaseException:
        return "as if nothing were"
    return ""


def large() -> str:
    """Takes memory from the system, whatever this process has kept of what it freed."""
    with mmap.mmap(-1, 60 * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        return ""


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: [][1], "IndexError"),
        (lambda: "\x1b[31m", "unprintable"),
        (lambda: "\ud800", "unprintable"),
        (refused(""), "no message"),
        (refused("x" * 10_000), "long message"),
        (refused("\n".join(["a line"] * 50)), "long message"),
        (endless, "TooSlow"),
        (large, "memory"),
        (lambda: str(len(bytearray(2**40))), "MemoryError"),
        (warned, "UserWarning"),
        (lambda: str(Path("../outside").write_text("")), "escaped"),
        (swallowed, "escaped"),
        (lambda: str(Path("../kept").unlink()), "escaped"),
        (lambda: str(Path("link").write_text("")), "escaped"),
        (lambda: str(os.rename("../kept", "here")), "escaped"),
        (lambda: str(os.system("true")), "escaped"),
        (lambda: str(__import__(CANARY)), "escaped"),
    ],
)
def test_what_breaks_a_rule_is_seen(
    call: Callable[[], str], kind: str, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if call is endless:
        monkeypatch.setattr(watch, "CPU_S", 0.5)
    if call is large:
        monkeypatch.setattr(watch, "MEMORY", 20 * 2**20)
    (tmp_path / "kept").write_text("as it was")
    Path("link").symlink_to(tmp_path / "kept")
    failure = watched(call, guard)
    assert failure is not None
    assert failure.kind == kind
    assert (tmp_path / "kept").read_text() == "as it was"
    assert not (tmp_path / "outside").exists()


def test_inside_its_folder_a_command_may_write(guard: Guard) -> None:
    def call() -> str:
        Path("folder").mkdir()
        Path("folder/file").write_text("")
        Path("folder/file").rename("other")
        Path("link").symlink_to("other")
        Path("link").unlink()
        return str(Path("other").unlink() or "")

    assert watched(call, guard) is None


def test_a_failure_has_its_innermost_place_in_the_package(guard: Guard) -> None:
    failure = watched(lambda: command("check", "no.yaml") and "", guard)
    assert failure is None
    failure = watched(lambda: str(sys.modules["mtl_search.internal.files"].user_cache.__wrapped__), guard)
    assert failure is not None
    assert failure.kind == "AttributeError"
    failure = watched(lambda: str(sys.modules["mtl_search.internal.files"].write_json(Path("a"), {"a": {1}})), guard)
    assert failure is not None
    assert failure.place.startswith("internal/files.py:")
    assert failure.place.endswith(" write_json")


def test_a_command_line_that_refuses_tells_its_message() -> None:
    with pytest.raises(Refused, match=r"^error: .*no-such\.yaml") as raised:
        command("check", "no-such.yaml")
    assert raised.value.status == 2


def die_of_half(folder: Path) -> str:
    """Ends its process for about every second input."""
    if len((folder / "data.csv").read_bytes()) % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return ""


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_death_of_a_process_is_that_of_its_mutation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("dies", write_table, ("data.csv",), die_of_half, folders=0, valid=False)
    monkeypatch.setattr(workers, "TARGETS", (target,))
    workers.write_seeds(tmp_path / "seeds")
    found = list(try_all(0, range(6), tmp_path / "seeds", tmp_path / "work", tmp_path))
    assert [result.index for result in found] == list(range(6))
    assert {result.failure for result in found} == {None, Failure("death", "", "the process died of SIGKILL")}


@pytest.mark.slow
def test_a_seed_and_a_number_make_the_same_mutation_again(tmp_path: Path) -> None:
    workers.write_seeds(tmp_path / "seeds")
    for number in range(40):
        changes = [make(Mutation(3, number), tmp_path / "seeds", tmp_path / f"{number}-{time}") for time in range(2)]
        assert changes[0] == changes[1]
    once, again = (files_of(tmp_path, time) for time in range(2))
    assert once == again


def files_of(folder: Path, time: int) -> dict[str, bytes]:
    """Regular files of all mutations, without what only their folder tells."""
    paths = [path for path in sorted(folder.glob(f"*-{time}/**/*")) if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(folder)).replace(f"-{time}/", "/", 1): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_every_format_is_changed(tmp_path: Path) -> None:
    workers.write_seeds(tmp_path)
    files = {
        path
        for target in TARGETS
        for place in target.changed
        for path in (tmp_path / target.write.__name__).glob(place)
    }
    of_format = {path.suffix: path.read_bytes() for path in sorted(files) if path.is_file()}
    assert set(mutations.FORMATS) <= set(of_format)
    for ending, change in mutations.FORMATS.items():
        data = of_format[ending]
        changed = [change(data, data, Random(number)) for number in range(20)]
        assert sum(one != data for one in changed) >= 15, ending


def test_nasty_texts_of_json_are_told_from_those_of_yaml() -> None:
    assert json.loads(nasty.JSON[nasty.JSON.index('"\\u0000"')]) == "\x00"
    assert any("!!python" in one for one in nasty.YAML)
