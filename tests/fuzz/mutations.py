"""Changes to files and folders, all drawn from one source of random numbers.

A file is changed by its bytes, or by what its format means; a folder by what lies in it.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from array_files import changed_npy, changed_npz, changed_safetensors
from cells import changed_csv, changed_lines, changed_parquet
from pictures import changed_picture
from trees import changed_json, changed_yaml

Change = Callable[[bytes, bytes, Random], bytes]
"""What a file holds, what another one of its kind holds, and random numbers -> what it holds then."""

FORMATS: Mapping[str, Change] = {
    ".yaml": changed_yaml,
    ".json": changed_json,
    ".csv": changed_csv,
    ".jsonl": changed_lines,
    ".log": changed_lines,
    ".parquet": changed_parquet,
    ".png": changed_picture,
    ".jpg": changed_picture,
    ".npy": changed_npy,
    ".npz": changed_npz,
    ".safetensors": changed_safetensors,
}
LARGEST = 4 * 2**20
"""Bytes to which a file may grow."""


def change_file(folder: Path, files: Sequence[Path], random: Random) -> str:
    """Change one file of several, and say which and how."""
    path = random.choice(files)
    alike = [file for file in files if file.suffix == path.suffix]
    data, other = path.read_bytes(), random.choice(alike).read_bytes()
    by_format = FORMATS.get(path.suffix)
    change = by_format if by_format is not None and random.random() < 0.7 else random.choice(BYTES)
    path.write_bytes(change(data, other, random)[:LARGEST])
    return f"{change.__name__.strip('_')} {path.relative_to(folder)}"


def _flip(data: bytes, other: bytes, random: Random) -> bytes:
    """Some bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 10)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(data: bytes, other: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    more = (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\n", b'"', b"\xef\xbb\xbf", b"\x1b[2J", random.randbytes(5))
    return data[:place] + random.choice(more) * random.choice((1, 1, 100)) + data[place:]


def _delete(data: bytes, other: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + data[place + random.choice((1, 4, 50)) :]


def _cut(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: random.choice((0, 1, len(data) - 1, random.randrange(len(data) + 1)))]


def _repeat(data: bytes, other: bytes, random: Random) -> bytes:
    """A part twice, or many times, or the whole."""
    start, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return random.choice((data + data, data[:end] + data[start:end] * random.choice((1, 50)) + data[end:]))


def _double_line(data: bytes, other: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    place = random.randrange(len(lines)) if lines else 0
    return b"".join([*lines[: place + 1], *lines[place : place + 1], *lines[place + 1 :]])


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    """The beginning of one, the end of another."""
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


BYTES: tuple[Change, ...] = (_flip, _flip, _insert, _delete, _cut, _repeat, _double_line, _splice)


def change_folder(folder: Path, files: Sequence[Path], random: Random) -> str:
    """Change what lies in a folder, and say what and how."""
    path = random.choice([*files, *sorted({file.parent for file in files if file.parent != folder})])
    change = random.choice(FOLDERS)
    change(path, random.choice(files), random)
    return f"{change.__name__.strip('_')} {path.relative_to(folder)}"


def _take_away(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove(path: Path, other: Path, random: Random) -> None:
    _take_away(path)


def _empty(path: Path, other: Path, random: Random) -> None:
    is_folder = path.is_dir()
    _take_away(path)
    path.mkdir() if is_folder else path.write_bytes(b"")


def _swap(path: Path, other: Path, random: Random) -> None:
    if path.is_file():
        data = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    else:
        _take_away(path)
        path.write_text("a file")


def _folder_instead(path: Path, other: Path, random: Random) -> None:
    _take_away(path)
    path.mkdir()
    (path / "inside").write_text("something")


def _link(path: Path, other: Path, random: Random) -> None:
    """To a file or folder outside, to nothing, to itself, to another one beside it."""
    _take_away(path)
    outside = path.parents[len(path.parents) - 2] / "nothing"
    path.symlink_to(random.choice((Path("/etc/passwd"), Path("/etc"), Path("/dev/zero"), outside, path, other)))


def _pipe(path: Path, other: Path, random: Random) -> None:
    _take_away(path)
    os.mkfifo(path)


def _unreadable(path: Path, other: Path, random: Random) -> None:
    path.chmod(0)


def _foreign_names(path: Path, other: Path, random: Random) -> None:
    """More beside it, of names that systems and people leave."""
    names = (
        ".DS_Store",
        "Thumbs.db",
        "copy of it",
        "999.json",
        "-1.json",
        "01.json",
        "1 (1).json",
        ".lock",
        "\x1b[31m",
    )
    beside = path.with_name(random.choice((*names, f"{path.name}~", f".{path.name}.1.tmp")))
    if not beside.exists():
        beside.write_bytes(random.choice((b"", b"{}", b"\0\0\0\1Bud1")))


FOLDERS: tuple[Callable[[Path, Path, Random], None], ...] = (
    *(_remove, _remove, _empty, _swap, _folder_instead, _link, _link, _pipe, _unreadable, _foreign_names),
)
