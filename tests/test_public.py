"""Every command that says something has a function, which returns what the command prints."""

import inspect
import json
from pathlib import Path

import pytest

import mtl_search
from made_runs import made_run
from mtl_search.cli import commands
from mtl_search.comparison import SEEDS
from mtl_search.comparison.compare import compare
from mtl_search.errors import UserError
from mtl_search.metrics.intervals import FEWEST

COMMANDS = ("check", "compare", "export", "resume", "search", "show", "status", "train", "watch")
SMALL = ["dataset.train=200", "dataset.val=100", "dataset.test=100", "training.epochs=1", "training.batch_size=50"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_function(name: str) -> None:
    assert name in mtl_search.__all__
    assert callable(getattr(mtl_search, name))


def test_check_returns_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = mtl_search.load_experiment("quickstart", SMALL)
    found = mtl_search.check(experiment)
    assert found.samples == {"train": 200, "val": 100, "test": 100}
    assert [task["name"] for task in found.tasks] == ["left", "right"]
    assert found.architectures == experiment.search_space.size
    commands.check("quickstart", changes=SMALL, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_dict()))


def test_status_returns_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run(tmp_path / "run")
    found = mtl_search.status(run.path)
    assert (found.states, found.asked, found.running) == ({"COMPLETE": 24}, 24, False)
    assert found.knee == (run.knee.number if run.knee else None)
    assert [row["trial"] for row in found.front] == [trial.number for trial in run.front]
    assert mtl_search.status(run) == found
    commands.status(run.path, as_json=True)
    assert json.loads(capsys.readouterr().out) == found.to_dict()


def test_show_returns_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run(tmp_path / "run")
    found = mtl_search.show(run.path, 7)
    assert found.pick is not None
    assert (found.architecture, found.pick.trial) == (run.trial(7).architecture, run.trial(7))
    assert len(found.layers) == found.architecture.backbone.layers
    assert found.tasks == ("left", "right")
    assert found.svg.startswith("<svg")
    commands.show(f"{run.path}:7")
    printed = capsys.readouterr().out
    assert found.text in printed
    commands.show(f"{run.path}:7", as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.to_dict()))


def test_show_takes_a_file_an_architecture_and_a_run(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    architecture = run.trial(3).architecture
    file = tmp_path / "three.json"
    file.write_text(architecture.to_json(), encoding="utf-8")
    assert mtl_search.show(file) == mtl_search.show(architecture)
    assert mtl_search.show(architecture).pick is None
    assert mtl_search.show(run, 3).architecture == architecture


@pytest.mark.slow
def test_train_takes_a_baseline_or_an_architecture_on_the_data_of_an_experiment() -> None:
    experiment = mtl_search.load_experiment("quickstart", SMALL)
    baseline = mtl_search.train("hard_sharing", like=experiment, split="val")
    assert [(one.entrant, one.split) for one in baseline.outcomes] == [("hard_sharing", "val")]
    architecture = experiment.search_space.sample(0)
    again = [mtl_search.train(architecture, like=experiment, seeds=2, split="val") for _ in range(2)]
    assert [one.seed for one in again[0].outcomes] == [0, 1]
    assert [one.scores for one in again[0].outcomes] == [one.scores for one in again[1].outcomes]


def test_train_without_data_is_refused() -> None:
    with pytest.raises(UserError, match="a baseline holds no data: say `--dataset NAME`, or `--like EXPERIMENT`"):
        mtl_search.train("hard_sharing")


def test_the_command_and_the_function_compare_over_as_many_seeds() -> None:
    defaults = [inspect.signature(one).parameters["seeds"].default for one in (commands.compare, compare)]
    assert defaults == [SEEDS, SEEDS] == [FEWEST, FEWEST]
