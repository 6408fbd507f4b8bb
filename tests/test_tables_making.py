"""Tables of trained architectures: every architecture with every seed, whatever cuts the command off."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from made_tables import ARCHITECTURES, EPOCHS, SEEDS, make_tiny, tiny_experiment
from mtl_search import load_experiment, load_run, search
from mtl_search.spaces.architecture import Architecture
from mtl_search.tables import load_table, table
from tables import make
from tables import search as searches

TABLES = sorted(make.HERE.glob("*.yaml"))
COUNTS = {"multi_fashion": 240, "mt10": 360, "yeast": 480, "fashion_scenes_small": 108}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "tiny" / "trainings.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[1:]]


def measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What does not depend on the machine's speed."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


pytestmark = pytest.mark.slow  # every test of the file trains, or reads what was trained


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    assert make_tiny(folder) == 0
    return folder


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_has_as_many_architectures_as_its_file_says(path: Path) -> None:
    experiment = load_experiment(path)
    identities = {architecture.id for architecture in experiment.search_space.architectures()}
    assert len(identities) == COUNTS[path.stem] == experiment.search.trials
    assert f"; {len(identities)} architectures, each of them trained." in experiment.description


def test_every_architecture_is_trained_with_every_seed_seed_by_seed(made: Path) -> None:
    rows = rows_of(made)
    assert [row["seed"] for row in rows] == [0] * ARCHITECTURES + [1] * ARCHITECTURES
    assert set(Counter(row["architecture"] for row in rows).values()) == {SEEDS}
    assert rows[0]["architecture"] != rows[ARCHITECTURES]["architecture"], "each seed has an order of its own"


def test_a_row_has_what_was_measured(made: Path) -> None:
    row = rows_of(made)[0]
    assert Architecture.from_dict(row["choices"]).id == row["architecture"]
    assert len(row["epochs"]) == EPOCHS
    for scores in (row["test"], *(epoch["validation"] for epoch in row["epochs"])):
        assert set(scores) == {f"class{n}/{score}" for n in range(1, 15) for score in ("accuracy", "loss")}
    assert len(row["cosines"]) == 14 * 13 / 2
    assert all(-1 <= value <= 1 for value in row["cosines"].values())
    assert row["learnable_parameters"] > 0
    assert row["macs"] > 0


def test_a_search_on_the_same_file_gives_the_same_trainings(made: Path, tmp_path: Path) -> None:
    rows = {(row["architecture"], row["seed"]): row for row in rows_of(made)}
    run = search(load_experiment(tiny_experiment(tmp_path)), trials=2, workers=0, seed=1, out=tmp_path / "run")
    for trial in load_run(run.path).complete:
        row = rows[trial.architecture.id, 1]
        found = {epoch.epoch: epoch for epoch in run.epochs if epoch.trial == trial.number}
        for number, epoch in enumerate(row["epochs"], start=1):
            for name, value in epoch["validation"].items():
                assert found[number].scores[name] == value
        assert trial.accuracy == row["epochs"][-1]["quality"]
        assert trial.learnable_parameters == row["learnable_parameters"]


def test_a_kill_loses_no_more_than_the_training_under_way(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, make.__file__, str(tiny_experiment(tmp_path)), "--out", str(tmp_path), "--seeds", "2"]
    path = tmp_path / "tiny" / "trainings.jsonl"
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while not path.exists() or path.read_bytes().count(b"\n") < 6:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    before = rows_of(tmp_path)
    assert 5 <= len(before) < ARCHITECTURES * SEEDS
    assert make_tiny(tmp_path) == 0
    assert rows_of(tmp_path)[: len(before)] == before
    assert measured(rows_of(tmp_path)) == measured(rows_of(made))


def test_a_last_line_that_was_cut_off_is_dropped_and_trained_again(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (made / "tiny" / "trainings.jsonl").read_bytes()
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "trainings.jsonl").write_bytes(whole[:-100])
    assert make_tiny(tmp_path) == 0
    assert "the last line was cut off" in capsys.readouterr().out
    assert measured(rows_of(tmp_path)) == measured(rows_of(made))


def test_another_experiment_does_not_go_on_with_a_table(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_experiment(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("0.01", "0.02"), encoding="utf-8")
    before = rows_of(made)
    assert make.main([str(path), "--out", str(made)]) == 2
    assert "was made by another experiment" in capsys.readouterr().err
    assert rows_of(made) == before


def test_a_second_process_does_not_make_the_same_table(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make.alone(made / "tiny"):
        assert make_tiny(made) == 2
    assert "another process makes this table" in capsys.readouterr().err


def test_no_training_is_begun_after_the_hours(tmp_path: Path) -> None:
    assert make_tiny(tmp_path, "--hours", "0") == 1
    assert rows_of(tmp_path) == []


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's exporter by itself
def test_latencies_are_of_every_architecture(made: Path) -> None:
    assert make_tiny(made, "--latency") == 0
    found = json.loads((made / "tiny" / "latency.json").read_text(encoding="utf-8"))["latency_ms"]
    assert set(found) == {row["architecture"] for row in rows_of(made)}
    assert make_tiny(made, "--pack", str(made / "tiny.parquet")) == 0
    packed = load_table(made / "tiny.parquet")
    assert min(found.values()) > 0
    for identity, latency in found.items():
        assert packed.query(identity).costs["latency_ms"] == pytest.approx(latency, rel=1e-5)


def test_searches_are_compared_on_a_table(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = made / "searched.parquet"
    assert make_tiny(made, "--pack", str(path)) == 0
    assert searches.main([str(path), "--seeds", "3", "--budget", "10", "--samplers", "random,evolution"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines] == ["| sampler", "| random", "| evolution"]
    for line in lines[1:]:
        lost = [float(cell.split()[0]) for cell in line.split(" | ")[1:3]]
        assert 0 <= lost[1] <= 100


def test_a_table_is_confirmed_by_training_again(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_tiny(made, "--pack", str(made / "tiny.parquet")) == 0
    monkeypatch.setattr(table, "DATA", made)
    assert make_tiny(made, "--again", "3") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "told" in line]
    assert len(lines) == 3
    assert all(re.search(r"[+-]0\.0000 points$", line) for line in lines)
