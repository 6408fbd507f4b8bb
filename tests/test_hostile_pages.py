"""Markup and formulas in the files of a run: pages show them as text, and tables never hold them as formulas."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from made_comparisons import made_comparison
from made_runs import ended, made_experiment, made_trials, write_run
from mtl_search.comparison.recipes import load_baselines
from mtl_search.comparison.results import load_comparison, write_outcomes
from mtl_search.errors import RunFolderError, UserError
from mtl_search.reporting.figures import figure_html, paths_figure, shares_figure
from mtl_search.reporting.figures._style import wrapped
from mtl_search.reporting.search_page import COMPARISON_PAGE, PAGE, report_data, write_report
from mtl_search.runs.folder import load_run
from mtl_search.runs.rows import csv_line, read_table
from mtl_search.runs.trial import State

MARKUP = (
    '\'"><img src=x onerror="document.title=1"> <script>document.title=1</script> </title></script><b>{{ 7*7 }}%{x}'
)
LINK = '<a href="javascript:document.title=1">open</a>'


class Elements(HTMLParser):
    """Counts the elements of a page, and keeps its attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(folder: Path) -> dict[str, Elements]:
    write_report(folder)
    return {name: Elements((folder / name).read_text(encoding="utf-8")) for name in (PAGE, COMPARISON_PAGE)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "run"
    experiment = made_experiment()
    trials = [*made_trials(experiment, 10), ended(10, State.FAILED, "no reason", experiment)]
    made_comparison(write_run(folder, experiment, trials))
    return folder


def texts(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a text in plain data: what holds it, and under which key."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        if isinstance(value, dict | list):
            yield from texts(value)
        elif isinstance(value, str):
            yield data, key


CHOSEN = {
    "key",
    "kind",
    "split",
    "format",
    "method",
    "recipe",
    "started",
    "finished",
    "now",
    "name",
    "schedule",
    "device",
}
"""Keys of what is a name of something, or a word of a few, and checked where it is read."""


def infect(path: Path) -> int:
    """Markup in every free text of a JSON file; gives how many there are."""
    data, count = json.loads(path.read_text()), 0
    for place, key in texts(data):
        if key not in CHOSEN and not (isinstance(place, list) and place is data.get("now")):
            place[key] = f"{MARKUP}{LINK}{key}"
            count += 1
    path.write_text(json.dumps(data))
    return count


def infected(whole: Path, folder: Path) -> Path:
    """A copy of a run and its comparison in whose files others wrote what they liked."""
    shutil.copytree(whole, folder)
    experiment = folder / "experiment.yaml"
    about = json.dumps({"name": MARKUP[:100], "description": MARKUP + LINK})[1:-1].replace('", "', '"\n"')
    lines = [line for line in experiment.read_text().splitlines() if not line.startswith(("name:", "description:"))]
    experiment.write_text("\n".join([*about.split("\n"), *lines]) + "\n")
    trials = folder / "trials.csv"
    with trials.open(newline="") as file:
        rows = [[MARKUP if cell == "no reason" else cell for cell in row] for row in csv.reader(file)]
    with trials.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    assert infect(folder / "environment.json") > 3
    assert infect(folder / "comparison.json") > 10
    details = folder / "comparison" / "conal" / "seed0" / "details.json"
    assert infect(details) == 4  # the places at which a task can leave the trunk
    return folder


@pytest.mark.slow
def test_markup_in_the_files_of_a_run_is_text_in_its_pages(whole: Path, tmp_path: Path) -> None:
    before, after = pages(whole), pages(infected(whole, tmp_path / "run"))
    for name in (PAGE, COMPARISON_PAGE):
        for tag in ("script", "img", "a", "b", "title", "svg", "iframe"):
            assert after[name].tags.count(tag) == before[name].tags.count(tag), (name, tag)
        assert after[name].attributes == before[name].attributes
        assert after[name].links == before[name].links
        assert '"><img src=x onerror="document.title=1">' in after[name].text
        assert "<script>document.title=1" in after[name].text


@pytest.mark.slow
def test_markup_in_a_figure_is_text(whole: Path, tmp_path: Path) -> None:
    """plotly knows some elements of HTML in its texts: what is escaped it shows as it is."""
    data = report_data(load_run(infected(whole, tmp_path / "run")))
    shares = {"layers": [LINK], "rows": [{"label": LINK, "task": MARKUP, "shares": [0.5]}]}
    for figure in (shares_figure(shares), paths_figure(data["comparison"]["branch_points"][0])):
        page = figure_html(figure, "one", library=False)
        tags = set(re.findall(r"\\u003c(.*?)\\u003e", page))
        assert tags <= {"br", "b", "\\u002fb", "extra", "\\u002fextra"}
        assert "&lt;a href=" in page or "&lt;img src=" in page
        assert Elements(page).tags == ["div", "div", "script"]


def test_a_title_is_cut_between_characters() -> None:
    assert wrapped("a<bcd" + "&" * 7, 5) == ["a&lt;bcd", "&amp;" * 5, "&amp;" * 2]


@pytest.mark.parametrize("text", ["=cmd()", "+1+1", "-x", "@SUM(A1)", "\t=1"])
def test_a_text_in_a_table_is_no_formula(text: str) -> None:
    assert next(csv.reader([csv_line(["a", text])])) == ["a", f"'{text}"]


def test_numbers_and_other_texts_in_a_table_stay() -> None:
    assert csv_line([-0.5, "-0.5", "+1e3", "a=b", "'=x", "", None]) == "-0.5,-0.5,+1e3,a=b,'=x,,\n"


def test_a_formula_of_others_is_none_in_what_is_written_anew(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    comparison = load_comparison(folder)
    assert comparison is not None
    foreign = [replace(one, error="=cmd()", method="@SUM(A1)") for one in comparison.outcomes]
    write_outcomes(folder, foreign, list(foreign[0].scores))
    rows = [row for _, row in read_table(folder / "baselines.csv", ["error"]).rows]
    assert {row["error"] for row in rows} == {"'=cmd()"}
    assert {row["method"] for row in rows} == {"'@SUM(A1)"}


def test_an_entrant_that_begins_like_a_formula_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    asked = json.loads((folder / "comparison.json").read_text())
    asked["entrants"][0]["key"] = "=cmd()"
    (folder / "comparison.json").write_text(json.dumps(asked))
    with pytest.raises(
        RunFolderError, match=r"`entrants\.0\.key` must not begin with one of =\+-@, but got '=cmd\(\)'"
    ):
        load_comparison(folder)
    recipe = tmp_path / "+1.yaml"
    recipe.write_text("method: hard_sharing\n")
    with pytest.raises(UserError, match=r"not begin with `trial-`, `control-`, `\+` or `-`"):
        load_baselines([str(recipe)])
