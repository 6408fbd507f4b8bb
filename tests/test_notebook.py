"""A run in a notebook: frames, figures, what a cell shows, and the notebook that comes with the project."""

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from made_comparisons import made_comparison
from made_runs import ended, made_experiment, made_run, made_trials, write_run
from mtl_search.errors import UnknownNameError, UserError
from mtl_search.reporting.figures import pareto_data, pareto_figure
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_search.ipynb"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = made_experiment()
    trials = [*made_trials(experiment, 12), ended(12, State.FAILED, "<b>no luck</b>", experiment)]
    return write_run(tmp_path_factory.mktemp("notebook") / "run", experiment, trials)


class Elements(HTMLParser):
    """The elements of a piece of HTML, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.places: list[tuple[float, float]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "circle":
            self.places.append((float(values["cx"] or ""), float(values["cy"] or "")))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_frame_of_trials_holds_what_the_run_holds(run: Run) -> None:
    frame = run.trials_dataframe()
    assert list(frame.index) == [trial.number for trial in run.trials]
    assert list(frame[frame["on_front"]].index) == sorted(trial.number for trial in run.front)
    for name in ("accuracy", "macs", "learnable_parameters", "total_parameters"):
        assert frame.loc[3, name] == run.trial(3).value(name)
    assert frame.loc[3, "left/accuracy"] == run.trial(3).scores["left/accuracy"]
    assert frame.loc[12, "state"] == "FAILED"
    assert pd.isna(frame.loc[12, "accuracy"])
    assert "latency_ms" not in frame, "nothing depends on it here"


def test_the_frame_of_a_run_without_trials_is_empty(tmp_path: Path) -> None:
    assert len(write_run(tmp_path / "run", made_experiment(), []).trials_dataframe()) == 0


def test_the_frame_of_a_comparison_has_a_row_per_training(tmp_path: Path) -> None:
    comparison = made_comparison(made_run(tmp_path / "run"))
    frame = comparison.dataframe()
    assert len(frame) == len(comparison.outcomes)
    for one in comparison.outcomes:
        row = frame.loc[(one.entrant, one.seed)]
        assert (row["state"], row["macs"]) == (one.state.value, one.macs)
        assert row["accuracy"] == one.accuracy
        assert {name: row[name] for name in one.scores} == one.scores


def test_the_figure_is_that_of_the_page(run: Run) -> None:
    assert run.figure() == run.figure("pareto") == pareto_figure(pareto_data(run))
    assert run.figure("hypervolume").data[0].name == "hypervolume"


def test_a_figure_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(UnknownNameError, match=r"there is no figure `paretto`. Did you mean `pareto`?"):
        run.figure("paretto")
    with pytest.raises(UserError, match="figure `loss`: there is nothing to draw: no trial has two epochs"):
        run.figure("loss")


def test_a_cell_shows_the_front_as_a_picture_and_a_table(run: Run) -> None:
    shown = Elements(run._repr_html_())
    assert shown.tags.count("circle") == len(run.complete)
    assert shown.tags.count("tr") == 1 + len(run.front)
    assert "script" not in shown.tags
    assert all(0 < x < 560 and 0 < y < 300 for x, y in shown.places)
    front = shown.places[-len(run.front) :]
    assert front == sorted(front), "cheaper is left"
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True), "dearer is better, and above"
    assert f"{run.front[0].learnable_parameters:,}" in shown.text


def test_a_cell_shows_names_as_text(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    experiment = made_experiment().model_copy(update={"name": name})
    shown = Elements(write_run(tmp_path / "run", experiment, made_trials(experiment, 6))._repr_html_())
    assert name in shown.text
    assert "script" not in shown.tags
    empty = Elements(write_run(tmp_path / "empty", experiment, [])._repr_html_())
    assert (empty.tags, empty.text) == (["div", "b"], f"Search {name}: none has ended")


def cells() -> list[str]:
    """The code of the notebook, cell by cell."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown_by(code: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does: the value of its last expression is what it shows."""
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    exec(compile(ast.Module([last], []), "cell", "exec"), names)
    return None


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    found = [shown_by(code, names) for code in cells()]
    (shown,) = [one for one in found if isinstance(one, Run)]
    assert len(shown.complete) == 6
    assert shown.best is not None
    assert re.match("<div><b>Search ", shown._repr_html_())
    frames = [one for one in found if isinstance(one, pd.DataFrame)]
    assert len(frames) == 3
    assert list(frames[1]["state"]) == ["COMPLETE"] * 6
    assert {entrant for entrant, _ in frames[2].index} == {"hard_sharing", f"trial-{shown.best.number}"}
