"""What a user does on the pages, done in a browser: find the pick, compare methods, read a task, take a table along."""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from made_comparisons import made_comparison
from made_runs import ended, made_experiment, made_run, made_trials, write_run
from mtl_search.reporting.runs_page import write_runs_report
from mtl_search.reporting.search_page import report_data, write_report
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State

pytestmark = pytest.mark.slow

PATIENCE = 240_000
"""Milliseconds to wait for the browser: plotly.js takes long on a machine that does much else."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Twelve trials, one that failed, and a comparison of the usual entrants."""
    folder = tmp_path_factory.mktemp("pages") / "demo"
    experiment = made_experiment()
    trials = [*made_trials(experiment, 12), ended(12, State.FAILED, "no & luck_1", experiment)]
    write_run(folder, experiment, trials)
    made_comparison(load_run(folder))
    write_report(folder)
    return load_run(folder)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which no script fails, and which asks nothing of the network."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or errors.append(request.url)
    )
    yield page
    page.close()
    assert errors == []


def table(page: Page, name: str) -> Locator:
    return page.locator(f'table[data-name="{name}"]')


def column(page: Page, name: str, head: str) -> list[str]:
    """The first line of each cell that is shown, of the column with this head."""
    heads = table(page, name).locator("thead th").all_inner_texts()
    place = [" ".join(text.split()) for text in heads].index(head)
    cells = table(page, name).locator(f"tbody tr:visible td:nth-child({place + 1})").all_inner_texts()
    return [cell.strip().split("\n")[0] for cell in cells]


def downloaded(page: Page, name: str, button: str) -> str:
    tools = table(page, name).locator("xpath=../preceding-sibling::div[1]")
    with page.expect_download() as download:
        tools.get_by_role("button", name=button, exact=True).click()
    assert download.value.suggested_filename == f"quickstart-{name}.{ {'CSV': 'csv', 'LaTeX': 'tex'}[button] }"
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_the_pick_is_found_and_its_architecture_opened(run: Run, page: Page) -> None:
    page.goto((run.path / "pareto.html").as_uri())
    assert run.pick is not None
    row = table(page, "front").locator("tr.knee")
    row.get_by_role("link").click()
    assert page.evaluate("location.hash") == f"#trial-{run.pick.number}"
    assert page.locator(f"#trial-{run.pick.number} svg").is_visible()
    assert f"mtl-search show demo:{run.pick.number}" in page.locator(f"#trial-{run.pick.number}").inner_text()


def test_a_point_opens_the_architecture_of_a_trial_off_the_front(run: Run, page: Page) -> None:
    page.goto((run.path / "pareto.html").as_uri())
    other = page.evaluate("document.getElementById('pareto-plot').data[0].customdata[0]")
    assert other not in [trial.number for trial in run.front]
    assert page.locator(f"#trial-{other}").count() == 0
    page.locator("#pareto-plot .scatterlayer .trace").first.locator("path.point").first.click(force=True)
    page.locator(f"#trial-{other} svg").wait_for()
    assert run.trial(other).architecture.id in page.locator(f"#trial-{other} svg title").first.text_content()


def test_two_methods_are_compared(run: Run, page: Page) -> None:
    page.goto((run.path / "report.html").as_uri())
    told = {one["label"]: one for one in report_data(run)["comparison"]["entrants"]}
    page.get_by_label("Filter the rows of entrants").fill("recon, single task")
    assert column(page, "entrants", "entrant") == ["single task", "recon"]
    assert f"2 of {len(told)} rows" in page.get_by_role("status").all_inner_texts()
    table(page, "entrants").get_by_role("button", name="mean accuracy in %").press("Enter")
    means = [f"{told[name]['accuracy']['mean'] * 100:.2f}" for name in ("single task", "recon")]
    assert column(page, "entrants", "mean accuracy in %") == sorted(means, key=float)
    page.get_by_label("Filter the rows of entrants").fill("")
    everyone = column(page, "entrants", "mean accuracy in %")
    assert everyone == sorted(everyone, key=float)
    assert len(everyone) == len(told)


def test_one_task_is_read_in_the_table_and_in_the_plot(run: Run, page: Page) -> None:
    page.goto((run.path / "pareto.html").as_uri())
    page.locator("#all-trials > summary").click()
    head = table(page, "trials").get_by_role("button", name="right accuracy in %")
    head.click()
    head.click()
    values = column(page, "trials", "right accuracy in %")
    assert values[-1] == "–", "what has no value stands last"
    known = [trial.scores["right/accuracy"] * 100 for trial in run.complete]
    assert values[:-1] == [f"{value:.2f}" for value in sorted(known, reverse=True)]
    page.get_by_label("up:").select_option("accuracy of task right, in percent")
    page.get_by_label("across:").select_option("MACs for one sample, all tasks")
    drawn = page.evaluate("document.getElementById('pareto-plot').data.filter(t => t.customdata).slice(0, 2)"
                          ".flatMap(t => t.customdata.map((key, at) => [key, t.x[at], t.y[at]]))")  # fmt: skip
    expected = [[one.number, one.macs, one.scores["right/accuracy"] * 100] for one in run.complete]
    assert sorted(drawn) == [pytest.approx(row) for row in expected]
    assert "right" in page.locator("#pareto-plot .gtitle").text_content()


def test_a_table_is_taken_into_a_paper(run: Run, page: Page) -> None:
    page.goto((run.path / "report.html").as_uri())
    told = {one["label"]: one for one in report_data(run)["comparison"]["entrants"]}
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "entrants", "CSV"))))
    assert [row["entrant"] for row in rows] == list(told)
    for row in rows:
        own = told[row["entrant"]]
        assert float(row["mean accuracy in %"]) == pytest.approx(own["accuracy"]["mean"] * 100)
        assert float(row["mean accuracy in % low"]) == pytest.approx(own["accuracy"]["low"] * 100)
        assert float(row["learnable parameters"]) == own["learnable_parameters"]["mean"]
        assert float(row["fixed parameters"]) == own["fixed_parameters"]["mean"]
    page.get_by_label("Filter the rows of entrants").fill("recon")
    lines = downloaded(page, "entrants", "LaTeX").splitlines()
    assert lines[0] == "% \\usepackage{booktabs}"
    assert lines[1].startswith("\\begin{tabular}{lrr")
    assert (lines[2], lines[4], lines[6], lines[7]) == ("\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}")
    assert lines[3].startswith("entrant & Delta\\_m in \\% & mean accuracy in \\% & ")
    own = told["recon"]["delta_m"]
    sign = "+" if own["mean"] >= 0 else "$-$"
    assert lines[5].startswith(f"recon {{\\scriptsize 2 phases}} & {sign}{abs(own['mean']):.2f} {{\\scriptsize ")
    assert "\N{MINUS SIGN}" not in "".join(lines)
    assert lines[3].count(" & ") == lines[5].count(" & ") == lines[1].count("r") + lines[1].count("l", 16) - 2


def test_what_is_special_in_latex_and_csv_is_escaped(run: Run, page: Page) -> None:
    page.goto((run.path / "pareto.html").as_uri())
    assert "no \\& luck\\_1" in downloaded(page, "without-a-result", "LaTeX")
    marks = '\\ ~ ^ & % $ # _ { } < > | \N{MINUS SIGN}1 \N{EN DASH} a"b'
    assert page.evaluate("tex", marks) == (
        "\\textbackslash{} \\textasciitilde{} \\textasciicircum{} \\& \\% \\$ \\# \\_ \\{ \\} \\textless{}"
        " \\textgreater{} \\textbar{} $-$1 -- a\\textquotedbl{}b"
    )
    cells = ["=cmd()", "+1+1", "-x", "@SUM(A1)", "a,b", 'a"b', "-0.5", "plain"]
    assert next(csv.reader([",".join(page.evaluate("csvCell", cell) for cell in cells)])) == [
        "'=cmd()", "'+1+1", "'-x", "'@SUM(A1)", "a,b", 'a"b', "-0.5", "plain",
    ]  # fmt: skip


def test_a_figure_and_a_drawing_are_downloaded_as_svg(run: Run, page: Page) -> None:
    page.goto((run.path / "report.html").as_uri())
    figure = page.locator(".plot", has=page.locator("#plot-standings")).locator("xpath=preceding-sibling::div[1]")
    for tools, name in (
        (figure, "plot-standings"),
        (page.locator(".drawing").first.locator("xpath=preceding-sibling::div[1]"), "trial-"),
    ):
        with page.expect_download() as download:
            tools.get_by_role("button", name="SVG").click()
        assert name in download.value.suggested_filename
        text = Path(download.value.path()).read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert text.rstrip().endswith("</svg>")


def test_pages_lead_to_each_other(run: Run, page: Page) -> None:
    page.goto((run.path / "report.html").as_uri())
    page.get_by_role("navigation").get_by_role("link", name="Search").click()
    page.wait_for_url("**/pareto.html")
    page.get_by_role("navigation").get_by_role("link", name="Comparison").click()
    page.wait_for_url("**/report.html")


def test_several_runs_are_one_page(run: Run, page: Page, tmp_path: Path) -> None:
    other = made_run(tmp_path / "other run", 8)
    write_report(other)
    out = write_runs_report([run.path, other.path], tmp_path / "both.html")
    page.goto(out.as_uri())
    assert column(page, "searches", "run") == ["demo", "other run"]
    assert len(column(page, "fronts", "trial")) == len(run.front) + len(other.front)
    assert [
        trace["name"]
        for trace in page.evaluate("document.getElementById('fronts-plot').data.map(t => ({name: t.name}))")
    ] == ["demo", "other run"]
    page.get_by_role("link", name="search").click()
    page.wait_for_url("**/pareto.html")
    assert unquote(page.url) == unquote((other.path / "pareto.html").as_uri())


def test_nothing_is_wider_than_the_window(run: Run, page: Page) -> None:
    for name in ("pareto.html", "report.html"):
        page.goto((run.path / name).as_uri())
        for width in (1440, 1280, 500):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
            scroll = page.evaluate(
                "[...document.querySelectorAll('.wide')].map(box => { box.scrollLeft = 9999;"
                " const first = box.querySelector('tbody .first');"
                " return first.getBoundingClientRect().left - box.getBoundingClientRect().left })"
            )
            assert max(scroll) <= 2, "the first column stays"
        paper = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}


def test_without_scripts_the_tables_are_read(run: Run, browser: Browser) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((run.path / "report.html").as_uri(), timeout=PATIENCE)
    assert page.locator(".tools").count() == 0
    assert table(page, "entrants").locator("tbody tr").count() == len(report_data(run)["comparison"]["entrants"])
    page.close()
