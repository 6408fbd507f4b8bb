"""YAML that others wrote is read as plain data within limits, or refused by one message, before memory goes."""

import datetime
import json
from typing import Any

import pytest

from mtl_search.errors import UserError
from mtl_search.internal.reading import DEPTH
from mtl_search.internal.yaml_text import NODES, as_yaml, parse_yaml


def bomb(kind: str) -> str:
    """Nine levels of eight aliases each: 150 million values."""
    lines = ["a0: &a0 {k: x}"]
    for level in range(1, 10):
        below = f"*a{level - 1}"
        inside = {
            "list": f"[{', '.join([below] * 8)}]",
            "map": f"{{{', '.join(f'k{n}: {below}' for n in range(8))}}}",
            "merge": f"{{<<: [{', '.join([below] * 8)}]}}",
        }[kind]
        lines.append(f"a{level}: &a{level} {inside}")
    return "\n".join(lines)


CHAIN = "a0: &a0 []\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 3000))
"""Each is one deeper than the one before."""

REFUSED = {
    "list bomb": (bomb("list"), f"line 6: must hold at most {NODES:,} values, those of aliases counted each time."),
    "map bomb": (bomb("map"), f"line 6: must hold at most {NODES:,} values, those of aliases counted each time."),
    "merge bomb": (bomb("merge"), f"line 6: must hold at most {NODES:,} values, those of aliases counted each time."),
    "recursion": ("a: &a [1, *a]", "line 1: must hold no alias inside of what it stands for."),
    "recursion of a map": ("a: &a {b: [*a]}", "line 1: must hold no alias inside of what it stands for."),
    "chain of aliases": (CHAIN, f"line {DEPTH}: must hold at most {DEPTH} maps or lists inside each other."),
    "nested lists": ("a: " + "[" * 3000 + "]" * 3000, f"line 1: must hold at most {DEPTH} maps or lists inside"),
    "nested maps": ("{a: " * 3000 + "1" + "}" * 3000, f"line 1: must hold at most {DEPTH} maps or lists inside"),
    "nested blocks": ("- " * 3000 + "x", f"line 1: must hold at most {DEPTH} maps or lists inside each other."),
    "many values": ("[" + "1, " * NODES + "1]", f"line 1: must hold at most {NODES:,} values"),
    "6,000 digits": ("a: " + "9" * 6000, "line 1: a number must have at most 80 characters, but got 6,000."),
    "6,000 hexadecimal digits": ("a: 0x" + "f" * 6000, "line 1: a number must have at most 80 characters"),
    "6,000 digits as a key": ("9" * 600 + ": 1", "line 1: a number must have at most 80 characters"),
    "sexagesimal": ("a: 1" + ":59" * 20, "line 1: a number must be finite and below 2^63, but got '1:59:59"),
    "beyond 64 bits": (
        "a: 9223372036854775808",
        "below 2^63, but got '9223372036854775808'.",
    ),
    "infinite": ("a: .inf", "line 1: a number must be finite and below 2^63, but got '.inf'."),
    "no number": ("a: .nan", "line 1: a number must be finite and below 2^63, but got '.nan'."),
    "overflow": ("a: 1.0e+999", "line 1: a number must be finite and below 2^63, but got '1.0e+999'."),
    "no digits": ("a: 0x_", "line 1: '0x_' is no number: write a text between quotes."),
    "date": ("a: 1\nb: 2026-01-01", "line 2: '2026-01-01' is read as a date: write it between quotes."),
    "no date": ("a: 2026-13-01", "line 1: '2026-13-01' is read as a date: write it between quotes."),
    "python tag": (
        "a: !!python/object/apply:os.system [ls]",
        "line 1: must hold plain data only, but the tag is",
    ),
    "own tag": ("a: !mine 1", "line 1: must hold plain data only, but the tag is '!mine'."),
    "binary": ("a: !!binary aGk=", "line 1: must hold plain data only, but the tag is 'tag:yaml.org,2002:binary'."),
    "a list as a map": ("a: !!map [b]", "line 1: must hold plain data only, but the tag is 'tag:yaml.org,2002:map'."),
    "a list as a text": ("a: !!str [b]", "line 1: must hold plain data only, but the tag is 'tag:yaml.org,2002:str'."),
    "a text as a number": ("a: !!int b", "line 1: must hold plain data only, but the tag is 'tag:yaml.org,2002:int'."),
    "key twice": ("a: 1\nb: {c: 1, c: 2}", "line 2: key `c` stands twice."),
    "number twice": ("{1: a, 0x1: b}", "line 1: key `1` stands twice."),
    "list as key": ("? [a]\n: b", "line 1: a key must be a text or a number."),
    "escaped half pair": ('a: "\\ud800"', "is not YAML: line 1: while parsing a quoted scalar, found invalid Unicode"),
    "raw half pair": ("a: \udc80", "is not YAML: it holds half of a pair of characters."),
    "zero character": ("a: x\0y", "is not YAML: "),
    "escape character": ("a: x\x1b[2J", "is not YAML: "),
    "two documents": ("a: 1\n---\nb: 2", "is not YAML: line 2: "),
    "no such anchor": ("a: *b", "is not YAML: line 1: found undefined alias."),
    "a tab": ("a:\n\t- b", "is not YAML: line 2: "),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_could_harm_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_yaml(text)
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, e: 2}", {"a": [1, 2], "b": [1, 2], "c": {"d": 1, "e": 2}}),
        ("{0: a, 0.5: b, on: c, ~: d, <<: {e: f}}", {0: "a", 0.5: "b", True: "c", None: "d", "e": "f"}),
        ("a: !!str 1\nb: 0x1F\nc: 1_000\nd: -0.5", {"a": "1", "b": 31, "c": 1000, "d": -0.5}),
        ("a: 9223372036854775807", {"a": 2**63 - 1}),
        ("a: Größe 猫 🙂\nb: '2026-01-01'", {"a": "Größe 猫 🙂", "b": "2026-01-01"}),
        ("a: " + "[" * (DEPTH - 1) + "]" * (DEPTH - 1), {"a": json.loads("[" * (DEPTH - 1) + "]" * (DEPTH - 1))}),
        ("", None),
    ],
)
def test_plain_data_is_read_as_it_is(text: str, data: Any) -> None:
    assert parse_yaml(text) == data


def test_thirty_thousand_keys_are_read() -> None:
    assert parse_yaml("\n".join(f"k{number}: {number}" for number in range(30_000)))["k29999"] == 29_999


def test_what_is_written_is_read_again() -> None:
    data = {"name": "ö\x1b", "date": str(datetime.date(2026, 1, 1)), "list": [1, [0.5, None, True]]}
    assert parse_yaml(as_yaml(data)) == data
