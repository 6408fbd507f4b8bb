import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from made_runs import ended, made_experiment, made_run, made_trials, write_run
from mtl_search.errors import RunFolderError, UserError
from mtl_search.reporting.search_page import report_data, write_report
from mtl_search.reporting.text import without_machine_paths
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text without scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in {"script", "style"}:
            self.text += data

    def count(self, tag: str) -> int:
        return [name for name, _ in self.tags].count(tag)


OTHER_PAGES = ("pareto.html", "report.html")


def assert_loads_nothing(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "action", "data"):
            address = attributes.get(name) or "#"
            assert address.startswith("#") or (tag == "a" and address in OTHER_PAGES), (tag, attributes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made_run(tmp_path / "demo", 12)


def test_page_shows_every_architecture_of_the_front(run: Run) -> None:
    path = write_report(run)
    assert path == run.path / "pareto.html"
    page = Page(path)
    assert_loads_nothing(page)
    assert page.count("svg") == page.count("details") - 1 == len(run.front), "all trials are folded, too"
    for trial in run.front:
        assert f"{trial.learnable_parameters:,}" in page.text
        assert f"mtl-search show demo:{trial.number}" in page.text
        assert f"mtl-search train demo:{trial.number} --seeds 3" in page.text


def test_report_json_holds_the_drawn_numbers(run: Run) -> None:
    write_report(str(run.path))
    data = json.loads((run.path / "report.json").read_text(encoding="utf-8"))
    assert data == report_data(run)
    assert len(data["pareto"]["trials"]) == len(run.complete)
    assert [row["trial"] for row in data["front"]] == [trial.number for trial in run.front]
    assert [row["trial"] for row in data["front"] if row["knee"]] == ([run.knee.number] if run.knee else [])
    assert [row["trial"] for row in data["front"] if row["mark"]] == [run.pick.number if run.pick else None]
    assert data["front"][0]["scores"] == run.front[0].scores
    assert len(data["front"][0]["layers"]) == 3


def test_sentences_are_computed_from_the_numbers(tmp_path: Path) -> None:
    experiment = made_experiment()
    values = [(0.80, 1_000), (0.94, 2_000), (0.95, 6_200), (0.70, 7_000)]
    trials = [
        replace(trial, accuracy=accuracy, learnable_parameters=parameters)
        for trial, (accuracy, parameters) in zip(made_trials(experiment, 4), values, strict=True)
    ]
    found, knee = report_data(write_run(tmp_path / "run", experiment, trials))["summary"]
    assert found.startswith("4 candidates were trained on multi_mnist; 3 of them are on the front, with 1,000 to 6,200")
    assert "trial 2, reaches 95.0\N{NO-BREAK SPACE}% mean accuracy with 6,200." in found
    assert knee == (
        "The knee, trial 1, reaches 94.0\N{NO-BREAK SPACE}% mean accuracy with 2,000 learnable parameters,"
        " 3.1 times fewer than the best."
    )


def test_one_trial_is_front_knee_and_best(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", 1)
    found, knee = report_data(run)["summary"]
    assert found.startswith("1 candidate was trained on multi_mnist; 1 of them is on the front")
    assert knee.endswith("is the same trial 0.")
    write_report(run)


def test_run_without_a_complete_trial_says_so(tmp_path: Path) -> None:
    experiment = made_experiment()
    trials = [ended(number, State.INFEASIBLE, f"too many, {number}", experiment) for number in range(9)]
    page = Page(write_report(write_run(tmp_path / "run", experiment, trials)))
    assert "No candidate was trained to its end: 9 infeasible." in page.text
    assert "too many, 8" in page.text
    assert page.count("details") == 2, "long lists are folded: all trials, and why these have no result"
    assert page.count("svg") == 0


def test_run_without_any_trial_gives_a_page(tmp_path: Path) -> None:
    page = Page(write_report(made_run(tmp_path / "run", 0)))
    assert "none has ended" in page.text


def test_names_and_errors_are_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    experiment = made_experiment()
    trials = [*made_trials(experiment, 4, [evil.replace("/", ""), "b"]), ended(4, State.FAILED, evil, experiment)]
    page = Page(write_report(write_run(tmp_path / "run", experiment, trials)))
    others = [*made_trials(experiment, 4), ended(4, State.FAILED, "no luck", experiment)]
    plain = Page(write_report(write_run(tmp_path / "plain", experiment, others)))
    assert page.count("script") == plain.count("script")
    assert evil in page.text


def test_page_names_no_path_of_this_machine(tmp_path: Path) -> None:
    experiment = made_experiment()
    failed = ended(3, State.FAILED, f"no such file: '{tmp_path}/data/x.npz'", experiment)
    run = write_run(tmp_path / "my run", experiment, [*made_trials(experiment, 3), failed])
    environment = {"command": f"{tmp_path}/bin/mtl-search search quickstart --out {tmp_path}/run"}
    path = write_report(Run(run.path, run.experiment, environment, run.trials))
    for file in (path, run.path / "report.json"):
        assert str(tmp_path) not in file.read_text(encoding="utf-8")
    text = Page(path).text
    assert "…/x.npz" in text
    assert "…/mtl-search search quickstart --out …/run" in text
    assert "mtl-search show 'my run:" in text


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("/home/me/data/x.csv", "…/x.csv"),
        ("see /home/me/x.csv, '/a/b c'", "see …/x.csv, '…/b c'"),
        ("results/demo and left/accuracy", "results/demo and left/accuracy"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("3 / 4", "3 / 4"),
    ],
)
def test_absolute_paths_are_shortened(text: str, shortened: str) -> None:
    assert without_machine_paths([{"a": text}]) == [{"a": shortened}]


def test_page_says_how_the_numbers_were_made(run: Run) -> None:
    page = Page(write_report(run))
    made = {item["name"]: item["text"] for item in report_data(run)["made"]}
    assert made["Dataset"] == "multi_mnist, train 10000"
    assert made["Versions"] == "torch 2.13.0, optuna 5.0.0"
    assert made["Trials"] == "12 of 24 asked for: 12 complete"
    assert made["Training time"].startswith(f"{sum(trial.seconds for trial in run.trials):,.0f} s")
    assert "The test split was not read." in page.text


def test_missing_environment_is_left_out(run: Run) -> None:
    data = report_data(Run(run.path, run.experiment, {}, run.trials))
    assert not {"Versions", "Python", "Command"} & {item["name"] for item in data["made"]}


def test_further_objectives_are_named_and_have_a_column(tmp_path: Path) -> None:
    experiment = made_experiment(["objectives=[left/accuracy, macs, right/loss]", "constraints.macs=99000000"])
    run = write_run(tmp_path / "run", experiment, made_trials(experiment, 6))
    data = report_data(run)
    assert "3 objectives" in data["caption"]
    assert data["score_columns"] == ["left/accuracy", "right/accuracy", "right/loss"]
    assert "MACs" in data["summary"][0]
    assert {"name": "Constraints", "text": "macs at most 99,000,000"} in data["made"]
    assert_loads_nothing(Page(write_report(run)))


def test_every_trial_is_a_row_with_every_task_as_a_column(tmp_path: Path) -> None:
    experiment, tasks = made_experiment(), [f"attribute_{number}" for number in range(8)]
    trials = [*made_trials(experiment, 5, tasks), ended(5, State.INFEASIBLE, "too many", experiment)]
    run = write_run(tmp_path / "run", experiment, trials)
    page = write_report(run).read_text(encoding="utf-8")
    table = page[page.index('data-name="trials"') :].partition("</table>")[0]
    assert re.findall(r'<tr data-trial="(\d+)"', table) == ["0", "1", "2", "3", "4", "5"]
    assert [f">attribute_{number} accuracy in %<" in table for number in range(8)] == [True] * 8
    for trial in run.complete:
        value = trial.scores["attribute_7/accuracy"] * 100
        assert f'data-v="[{value:.9g}]">{value:.2f}<' in table
    assert table.count(">front<") == len(run.front) - 1, "and the knee"
    assert ">infeasible<" in table


def test_same_folder_gives_the_same_page(run: Run) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run.path).read_bytes() == first
    assert not list(run.path.glob(".*.tmp"))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError):
        write_report(tmp_path)


def test_pages_share_plotly_js_in_a_file(tmp_path: Path) -> None:
    one, two = made_run(tmp_path / "one"), made_run(tmp_path / "of two" / "two")
    library = tmp_path / "plotly.min.js"
    pages = [write_report(run, library).read_text(encoding="utf-8") for run in (one, two)]
    assert [re.findall(r'<script[^>]*src="([^"]*)"', page) for page in pages] == [
        ["../plotly.min.js"],
        ["../../plotly.min.js"],
    ]
    assert max(map(len, pages)) < 1_000_000 < library.stat().st_size
    alone = write_report(one).read_text(encoding="utf-8")
    assert library.read_text(encoding="utf-8") in alone
    assert "src=" not in re.sub(r"<script.*?</script>", "", alone, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["notes.js", "plotly.txt", "missing/plotly.js"])
def test_a_file_that_cannot_hold_plotly_js_is_refused(name: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    before = {path.name for path in run.path.iterdir()}
    (tmp_path / "notes.js").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(str(Path(name).name))):
        write_report(run, tmp_path / name)
    assert (tmp_path / "notes.js").read_text(encoding="utf-8") == "mine"
    assert {path.name for path in run.path.iterdir()} == before
