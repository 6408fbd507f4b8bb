"""Datasets in the files that their authors give out, in the folder where the user has put them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.datasets._splits import Rows
from mtl_search.datasets._tables import shown
from mtl_search.errors import DatasetError, FieldError
from mtl_search.internal.arrays import Array
from mtl_search.tasks import Task


def find_all(root: Path, wanted: Sequence[str], what: str) -> None:
    """Check that files and folders are there.

    :param wanted: Paths of the files or folders, from the root.
    :param what: Whose they are, for the message.
    :raises DatasetError: If one is not; the message says what was looked for.
    """
    missing = [path for path in wanted if not (root / path).exists()]
    if missing:
        found = f"{root} has no {missing[0]}" if root.is_dir() else f"there is no folder {root}"
        raise DatasetError(f"`dataset.root` must hold the files of {what}, {', '.join(wanted)}, but {found}.")


def check_name(listed_in: Path, name: str) -> None:
    """Check that what a list names is a file in its folder, and no way out of it.

    :raises DatasetError: If it is more than a name.
    """
    if name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise DatasetError(f"{listed_in}: must hold names of files without their folders, but got {shown(name)!r}.")


def rows_of_training(train: int, test: int, val: int, seed: int) -> Rows:
    """Splits of samples that come as training and test ones, in this order: the validation samples are drawn.

    :param train: Samples for training and validation.
    :param val: How many of the training samples are for validation.
    :param seed: Seed of the draw of the validation samples.
    :raises FieldError: If nothing would be left to train on.
    """
    if val >= train:
        raise FieldError("dataset.val", f"must be below the number of training samples, {train}", val)
    order = np.random.default_rng(seed).permutation(train)
    return {"train": np.sort(order[val:]), "val": np.sort(order[:val]), "test": np.arange(train, train + test)}


def official_dataset(
    name: str, tasks: Sequence[Task], inputs: Array, targets: Mapping[str, Array], rows: Mapping[str, NDArray[Any]]
) -> Dataset:
    """A dataset of samples that are divided by their numbers.

    :param targets: Name of the task -> those of all samples.
    :param rows: Split -> numbers of its samples.
    """
    splits = {
        split: Split(inputs[chosen], {task.name: targets[task.name][chosen] for task in tasks})
        for split, chosen in rows.items()
    }
    return make_dataset(name, tuple(tasks), splits)
