"""Tables of many columns: what is found out about them without training takes little memory."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_networks import made_architecture
from made_problems import made_problem
from mtl_search import compare, resume, search
from mtl_search.comparison.compare import train_alone
from mtl_search.cost import estimate, measure
from mtl_search.errors import UserError
from mtl_search.methods import make_method
from mtl_search.networks.bank_inputs import banks_for
from mtl_search.networks.network import build_model
from mtl_search.networks.vectors import NOMINAL, nominal
from mtl_search.runs.folder import load_run
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.banks import BANKS
from mtl_search.spaces.experiment import load_experiment
from mtl_search.tasks import Classification

COLUMNS = 20_000
MOST_MEGABYTES = 1000
EXPERIMENT = """
dataset: {name: table, file: data.csv, tasks: {y: binary}}
backbone: {kind: vector, stages: [{width: 8}]}
space: {bank: [vector, vector_nonlinear], shared_ratio: [1.0, 0.5]}
training: {epochs: 1, batch_size: 16}
search: {trials: 1, workers: 0}
"""
CHECK = """
import json
from pathlib import Path
from mtl_search.searching.check import check
from mtl_search.spaces.experiment import load_experiment
found = check(load_experiment("my.yaml"))
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
print(json.dumps([found.inputs["shape"], found.fixed_parameters, peak, found.inputs["notes"]]))
"""


@pytest.mark.slow
def test_a_table_of_20000_columns_is_checked_in_less_than_1_gb(tmp_path: Path) -> None:
    names = [f"{'gene' * 15}{number}" for number in range(COLUMNS)]
    rows = [",".join(str((row * 7919 + number * 31) % 1000 / 8) for number in range(COLUMNS)) for row in range(60)]
    lines = [",".join([*names, "y"]), *(f"{cells},{row % 2}" for row, cells in enumerate(rows)), ""]
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "my.yaml").write_text(EXPERIMENT, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, check=True)
    shape, fixed, peak, notes = json.loads(done.stdout)
    assert shape == [COLUMNS]
    # identity, permutation and projection; identity, projection, perturbation and fourier (half as many rows)
    assert fixed == [2 * COLUMNS + COLUMNS**2, 2 * COLUMNS + COLUMNS**2 + COLUMNS**2 // 2]
    assert peak < MOST_MEGABYTES
    # fifteen matrices of 4 bytes a number for each of the three linear primitives
    assert notes[-1].startswith("the bank of the first layer takes about 67.1 GiB of memory for 20,000 features")


def test_a_search_says_what_a_bank_takes_before_memory_goes(tmp_path: Path) -> None:
    inputs = np.zeros((20, 10 * COLUMNS), np.float32)
    inputs[:, 0] = np.arange(20)
    np.savez(tmp_path / "data.npz", x=inputs, y=np.arange(20) % 2)
    text = EXPERIMENT.replace("name: table, file: data.csv", f"name: arrays, file: {tmp_path}/data.npz, inputs: x")
    (tmp_path / "my.yaml").write_text(text.replace("batch_size: 16", "batch_size: 8"), encoding="utf-8")
    with pytest.raises(UserError, match=r"takes about 6,705\.5 GiB .*`backbone\.stem: 64`.* GiB are there"):
        search(load_experiment(tmp_path / "my.yaml"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bank", [name for name in BANKS if name in banks_for("rows")])
@pytest.mark.parametrize("features", [9, NOMINAL + 7])
def test_what_is_frozen_in_a_bank_is_known_without_drawing_it(bank: str, features: int) -> None:
    architecture = made_architecture(bank, 0.5, 1, strides=(1, 1), kind="vector")
    tasks = (Classification("a", 2), Classification("b", 3))
    built = build_model(architecture, tasks, (features,))
    assert estimate(architecture, tasks, (features,)) == measure(built, (features,))


def test_a_network_that_is_only_looked_at_is_narrow() -> None:
    assert [nominal(shape) for shape in ((5,), (NOMINAL,), (20_000,), (3, 8, 9))] == [
        (5,),
        (NOMINAL,),
        (NOMINAL,),
        (3, 8, 9),
    ]


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """An experiment on ten times as many columns as find room, and a run of it on one column."""
    text = EXPERIMENT.replace("name: table, file: data.csv", f"name: arrays, file: {tmp_path}/data.npz, inputs: x")
    (tmp_path / "my.yaml").write_text(text.replace("batch_size: 16", "batch_size: 8"), encoding="utf-8")
    np.savez(tmp_path / "data.npz", x=np.arange(40, dtype=np.float32)[:, None], y=np.arange(40) % 2)
    search(load_experiment(tmp_path / "my.yaml"), out=tmp_path / "run")
    inputs = np.zeros((40, 10 * COLUMNS), np.float32)
    inputs[:, 0] = np.arange(40)
    np.savez(tmp_path / "data.npz", x=inputs, y=np.arange(40) % 2)
    return tmp_path


def test_every_command_that_trains_says_what_a_bank_takes(wide: Path) -> None:
    run, experiment = wide / "run", load_experiment(wide / "my.yaml")
    calls: list[Callable[[], object]] = [
        lambda: resume(run, trials=2, allow_changes=True),
        lambda: compare(experiment, baselines=["etr_nlp"], seeds=1, workers=0, out=wide / "out"),
        lambda: train_alone("etr_nlp", experiment),
        lambda: train_alone(load_run(run).trial(0).architecture, experiment),
    ]
    for call in calls:
        with pytest.raises(UserError, match=r"takes about [\d,.]+ GiB .*`backbone\.stem: 64`.* GiB are there"):
            call()
    assert not (wide / "out").exists()
    assert len(load_run(run).trials) == 1


def test_which_banks_a_method_reads_the_inputs_by() -> None:
    problem, with_stem = (replace(made_problem(), backbone=Backbone((Stage(8),), "vector", stem)) for stem in (0, 4))
    assert make_method("hard_sharing", {}).first_banks(problem) == set()
    assert make_method("etr_nlp", {}).first_banks(problem) == {"vector"}
    assert make_method("etr_nlp", {}).first_banks(with_stem) == set()
