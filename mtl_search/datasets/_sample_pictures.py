"""Pictures in files as new samples for a trained network."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._file_names import NamedFiles, of_row
from mtl_search.datasets._pictures import picture_header, read_picture
from mtl_search.datasets._samples import Reading, Samples, opened_table
from mtl_search.datasets._tables import Column
from mtl_search.errors import DatasetError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pbm", ".pnm")
"""How the files of a folder end that are taken for pictures."""
BITS = {"uint8": 8, "uint16": 16}
"""Type of the inputs -> bits of the numbers of pictures."""
TABLE, IMAGE = "labels.csv", "image"
"""The defaults of the dataset ``images``: its table, and the column that names the files."""


def samples_of_pictures(reading: Reading, path: Path) -> Samples:
    """Pictures: those that a table names, all in a folder by their paths, or one.

    :param path: A table with the column of files that the dataset ``images`` names, whose paths are from the folder of
        the table; a folder, with that table in it or none; or a picture.
    :raises DatasetError: If there is none, one cannot be read, or is of another size or of colours where all were grey;
        the message names the file, and the row of the table.
    """
    own = reading.options if reading.dataset == "images" else {}
    table = path / str(own.get("table", TABLE)) if path.is_dir() else path
    if table.is_file() and table.suffix.lower() not in PICTURES:
        column = opened_table(reading, table).column(str(own.get("image", IMAGE)), "dataset.image")
        if column.missing.any():
            raise column.wrong(int(np.argmax(column.missing)), "the name of a file")
        root = path if path.is_dir() else path.parent
        files = [file for file in NamedFiles(root).of(column) if file is not None]
        note = [f"the pictures that {table} names are read"] if path.is_dir() else []
        return _of_files(reading, files, [str(name) for name in column.texts], column, note)
    found = _pictures_in(path) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    return _of_files(reading, found, [str(file.relative_to(root)) for file in found], None, [])


def _pictures_in(folder: Path) -> list[Path]:
    """All pictures in a folder and the folders in it, by their paths."""
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES and file.is_file())
    if not found:
        raise DatasetError(f"{folder}: holds no pictures, that is no files that end with {', '.join(PICTURES)}.")
    return found


def _of_files(
    reading: Reading, files: Sequence[Path], names: Sequence[str], column: Column | None, notes: Sequence[str]
) -> Samples:
    channels, height, width = reading.input_shape
    if reading.stored not in BITS or channels not in (1, 3):
        shape = list(reading.input_shape)
        raise DatasetError(
            f"{files[0]}: the network was trained on arrays of {reading.stored} {shape}, which pictures are not: give "
            "an npz file."
        )
    resizes = reading.dataset == "images" and reading.options.get("size") is not None
    for row, file in enumerate(files):
        with _named(column, row):
            _check(file, channels, None if resizes else (height, width))

    def read(start: int, end: int) -> NDArray[np.floating]:
        found = []
        for row in range(start, end):
            with _named(column, row):
                found.append(read_picture(files[row], channels, (height, width), BITS[reading.stored]))
        return np.stack(found).astype(reading.number_type)

    return Samples(len(files), read, names, notes)


def _check(file: Path, channels: int, size: tuple[int, int] | None) -> None:
    """:param size: The size that it must have; ``None`` where it will be resized."""
    header = picture_header(file)
    if channels == 1 and not header.grey:
        raise DatasetError(f"{file}: must be grey, as all pictures that the network was trained on, but has colours.")
    if size is not None and header.size != size:
        wanted, found = (f"{one[0]} x {one[1]}" for one in (size, header.size))
        raise DatasetError(
            f"{file}: must have {wanted} pixels (height x width), as where the network was trained, but has {found}."
        )


@contextmanager
def _named(column: Column | None, row: int) -> Iterator[None]:
    """Say in errors of a file which row of a table has named it."""
    if column is None:
        yield
    else:
        with of_row(column, row):
            yield
