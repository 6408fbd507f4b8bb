"""Files that others may have written, read as data: only ordinary files of a bounded size, and JSON of a bounded depth.

What is read here is never followed or run.
"""

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from mtl_search.errors import UserError, shown_path
from mtl_search.internal.characters import is_broken, quoted

TEXT_LIMIT = 4 * 2**20
"""Bytes of a file of settings. The largest that ship with the package have three thousand."""
JSON_LIMIT = 64 * 2**20
"""Bytes of a file of results. One of a comparison of fifty entrants over ten seeds has two million."""
DEPTH = 40
"""Maps and lists inside each other. An experiment has six, a comparison nine."""
DIGITS = 18
"""Digits of a whole number: fewer than 64 bits hold. The most multiplications of a network have twelve."""

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link to elsewhere"),
)
"""What can be in the place of an ordinary file, and its name in a message."""


def read_bytes(path: str | Path, limit: int, follow: bool = True) -> bytes:
    """The bytes of an ordinary file.

    :param limit: Most bytes that it may have.
    :param follow: Whether it may be a symbolic link.
    :raises UserError: If it is missing, is no ordinary file, is larger, or cannot be read; the message begins with the
        path.
    """
    shown = shown_path(path)
    # another kind of file may come in its place meanwhile: a pipe without a writer must not be waited for
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        _check_ordinary(shown, os.stat(path, follow_symlinks=follow))
        with open(os.open(path, flags), "rb") as file:
            found = _check_ordinary(shown, os.fstat(file.fileno()))
            data = file.read(limit + 1)
    except OSError as error:
        raise UserError(f"{shown}: cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise UserError(f"{shown}: must have at most {limit:,} bytes, but has {max(found.st_size, len(data)):,}.")
    return data


def read_text(path: str | Path, limit: int = TEXT_LIMIT, follow: bool = True) -> str:
    """The text of an ordinary file in UTF-8, with or without a byte order mark.

    :raises UserError: As :func:`read_bytes`, or if it is no such text.
    """
    data = read_bytes(path, limit, follow)
    shown = shown_path(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{shown}: must be in UTF-8, but is in UTF-16: save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} in line {line} is not"
        raise UserError(f"{shown}: must be in UTF-8, but {found}.") from error


def read_json(path: str | Path, limit: int = JSON_LIMIT, follow: bool = True) -> Any:
    """What a JSON file holds.

    :raises UserError: As :func:`read_text`, or as :func:`parse_json`; the message begins with the path.
    """
    text = read_text(path, limit, follow)
    try:
        return parse_json(text)
    except UserError as error:
        raise UserError(f"{shown_path(path)}: {error}") from error


def parse_json(text: str) -> Any:
    """What a JSON text holds.

    :raises UserError: If it is no JSON, is nested too deep, or has a key twice, a number that is not finite or is too
        long, or half of a pair of characters.
    """
    try:
        data = json.loads(
            text, object_pairs_hook=_object, parse_int=_whole, parse_float=_finite, parse_constant=_not_finite
        )
    except json.JSONDecodeError as error:
        raise UserError(f"not a JSON document: {error}.") from error
    except RecursionError as error:
        raise UserError(_too_deep()) from error
    for place, depth in _walk(data):
        if depth > DEPTH:
            raise UserError(_too_deep())
        if isinstance(place, str) and is_broken(place):
            raise UserError(f"holds half of a pair of characters: {quoted(place)}.")
    return data


def _check_ordinary(shown: str, found: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in KINDS if is_kind(found.st_mode)), "something else")
        raise UserError(f"{shown}: must be an ordinary file, but is {kind}.")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise UserError(f"key {quoted(twice)} stands twice.")
    return found


def _whole(digits: str) -> int:
    if len(digits.removeprefix("-")) > DIGITS:
        raise UserError(
            f"whole numbers must have at most {DIGITS} digits, but one has {len(digits.removeprefix('-'))}."
        )
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_finite(digits)


def _not_finite(found: str) -> NoReturn:
    raise UserError(f"numbers must be finite, but one is {quoted(found)}.")


def _too_deep() -> str:
    return f"must hold at most {DEPTH} maps or lists inside each other."


def _walk(data: Any) -> Iterator[tuple[Any, int]]:
    """Every value and key of plain data, with how many maps and lists it stands in."""
    left = [(data, 0)]
    while left:
        value, depth = left.pop()
        yield value, depth
        if isinstance(value, dict):
            left += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list):
            left += [(one, depth + 1) for one in value]
