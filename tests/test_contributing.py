"""Every example of CONTRIBUTING.md runs as a newcomer would run it: its files, then its commands, in this process."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from made_pages import follow, page, sections
from mtl_search.internal import registry
from mtl_search.internal.registry import PRIMITIVES

PAGE = page("CONTRIBUTING.md")
SECTIONS = sections(PAGE.partition("\n## Adding something\n")[2])
LONGEST = 40
"""Lines of an example, with its files and its commands; empty ones are not counted."""
LEAVES = {"A sampler": "", "A figure": "sharing.html"}
"""What an example makes where it is no model."""


def test_there_is_an_example_for_all_that_can_be_added() -> None:
    things = ["primitive", "method", "kind of task", "dataset", "balancing", "sampler", "figure"]
    assert list(SECTIONS) == [f"A {thing}" for thing in things]


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_is_short(title: str) -> None:
    lines = [line for _, block in SECTIONS[title] for line in block.splitlines() if line.strip()]
    assert len(lines) <= LONGEST


@pytest.mark.parametrize("title", SECTIONS)
@pytest.mark.slow
def test_example_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow(SECTIONS[title], monkeypatch)
    if title in LEAVES:
        assert (tmp_path / LEAVES[title]).exists()
    else:
        assert list(tmp_path.glob("run/exports/*/model.pt2"))
        assert list(tmp_path.glob("**/report.html"))


def test_an_entry_point_gives_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installation writes it."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    ((group, points),) = tomllib.loads(block)["project"]["entry-points"].items()
    about = tmp_path / "my_ridge-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: my_ridge\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{a} = {b}\n" for a, b in points.items()))
    (tmp_path / "my_ridge.py").write_text(SECTIONS["A primitive"][0][1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_ridge", raising=False)
    registry._announced.cache_clear()
    try:
        assert "ridge" in PRIMITIVES.names()
        assert PRIMITIVES.get("ridge").name == "ridge"
    finally:
        monkeypatch.undo()
        registry._announced.cache_clear()
