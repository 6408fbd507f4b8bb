"""Every benchmark can be started, and the tables of what they measured can be read."""

import csv
import importlib
import sys
from pathlib import Path

import pytest

from measured import ORIGIN, Table

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "measured")
TABLES = sorted((BENCHMARKS / "results").glob("*.csv"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_finds_what_it_imports(name: str) -> None:
    assert callable(importlib.import_module(name).main)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_every_table_says_where_it_is_from(table: Path) -> None:
    with table.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    script = table.stem.partition("-")[0]
    assert script in SCRIPTS
    text = (BENCHMARKS / f"{script}.py").read_text(encoding="utf-8")
    assert table.name in text
    assert "add_option(parser)" in text
    assert tuple(columns[-len(ORIGIN) :]) == ORIGIN
    assert len(set(columns)) == len(columns)
    assert rows
    assert {len(row) for row in rows} == {len(columns)}
    assert all(row[columns.index("commit")] and row[columns.index("date")] for row in rows)


def test_a_table_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/speed.py"])
    monkeypatch.setattr("measured.origin", lambda: ("c0ffee", "a processor", "2026-01-31"))
    table = Table({"what": "", "ms, median": ".1f"}, tmp_path, "steps", same={"threads": 2})
    table.add("one", 1.25)
    table.add("none", "")
    assert capsys.readouterr().out == "\n| what | ms, median |\n|---|---|\n| one | 1.2 |\n| none |  |\n"
    assert (tmp_path / "speed-steps.csv").read_text() == (
        'threads,what,"ms, median",commit,processor,date\n'
        "2,one,1.2,c0ffee,a processor,2026-01-31\n2,none,,c0ffee,a processor,2026-01-31\n"
    )
