"""CelebA: 202,599 faces with 40 attributes (Liu et al., ICCV 2015)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import SPLITS, Dataset, DatasetSource
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._official import check_name, find_all, official_dataset
from mtl_search.datasets._pictures import read_picture
from mtl_search.errors import DatasetError
from mtl_search.tasks import Binary, MultiLabel, Task

IMAGES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
FILES = (IMAGES, ATTRIBUTES, PARTITION)
COUNT = 40
"""Attributes that the file has."""
GROUPS = {
    "face": (2, 10, 13, 14, 18, 20, 25, 26, 39),
    "eyes": (1, 3, 12, 15, 23),
    "hair": (4, 5, 8, 9, 11, 17, 28, 32, 33),
    "mouth": (6, 21, 31, 36),
    "nose": (7, 27),
    "beard": (0, 16, 22, 24, 30),
    "cheeks": (19, 29),
    "wearing": (34, 35, 37, 38),
}
"""The attributes in eight groups, by their places in the file. The names of the groups are ours."""

MOST_SIDE = 512
"""Pixels of an image's side; the files have 218."""


@dataclass(frozen=True)
class CelebA(DatasetSource):
    """CelebA (Liu et al., ICCV 2015), from its own files: 40 attributes of faces, in the official splits.

    Pictures are the aligned ones of 178x218 pixels, resized whole to a square, and kept in the cache.

    :param root: Folder with ``img_align_celeba/*.jpg``, ``list_attr_celeba.txt`` and ``list_eval_partition.txt``.
    :param targets: ``attributes`` for 40 binary tasks, or ``groups`` for eight tasks of 2 to 9 attributes each.
    :param size: Pixels on a side; 64, as multi-task learning has them (Sener & Koltun, NeurIPS 2018).
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "celeba"
    root: str
    targets: Literal["attributes", "groups"] = "attributes"
    size: Annotated[int, Field(ge=8, le=MOST_SIDE)] = 64
    cache: str | None = None

    def load(self) -> Dataset:
        root = Path(self.root)
        find_all(root, FILES, "CelebA")
        files, names, attributes = _attributes(root / ATTRIBUTES)
        for file in files:
            check_name(root / ATTRIBUTES, file)
        parts = _partition(root / PARTITION, files)
        tasks, targets = _tasks(self.targets, names, attributes)
        pictures = [root / IMAGES / file for file in files]
        missing = next((path for path in pictures if not path.is_file()), None)
        if missing is not None:
            raise DatasetError(f"{root / ATTRIBUTES}: names {missing.name}, but there is no file {missing}.")
        source = Source(self.name, tuple(pictures), {"size": self.size})
        inputs = cached(source, self.cache, self._samples(pictures))["inputs"]
        rows = {split: np.flatnonzero(parts == number) for number, split in enumerate(SPLITS)}
        for split, chosen in rows.items():
            if not len(chosen):
                raise DatasetError(f"{root / PARTITION}: has no picture for split `{split}`.")
        return official_dataset(self.name, tasks, inputs, targets, rows)

    def _samples(self, pictures: Sequence[Path]) -> Iterator[Sample]:
        return ({"inputs": read_picture(path, 3, (self.size, self.size))} for path in pictures)


def _tasks(
    sort: str, names: Sequence[str], attributes: NDArray[np.int8]
) -> tuple[list[Task], dict[str, NDArray[np.int8]]]:
    """The tasks, and their targets ``[pictures]`` or ``[pictures, attributes]``."""
    if sort == "attributes":
        return [Binary(name) for name in names], dict(zip(names, np.ascontiguousarray(attributes.T), strict=True))
    tasks: list[Task] = [
        MultiLabel(group, labels=len(members), names=tuple(names[member] for member in members))
        for group, members in GROUPS.items()
    ]
    return tasks, {group: attributes[:, list(members)] for group, members in GROUPS.items()}


def _attributes(path: Path) -> tuple[list[str], list[str], NDArray[np.int8]]:
    """Files of the pictures, names of the attributes, and these, ``[pictures, 40]``, 0 or 1.

    The first line of the file is the number of pictures, the second names the attributes, then -1 or 1 for each.
    """
    count, names, *lines = _lines(path)
    if len(names) != COUNT:
        raise DatasetError(f"{path}, line 2: must name the {COUNT} attributes, but names {len(names)}.")
    if count != [str(len(lines))]:
        told = " ".join(count)
        raise DatasetError(f"{path}, line 1: must be the number of pictures, {len(lines)}, but got {told!r}.")
    found = np.empty((len(lines), COUNT), np.int8)
    for number, (_, *values) in enumerate(lines):
        if len(values) != COUNT or set(values) - {"-1", "1"}:
            raise DatasetError(f"{path}, line {number + 3}: must be the name of a file, and {COUNT} times -1 or 1.")
        found[number] = [value == "1" for value in values]
    return [line[0] for line in lines], names, found


def _partition(path: Path, files: Sequence[str]) -> NDArray[np.int64]:
    """The split of every picture, 0 to 2."""
    parts: dict[str, int] = {}
    for number, words in enumerate(_lines(path), start=1):
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise DatasetError(f"{path}, line {number}: must be the name of a file, and 0, 1 or 2.")
        parts[words[0]] = int(words[1])
    missing = next((file for file in files if file not in parts), None)
    if missing is not None:
        raise DatasetError(f"{path}: has no line for {missing}, which {ATTRIBUTES} names.")
    return np.array([parts[file] for file in files])


def _lines(path: Path) -> list[list[str]]:
    """The words of every line that has any.

    :raises DatasetError: If there are less than three.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if len(lines) < 3:
        raise DatasetError(f"{path}: must have a line for every picture, but has {len(lines)} lines.")
    return lines
