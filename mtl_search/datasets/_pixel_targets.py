"""Targets of every pixel in files that a table names: how those of each kind are read, and the tasks they make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._columns import Labelled, class_names, told
from mtl_search.datasets._declared import Declared
from mtl_search.datasets._file_names import NamedFiles, of_row
from mtl_search.datasets._maps import (
    MISSING_CLASS,
    read_answers,
    read_classes,
    read_depth,
    read_mask,
    read_normals,
    resized,
)
from mtl_search.datasets._pictures import Size
from mtl_search.datasets._tables import Column, Table
from mtl_search.errors import DatasetError, FieldError
from mtl_search.internal.arrays import FileArray, parts

MOST_SHOWN = 8
"""Numbers of masks that a message shows."""
BLACK_AND_WHITE = {0, MISSING_CLASS}
"""What masks of two classes hold that were drawn to be looked at."""


@dataclass(frozen=True)
class PixelTargets:
    """The targets of a task that has one for every pixel.

    :param key: Name of their array in the cache.
    :param files: Paths of the maps, one for every row, ``None`` where they are missing.
    :param reader: Reads one of them.
    :param nothing: A pixel without a target.
    :param two: Whether 255 in masks was found to be a class, for they hold 0 and 255 alone.
    """

    key: str
    declared: Declared
    column: Column
    files: Sequence[Path | None]
    reader: Callable[[Path], NDArray[Any]]
    nothing: NDArray[Any]
    two: bool = field(default=False)

    @property
    def two_key(self) -> str:
        """Name of the array in the cache that keeps what was found, for every row."""
        return f"{self.key}-two"

    def looked_at(self) -> "PixelTargets":
        """The same, after all masks were looked at where 255 may be a class in them."""
        if not self._may_be_two or not self._are_black_and_white():
            return self
        return replace(self, two=True, reader=partial(read_classes, classes=2, values={MISSING_CLASS: 1}))

    def read(self, row: int, size: Size, wanted: Size) -> dict[str, NDArray[Any]]:
        """What the cache is to hold of a row.

        :param size: Height and width of its image.
        :param wanted: Height and width that all images are brought to.
        """
        return {self.key: self._map(row, size, wanted), self.two_key: np.array(self.two, np.uint8)}

    def labelled(self, arrays: Mapping[str, FileArray]) -> Labelled:
        """The task, with the targets of all rows."""
        targets, options, kind = arrays[self.key], dict(self.declared.options), str(self.declared.kind)
        if kind == "segmentation":
            found = self._numbers(targets)
            names = class_names(options.pop("classes", max(2, found[-1] + 1)), f"{self.declared.key}.classes")
            if not _values(self.declared):
                self._check_numbers(found, names)
            options |= {"classes": len(names), "names": told(names)}
        for name in ("scale", "values"):
            options.pop(name, None)
        return Labelled(self.declared.make(kind, options), targets)

    def _numbers(self, targets: FileArray) -> list[int]:
        """What the masks that are there hold, -1 for 255, ascending."""
        there = np.array([file is not None for file in self.files])
        held = (np.unique(part[there[start : start + len(part)]]) for start, part in parts(targets))
        return sorted({int(number) for numbers in held for number in numbers})

    def _check_numbers(self, found: Sequence[int], names: Sequence[str]) -> None:
        """Refuse masks that lack a class and whose numbers are hardly those of classes: with gaps, or with 255.

        :param found: What the masks hold, -1 for 255, ascending.
        """
        lacking = next((name for number, name in enumerate(names) if number not in found), None)
        if lacking is None or list(found) == list(range(len(found))):
            return
        held = [*(number for number in found if number >= 0), *([MISSING_CLASS] if -1 in found else [])]
        listed = ", ".join(map(str, held[:MOST_SHOWN])) + (", ..." if len(held) > MOST_SHOWN else "")
        without = f" ({MISSING_CLASS} stands for a pixel without a class)" if -1 in found else ""
        example = ", ".join(f"{number}: {place}" for place, number in enumerate(held[:MOST_SHOWN]))
        raise DatasetError(
            f"{self.column.title}: class '{lacking}' of task `{self.declared.name}` is in none of its masks, which "
            f"hold {listed}{without}: say which number is which class, as in `values: {{{example}}}`."
        )

    def notes(self, arrays: Mapping[str, FileArray]) -> list[str]:
        """What was made of 255 in masks that did not say it."""
        if self.declared.kind != "segmentation" or MISSING_CLASS in _values(self.declared):
            return []
        name = self.declared.name
        if np.asarray(arrays[self.two_key]).any():
            return [
                f"the masks of `{name}` hold 0 and 255 alone: 255 is read as class 1; say `values: {{255: null}}` "
                "where it stands for a pixel without a class"
            ]
        found = self._numbers(arrays[self.key])
        if found[0] >= 0:
            return []
        following = 1 + found[-1]
        return [
            f"255 in the masks of `{name}` stands for a pixel without a class; say `values: {{255: {following}}}` "
            "where it is a class"
        ]

    @property
    def _may_be_two(self) -> bool:
        return (
            self.declared.kind == "segmentation"
            and MISSING_CLASS not in _values(self.declared)
            and _classes(self.declared) in (None, 2)
        )

    def _are_black_and_white(self) -> bool:
        """Whether the masks hold 0 and 255, and nothing else; most other ones show it in the first file."""
        found: set[int] = set()
        for row, file in enumerate(self.files):
            if file is not None and found <= BLACK_AND_WHITE:
                with of_row(self.column, row):
                    found |= set(np.unique(read_mask(file)).tolist())
        return found == BLACK_AND_WHITE

    def _map(self, row: int, size: Size, wanted: Size) -> NDArray[Any]:
        file = self.files[row]
        if file is None:
            return np.broadcast_to(self.nothing, (*self.nothing.shape[:-2], *wanted))
        with of_row(self.column, row):
            values = self.reader(file)
            if values.shape[-2:] != size:
                found = shown(values.shape[-2:])
                raise DatasetError(f"{file}: must be as large as the image of its row, {shown(size)}, but is {found}.")
        return values if size == wanted else resized(values, wanted)


def pixel_targets(key: str, declared: Declared, table: Table, files: NamedFiles) -> PixelTargets:
    """The files of a task, and how they are read.

    :raises UserError: If an option breaks a rule, or a row names no file in the folder.
    """
    if len(declared.columns) > 1:
        raise FieldError(f"{declared.key}.columns", f"must be one column for {declared.kind}", list(declared.columns))
    column = table.column(declared.columns[0], declared.key)
    if column.missing.all():
        raise DatasetError(f"{column.title}: every cell is empty, so task `{declared.name}` has no targets.")
    reader, nothing = _reader(declared)
    return PixelTargets(key, declared, column, files.of(column), reader, nothing)


def _reader(declared: Declared) -> tuple[Callable[[Path], NDArray[Any]], NDArray[Any]]:
    """What reads the files of a kind, and a pixel without a target, ``[..., 1, 1]``."""
    if declared.kind == "segmentation":
        reader = partial(read_classes, classes=_classes(declared), values=_values(declared))
        return reader, np.full((1, 1), -1, np.int16)
    if declared.kind in ("edges", "saliency"):
        return read_answers, np.full((1, 1), -1, np.int8)
    if declared.kind == "depth":
        scale = declared.options.get("scale", 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < np.inf:
            raise FieldError(f"{declared.key}.scale", "must be a number above 0", scale)
        return partial(read_depth, scale=scale), np.full((1, 1), 0, np.float32)
    if declared.kind == "normals":
        return read_normals, np.zeros((3, 1, 1), np.float32)
    raise FieldError(f"{declared.key}.kind", "must be one that files of maps can be read for", declared.kind)


def _classes(declared: Declared) -> int | None:
    """How many classes a task says that there are; ``None`` where it says nothing."""
    given = declared.options.get("classes")
    return None if given is None else len(class_names(given, f"{declared.key}.classes"))


def _values(declared: Declared) -> dict[int, int]:
    """What ``values`` says: number of a pixel -> its class, -1 where it has none."""
    given, key = declared.options.get("values", {}), f"{declared.key}.values"
    rule = "must be a mapping from numbers of pixels, 0 to 255, to their classes, 0 to 254, or to null for none"
    if not isinstance(given, Mapping):
        raise FieldError(key, rule, given)
    for value, number in given.items():
        if not _is_whole(value, MISSING_CLASS) or not (number is None or _is_whole(number, MISSING_CLASS - 1)):
            raise FieldError(key, rule, dict(given))
    return {value: -1 if number is None else number for value, number in given.items()}


def _is_whole(given: Any, most: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= most


def shown(size: Sequence[int]) -> str:
    """Height and width, for messages."""
    return f"{size[0]} x {size[1]} pixels"
