"""Several runs on one page, and the pages that lead to each other."""

import re
from pathlib import Path

import pytest

from made_comparisons import made_comparison
from made_runs import made_experiment, made_run, made_trials, write_run
from mtl_search.cli.commands import main
from mtl_search.errors import RunFolderError, UserError
from mtl_search.reporting.figures import fronts_figure, fronts_planes
from mtl_search.reporting.runs_page import runs_data, write_runs_report
from mtl_search.reporting.search_page import write_report
from mtl_search.runs.folder import Run
from test_report import Page


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    return [made_run(tmp_path / "one", 12), made_run(tmp_path / "two & <b>", 6)]


def addresses(page: Path) -> list[str]:
    return re.findall(r'<a href="([^"#][^"]*)"', page.read_text(encoding="utf-8"))


def test_the_fronts_of_all_runs_are_in_one_plot_and_one_table(runs: list[Run], tmp_path: Path) -> None:
    data = runs_data(runs, tmp_path)
    assert [(row["label"], row["trials"], row["on_front"]) for row in data["runs"]] == [
        ("one", 12, len(runs[0].front)),
        ("two & <b>", 6, len(runs[1].front)),
    ]
    assert [row["best"]["trial"] for row in data["runs"]] == [run.best.number for run in runs if run.best]
    assert [(row["run"], row["trial"]) for row in data["front"]] == [
        (name, trial.number) for name, run in zip(["one", "two & <b>"], runs, strict=True) for trial in run.front
    ]
    assert data["scores"] == ["left/accuracy", "right/accuracy"]
    first, second = fronts_figure(data["front"], data["word"]).data
    assert list(first.x) == [trial.learnable_parameters for trial in runs[0].front]
    assert list(second.y) == pytest.approx([trial.accuracy * 100 for trial in runs[1].front if trial.accuracy])
    assert second.name == "two &amp; &lt;b&gt;"
    planes = fronts_planes(data["front"], data["scores"], data["word"])
    assert [axis["name"] for axis in planes["x"]] == ["learnable_parameters", "macs"]
    assert planes["y"][1]["values"] == pytest.approx([row["scores"]["left/accuracy"] * 100 for row in data["front"]])


def test_the_page_is_one_file_whose_texts_are_escaped(runs: list[Run], tmp_path: Path) -> None:
    for run in runs:
        write_report(run)
    out = write_runs_report([run.path for run in runs], tmp_path / "all.html", tmp_path / "plotly.min.js")
    page = Page(out)
    assert "two & <b>" in page.text
    assert page.count("b") == 0
    assert addresses(out) == ["one/pareto.html", "two%20%26%20%3Cb%3E/pareto.html"]
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    first = out.read_bytes()
    assert write_runs_report([run.path for run in runs], out, tmp_path / "plotly.min.js").read_bytes() == first


def test_runs_of_different_data_are_told_apart(runs: list[Run], tmp_path: Path) -> None:
    assert runs_data(runs, tmp_path)["differ"] == []
    experiment = made_experiment(["training.epochs=7"])
    other = write_run(tmp_path / "other", experiment, made_trials(experiment, 3))
    assert runs_data([runs[0], other], tmp_path)["differ"] == ["the epochs of a training"]
    out = write_runs_report([runs[0].path, other.path], tmp_path / "all.html", tmp_path / "plotly.min.js")
    assert "These runs differ in the epochs of a training" in Page(out).text


def test_folders_of_one_name_are_named_with_the_folder_above(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / above / "run", 3) for above in ("a", "b")]
    assert [row["label"] for row in runs_data(runs, tmp_path)["runs"]] == ["a/run", "b/run"]


def test_runs_without_a_result_give_a_page(tmp_path: Path) -> None:
    run = made_run(tmp_path / "none", 0)
    page = Page(write_runs_report([run.path], tmp_path / "all.html"))
    assert "1 search" in page.text
    assert "All fronts" not in page.text


def test_what_is_no_page_of_runs_is_refused(runs: list[Run], tmp_path: Path) -> None:
    paths = [run.path for run in runs]
    with pytest.raises(UserError, match=r"all\.txt: the name of a page must end in `\.html`"):
        write_runs_report(paths, tmp_path / "all.txt")
    with pytest.raises(UserError, match=r"nowhere: is no folder"):
        write_runs_report(paths, tmp_path / "nowhere" / "all.html")
    with pytest.raises(UserError, match=r"one: is given twice"):
        write_runs_report([*paths, tmp_path / "two & <b>" / ".." / "one"], tmp_path / "all.html")
    with pytest.raises(RunFolderError):
        write_runs_report([tmp_path], tmp_path / "all.html")
    assert not (tmp_path / "all.html").exists()


def test_the_command_says_where_the_page_is_and_asks_for_its_name(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["mtl-search", "report", *(str(run.path) for run in runs)]
    page, plotly = tmp_path / "all.html", tmp_path / "plotly.min.js"
    monkeypatch.setattr("sys.argv", [*command, "--out", str(page), "--plotly", str(plotly)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{page}\n")
    assert not (runs[0].path / "pareto.html").exists(), "pages of the runs themselves are not touched"
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "name its file with --out, such as --out runs.html" in capsys.readouterr().err


@pytest.mark.slow
def test_pages_of_a_run_and_its_controls_lead_to_each_other(tmp_path: Path) -> None:
    run, plotly = made_run(tmp_path / "run", 24), tmp_path / "plotly.min.js"
    alone = write_report(run, plotly)
    assert addresses(alone) == []
    made_comparison(run)
    control = made_run(run.path / "control" / "hard_sharing", 3)
    made_run(run.path / "control" / "routing", 3)
    page = write_report(run, plotly)
    assert addresses(page) == ["pareto.html"], "a control without a page is not led to"
    own = write_report(control, plotly)
    assert addresses(own) == ["../../pareto.html", "../../report.html"]
    page = write_report(run, plotly)
    assert addresses(page) == ["pareto.html", "control/hard_sharing/pareto.html"]
    assert addresses(run.path / "pareto.html") == ["report.html", "control/hard_sharing/pareto.html"]
    assert "Control hard sharing" in Page(page).text
