"""Images of the user's own: a folder, and a table that says what is in which file."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._columns import is_dense, label
from mtl_search.datasets._declared import declared_tasks, notation_of
from mtl_search.datasets._file_names import NamedFiles, of_row
from mtl_search.datasets._own import own_dataset
from mtl_search.datasets._pictures import Header, Size, picture_header, read_picture
from mtl_search.datasets._pixel_targets import PixelTargets, pixel_targets, shown
from mtl_search.datasets._splits import split_rows
from mtl_search.datasets._tables import Column, notes_of, read_table
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array, FileArray, parts

MAKING = 2
"""Number of the way that arrays are made of files; what another one made is made again."""
INPUTS, BITS = "inputs", "bits"
"""Arrays in the cache: the pictures, and how many bits the numbers of each have in its file."""
LEVELS = 2**16
"""Numbers of 16 bits."""
Side = Annotated[int, Field(ge=1, le=4096)]
"""Pixels: a batch of two pictures of 4,096 x 4,096 takes 400 MB before a network has begun."""


@dataclass(frozen=True)
class Images(DatasetSource):
    """The user's own images: a folder, and a table whose columns name their files and their tasks.

    Images have one channel if all are grey, else three: grey is repeated, colours of a palette are looked up,
    transparency is left out, EXIF says which side is up. Where one has 16 bits all numbers are of 16, as they are in
    the files, and the white of 8 bits is that of 16. Targets of every pixel are files named in a column: masks as PNG
    for ``segmentation`` (numbers of classes, 255 where missing), ``edges`` and ``saliency`` (0 and 255); ``depth`` as
    PNG of 16 bits, times ``scale``, or ``.npy``; ``normals`` as ``.npy``. They are as large as their image. Masks of 0
    and 255 alone have two classes; ``values`` of a ``segmentation`` says which number is which class, ``{255: 1}``, or
    none, ``{0: null}``. An empty cell is a missing label. All is decoded once and kept in the cache.

    :param root: The folder; no picture and no map outside of it is read.
    :param table: CSV or Parquet, as for ``table``; its path from ``root``, and it may lie outside.
    :param image: The column with the files of the images, their paths from ``root``.
    :param tasks: What is predicted: as for ``table``, and of every pixel a mapping of ``kind``, ``column`` and options
        of the kind.
    :param size: Height and width that all are resized to: images bilinear, targets to the nearest pixel. Images of
        different sizes are refused without it.
    :param split: How the images are split into training, validation and test: as for ``table``.
    :param missing: Texts that stand for an empty cell.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in ``.tsv``.
    :param decimal: The sign before decimals in the table's texts: as for ``table``.
    :param thousands: The sign between thousands in the table's texts: as for ``table``.
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "images"
    root: str
    tasks: list[Any] | dict[Any, Any]
    table: str = "labels.csv"
    image: str = "image"
    size: tuple[Side, Side] | None = None
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
        files = NamedFiles(root)
        images = _Images(table.column(self.image, "dataset.image"), files, self.size)
        dense = [one for one in declared if one.kind is not None and is_dense(one.kind)]
        maps = {one.name: pixel_targets(f"targets{number}", one, table, files) for number, one in enumerate(dense)}
        read = {
            one.name: [table.column(name, one.key) for name in one.columns] for one in declared if one.name not in maps
        }
        of_columns = {one.name: label(one, read[one.name]) for one in declared if one.name in read}
        rows = split_rows(self.split, table, list(of_columns.values()))
        arrays = cached(self._source(images, maps), self.cache, images.samples(maps))
        of_maps = {name: one.labelled(arrays) for name, one in maps.items()}
        labelled = [{**of_columns, **of_maps}[one.name] for one in declared]
        of_cells = notes_of([column for columns in read.values() for column in columns])
        notes = [*of_cells, *_notes(arrays), *(note for one in maps.values() for note in one.notes(arrays))]
        found = {"notes": notes} if notes else {}
        return own_dataset(self.name, table.path, arrays[INPUTS], labelled, rows, found)

    def _source(self, images: "_Images", maps: Mapping[str, PixelTargets]) -> Source:
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

    def __init__(self, column: Column, files: NamedFiles, size: Size | None) -> None:
        self.column, self.size = column, size
        if column.missing.any():
            raise column.wrong(int(np.argmax(column.missing)), "the name of a file")
        self.files = [file for file in files.of(column) if file is not None]
        first: dict[Path, int] = {}
        for row, file in enumerate(self.files):
            if (before := first.setdefault(Path(os.path.realpath(file)), row)) != row:
                raise DatasetError(f"{column.place(row)}: must be another file than that of row {before}, {file}.")

    def samples(self, maps: Mapping[str, PixelTargets]) -> Iterator[Sample]:
        """Images and maps, row by row, decoded as they are asked for."""
        headers = self._headers()
        channels = 1 if all(header.grey for header in headers) else 3
        bits = max(header.bits for header in headers)
        targets = [one.looked_at() for one in maps.values()]
        for row, (file, header) in enumerate(zip(self.files, headers, strict=True)):
            size = self.size or header.size
            with of_row(self.column, row):
                picture = read_picture(file, channels, size, bits)
            of_maps = [one.read(row, header.size, size) for one in targets]
            yield {INPUTS: picture, BITS: np.array(header.bits, np.uint8)} | {
                name: values for one in of_maps for name, values in one.items()
            }

    def _headers(self) -> list[Header]:
        """What is known of every image."""
        headers: list[Header] = []
        for row, file in enumerate(self.files):
            with of_row(self.column, row):
                headers.append(picture_header(file))
            if self.size is None and headers[row].size != headers[0].size:
                raise DatasetError(
                    f"{self.column.place(row)}: images must be of one size, or `dataset.size` be given, but "
                    f"{self.files[0]} is {shown(headers[0].size)} and {file} is {shown(headers[row].size)}."
                )
        return headers


def _notes(arrays: Mapping[str, FileArray]) -> list[str]:
    """What the numbers of pictures are, where some have 16 bits."""
    bits = np.asarray(arrays[BITS])
    deep = bits == 16
    if not deep.any():
        return []
    levels = _levels(arrays[INPUTS], deep)
    there = np.flatnonzero(levels)
    kept = (
        f"numbers of 16 bits are kept whole: the largest is {there[-1]:,} of {LEVELS - 1:,}, and {len(there):,} "
        "different ones are there"
    )
    others = f"{np.count_nonzero(~deep):,} of {len(bits):,} pictures have 8 bits: their white is made {LEVELS - 1:,}"
    return [kept] if deep.all() else [kept, others]


def _levels(inputs: Array, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which numbers are in some pictures."""
    found = np.zeros(LEVELS, np.bool_)
    for start, part in parts(inputs):
        found[part[chosen[start : start + len(part)]].ravel()] = True
    return found
