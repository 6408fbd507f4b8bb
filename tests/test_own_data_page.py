"""The page about own data runs: its Python makes files, its experiments and commands are those of a user."""

import re
from pathlib import Path

import pytest

from made_pages import follow, page, sections

PAGE = page("docs/own-data.md")
EXAMPLES = {title: found for title, found in sections(PAGE).items() if found}


def test_every_way_has_an_example() -> None:
    names = re.findall(r"^\| [^|]+ \| `([a-z_.:]+)` \|", PAGE.partition("\n## ")[0], flags=re.MULTILINE)
    text = "".join(block for found in EXAMPLES.values() for _, block in found)
    assert names.pop(0) == "dataset.name"
    assert "table" in names
    for name in names:
        assert f"name: {name}" in text or name == "my_package.module:function"


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_example_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    follow(EXAMPLES[title], monkeypatch)
    compared = list(tmp_path.glob("results/*/report.json"))
    assert len(compared) == 1
    assert "hard_sharing" in compared[0].read_text(encoding="utf-8")
