"""Looks at a folder of pictures for what an experiment is to say of them: the table, or one to be written, and tasks.

Three ways to keep pictures are known: a table names the file of each; the folder that a picture lies in is its class;
or a folder `images` stands beside folders of maps, whose files have the same names.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

from mtl_search.datasets._looking import INPUT_NAMES, SPLITS, Looked, column_or_none, named, split_column, why_left_out
from mtl_search.datasets._maps import read_array
from mtl_search.datasets._pictures import GREY_16, opened, picture_header
from mtl_search.datasets._tables import Column, read_table
from mtl_search.errors import DatasetError

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm"}
"""Endings of pictures, in small letters."""
MAPS = {*PICTURES, ".npy"}
"""Endings of maps, too."""
TABLES = (".csv", ".tsv", ".parquet", ".feather", ".jsonl")
"""Endings of tables; what stands first is looked for first."""
TABLE_NAMES = ("labels", "annotations", "metadata", "index")
"""How tables of pictures are often named; others are taken where there is one alone."""
PICTURE_FOLDERS = ("images", "image", "inputs", "pictures", "photos", "imgs", "img", "rgb", "x")
"""How the folder of the pictures is often named beside folders of maps, in small letters."""
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Name of a folder -> the split that it holds."""
ANSWERS = ("edges", "saliency")
"""Tasks that are taken for what their names say: maps of yes and no, as masks of two classes are."""
LOOKED_AT = 200
"""Pictures whose headers are read, and names that are looked for."""
LARGE, BROUGHT_TO = 128, 64
"""Pixels of the shorter side beyond which pictures are resized, and what it is then: searches train many networks, and
without a GPU one of larger pictures takes minutes."""


def look_into(folder: Path, tasks: Sequence[str] = ()) -> Looked:
    """What an experiment is to say of a folder of pictures.

    :param folder: Holds a table that names pictures, a folder of pictures for each class, or a folder ``images`` and
        one of maps for each task; classes may stand in folders ``train``, ``val`` and ``test``.
    :param tasks: Columns, or folders of maps, to be predicted, or patterns of them; all if empty.
    :raises DatasetError: If it is none of these, or a task is not there.
    """
    files = [PurePosixPath(path.relative_to(folder).as_posix()) for path in _files(folder)]
    found = [file for file in files if file.suffix.lower() in PICTURES]
    if (at := _table_of(files)) is not None:
        return _look_at_table(folder, at, tasks)
    rows = _rows_of_maps(files) or _rows_of_classes(found)
    if not rows:
        raise DatasetError(
            f"{folder}: must hold a table that names pictures (as {TABLE_NAMES[0]}.csv), pictures in a folder for each "
            "class, or a folder `images` and a folder of maps for each task, with the same names."
        )
    columns = list(rows[0])
    names = named(tasks, columns[1:], folder) or [name for name in columns[1:] if name != "split"]
    options: dict[str, Any] = {"image": columns[0], "tasks": {}}
    for name in names:
        cells = [row[name] for row in rows if row[name]]
        options["tasks"][name] = _kind_of_maps(folder, name, cells) if _are_files(files, cells) else "classification"
    if "split" in columns:
        options["split"] = "split"
    options |= _size(folder, [row[columns[0]] for row in rows])
    return Looked("images", options, not tasks, _remarks(options), table=_as_csv(rows))


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder and in those below it, in the order of their names; none that are hidden."""
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(at, name) for name in sorted(files) if not name.startswith("."))


def _table_of(files: Sequence[PurePosixPath]) -> PurePosixPath | None:
    """The table in the folder itself, by its name or because there is no other."""
    tables = [file for file in files if len(file.parts) == 1 and file.suffix.lower() in TABLES]
    by_name = [file for name in TABLE_NAMES for file in tables if file.stem.lower() == name]
    return by_name[0] if by_name else tables[0] if len(tables) == 1 else None


# A table that names pictures


def _look_at_table(folder: Path, at: PurePosixPath, tasks: Sequence[str]) -> Looked:
    table = read_table(folder / at)
    chosen = named(tasks, table.columns, folder / at)
    columns = {name: column_or_none(table, name) for name in table.columns if name not in table.index}
    of_files = [name for name, column in columns.items() if column is not None and _names_files(folder, column)]
    pictures = sorted(of_files, key=lambda name: (name.lower() not in INPUT_NAMES, table.columns.index(name)))
    image = next((name for name in pictures if name not in chosen), None)
    if image is None:
        raise DatasetError(
            f"{folder / at}: must have a column that names pictures in {folder}, by their paths from there."
        )
    split = split_column(table, chosen)
    others = [name for name in columns if name not in (image, split)]
    reasons = {name: "" if chosen or name in of_files else why_left_out(name, columns[name]) for name in others}
    left_out = {name: why for name, why in reasons.items() if why}
    names = chosen or [name for name in others if name not in left_out]
    if not names:
        raise DatasetError(f"{folder / at}: has no column that is left to be predicted besides `{image}`.")
    kinds: dict[str, str] = {}
    for name in names:
        column = columns[name]
        if column is not None and name in of_files:
            kinds[name] = _kind_of_maps(folder, name, [cell for cell in column.texts if cell])
    options: dict[str, Any] = {"table": str(at), "image": image, "tasks": kinds if len(kinds) == len(names) else names}
    if kinds and len(kinds) < len(names):
        options["tasks"] = {name: kinds.get(name, {"column": name}) for name in names}
    if split:
        options["split"] = split
    column = columns[image]
    assert column is not None
    options |= _size(folder, [cell for cell in column.texts if cell])
    remarks = _remarks(options)
    if left_out:
        remarks["tasks"] = "; ".join(f"without {name}: {why}" for name, why in left_out.items())
    return Looked("images", options, not chosen, remarks)


def _names_files(folder: Path, column: Column) -> bool:
    """Whether the cells of a column are paths of pictures or of maps."""
    if not column.is_text:
        return False
    cells = [cell.replace("\\", "/") for cell in column.texts if cell][:LOOKED_AT]
    return all(Path(cell).suffix.lower() in MAPS and os.path.isfile(folder / cell) for cell in cells) and bool(cells)


# Folders without a table


def _rows_of_maps(files: Sequence[PurePosixPath]) -> list[dict[str, str]]:
    """A row for each picture of the folder ``images``, with its file in each folder of maps; none if there is none."""
    by_folder: dict[str, dict[str, str]] = {}
    for file in files:
        if len(file.parts) > 1 and file.suffix.lower() in MAPS:
            by_folder.setdefault(file.parts[0], {})["/".join((*file.parts[1:-1], file.stem))] = str(file)
    lowered = {name.lower(): name for name in reversed(list(by_folder))}
    images = next((lowered[name] for name in PICTURE_FOLDERS if name in lowered), None)
    if images is None:
        return []
    pictures = by_folder.pop(images)
    maps = {name: found for name, found in by_folder.items() if set(found) & set(pictures)}
    return [
        {"image": file, **{name: found.get(stem, "") for name, found in maps.items()}}
        for stem, file in pictures.items()
        if maps
    ]


def _rows_of_classes(files: Sequence[PurePosixPath]) -> list[dict[str, str]]:
    """A row for each picture that lies in a folder of its class, and perhaps that in one of its split; else none."""
    inside = [file for file in files if len(file.parts) > 1]
    splits = {file.parts[0] for file in inside}
    if splits and {SPLIT_FOLDERS.get(name.lower()) for name in splits} == SPLITS:
        rows = [
            {"image": str(file), "class": file.parts[1], "split": SPLIT_FOLDERS[file.parts[0].lower()]}
            for file in inside
            if len(file.parts) > 2
        ]
    else:
        rows = [{"image": str(file), "class": file.parts[0]} for file in inside]
    return rows if len({row["class"] for row in rows}) > 1 else []


def _are_files(files: Sequence[PurePosixPath], cells: Sequence[str]) -> bool:
    return set(cells[:LOOKED_AT]) <= {str(file) for file in files}


def _as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# What is in pictures and maps


def _kind_of_maps(folder: Path, name: str, cells: Sequence[str]) -> str:
    """The kind of task whose maps these are, by the first of them and by its name."""
    path = folder / cells[0].replace("\\", "/")
    if path.suffix.lower() == ".npy":
        sides = read_array(path, "[height, width] or with channels", lambda shape: len(shape) in (2, 3)).shape
        return "normals" if 3 in (sides[0], sides[-1]) and len(sides) == 3 else "depth"
    with opened(path) as picture:
        return "depth" if picture.mode in GREY_16 else name if name in ANSWERS else "segmentation"


def _size(folder: Path, cells: Sequence[str]) -> dict[str, Any]:
    """The option ``size`` where pictures differ or are large."""
    sizes = [picture_header(folder / cell.replace("\\", "/")).size for cell in cells[:LOOKED_AT]]
    if len(set(sizes)) == 1 and min(sizes[0]) <= LARGE:
        return {}
    return {"size": _brought(median(height for height, _ in sizes), median(width for _, width in sizes))}


def _brought(height: float, width: float) -> list[int]:
    factor = min(1.0, BROUGHT_TO / min(height, width))
    return [max(1, round(factor * height)), max(1, round(factor * width))]


def _remarks(options: Mapping[str, Any]) -> dict[str, str]:
    return {"size": "height and width that all pictures are brought to"} if "size" in options else {}
