"""QM9: quantum-chemical properties of small organic molecules (Ramakrishnan et al., Scientific Data 1, 2014)."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource, make_dataset
from mtl_search.datasets._packages import packaged
from mtl_search.datasets._rows import splits_of
from mtl_search.errors import DatasetError
from mtl_search.tasks import Regression

FILES = tuple(f"qm9pack/data/qm9_part{number}.csv" for number in (1, 2, 3))
ROTATION = {"rotation_a": "RotA_GHz", "rotation_b": "RotB_GHz", "rotation_c": "RotC_GHz"}
PLAIN = {
    "dipole": "Dipole_debye",
    "polarizability": "Polarizability_bohr3",
    "homo": "HOMO_au",
    "lumo": "LUMO_au",
    "gap": "HOMO_LUMO_gap_au",
    "extent": "R2_bohr2",
    "zpve": "ZPVE_au",
    "heat_capacity": "Heatcapacity_Cv_cal_mol_K",
}
ENERGIES = {
    "energy_0k": "InternalEnergy_0K_au",
    "energy": "InternalEnergy_298K_au",
    "enthalpy": "Enthalphy_298K_au",
    "free_energy": "GibbsFreeEnergy_298K_au",
}
TARGETS = {**ROTATION, **PLAIN, **ENERGIES}
"""Task -> its column."""
ATOM_ENERGIES = (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730)
"""Of single atoms of H, C, N, O and F at 0 K, in Hartree, as the data set's authors give them."""
RAREST = 0.001
"""Share of the training molecules in which characters must occur to be counted."""


@dataclass(frozen=True)
class QM9(DatasetSource):
    """130,831 molecules of up to nine atoms of C, N, O and F: 15 properties, each to be regressed, from the formula.

    Inputs say what is known before any computation: how many atoms there are of H, C, N, O and F, and how often each
    character and each pair of neighbouring ones stands in the SMILES, without those in fewer than 1 in 1,000 training
    molecules; about 120 numbers. Nothing of the computed geometry is among them, so some of every property is out of
    reach.

    Targets are those of the files, in their units, but for two things. Rotational constants, which span six orders of
    magnitude, are the decimal logarithm of GHz, and missing where they are 0. Energies are less those of the single
    atoms, as it is usual: what is left is the energy of the bonds.

    Read from the package qm9pack (MIT licence), 100 MB: ``pip install -c constraints.txt qm9pack``. Splits are drawn.

    :param train: Number of training molecules; the defaults are the usual division of the data set.
    :param val: Number of validation molecules.
    :param test: Number of test molecules.
    :param seed: Seed of the draw of the splits.
    """

    name = "qm9"
    train: Annotated[int, Field(ge=2)] = 110_000
    val: Annotated[int, Field(ge=1)] = 10_000
    test: Annotated[int, Field(ge=1)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        molecules = list(_molecules([packaged(self.name, "qm9pack", file) for file in FILES]))
        if len(molecules) < self.train + self.val + self.test:
            raise DatasetError(
                f"the splits need {self.train + self.val + self.test:,} molecules, but got {len(molecules):,}."
            )
        drawn = np.random.default_rng(self.seed).permutation(len(molecules))
        parts = np.split(drawn, np.cumsum([self.train, self.val, self.test]))
        rows = dict(zip(("train", "val", "test"), parts, strict=False))
        atoms = np.array([molecule.atoms for molecule in molecules])
        inputs = np.concatenate([atoms, _counts([molecule.smiles for molecule in molecules], rows["train"])], axis=1)
        values = np.array([molecule.values for molecule in molecules])
        targets = {name: _target(name, column, atoms) for name, column in zip(TARGETS, values.T, strict=True)}
        tasks = tuple(Regression(name) for name in TARGETS)
        return make_dataset(self.name, tasks, splits_of(inputs.astype(np.float32), targets, rows))


@dataclass(frozen=True)
class Molecule:
    """A row of the files.

    :param smiles: Formula of the molecule as text, in the notation SMILES.
    :param atoms: How many there are of H, C, N, O and F.
    :param values: Values of the properties :data:`TARGETS`, in their order.
    """

    smiles: str
    atoms: tuple[int, ...]
    values: tuple[float, ...]


def _molecules(paths: Sequence[Path]) -> Iterator[Molecule]:
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            absent = {"SMILES", "Stoichiometry", *TARGETS.values()} - set(rows.fieldnames or ())
            if absent:
                raise DatasetError(f"{path}: has no column `{min(absent)}`.")
            for number, row in enumerate(rows):
                yield _molecule(row, path, number)


def _molecule(row: dict[str, str], path: Path, number: int) -> Molecule:
    try:
        atoms = tuple(int(count) for count in json.loads(row["Stoichiometry"]))
        values = tuple(float(row[column]) for column in TARGETS.values())
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}, row {number}: cannot be read: {error}.") from error
    if len(atoms) != len(ATOM_ENERGIES):
        raise DatasetError(f"{path}, row {number}: `Stoichiometry` must be five numbers, but got {len(atoms)}.")
    return Molecule(row["SMILES"], atoms, values)


def _target(name: str, values: NDArray[np.float64], atoms: NDArray[np.int64]) -> NDArray[np.float32]:
    """The targets of a task from its column."""
    if name in ENERGIES:
        values = values - atoms @ np.array(ATOM_ENERGIES)
    elif name in ROTATION:
        values = np.log10(np.where(values > 0, values, np.nan))
    return values.astype(np.float32)


def _counts(smiles: Sequence[str], training: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often characters and pairs of neighbours stand in each text, ``[texts, characters and pairs]``.

    :param training: Numbers of the texts that say which are frequent enough.
    """
    encoded = np.array(smiles, dtype=np.bytes_)
    letters = encoded.view(np.uint8).reshape(len(encoded), -1).astype(np.uint16)
    pairs = np.where(letters[:, 1:] > 0, letters[:, :-1] * 256 + letters[:, 1:], 0)
    found = [
        counts
        for codes in (letters, pairs)
        for code in np.unique(codes[codes > 0])
        if ((counts := (codes == code).sum(axis=1))[training] > 0).mean() >= RAREST
    ]
    return np.stack(found, axis=1)
