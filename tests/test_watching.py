"""The live page of a run: what it shows, to whom, and what it leaves alone."""

import http.client
import json
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from made_processes import driver
from made_runs import ENVIRONMENT, ended, made_experiment, made_trials
from mtl_search.errors import RunFolderError, UserError
from mtl_search.internal.files import alone_in
from mtl_search.reporting.figures import hypervolume_data, live_curves, pareto_data, pareto_figure
from mtl_search.reporting.search_page import report_data
from mtl_search.reporting.watching import watching
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import load_run
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.writer import RunWriter

MARKUP = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'


def train(writer: RunWriter, trial: Trial, epochs: int) -> None:
    """Begin a trial and write its first epochs, all of them scored."""
    writer.start(trial.number, trial.proposal)
    for epoch in range(1, epochs + 1):
        scores = {name: value * epoch / 5 for name, value in trial.scores.items()}
        assert trial.accuracy is not None
        writer.add_epoch(
            EpochRow(trial.number, epoch, 2.0 * epoch, 2 / epoch, trial.accuracy * epoch / 5, scores), None
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which 8 trials are complete, one failed, and two are under way."""
    folder, experiment = tmp_path_factory.mktemp("watch") / "run", made_experiment(["search.learning_curves=true"])
    experiment = experiment.changed({}).model_copy(update={"name": MARKUP[:90]})
    trials = made_trials(experiment, 10)
    writer = RunWriter(folder, {**ENVIRONMENT, "finished": None}, list(trials[0].scores))
    writer.begin(experiment)
    for trial in trials[:8]:
        train(writer, trial, 5)
        writer.add(trial)
    failed = ended(30, State.FAILED, MARKUP, experiment)
    writer.start(30, failed.proposal)
    writer.add(failed)
    for trial, epochs in zip(trials[8:], (3, 1), strict=True):
        train(writer, trial, epochs)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


class Page:
    """Asks a server as a browser does."""

    def __init__(self, address: str) -> None:
        self.port = int(address.rstrip("/").rpartition(":")[2])

    def get(self, path: str, host: str = "", method: str = "GET") -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{self.port}")
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, answer.read().decode(), answer.headers
        connection.close()
        return found

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/state")[1])
        return found


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    with watching(folder) as (address, serve):
        threading.Thread(target=serve, daemon=True).start()
        yield Page(address)


class Tags(HTMLParser):
    """The elements of a piece of HTML, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_figures_are_those_of_the_page_at_the_end(page: Page, folder: Path) -> None:
    data = report_data(load_run(folder))
    state = page.state()
    assert state["figures"]["pareto"] == json.loads(pareto_figure(data["pareto"]).to_json())
    assert state["caption"] == data["caption"]
    assert set(state["figures"]) == {"pareto", "hypervolume", "loss", "accuracy"}
    assert all(sentence in Tags(state["text"]).text for sentence in data["summary"])


def test_what_is_written_meanwhile_is_shown_and_half_a_line_is_not(page: Page, folder: Path) -> None:
    before = page.state()
    assert before["headline"].startswith("Not running, and short of what was asked for: 8 complete, 1 failed, of 24 ")
    run = load_run(folder)
    trial = replace(made_trials(run.experiment, 9)[8], accuracy=0.99)
    writer = RunWriter(folder, ENVIRONMENT, list(trial.scores))
    with alone_in(folder):
        train(writer, trial, 5)
        with (folder / "epochs.csv").open("a") as file:
            file.write("9,2,1")
        writer.add(trial)
        after = page.state()
    assert after["headline"].startswith("Running: 9 complete, 1 failed, of 24 trials asked for; ")
    assert after["version"] != before["version"]
    text = Tags(after["text"]).text
    assert "reaches 99.0" in text
    assert page.state()["told"].startswith("As of ")


def test_a_file_that_cannot_be_read_leaves_what_was_shown(page: Page, folder: Path) -> None:
    before = page.state()
    with (folder / "trials.csv").open("a") as file:
        file.write("no,row\n")
    after = page.state()
    assert after["told"].startswith("What is shown is from before: ")
    assert "trials.csv: line 11" in after["told"]
    assert {**after, "told": ""} == {**before, "told": ""}


def test_nothing_is_written(page: Page, folder: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    before = content()
    page.state()
    page.get("/")
    assert content() == before


def test_names_and_reasons_are_text(page: Page) -> None:
    status, text, headers = page.get("/")
    shown = Tags(text)
    assert status == 200
    assert MARKUP[:90] in shown.text
    assert "img" not in shown.tags
    assert "'unsafe-inline'" not in headers["Content-Security-Policy"].partition("style-src")[0]
    state = Tags(page.state()["text"])
    assert MARKUP in state.text
    assert state.tags <= {"p", "h2", "div", "table", "thead", "tbody", "tr", "th", "td", "br", "span"}


@pytest.mark.thin(4)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost:1",
        "127.0.0.1.evil.example:{port}",
        "[::1]:{port}",
    ],
)
def test_a_page_of_another_name_gets_no_answer(host: str, page: Page) -> None:
    status, text, _ = page.get("/state", host=host.format(port=page.port))
    assert (status, text) == (403, "this page is for browsers on this machine\n")


def test_both_names_of_the_loopback_are_answered(page: Page) -> None:
    assert page.get("/state", host=f"localhost:{page.port}")[0] == 200


@pytest.mark.thin(5)
@pytest.mark.parametrize(
    "path",
    [
        "/trials.csv",
        "/../run/trials.csv",
        "/%2e%2e/trials.csv",
        "//etc/passwd",
        "/etc/passwd",
        "/watch.js/",
        "/state/x",
    ],
)
def test_no_path_leads_to_a_file(path: str, page: Page) -> None:
    assert page.get(path)[:2] == (404, "there is no such page\n")


def test_nothing_but_reading_is_answered(page: Page) -> None:
    assert page.get("/state", method="POST")[0] == 501


def test_curves_are_those_of_epochs_csv(folder: Path) -> None:
    run = load_run(folder)
    data = live_curves.curves_data(run, "loss")
    assert data is not None
    kinds = {curve["trial"]: curve["kind"] for curve in data["curves"]}
    assert {number for number, kind in kinds.items() if kind == "front"} == {trial.number for trial in run.front}
    assert {number for number, kind in kinds.items() if kind == "under way"} == {8, 9}
    assert next(curve["points"] for curve in data["curves"] if curve["trial"] == 8) == [[1, 2.0], [2, 1.0], [3, 2 / 3]]
    figure = live_curves.curves_figure(data)
    assert len(figure.data) == 10
    assert [trace.legendgroup for trace in figure.data][-2:] == ["under way", "under way"]


def test_of_many_curves_those_that_matter_are_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_curves, "MOST_CURVES", 3)
    data = live_curves.curves_data(load_run(folder), "accuracy")
    assert data is not None
    assert [curve["trial"] for curve in data["curves"]][-2:] == [8, 9]
    assert data["left_out"] == 7
    assert "7 earlier trials are not drawn" in live_curves.curves_figure(data).layout.title.text.replace("<br>", " ")


def test_a_port_that_is_taken_and_a_folder_of_no_run_are_refused(page: Page, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"port {page.port} cannot be used: Address already in use"):
        watching(folder, page.port).__enter__()
    with pytest.raises(UserError, match="`--port` must be a whole number from 1 to 65535, but got 70000"):
        watching(folder, 70000).__enter__()
    with pytest.raises(RunFolderError, match="is not the folder of a run"):
        watching(tmp_path).__enter__()


def test_ctrl_c_ends_the_command_with_one_line_and_status_0(folder: Path) -> None:
    with driver(["watch", str(folder)]) as command:
        assert command.process.stdout is not None
        first = command.process.stdout.readline()
        assert first.startswith(f"watching {folder}: http://127.0.0.1:")
        assert Page(first.split(": ")[1].split(" ")[0]).get("/")[0] == 200
        command.signal(signal.SIGINT)
        assert command.end(60) == (0, "no longer watching\n")


@pytest.mark.slow
def test_the_hypervolume_is_that_of_the_report(page: Page, folder: Path) -> None:
    found = hypervolume_data(load_run(folder))
    assert found is not None
    drawn = page.state()["figures"]["hypervolume"]["data"][0]["y"]
    assert drawn == pytest.approx([100 * point["share"] for point in found["points"]], abs=1e-3)
    assert pareto_data(load_run(folder))["front"]
