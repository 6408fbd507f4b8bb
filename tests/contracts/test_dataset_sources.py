"""What holds for every dataset: those that come with the package, as far as their files are here, and own files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_search.datasets import load_dataset
from mtl_search.datasets._saving import saving
from mtl_search.internal.registry import DATASETS
from mtl_search.testing import check_dataset


def table(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = [f"{x:.4f},{y:.4f},{x + y:.4f},{'yes' if x > y else 'no'}" for x, y in rng.normal(size=(200, 2))]
    (folder / "rows.csv").write_text("\n".join(["x,y,sum,larger", *rows]), encoding="utf-8")
    return {"file": str(folder / "rows.csv"), "tasks": ["sum", "larger"]}


def arrays(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, sign=(x[:, 0] > 0).astype(np.int64), size=x.sum(axis=1))
    return {"file": str(folder / "rows.npz"), "inputs": "x", "tasks": ["sign", "size"]}


def saved(folder: Path) -> dict[str, Any]:
    found = saving(load_dataset("arrays", **arrays(folder)), folder / "dataset")
    found.write()
    return dict(found.dataset.options)


MADE = {"table": table, "arrays": arrays, "saved": saved}


@pytest.mark.parametrize("name", MADE)
def test_the_contract(name: str, tmp_path: Path) -> None:
    check_dataset(DATASETS.get(name), **MADE[name](tmp_path))


def test_the_contract_of_digits() -> None:
    check_dataset(DATASETS.get("multi_mnist"), train=100, val=50, test=50)


def test_the_contract_of_genes() -> None:
    pytest.importorskip("river")
    check_dataset(DATASETS.get("yeast"))
