"""What others named reaches a terminal as text: what a terminal would obey is shown as escapes, letters as they are."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_search.cli.commands import main
from mtl_search.errors import UserError, reason_of

CLASSES = ("Größe", "a\x1b[2Jb", "c\nforged: valid", "abc\u202etxt", "=1+1")
SHOWN = ("Größe", r"a\x1b[2Jb", r"c\nforged: valid", r"abc\u202etxt", "=1+1")
EXPERIMENT = """
name: names
dataset: {name: table, file: data.csv, tasks: {animal: classification}}
backbone: {kind: vector, stages: [{width: 8}]}
space: {shared_ratio: [1.0, 0.5]}
training: {epochs: 1, batch_size: 16}
search: {trials: 1, workers: 0}
"""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["x", "animal"])
        lines.writerows([number * 0.5, CLASSES[number % len(CLASSES)]] for number in range(200))
    (tmp_path / "my.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mtl-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_names_of_classes(command: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = command("check", "my.yaml")
    assert (status, err) == (0, "")
    for shown in SHOWN:
        assert f"    {shown} " in out
    assert out.replace("\n", "").isprintable()
    assert "\nforged" not in out


def test_names_in_json_are_the_names(command: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = command("check", "my.yaml", "--json")
    assert status == 0
    assert out.replace("\n", "").isprintable()
    assert "Größe" in out
    assert {row["name"] for row in json.loads(out)["tasks"][0]["classes"]} == set(CLASSES)


def test_a_foreign_error_in_a_folder(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert command("search", "my.yaml", "--out", "run")[0] == 0
    table = tmp_path / "run" / "trials.csv"
    with table.open(encoding="utf-8", newline="") as file:
        columns, row = csv.reader(file)
    values = dict(zip(columns, row, strict=True)) | {"state": "FAILED", "error": "\x1b]0;owned\x07\nforged: 3 COMPLETE"}
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, [values[column] for column in columns]])
    _, out, _ = command("status", "run")
    assert r"trial 0 FAILED: \x1b]0;owned\x07" in out
    assert out.replace("\n", "").isprintable()
    assert "\nforged" not in out


@pytest.mark.parametrize("name", ["no\x1b[2Jsuch.yaml", "no\nsuch.yaml", "no\udc80such", "x" * 3000])
def test_the_name_of_a_file_that_is_not_there(name: str, command: Callable[..., tuple[int, str, str]]) -> None:
    for call in ("check", "show"):
        status, out, err = command(call, name)
        assert (status, out) == (2, ""), (call, err)
        assert err.startswith("error: ")
        assert err.removesuffix("\n").isprintable(), (call, err)


@pytest.mark.parametrize("name", ["no\x1b[2Jsuch", "no\nsuch", "no\udc80such", "x" * 3000, "a/" + "x" * 3000])
def test_the_name_of_a_folder_that_is_not_there(name: str, command: Callable[..., tuple[int, str, str]]) -> None:
    for call in ("status", "report", "resume", "export", "compare", "show"):
        status, out, err = command(call, name)
        assert (status, out) == (2, ""), (call, err)
        assert err.startswith("error: ")
        assert err.removesuffix("\n").isprintable(), (call, err)
        assert len(err) < 800, (call, err)


def test_a_folder_that_cannot_be_made(command: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = command("search", "my.yaml", "--out", "x" * 3000)
    assert (status, out) == (2, "")
    assert err.startswith(
        f"error: {'x' * 297}...: cannot be a folder for a run: OSError: [Errno 36] File name too long"
    )


def test_the_error_of_a_training() -> None:
    assert reason_of(ValueError("=1+1\x1b[2J\n" + "x" * 600)) == r"ValueError: =1+1\x1b[2J " + "x" * 491


def test_a_message_shows_what_a_library_quotes_as_escapes() -> None:
    assert str(UserError("x.parquet: don't know type \x0f\u202e.\nsecond line")) == (
        "x.parquet: don't know type \\x0f\\u202e.\nsecond line"
    )
