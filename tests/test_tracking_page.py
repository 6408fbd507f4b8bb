"""The page about tracking: what it shows, runs, and what it says of the journal holds."""

import re
from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mtl_search.runs.folder import load_run

PAGE = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text(encoding="utf-8")


def block(section: str) -> str:
    """The Python of a section of the page."""
    found = re.search(rf"^## {re.escape(section)}\n.*?^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_a_callback_of_the_page_is_told_of_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(block("Callbacks"), {"__name__": "page"})
    shown = capsys.readouterr().out
    assert re.findall(r"trial (\d), epoch (\d)", shown) == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    assert len(re.findall(r"is COMPLETE: 0\.\d+", shown)) == 2
    study = optuna.load_study(
        study_name="search", storage=JournalStorage(JournalFileBackend(str(tmp_path / "notes" / "journal.log")))
    )
    assert study.metric_names == ["accuracy", "learnable_parameters"]
    assert study.user_attrs == {"experiment": "quickstart", "dataset": "multi_mnist", "sampler": "bayesian"}


def test_mlflow_holds_what_the_run_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"file:{tmp_path / 'store'}")
    try:
        exec(block("MLflow"), {"__name__": "page"})
        client = mlflow.MlflowClient()
        found = client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])
        run = load_run(tmp_path / "tracked")
        assert {one.info.run_name for one in found} == {f"trial {trial.number}" for trial in run.trials}
        for one in found:
            trial = run.trial(int(one.info.run_name.split()[1]))
            assert one.info.status == "FINISHED"
            assert one.data.params == {"architecture": str(trial.proposal)}
            losses = [(point.step, point.value) for point in client.get_metric_history(one.info.run_id, "loss")]
            assert sorted(losses) == [(row.epoch, row.loss) for row in run.epochs if row.trial == trial.number]
            assert {name: one.data.metrics[name] for name in trial.scores} == trial.scores
    finally:
        mlflow.set_tracking_uri(before)


def test_what_needs_an_account_is_python_at_least() -> None:
    compile(block("Weights & Biases"), "tracking.md", "exec")
