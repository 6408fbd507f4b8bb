"""Images of the user's own: a folder, and a table that says what is in which file."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.arrays import FileArray, parts
from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._columns import (
    Declared,
    Labelled,
    class_names,
    declared_tasks,
    is_dense,
    label,
    notation_of,
    told,
)
from mtl_search.datasets._own import own_dataset
from mtl_search.datasets._pictures import (
    Size,
    picture_header,
    read_answers,
    read_classes,
    read_depth,
    read_normals,
    read_picture,
    resized,
)
from mtl_search.datasets._splits import split_rows
from mtl_search.datasets._tables import Column, Table, read_table
from mtl_search.errors import DatasetError, FieldError

MAKING = 1
"""Number of the way that arrays are made of files; what another one made is made again."""
INPUTS = "inputs"


@dataclass(frozen=True)
class Images(DatasetSource):
    """The user's own images: a folder, and a table whose columns name their files and their tasks.

    Images have one channel if all are grey, else three: grey is repeated, colours of a palette are looked up,
    transparency is left out, of 16 bits the upper 8 are kept, EXIF says which side is up. Targets of every pixel are
    files named in a column: masks as PNG for ``segmentation`` (numbers of classes, 255 where missing), ``edges`` and
    ``saliency`` (0 and 255); ``depth`` as PNG of 16 bits, times ``scale``, or ``.npy``; ``normals`` as ``.npy``. They
    are as large as their image. An empty cell is a missing label. All is decoded once and kept in the cache.

    :param root: The folder; no file outside of it is read.
    :param table: CSV or Parquet, as for ``table``; its path from ``root``.
    :param image: The column with the files of the images, their paths from ``root``.
    :param tasks: As for ``table``, and of every pixel a mapping of ``kind``, ``column`` and options of the kind.
    :param size: Height and width that all are resized to: images bilinear, targets to the nearest pixel. Images of
        different sizes are refused without it.
    :param split: As for ``table``.
    :param missing: Texts that stand for an empty cell.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in ``.tsv``.
    :param decimal: As for ``table``.
    :param thousands: As for ``table``.
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "images"
    root: str
    tasks: list[Any] | dict[Any, Any]
    table: str = "labels.csv"
    image: str = "image"
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    split: Any = None
    missing: tuple[str, ...] = ()
    separator: str | None = None
    decimal: str = "."
    thousands: str | None = None
    cache: str | None = None

    def load(self) -> Dataset:
        declared = declared_tasks(self.tasks)
        root = Path(self.root)
        if not root.is_dir():
            raise DatasetError(f"`dataset.root` must be a folder, but there is none at {root}.")
        notation = notation_of(self.separator, self.decimal, self.thousands)
        table = read_table(root / self.table, self.missing, self.separator, notation)
        images = _Images(table.column(self.image, "dataset.image"), root, self.size)
        dense = [one for one in declared if one.kind is not None and is_dense(one.kind)]
        maps = {one.name: _maps(f"targets{number}", one, table, root) for number, one in enumerate(dense)}
        of_columns = {
            one.name: label(one, [table.column(name, one.key) for name in one.columns])
            for one in declared
            if one.name not in maps
        }
        rows = split_rows(self.split, table, list(of_columns.values()))
        arrays = cached(self._source(images, maps), self.cache, images.samples(maps))
        of_maps = {name: one.labelled(arrays[one.key]) for name, one in maps.items()}
        labelled = [{**of_columns, **of_maps}[one.name] for one in declared]
        return own_dataset(self.name, table.path, arrays[INPUTS], labelled, rows, {})

    def _source(self, images: "_Images", maps: Mapping[str, "_Maps"]) -> Source:
        files = [*images.files, *(file for one in maps.values() for file in one.files if file is not None)]
        tasks = {
            name: [str(one.declared.kind), dict(one.declared.options), [file is not None for file in one.files]]
            for name, one in maps.items()
        }
        return Source(self.name, tuple(files), {"making": MAKING, "size": self.size, "tasks": tasks})


class _Images:
    """The files of the images, in the order of the rows.

    :raises DatasetError: If a row names no file in the folder, or one that another row has named.
    """

    def __init__(self, column: Column, root: Path, size: Size | None) -> None:
        self.column, self.size = column, size
        if column.missing.any():
            raise column.wrong(int(np.argmax(column.missing)), "the name of a file")
        self.files = [file for file in _files(column, root) if file is not None]
        first: dict[Path, int] = {}
        for row, file in enumerate(self.files):
            if (before := first.setdefault(file.resolve(), row)) != row:
                raise DatasetError(f"{column.place(row)}: must be another file than that of row {before}, {file}.")

    def samples(self, maps: Mapping[str, "_Maps"]) -> Iterator[Sample]:
        """Images and maps, row by row, decoded as they are asked for."""
        sizes, channels = self._layout()
        for row, file in enumerate(self.files):
            size = self.size or sizes[row]
            with _of_row(self.column, row):
                picture = read_picture(file, channels, size)
            yield {INPUTS: picture, **{one.key: one.read(row, sizes[row], size) for one in maps.values()}}

    def _layout(self) -> tuple[list[Size], int]:
        """Height and width of every image, and the channels of all."""
        sizes, grey = [], True
        for row, file in enumerate(self.files):
            with _of_row(self.column, row):
                size, is_grey = picture_header(file)
            sizes.append(size)
            grey = grey and is_grey
            if self.size is None and size != sizes[0]:
                raise DatasetError(
                    f"{self.column.place(row)}: images must be of one size, or `dataset.size` be given, but "
                    f"{self.files[0]} is {_shown(sizes[0])} and {file} is {_shown(size)}."
                )
        return sizes, 1 if grey else 3


@dataclass(frozen=True)
class _Maps:
    """The targets of a task that has one for every pixel.

    :param key: Name of their array in the cache.
    :param files: Of every row, ``None`` where they are missing.
    :param reader: Reads one of them.
    :param nothing: A pixel without a target.
    """

    key: str
    declared: Declared
    column: Column
    files: Sequence[Path | None]
    reader: Callable[[Path], NDArray[Any]]
    nothing: NDArray[Any]

    def read(self, row: int, size: Size, wanted: Size) -> NDArray[Any]:
        """Those of a row.

        :param size: Height and width of its image.
        :param wanted: Those of all images.
        """
        file = self.files[row]
        if file is None:
            return np.broadcast_to(self.nothing, (*self.nothing.shape[:-2], *wanted))
        with _of_row(self.column, row):
            values = self.reader(file)
            if values.shape[-2:] != size:
                found = _shown(values.shape[-2:])
                raise DatasetError(f"{file}: must be as large as the image of its row, {_shown(size)}, but is {found}.")
        return values if size == wanted else resized(values, wanted)

    def labelled(self, targets: FileArray) -> Labelled:
        """The task, with the targets of all rows."""
        options, kind = dict(self.declared.options), str(self.declared.kind)
        if kind == "segmentation":
            largest = max(int(part.max()) for _, part in parts(targets))
            names = class_names(options.pop("classes", max(2, largest + 1)), f"{self.declared.key}.classes")
            options |= {"classes": len(names), "names": told(names)}
        options.pop("scale", None)
        return Labelled(self.declared.make(kind, options), targets)


def _maps(key: str, declared: Declared, table: Table, root: Path) -> _Maps:
    """The files of a task, and how they are read.

    :raises UserError: If an option breaks a rule, or a row names no file in the folder.
    """
    if len(declared.columns) > 1:
        raise FieldError(f"{declared.key}.columns", f"must be one column for {declared.kind}", list(declared.columns))
    column = table.column(declared.columns[0], declared.key)
    if column.missing.all():
        raise DatasetError(f"{column.title}: every cell is empty, so task `{declared.name}` has no targets.")
    reader, nothing = _reader(declared)
    return _Maps(key, declared, column, _files(column, root), reader, nothing)


def _reader(declared: Declared) -> tuple[Callable[[Path], NDArray[Any]], NDArray[Any]]:
    """What reads the files of a kind, and a pixel without a target, ``[..., 1, 1]``."""
    options = declared.options
    if declared.kind == "segmentation":
        given = options.get("classes")
        classes = None if given is None else len(class_names(given, f"{declared.key}.classes"))
        return partial(read_classes, classes=classes), np.full((1, 1), -1, np.int16)
    if declared.kind in ("edges", "saliency"):
        return read_answers, np.full((1, 1), -1, np.int8)
    if declared.kind == "depth":
        scale = options.get("scale", 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < np.inf:
            raise FieldError(f"{declared.key}.scale", "must be a number above 0", scale)
        return partial(read_depth, scale=scale), np.full((1, 1), 0, np.float32)
    if declared.kind == "normals":
        return read_normals, np.zeros((3, 1, 1), np.float32)
    raise FieldError(f"{declared.key}.kind", "must be one that files of maps can be read for", declared.kind)


def _files(column: Column, root: Path) -> list[Path | None]:
    """The files that a column names, ``None`` for an empty cell.

    :raises DatasetError: If one is not there, or not in the folder, wherever links lead; the message names the row.
    """
    if not column.is_text:
        raise column.wrong(int(np.argmin(column.missing)), "the name of a file")
    inside = root.resolve()
    found: list[Path | None] = []
    for row, name in enumerate(column.values):
        path = None if column.missing[row] else root / name
        if path is not None and not path.resolve().is_relative_to(inside):
            raise DatasetError(f"{column.place(row)}: must be a file in `dataset.root`, but {name!r} is outside of it.")
        if path is not None and not path.is_file():
            raise DatasetError(f"{column.place(row)}: there is no file {path}.{_nearest(path)}")
        found.append(path)
    return found


def _nearest(path: Path) -> str:
    """The end of a message about a file that is not there."""
    if not path.parent.is_dir():
        return f" There is no folder {path.parent}."
    names = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1, cutoff=0.5)
    return f" Did you mean `{names[0]}`?" if names else ""


@contextmanager
def _of_row(column: Column, row: int) -> Iterator[None]:
    """Say in errors of a file which row has named it."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{column.place(row)}: {error}") from error


def _shown(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]} pixels"
