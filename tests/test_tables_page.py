"""The page about tables: its examples run, and are short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from made_tables import make_tiny
from mtl_search.tables import load_table
from tables import page

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


def example(title: str, path: Path) -> str:
    """The text of an example, with the tiny table in place of the one that it names."""
    block = EXAMPLES[title].replace('load_table("yeast")', f'load_table("{path}")')
    assert str(path) in block
    return block


@pytest.mark.slow
@pytest.mark.parametrize("title", [title for title in EXAMPLES if title != "Ray Tune"])
def test_example_runs(title: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example(title, path), title, "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
def test_example_of_ray_runs(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", example("Ray Tune", path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    best = load_table(path).mean.max()
    assert float(done.stdout.split()[-1]) == pytest.approx(best)


@pytest.mark.slow
def test_numbers_are_the_same_whenever_they_are_written(path: Path) -> None:
    first, second = (page.written(PAGE, [load_table(path)]) for _ in range(2))
    assert first == second == page.written(first, [load_table(path)])
    assert first.startswith(PAGE.partition(page.BEGIN)[0].rstrip())


def test_an_effect_is_of_pairs_that_differ_in_one_choice(path: Path) -> None:
    table = load_table(path)
    found = {(effect.place, effect.change): effect for effect in page.effects(table)}
    assert set(found) == {
        ("1 of 2", "bank vector_nonlinear → conv"),
        ("2 of 2", "shared 100% → 50%"),
        ("2 of 2", "shared 50% → 0%"),
        ("all", "width ×0.5 → ×1"),
    }
    assert [len(effect.pairs) for effect in found.values()] == [6, 4, 4, 6]
    effect = found["2 of 2", "shared 100% → 50%"]
    gains = [100 * (table.mean[after] - table.mean[before]) for before, after in effect.pairs]
    for before, after in effect.pairs:
        first, second = table.architectures[before], table.architectures[after]
        assert (first.layers[0], first.width_multiplier) == (second.layers[0], second.width_multiplier)
        assert (first.layers[1].shared_ratio, second.layers[1].shared_ratio) == (1.0, 0.5)
    assert effect.gain.mean == pytest.approx(sum(gains) / len(gains))


def test_the_page_says_what_the_shipped_tables_say() -> None:
    assert page.main(["--check"]) == 0
