"""`--json` of every command that makes something: one JSON value alone, and `--quiet` says nothing else."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mtl_search.cli.commands import main

SMALL = "--trials 2 --workers 0 --epochs 1 --set dataset.train=200 --set dataset.val=100 --set dataset.test=100"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a command prints as JSON, after it ended with status 0."""

    def command(line: str, quiet: bool = False) -> Any:
        monkeypatch.setattr(sys, "argv", ["mtl-search", *line.split(), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        shown = capsys.readouterr()
        assert not (quiet and shown.err)
        return json.loads(shown.out)

    return command


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.slow
def test_every_command_says_it_as_json(said: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    searched = said(f"search quickstart --out run -q {SMALL}", quiet=True)
    assert (searched["path"], searched["states"], searched["page"]) == ("run", {"COMPLETE": 2}, "run/pareto.html")
    resumed = said("resume run --trials 3 --workers 0 -q")
    assert resumed["states"] == {"COMPLETE": 3}
    assert resumed["front"]
    assert said("report run") == {"page": "run/pareto.html"}
    assert said("report run --out both.html") == {"page": "both.html"}
    compared = said("compare run --baselines hard_sharing --pick best --seeds 1 --workers 0 -q")
    assert {one["entrant"] for one in compared["outcomes"]} >= {"hard_sharing"}
    assert (compared["missing"], compared["page"]) == ([], "run/report.html")
    trained = said("train run:0")
    assert len(trained["outcomes"]) == 1
    assert trained["path"] is None
    exported = said("export run --format torch")
    assert Path(exported["model"]).is_file()
    assert Path(exported["card"]).is_file()
    Path("table.csv").write_text("a,b\n" + "".join(f"{n % 7}.5,{n % 2}\n" for n in range(60)), encoding="utf-8")
    assert said("init table.csv") == {"experiment": "table.yaml"}
