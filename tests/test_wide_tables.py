"""Tables of many columns: what is found out about them without training takes little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from made_networks import made_architecture
from mtl_search.banks import BANKS
from mtl_search.cost import estimate, measure
from mtl_search.networks.network import build_model
from mtl_search.networks.operators import banks_for
from mtl_search.networks.vectors import NOMINAL, nominal
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
import json, resource
from mtl_search.checking import check
from mtl_search.experiment import load_experiment
found = check(load_experiment("my.yaml"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([found["inputs"]["shape"], found["fixed_parameters"], peak]))
"""


def test_a_table_of_20000_columns_is_checked_in_less_than_1_gb(tmp_path: Path) -> None:
    names = [f"{'gene' * 15}{number}" for number in range(COLUMNS)]
    rows = [",".join(str((row * 7919 + number * 31) % 1000 / 8) for number in range(COLUMNS)) for row in range(60)]
    lines = [",".join([*names, "y"]), *(f"{cells},{row % 2}" for row, cells in enumerate(rows)), ""]
    (tmp_path / "data.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "my.yaml").write_text(EXPERIMENT, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, check=True)
    shape, fixed, peak = json.loads(done.stdout)
    assert shape == [COLUMNS]
    # identity, permutation and projection; identity, projection, perturbation and fourier (half as many rows)
    assert fixed == [2 * COLUMNS + COLUMNS**2, 2 * COLUMNS + COLUMNS**2 + COLUMNS**2 // 2]
    assert peak < MOST_MEGABYTES


@pytest.mark.parametrize("bank", [name for name in BANKS if name in banks_for(vectors=True)])
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
