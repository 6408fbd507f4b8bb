"""Files that others wrote are data: ordinary files, bounded, and JSON that harms nothing."""

import json
import os
from pathlib import Path

import pytest

from mtl_search.errors import UserError
from mtl_search.internal.characters import printable
from mtl_search.internal.reading import DEPTH, parse_json, read_json, read_text


def refused(path: Path) -> str:
    with pytest.raises(UserError) as found:
        read_json(path)
    return str(found.value).removeprefix(f"{path}: ")


def test_json_of_an_ordinary_file_is_read_as_it_is(tmp_path: Path) -> None:
    data = {"name": "Größe", "macs": 10**17, "ratio": 0.25, "none": None, "list": [1, [2, "🙂"]]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read_json(path) == data


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_what_is_no_ordinary_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "must be an ordinary file, but is a pipe."
    assert refused(tmp_path) == "must be an ordinary file, but is a folder."
    assert refused(Path("/dev/zero")) == "must be an ordinary file, but is a device."
    assert refused(tmp_path / "none") == "cannot be read: No such file or directory."


def test_a_link_is_followed_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("[]")
    (tmp_path / "link").symlink_to("there")
    assert read_text(tmp_path / "link") == "[]"
    with pytest.raises(UserError, match="must be an ordinary file, but is a link to elsewhere"):
        read_text(tmp_path / "link", follow=False)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(UserError, match=r"must have at most 100 bytes, but has 1,000,000,000,000\."):
        read_text(path, 100)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'["\xff"]', "must be in UTF-8, but byte 0xff in line 1 is not."),
        ("[]".encode("utf-16"), "must be in UTF-8, but is in UTF-16: save it as UTF-8."),
        (b"[" * 100_000, f"must hold at most {DEPTH} maps or lists inside each other."),
        (b"[" * 50 + b"]" * 50, f"must hold at most {DEPTH} maps or lists inside each other."),
        (b'{"a":' * 50 + b"1" + b"}" * 50, f"must hold at most {DEPTH} maps or lists inside each other."),
        (b"[" + b"9" * 6000 + b"]", "whole numbers must have at most 18 digits, but one has 6000."),
        (b"[NaN]", "numbers must be finite, but one is 'NaN'."),
        (b"[-Infinity]", "numbers must be finite, but one is '-Infinity'."),
        (b"[1e999]", "numbers must be finite, but one is '1e999'."),
        (b'{"a": 1, "b": 2, "a": 3}', "key 'a' stands twice."),
        (b'["x\\ud800"]', r"holds half of a pair of characters: 'x\ud800'."),
        (b'{"\\udfff": 1}', r"holds half of a pair of characters: '\udfff'."),
        (b"", "not a JSON document: Expecting value: line 1 column 1 (char 0)."),
    ],
)
def test_json_that_could_harm_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    assert refused(path) == message


def test_nesting_up_to_the_limit_is_read() -> None:
    assert json.dumps(parse_json("[" * DEPTH + "]" * DEPTH)) == "[" * DEPTH + "]" * DEPTH


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 猫 🙂", "Größe 猫 🙂"),
        ("a\x1b[2Jb\r\n", r"a\x1b[2Jb\r\n"),
        ("abc\u202etxt", r"abc\u202etxt"),
        ("\udc80", r"\udc80"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_ends_of_a_message_stay() -> None:
    assert printable("one\ntwo\x07", keep="\n") == "one\ntwo\\x07"
