"""What `mtl-search show` says of a run comes from its folder: the data need not be there."""

import json
from pathlib import Path

import pytest

from made_runs import made_run
from mtl_search.cli import show
from mtl_search.run_folder import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose data is nowhere."""

    def unavailable(*_arguments: object, **_options: object) -> None:
        raise AssertionError("data was asked for")

    made = made_run(tmp_path / "run")
    monkeypatch.setattr("mtl_search.datasets.load_dataset", unavailable)
    return made


def test_a_trial_with_its_cost(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    trial = run.front[0]
    show(f"{run.path}:{trial.number}")
    shown = capsys.readouterr().out
    assert shown.startswith(f"{trial.architecture.id}  ")
    assert f"cost: {trial.learnable_parameters:,} learnable parameters" in shown
    assert f"{trial.macs:,} MACs for all 2 tasks" in shown
    assert "2 tasks: left, right" in shown, "of a run that does not say its tasks those that have scores"


def test_the_knee_as_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.knee is not None
    show(str(run.path), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["id"] == run.knee.architecture.id
    costs = {name: getattr(run.knee, name) for name in ("learnable_parameters", "fixed_parameters", "macs")}
    assert shown["cost"] == costs


def test_the_drawing_names_the_tasks_of_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.environment["tasks"] = [{"name": "weather"}, {"name": "season"}]
    (run.path / "environment.json").write_text(json.dumps(run.environment), encoding="utf-8")
    show(str(run.path))
    assert "2 tasks: weather, season" in capsys.readouterr().out


def test_a_run_of_one_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = made_run(tmp_path / "run", tasks=["left"])
    show(f"{made.path}:{made.front[0].number}")
    shown = capsys.readouterr().out
    assert f"{made.front[0].macs:,} MACs for its task\n" in shown
    assert "1 task: left" in shown
    assert "1 tasks" not in shown
