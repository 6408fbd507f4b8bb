"""A dataset that was in memory when it was searched, from the files in the folder of the run."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mtl_search.datasets import SPLITS, Dataset, DatasetSource, Split, make_dataset
from mtl_search.datasets._archives import open_archive
from mtl_search.datasets._input_columns import InputColumn
from mtl_search.datasets._saving import ABOUT, digest_of
from mtl_search.errors import DatasetError, UserError
from mtl_search.internal.arrays import Array
from mtl_search.internal.characters import printable
from mtl_search.internal.messages import explain
from mtl_search.internal.reading import JSON_LIMIT, parse_json, read_text
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Task


class About(BaseModel):
    """What the JSON file holds.

    :param title: What the dataset was called.
    :param tasks: For each task its kind, its options, and what it has learned.
    :param found: What was found in the data, as :class:`~mtl_search.datasets.Dataset` has it.
    :param columns: How the columns of a frame became features, likewise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    title: str
    tasks: list[dict[str, Any]] = Field(min_length=1)
    found: dict[str, Any]
    columns: list[InputColumn] = []


@dataclass(frozen=True)
class Saved(DatasetSource):
    """A dataset that was in memory, as a search wrote it into the folder of its run: ``RUN/dataset/<digest>.npz``.

    The JSON file of the same name beside it holds the tasks. What is pickled is never read.

    :param file: The npz file, named by the digest of what both files hold.
    :param title: What the dataset is called in reports.
    """

    name = "saved"
    file: str
    title: str = "saved"

    def load(self) -> Dataset:
        path = Path(self.file)
        beside = path.with_suffix(ABOUT)
        archive = open_archive(path)
        arrays = {name: archive.rows_of(name, "dataset.file") for name in archive.columns}
        try:
            text = read_text(beside, JSON_LIMIT)
            if digest_of(text, arrays) != path.stem:
                raise DatasetError(
                    f"{path}: it, or the {ABOUT} file beside it, is not what was written: the digest of both is not "
                    "its name. Put both back from a copy."
                )
            return _dataset(_about(text, beside), Held(path, arrays))
        except DatasetError:
            raise
        except UserError as error:
            raise DatasetError(f"{error} Put it back from a copy.") from error


@dataclass(frozen=True)
class Held:
    """The arrays of an archive, which are checked when they are asked for.

    :param path: The archive, for messages.
    :param arrays: Name -> the array.
    """

    path: Path
    arrays: Mapping[str, Array]

    def get(self, name: str, kinds: str, rows: int | None = None) -> Array:
        """One of them.

        :param kinds: What its values may be, as numpy's letters.
        :param rows: Rows that it must have.
        :raises DatasetError: If there is none, or it is another one.
        """
        found = self.arrays.get(name)
        if found is None:
            raise DatasetError(f"{self.path}: has no array `{name}`.")
        if found.dtype.kind not in kinds or (rows is not None and len(found) != rows):
            count = "" if rows is None else f" and have {rows} rows"
            what = f"{found.dtype} {list(found.shape)}"
            raise DatasetError(
                f"{self.path}, array `{name}`: must be of the types '{kinds}' of numpy{count}, but got {what}."
            )
        return found

    def vector(self, name: str, count: int) -> NDArray[Any]:
        """``[count]``, of finite numbers.

        :raises DatasetError: If it is another array.
        """
        found = np.asarray(self.get(name, "f", count))
        if found.ndim != 1 or not np.isfinite(found).all():
            raise DatasetError(f"{self.path}, array `{name}`: must be {count} finite numbers, but got {found.shape}.")
        return found

    def samples(self, split: str, tasks: Sequence[Task]) -> Split:
        """The samples of a split, with the targets of the tasks."""
        inputs = self.get(f"{split}.inputs", "iuf")
        targets = {task.name: self.get(f"{split}.targets.{n}", "iuf", len(inputs)) for n, task in enumerate(tasks)}
        parts = f"{split}.parts"
        of_parts = np.asarray(self.get(parts, "i", len(inputs))) if parts in self.arrays else None
        return Split(inputs, targets, of_parts)


def _about(text: str, path: Path) -> About:
    """What the JSON file holds, checked."""
    try:
        return About.model_validate(parse_json(text))
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, About, 'a saved dataset')}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _dataset(about: About, held: Held) -> Dataset:
    """The dataset as it was: checked as a new one is, with what was learned of it then."""
    tasks = tuple(_task(number, fields) for number, fields in enumerate(about.tasks))
    splits = {split: held.samples(split, tasks) for split in SPLITS}
    try:
        made = make_dataset(about.title, tasks, splits)
    except DatasetError as error:
        raise DatasetError(f"{held.path}: {error}") from error
    width = len(made.mean)
    rows = {split: np.asarray(held.get(name, "iuU", len(splits[split]))) for split, name in _rows(held)}
    return dataclasses.replace(
        made,
        tasks=tasks,
        mean=held.vector("mean", width).astype(np.float32, copy=False),
        std=held.vector("std", width).astype(np.float32, copy=False),
        centre=held.vector("centre", width) if "centre" in held.arrays else None,
        rows=rows,
        found=about.found,
        columns=[asdict(column) for column in about.columns],
    )


def _rows(held: Held) -> list[tuple[str, str]]:
    """The splits whose rows in the user's data are known, each with the name of the array."""
    return [(split, f"{split}.rows") for split in SPLITS if f"{split}.rows" in held.arrays]


def _task(number: int, fields: Mapping[str, Any]) -> Task:
    """A task with what it has learned.

    :raises UserError: If there is no such kind, or a field breaks a rule.
    """
    kind = fields.get("kind")
    if not isinstance(kind, str):
        raise UserError(f"`tasks.{number}.kind` must be the name of a kind of task.")
    found = TASKS.get(kind)
    try:
        made: Task = TypeAdapter(found).validate_python({name: one for name, one in fields.items() if name != "kind"})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["tasks", str(number), *map(str, first["loc"])])
        raise UserError(f"`{printable(place)}`: {first['msg']}.") from error
    return made
