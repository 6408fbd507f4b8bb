"""What the files of a comparison must hold; those from before there were formats are read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_comparisons import made_comparison
from made_runs import made_run
from mtl_search.comparison.results import load_comparison
from mtl_search.errors import RunFolderError
from mtl_search.reporting.search_page import report_data
from mtl_search.runs.folder import load_run

EXAMPLES = Path(__file__).parents[1] / "results" / "examples"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    made_comparison(made_run(folder, complete=3), seeds=1)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def change_entrant(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: {**data, "entrants": [{**data["entrants"][0], **changes}]}


ASKED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda data: [], ""),
    "null": (lambda data: None, ""),
    "no entrants": (
        lambda data: {key: value for key, value in data.items() if key != "entrants"},
        "`entrants` is missing",
    ),
    "entrants a text": (lambda data: {**data, "entrants": "all"}, "`entrants` must be a list, but got 'all'"),
    "an entrant twice": (
        lambda data: {**data, "entrants": [*data["entrants"], data["entrants"][0]]},
        "`entrants` must not hold `single_task` twice",
    ),
    "an entrant outside": (
        change_entrant(key="../../x"),
        r"`entrants\.0\.key` must be the name of one folder, but got '\.\./\.\./x'",
    ),
    "an entrant without a name": (change_entrant(key=""), r"`entrants\.0\.key` must be the name of one folder"),
    "too many seeds": (change_entrant(seeds=10**9), r"`entrants\.0\.seeds` must be less than or equal to 10000"),
    "seeds of a text": (change_entrant(seeds="3"), r"`entrants\.0\.seeds` must be a whole number, but got '3'"),
    "a pick of no trial": (change_entrant(kind="pick"), r"`trial` is missing: a pick must have it"),
    "another split": (lambda data: {**data, "split": "all"}, "`split` must be a valid name, but got 'all'"),
    "training of nothing": (
        lambda data: {**data, "training": {**data["training"], "epochs": "many"}},
        r"`training\.epochs` must be a whole number, but got 'many'",
    ),
    "a newer format": (lambda data: {**data, "format": 2}, "`format` must be 1, that of this version, but got 2"),
    "a format of no number": (
        lambda data: {**data, "format": "1"},
        "`format` must be 1, that of this version, but got '1'",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_comparison_json_must_hold_is_told(name: str, folder: Path) -> None:
    change, message = ASKED[name]
    path = folder / "comparison.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RunFolderError, match=rf"comparison\.json: .*{message}.*Put it back from a copy") as refused:
        load_comparison(folder)
    assert len(str(refused.value)) < 400


DETAILS: dict[str, tuple[Any, str]] = {
    "no phases": ({}, "`phases` is missing"),
    "phases of a text": ({"phases": "training"}, "`phases` must be a mapping with keys, but got 'training'"),
    "a phase of a text": ({"phases": {"training": {"macs": "many"}}}, r"`phases\.training\.macs` must be a number"),
    "cosines of nothing": ({"phases": {}, "cosines": [5]}, r"`cosines\.0` must be a mapping with keys, but got 5"),
    "a cosine of 7": ({"phases": {}, "cosines": [{"stem": 7}]}, r"`cosines\.0\.stem` must be less than or equal to 1"),
    "half of branch points": ({"phases": {}, "alpha": [[[0.5, 0.5]]]}, "`places` is missing"),
}


@pytest.mark.parametrize("name", DETAILS)
def test_what_details_must_hold_is_told(name: str, folder: Path) -> None:
    data, message = DETAILS[name]
    (folder / "comparison/hard_sharing/seed0/details.json").write_text(json.dumps(data))
    with pytest.raises(RunFolderError, match=rf"hard_sharing/seed0/details\.json: {message}"):
        report_data(load_run(folder))


def test_a_training_that_stands_twice_is_one(folder: Path) -> None:
    path = folder / "baselines.csv"
    before = load_comparison(folder)
    assert before is not None
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]))
    after = load_comparison(folder)
    assert after is not None
    assert after.outcomes == before.outcomes
    path.write_text("".join([*lines, lines[1].replace("COMPLETE", "FAILED")]))
    message = rf"baselines\.csv: line {len(lines) + 1}: holds entrant single_task, seed 0 again, with other values than"
    with pytest.raises(RunFolderError, match=message):
        load_comparison(folder)


def test_what_is_written_has_the_number_of_its_format(folder: Path) -> None:
    for name in ("environment.json", "comparison.json"):
        assert json.loads((folder / name).read_text())["format"] == 1


@pytest.mark.parametrize("name", sorted(path.parent.name for path in EXAMPLES.glob("*/comparison.json")))
def test_runs_from_before_there_were_formats_are_read(name: str) -> None:
    run, comparison = load_run(EXAMPLES / name), load_comparison(EXAMPLES / name)
    assert "format" not in run.environment
    assert len(run.trials) == run.experiment.search.trials or len(run.trials) > 30
    assert comparison is not None
    assert comparison.missing == []
    assert all(comparison.details(one.entrant, one.seed)["phases"] for one in comparison.outcomes)
    assert run.remarks == ()
