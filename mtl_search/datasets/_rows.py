"""Rows of a table with targets, divided into splits: what the datasets that packages carry have in common."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Split
from mtl_search.datasets._splits import Rows


def splits_of(inputs: NDArray[np.float32], targets: Mapping[str, NDArray[Any]], rows: Rows) -> dict[str, Split]:
    """Splits of some rows each.

    :param inputs: Numbers of all rows, ``[rows, features]``.
    :param targets: Name of the task -> ``[rows, ...]``.
    """
    return {
        split: Split(inputs[chosen], {name: values[chosen] for name, values in targets.items()})
        for split, chosen in rows.items()
    }


def in_order(count: int, val: float, test: float) -> Rows:
    """The last rows for the test, those before them for validation, the first ones for training.

    :param val: Share of the rows.
    :param test: Share of the rows.
    """
    first_val, first_test = round(count * (1 - val - test)), round(count * (1 - test))
    parts = np.split(np.arange(count), [first_val, first_test])
    return dict(zip(("train", "val", "test"), parts, strict=True))
