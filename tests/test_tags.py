"""A column of tags, ``cat|bird``, is a task of several labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_search import load_dataset
from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.tasks import MultiLabel

CELLS = ["cat|bird", "cat", "bird | dog", "|", "", "dog|dog"] * 4
PARTS = (["train"] * 2 + ["val", "test"]) * 6


def loaded(folder: Path, cells: list[str], tasks: Any) -> Dataset:
    """A table of a number, the tags twice, and the splits."""
    rows = [f"{number},{cell},{cell},{part}" for number, (cell, part) in enumerate(zip(cells, PARTS, strict=True))]
    (folder / "seen.csv").write_text("\n".join(["size,seen,more,part", *rows]) + "\n", encoding="utf-8")
    return load_dataset("table", file=str(folder / "seen.csv"), inputs=["size"], tasks=tasks, split="part")


def labels(data: Dataset) -> np.ndarray[Any, Any]:
    """Targets of the first six rows, in the order of the file."""
    rows = np.concatenate([data.rows[split] for split in data.splits])
    targets = np.concatenate([np.asarray(split.targets["seen"]) for split in data.splits.values()])
    return targets[np.argsort(rows)][:6]


@pytest.mark.parametrize("tasks", [["seen"], {"seen": "multi_label"}])
def test_tags_are_found_and_sorted(tmp_path: Path, tasks: Any) -> None:
    data = loaded(tmp_path, CELLS, tasks)
    (task,) = data.tasks
    assert isinstance(task, MultiLabel)
    assert (task.labels, task.names) == (3, ("bird", "cat", "dog"))
    assert labels(data).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]
    assert data.found.get("kinds_found", {}) == ({"seen": "multi_label"} if tasks == ["seen"] else {})


def test_what_parts_them_and_their_order_can_be_said(tmp_path: Path) -> None:
    cells = [cell.replace("|", ";") for cell in CELLS]
    data = loaded(tmp_path, cells, {"seen": {"kind": "multi_label", "between": ";", "classes": ["dog", "cat", "bird"]}})
    assert labels(data)[:3].tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("cells", "options", "message"),
    [
        (
            CELLS,
            {"classes": ["cat", "dog"]},
            r"row 0 \(line 2\), column `seen`: .*tags of .* of cat, dog, but got .?bird",
        ),
        (CELLS, {"between": ""}, r"seen.between` must be the text between the tags"),
        (CELLS, {"columns": ["seen", "more"], "between": "|"}, r"must be one column of tags"),
        ([f"tag{n}|other{n}" for n in range(24)], {}, r"is in none of its 12 rows of label 'other10'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, cells: list[str], options: dict[str, Any], message: str) -> None:
    tasks = {"seen": {"kind": "multi_label", **options}}
    if "columns" in options:
        tasks = {"both": {"kind": "multi_label", **options}}
    with pytest.raises(UserError, match=message):
        loaded(tmp_path, cells, tasks)
