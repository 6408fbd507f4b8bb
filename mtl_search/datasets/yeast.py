"""Yeast: the functions of genes (Elisseeff & Weston, NeurIPS 2001), from the file that the package river carries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource, make_dataset
from mtl_search.datasets._packages import packaged
from mtl_search.datasets._rows import splits_of
from mtl_search.datasets._splits import Drawn, draw_splits
from mtl_search.errors import DatasetError
from mtl_search.tasks import Binary, MultiLabel, Task

FILE = "river/datasets/yeast.csv.gz"
FEATURES, LABELS = 103, 14
"""Columns of the file: numbers of a gene, and functions that it may have."""


@dataclass(frozen=True)
class Yeast(DatasetSource):
    """2,417 genes: micro-array expressions and phylogenetic profiles, 103 numbers; which of 14 functions each has.

    Every function is a binary task, ``class1`` to ``class14``, by default. They are far from balanced: 1 % of the genes
    have the rarest one, 75 % the most frequent. Read from the package river (BSD licence), which has it from MULAN
    (Tsoumakas et al., JMLR 2011): ``pip install -c constraints.txt river``. The file does not say what MULAN trains and
    tests on, so splits are drawn; the rarest function has the same share in all of them.

    :param targets: ``labels`` for a binary task for each function; ``together`` for one multi-label task ``functions``.
    :param val: Share of the genes for validation; by default as much as for the test, 480 genes.
    :param test: Share of the genes for the test.
    :param seed: Seed of the draw of the splits.
    """

    name = "yeast"
    targets: Annotated[str, Field(pattern="^(labels|together)$")] = "labels"
    val: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        inputs, labels = _read(packaged(self.name, "river", FILE))
        rows = draw_splits(Drawn(self.val, self.test, self.seed), len(labels), labels[:, labels.sum(axis=0).argmin()])
        tasks: tuple[Task, ...]
        if self.targets == "together":
            tasks, targets = (MultiLabel("functions", labels=LABELS),), {"functions": labels}
        else:
            targets = {f"class{number}": column for number, column in enumerate(labels.T, start=1)}
            tasks = tuple(Binary(name) for name in targets)
        return make_dataset(self.name, tasks, splits_of(inputs, targets, rows))


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features and labels of all genes."""
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}.") from error
    if table.shape[1] != FEATURES + LABELS:
        raise DatasetError(f"{path}: must have {FEATURES + LABELS} columns, but got {table.shape[1]}.")
    return table[:, :FEATURES], table[:, FEATURES:].astype(np.int64)
