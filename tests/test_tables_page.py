"""The page about tables: its examples run, and are short."""

import re
from pathlib import Path

import pytest

from made_tables import make_tiny

PAGE = (Path(__file__).parent.parent / "docs" / "tables.md").read_text(encoding="utf-8")
EXAMPLES = {
    re.sub(r"^#+ ", "", title): block
    for title, block in re.findall(
        r"^(##+ [^\n]+)\n(?:(?!^##).)*?```python\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE
    )
}
MOST_LINES = 30
"""Of an example that plugs another tool into a table."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the tiny table, which stands for the one that the page names."""
    folder = tmp_path_factory.mktemp("page")
    assert make_tiny(folder) == 0
    assert make_tiny(folder, "--pack", str(folder / "tiny.parquet")) == 0
    return folder / "tiny.parquet"


def test_other_tools_take_part_in_a_few_lines() -> None:
    assert {"Optuna", "Ray Tune", "Ask and tell, with scikit-learn"} <= set(EXAMPLES)
    for block in EXAMPLES.values():
        assert len(block.splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[pytest.mark.slow] * (title == "Ray Tune")) for title in EXAMPLES]
)
def test_example_runs(
    title: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    block = EXAMPLES[title].replace('load_table("yeast")', f'load_table("{path}")')
    assert str(path) in block
    exec(compile(block, title, "exec"), {})
    assert capsys.readouterr().out
