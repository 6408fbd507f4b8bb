"""The cache of decoded files: made once, whole or not at all, made again where it is not what it should be."""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mtl_search.datasets._cache import HEADER, Sample, Source, cache_folder, cached
from mtl_search.errors import DatasetError

COUNT = 5
CONTEXT = multiprocessing.get_context("fork")
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
"""The threads are torch's, which the new process does not use."""


class Samples:
    """Samples that count how often they are gone through."""

    def __init__(self) -> None:
        self.times = 0

    def __iter__(self) -> Iterator[Sample]:
        self.times += 1
        for number in range(COUNT):
            yield {"image": np.full((3, 2), number, np.uint8), "depth": np.full((2,), number / 2, np.float32)}


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "picture").write_bytes(b"picture")
    return Source("made", (tmp_path / "picture",), {"size": (4, 4)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def assert_made(source: Source, folder: Path, samples: Samples, times: int) -> None:
    found = cached(source, str(folder), samples)
    assert {name: (array.shape, str(array.dtype)) for name, array in found.items()} == {
        "image": ((COUNT, 3, 2), "uint8"),
        "depth": ((COUNT, 2), "float32"),
    }
    for name in found:
        assert np.array_equal(np.asarray(found[name]), np.stack([sample[name] for sample in Samples()]))
    assert samples.times == times
    assert [path.name[:5] for path in folder.iterdir()] == ["made-"] * len(list(folder.iterdir()))


def made_folder(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def test_samples_are_made_once(source: Source, folder: Path) -> None:
    samples = Samples()
    for _ in range(2):
        assert_made(source, folder, samples, times=1)
    header = json.loads((made_folder(folder) / HEADER).read_text())
    assert (header["format"], header["arrays"]["image"]["shape"]) == (2, [COUNT, 3, 2])


def test_other_sources_and_options_are_kept_beside(source: Source, folder: Path) -> None:
    samples = Samples()
    assert_made(source, folder, samples, times=1)
    assert_made(Source("made", source.files, {"size": (8, 8)}), folder, samples, times=2)
    assert_made(source, folder, samples, times=2)
    source.files[0].write_bytes(b"another picture")
    assert_made(source, folder, samples, times=3)
    os.utime(source.files[0], (1, 1))
    assert_made(source, folder, samples, times=4)
    assert len(list(folder.iterdir())) == 4


def cut_off(place: Path) -> None:
    data = (place / "image.npy").read_bytes()
    (place / "image.npy").write_bytes(data[:-1])


def overwrite(place: Path) -> None:
    with (place / "image.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")


def change_header(place: Path) -> None:
    text = (place / HEADER).read_text()
    (place / HEADER).write_text(text.replace('"format": 2', '"format": 3'))


def leave_out(place: Path) -> None:
    header = json.loads((place / HEADER).read_text())
    del header["arrays"]["depth"]
    (place / HEADER).write_text(json.dumps(header))


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the place of a file of the folder, or of the folder."""

    def damage(place: Path) -> None:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return damage


def linked(place: Path) -> None:
    """The folder elsewhere, and a link to it."""
    place.rename(place.parents[1] / "elsewhere")
    place.symlink_to(place.parents[1] / "elsewhere")


DAMAGES = {
    "an array that the header leaves out": leave_out,
    "a header of deep nesting": lambda place: (place / HEADER).write_text("[" * 100_000),
    "a header without an end": instead(HEADER, lambda path: path.symlink_to("/dev/zero")),
    "a pipe for a header": instead(HEADER, os.mkfifo),
    "a folder for a header": instead(HEADER, Path.mkdir),
    "a pipe for an array": instead("image.npy", os.mkfifo),
    "an array of objects": instead("image.npy", lambda path: np.save(path, np.array([{}], object))),
    "a pipe for the folder": instead("", os.mkfifo),
    "a file for the folder": instead("", Path.touch),
    "a link for the folder": linked,
    "a folder of something else": instead("", Path.mkdir),
    "an array cut off": cut_off,
    "an array written into": overwrite,
    "an array gone": lambda place: (place / "depth.npy").unlink(),
    "another format": change_header,
    "a header that is no JSON": lambda place: (place / HEADER).write_text("{"),
    "a header of something else": lambda place: (place / HEADER).write_text("[1]"),
    "no header": lambda place: (place / HEADER).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_made_again(source: Source, folder: Path, damage: object) -> None:
    samples = Samples()
    assert_made(source, folder, samples, times=1)
    assert callable(damage)
    damage(made_folder(folder))
    for _ in range(2):
        assert_made(source, folder, samples, times=2)


def test_a_link_is_removed_and_what_it_leads_to_stays(source: Source, folder: Path) -> None:
    cached(source, str(folder), Samples())
    linked(made_folder(folder))
    elsewhere = folder.parent / "elsewhere"
    before = sorted(path.name for path in elsewhere.iterdir())
    assert_made(source, folder, Samples(), times=1)
    assert sorted(path.name for path in elsewhere.iterdir()) == before
    assert not made_folder(folder).is_symlink()


def test_only_what_the_cache_made_is_removed(source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may be one that the user has for other things, too."""
    theirs = folder / ".theirs.tmp"
    theirs.mkdir(parents=True)
    (folder / ".pipe.tmp").symlink_to("nowhere")
    with_pipe = folder / f".made-{'0' * 16}.abcdefgh.tmp"
    with_pipe.mkdir()
    os.mkfifo(with_pipe / ".lock")
    monkeypatch.setattr(time, "time", lambda: theirs.stat().st_mtime + 100)
    cached(source, str(folder), Samples())
    assert {path.name for path in folder.iterdir()} > {theirs.name, ".pipe.tmp", with_pipe.name}


def test_an_error_of_the_samples_leaves_nothing(source: Source, folder: Path) -> None:
    def bad() -> Iterator[Sample]:
        yield from Samples()
        raise DatasetError("row 6: is bad.")

    with pytest.raises(DatasetError, match="row 6"):
        cached(source, str(folder / "in" / "here"), bad())
    assert not folder.exists()


def die_in_the_middle(source: Source, folder: Path) -> None:
    def dying() -> Iterator[Sample]:
        yield from Samples()
        os._exit(9)

    cached(source, str(folder), dying())


@forks
def test_what_a_dead_process_left_is_removed(source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = CONTEXT.Process(target=die_in_the_middle, args=(source, folder))
    process.start()
    process.join()
    left = made_folder(folder)
    assert left.name.endswith(".tmp")
    cached(source, str(folder), Samples())
    assert left.exists(), "it may be another process's that has just begun"
    monkeypatch.setattr(time, "time", lambda: left.stat().st_mtime + 100)
    assert_made(Source("made", (), {}), folder, Samples(), times=1)
    assert not left.exists()


def make(source: Source, folder: Path, ready: object, sums: object) -> None:
    def waiting() -> Iterator[Sample]:
        ready.wait()  # type: ignore[attr-defined]
        yield from Samples()

    found = cached(source, str(folder), waiting())
    sums.put({name: float(np.asarray(array).sum()) for name, array in found.items()})  # type: ignore[attr-defined]


@forks
def test_two_processes_at_once_make_the_same(source: Source, folder: Path) -> None:
    """Both are in the middle of it before either is done."""
    ready, sums = CONTEXT.Barrier(2), CONTEXT.Queue()
    processes = [CONTEXT.Process(target=make, args=(source, folder, ready, sums)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [sums.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [{"image": 60.0, "depth": 10.0}] * 2
    assert_made(source, folder, Samples(), times=0)


def test_a_cache_that_cannot_be_written_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"the cache .*file cannot be written .*`dataset\.cache`"):
        cached(source, str(tmp_path / "file"), Samples())


def test_the_cache_is_the_users_own_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder(None) == Path("/somewhere/mtl_search")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(None) == Path.home() / ".cache" / "mtl_search"
    assert cache_folder("~/mine") == Path.home() / "mine"
