"""A dataset of the user's own files, put together."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.datasets._columns import Labelled
from mtl_search.datasets._splits import Rows
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array


def own_dataset(
    name: str,
    path: Path,
    inputs: Array,
    labelled: Sequence[Labelled],
    rows: Rows,
    found: Mapping[str, Any],
    centre: NDArray[np.float64] | None = None,
) -> Dataset:
    """A dataset whose samples and labels stand in one file.

    :param path: The file, for messages.
    :param inputs: Inputs of all rows.
    :param labelled: The tasks, with the targets of all rows.
    :param rows: Name of the split -> the rows that belong to it.
    :param found: What was found in the file, besides.
    :param centre: What the inputs are less, as in :class:`~mtl_search.datasets.Dataset`.
    :raises DatasetError: As :func:`~mtl_search.datasets.make_dataset`; the message names the file.
    """
    splits = {
        split: Split(inputs[chosen], {one.task.name: one.targets[chosen] for one in labelled})
        for split, chosen in rows.items()
    }
    try:
        dataset = make_dataset(name, tuple(one.task for one in labelled), splits)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    kinds = {one.task.name: one.task.kind for one in labelled if one.found}
    about = {**found, **({"kinds_found": kinds} if kinds else {})}
    of_splits = {split: np.asarray(chosen) for split, chosen in rows.items()}
    return dataclasses.replace(dataset, rows=of_splits, found=about, centre=centre)
