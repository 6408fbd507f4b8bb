"""A folder of pictures with a table of what they show: disks and squares, with maps of every kind."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COUNT, SIDE = 24, 12
COLUMNS = ("image", "shape", "dark", "mask", "depth", "normals", "edges", "split")
SCALE = 0.001
"""Metres in a unit of the depths."""


def draw(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture, ``[side, side, 3]``, and its mask, ``[side, side]``: 0 around, 1 a disk, 2 a square."""
    rng = np.random.default_rng(number)
    row, column = rng.integers(4, SIDE - 4, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    apart = np.stack([rows - row, columns - column])
    square = number % 2
    inside = np.abs(apart).max(axis=0) <= 3 if square else (apart**2).sum(axis=0) <= 9
    picture = np.full((SIDE, SIDE, 3), 220 - 150 * dark(number), np.uint8)
    picture[inside] = (40, 200, 90) if square else (200, 40, 60)
    return picture, np.where(inside, 1 + square, 0).astype(np.uint8)


def dark(number: int) -> int:
    return number // 2 % 2


def rows(count: int = COUNT) -> list[dict[str, str]]:
    """The table, as texts."""
    parts = ["train"] * (count // 2) + ["val"] * (count // 4) + ["test"] * (count - count // 2 - count // 4)
    return [
        {
            "image": f"pictures/{number}.png",
            "shape": "square" if number % 2 else "disk",
            "dark": str(dark(number)),
            "mask": f"maps/{number}.png",
            "depth": f"maps/depth{number}.png",
            "normals": f"maps/{number}.npy",
            "edges": f"maps/edges{number}.png",
            "split": parts[number],
        }
        for number in range(count)
    ]


def write_folder(root: Path, count: int = COUNT, changed: Mapping[tuple[int, str], str] | None = None) -> Path:
    """Pictures, maps and ``labels.csv``, with some cells of that replaced."""
    (root / "pictures").mkdir(parents=True)
    (root / "maps").mkdir()
    for number in range(count):
        picture, mask = draw(number)
        Image.fromarray(picture).save(root / f"pictures/{number}.png")
        Image.fromarray(mask).save(root / f"maps/{number}.png")
        Image.fromarray(1000 + np.uint16(500) * mask).save(root / f"maps/depth{number}.png")
        Image.fromarray(np.where(mask != np.roll(mask, 1, axis=1), 255, 0).astype(np.uint8)).save(
            root / f"maps/edges{number}.png"
        )
        np.save(root / f"maps/{number}.npy", normals(mask))
    table = rows(count)
    for (row, column), text in (changed or {}).items():
        table[row][column] = text
    write_table(root, table)
    return root


def normals(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Two directions, ``[side, side, 3]``, and none in the corner."""
    found = np.where(mask[..., None] > 0, (0.0, 0.6, 0.8), (0.0, 0.0, 1.0))
    found[0, 0] = 0
    return found


def write_table(root: Path, table: Sequence[Mapping[str, str]]) -> None:
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
