"""Several datasets as one: each sample has the labels of its own, and misses those of the others."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import SPLITS, Dataset, DatasetSource, Split, load_dataset, make_dataset
from mtl_search.errors import DatasetError, FieldError, UserError
from mtl_search.internal.arrays import Array, joined
from mtl_search.tasks import Task


@dataclass(frozen=True)
class Union(DatasetSource):
    """Several datasets as one, with all of their tasks: one dataset for each task, for example.

    A sample has the labels of its own dataset and misses those of the others. Inputs must be alike. A task whose name
    two parts have is named ``<part>.<task>``. Batches hold samples of all parts, as many as these are large, or evenly
    (``training.sampling``).

    :param parts: Name of each part -> its dataset, a mapping of ``name`` and options.
    """

    name = "union"
    parts: dict[Any, Any]

    def load(self) -> Dataset:
        if len(self.parts) < 2:
            raise FieldError("dataset.parts", "must have at least two parts", self.parts)
        loaded = {name: _loaded(name, part) for name, part in self.parts.items()}
        _check_alike(loaded)
        names = _task_names(loaded)
        tasks = {
            names[part, task.name]: dataclasses.replace(task, name=names[part, task.name])
            for part, dataset in loaded.items()
            for task in dataset.tasks
        }
        loaded, centre = _about_one_centre(loaded)
        splits = {split: _united(split, loaded, names) for split in SPLITS}
        made = make_dataset(self.name, tuple(tasks.values()), splits)
        return dataclasses.replace(made, rows=_rows(loaded), found=_found(loaded, names), centre=centre)


Names = Mapping[tuple[str, str], str]
"""Part and name of a task there -> its name in the union."""


def _loaded(name: Any, part: Any) -> Dataset:
    """The dataset of a part."""
    key = f"dataset.parts.{name}"
    if not isinstance(name, str) or not name or not set(name).isdisjoint("/,."):
        raise FieldError("dataset.parts", "must have names that are words", name)
    if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
        raise FieldError(key, "must be a mapping with the `name` of a dataset", part)
    try:
        return load_dataset(part["name"], **{option: value for option, value in part.items() if option != "name"})
    except UserError as error:
        raise DatasetError(f"`{key}`: {error}") from error


def _check_alike(loaded: Mapping[str, Dataset]) -> None:
    """Refuse inputs that one network cannot take."""
    first, *others = loaded
    wanted = _inputs_of(loaded[first])
    for name in others:
        found = _inputs_of(loaded[name])
        if found != wanted:
            raise DatasetError(
                f"`dataset.parts.{name}`: inputs must be alike in all parts: {wanted} as in `{first}`, but got {found}."
            )


def _about_one_centre(loaded: Mapping[str, Dataset]) -> tuple[dict[str, Dataset], NDArray[np.float64] | None]:
    """The parts with inputs less the same centre: that of the first part that has one."""
    centre = next((dataset.centre for dataset in loaded.values() if dataset.centre is not None), None)
    if centre is None:
        return dict(loaded), None
    return {part: _moved(dataset, centre) for part, dataset in loaded.items()}, centre


def _moved(dataset: Dataset, centre: NDArray[np.float64]) -> Dataset:
    """The dataset with inputs less another centre."""
    apart = (0 if dataset.centre is None else dataset.centre) - centre
    if not apart.any():
        return dataset
    of_channels = apart.reshape(-1, *[1] * (len(dataset.input_shape) - 1))
    splits = {
        name: dataclasses.replace(split, inputs=(np.asarray(split.inputs) + of_channels).astype(np.float32))
        for name, split in dataset.splits.items()
    }
    return dataclasses.replace(dataset, splits=splits, centre=centre)


def _inputs_of(dataset: Dataset) -> str:
    """Type, shape and, of a table, features of the inputs, for messages."""
    features = dataset.found.get("features")
    named = f" ({', '.join(features)})" if features else ""
    return f"{dataset.splits['train'].inputs.dtype} {list(dataset.input_shape)}{named}"


def _task_names(loaded: Mapping[str, Dataset]) -> dict[tuple[str, str], str]:
    """The name of each part's tasks: their own, with that of the part before it where another part has it, too."""
    own = [task.name for dataset in loaded.values() for task in dataset.tasks]
    return {
        (part, task.name): f"{part}.{task.name}" if own.count(task.name) > 1 else task.name
        for part, dataset in loaded.items()
        for task in dataset.tasks
    }


def _united(split: str, loaded: Mapping[str, Dataset], names: Names) -> Split:
    """One split of all parts, one part after the other."""
    splits = [dataset.splits[split] for dataset in loaded.values()]
    targets: dict[str, Array] = {}
    for owner, (part, dataset) in enumerate(loaded.items()):
        for task in dataset.tasks:
            own = _with_room(splits[owner].targets[task.name])
            filled = [own if n == owner else _missing(task, own, len(other)) for n, other in enumerate(splits)]
            targets[names[part, task.name]] = joined(filled)
    numbers = np.repeat(np.arange(len(splits)), [len(samples) for samples in splits])
    return Split(joined([samples.inputs for samples in splits]), targets, numbers)


def _with_room(targets: Array) -> Array:
    """Targets in a type that can say that one is missing."""
    return np.asarray(targets).astype(np.int16) if targets.dtype.kind == "u" else targets


def _missing(task: Task, like: Array, count: int) -> NDArray[Any]:
    """As many targets that are missing."""
    return np.full((count, *like.shape[1:]), -1 if task.integer else np.nan, like.dtype)


def _rows(loaded: Mapping[str, Dataset]) -> dict[str, NDArray[Any]]:
    """Split -> ``<part>:<row>`` of those samples that are rows of a file."""
    return {
        split: np.concatenate(
            [[f"{part}:{row}" for row in dataset.rows.get(split, ())] for part, dataset in loaded.items()]
        ).astype(str)
        for split in SPLITS
        if any(split in dataset.rows for dataset in loaded.values())
    }


def _found(loaded: Mapping[str, Dataset], names: Names) -> dict[str, Any]:
    """What was found in the files of the parts."""
    kinds = {
        names[part, task]: kind
        for part, dataset in loaded.items()
        for task, kind in dataset.found.get("kinds_found", {}).items()
    }
    first = next(iter(loaded.values())).found
    features = {"features": first["features"]} if "features" in first else {}
    filled = {part: dataset.found["filled"] for part, dataset in loaded.items() if "filled" in dataset.found}
    return {**features, **({"filled_in_parts": filled} if filled else {}), **({"kinds_found": kinds} if kinds else {})}
