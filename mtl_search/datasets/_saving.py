"""A dataset that is in memory, written as files: its arrays, and what else there is to know of it as JSON.

Both are named by a digest of what they hold. They are read by :mod:`mtl_search.datasets.saved`.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from mtl_search.datasets import SPLITS, Dataset
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array, parts
from mtl_search.internal.files import write_file, write_text
from mtl_search.internal.layout import SAVED
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Task

ARRAYS, ABOUT = ".npz", ".json"
"""Endings of the two files."""
FORMAT = 1
"""Of the files, for versions to come."""


@dataclass(frozen=True)
class Saving:
    """A dataset and where it is to be written.

    :param dataset: The dataset, under the name and with the options by which the files are loaded.
    :param arrays: Name in the archive -> the array.
    :param about: What else there is to know, as JSON.
    :param path: The archive; the JSON lies beside it.
    """

    dataset: Dataset
    arrays: Mapping[str, Array]
    about: str
    path: Path

    def write(self) -> None:
        """Write both files, an array a part at a time."""
        self.path.parent.mkdir(exist_ok=True)
        write_file(self.path, partial(_write_archive, self.arrays))
        write_text(self.path.with_suffix(ABOUT), self.about)


def saving(dataset: Dataset, folder: Path) -> Saving:
    """What is to be written of a dataset that no name loads again; nothing is written yet.

    :param folder: Folder for the files.
    :raises DatasetError: If it lacks a split, or something in it cannot be written as data.
    """
    lacking = next((split for split in SPLITS if split not in dataset.splits), None)
    if lacking is not None:
        raise DatasetError(f"a dataset must have the splits {', '.join(SPLITS)}, but this one has no `{lacking}`.")
    if dataset.simulation is not None:
        raise DatasetError(
            "a dataset with a simulation cannot be written into the folder of a run: mark the function that makes it "
            'with `@dataset_function`, and load it by `load_dataset("my_module:my_function")`.'
        )
    arrays, about = _arrays(dataset), _about(dataset)
    path = folder.absolute() / f"{digest_of(about, arrays)}{ARRAYS}"
    options = {"file": str(path), "title": dataset.name}
    return Saving(replace(dataset, name=SAVED, options=options, loadable=True), arrays, about, path)


def digest_of(about: str, arrays: Mapping[str, Array]) -> str:
    """A digest of what the two files hold, of 16 hexadecimal digits."""
    digest = hashlib.blake2b(about.encode(), digest_size=8)
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        for _, part in parts(array):
            digest.update(_bytes(part))
    return digest.hexdigest()


def _arrays(dataset: Dataset) -> dict[str, Array]:
    """All arrays of a dataset, by their names in the archive: tasks by their numbers, for their names can be any."""
    found: dict[str, Array] = {"mean": dataset.mean, "std": dataset.std}
    if dataset.centre is not None:
        found["centre"] = dataset.centre
    for name in SPLITS:
        split = dataset.splits[name]
        found[f"{name}.inputs"] = split.inputs
        found |= {f"{name}.targets.{n}": split.targets[task.name] for n, task in enumerate(dataset.tasks)}
        if split.parts is not None:
            found[f"{name}.parts"] = split.parts
        if name in dataset.rows:
            found[f"{name}.rows"] = np.asarray(dataset.rows[name])
    return found


def _about(dataset: Dataset) -> str:
    """Name, tasks with what they have learned, what was found in the data, and how columns became features."""
    tasks = [{**asdict(task), "kind": kind_name(task)} for task in dataset.tasks]
    about = {"format": FORMAT, "title": dataset.name, "tasks": tasks, "found": dict(dataset.found)}
    about["columns"] = [dict(column) for column in dataset.columns]
    try:
        return json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"the tasks of a dataset, and `found`, must be plain data that JSON holds: {error}."
        ) from error


def kind_name(task: Task) -> str:
    """The name by which files name the kind of a task.

    :raises DatasetError: If it is of the user's own and in no module that can be imported.
    """
    kind = type(task)
    if task.kind in TASKS.names() and TASKS.get(task.kind) is kind:
        return task.kind
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise DatasetError(
            f"task `{task.name}`: its kind `{kind.__qualname__}` must stand in a module of its own, so that the files "
            f"of a run can name it, but it is in {kind.__module__ if '.' not in kind.__qualname__ else 'a function'}."
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def _write_archive(arrays: Mapping[str, Array], file: BinaryIO) -> None:
    """Not compressed, in C order, so that what is large can stay in the file when it is read."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
                npy.write_array_header_1_0(member, header)
                for _, part in parts(array):
                    member.write(_bytes(part))


def _bytes(part: Any) -> memoryview:
    return np.ascontiguousarray(part).view(np.uint8).data
