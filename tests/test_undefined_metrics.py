"""What is undefined on the data that a search chooses by is refused as an objective, before anything is trained."""

from pathlib import Path

import numpy as np
import pytest

from mtl_search.errors import ExperimentError
from mtl_search.searching.check import check
from mtl_search.spaces.experiment import load_experiment
from mtl_search.tasks import Classification, Regression

EXPERIMENT = """
dataset: {name: table, file: data.csv, tasks: {y: regression}, split: {column: part}}
backbone: {kind: vector, stages: [{width: 4}]}
space: {shared_ratio: [1.0, 0.5]}
training: {batch_size: 4, epochs: 1}
search: {trials: 1, workers: 0}
"""


def written(folder: Path, val: list[float]) -> Path:
    rows = [f"{n},{n / 7},{'test' if n % 4 == 0 else 'train'}" for n in range(24)]
    rows += [f"{n},{value},val" for n, value in enumerate(val)]
    (folder / "data.csv").write_text("\n".join(["x,y,part", *rows, ""]))
    (folder / "my.yaml").write_text(EXPERIMENT)
    return folder / "my.yaml"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("objectives=[y/r2, macs]", "objectives"),
        ("search.target={metric: y/r2, value: 0.5}", "search.target.metric"),
    ],
)
@pytest.mark.parametrize("val", [[0.5], [0.5, 0.5, 0.5]])
def test_r2_is_no_objective_where_it_is_undefined(change: str, key: str, val: list[float], tmp_path: Path) -> None:
    experiment = load_experiment(written(tmp_path, val), [change])
    with pytest.raises(ExperimentError) as refused:
        check(experiment)
    assert str(refused.value) == (
        f"{tmp_path}/my.yaml: `{key}` must not hold `y/r2`, which is undefined on the split `val`: all targets of task "
        "`y` there are the same, or there is only one. Take `y/rmse`."
    )


def test_r2_is_an_objective_where_targets_vary(tmp_path: Path) -> None:
    assert check(load_experiment(written(tmp_path, [0.5, 0.25]), ["objectives=[y/r2, macs]"])).samples["val"] == 2


def test_another_objective_needs_no_r2(tmp_path: Path) -> None:
    assert check(load_experiment(written(tmp_path, [0.5]), ["objectives=[y/rmse, macs]"])).samples["val"] == 1


def test_what_targets_leave_undefined() -> None:
    nan = np.nan
    assert Regression("y").undefined(np.array([1.5, nan], np.float32)) == ["r2"]
    assert Regression("y").undefined(np.array([1.5, 2.5], np.float32)) == []
    assert Regression("y", size=2).undefined(np.array([[1, 2], [1, 3]], np.float32)) == []
    assert Classification("y", classes=2).undefined(np.array([1, 1])) == []
