"""Bad files among images of the user's own: one line with file, row and rule, status 2, nothing written."""

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_images import SIDE, draw, write_folder
from mtl_search.cli.commands import main

EXPERIMENT = """
dataset: {{name: images, {options}}}
backbone: {{stages: [{{width: 4}}, {{width: 4}}]}}
space: {{bank: [paper, linear], shared_ratio: [1.0, 0.5]}}
training: {{batch_size: 4, epochs: 1}}
search: {{trials: 1, workers: 0}}
"""
SHAPE = "tasks: [shape]"
MASK = "tasks: {shape: binary, mask: segmentation}"
DEPTH = "tasks: {depth: {kind: depth, scale: 0.001}}"
PICTURE, MAP, VECTORS = "pictures/3.png", "maps/3.png", "maps/3.npy"
PLACE = "labels.csv, row 3 (line 5), column"
IMAGE_PLACE = f"{PLACE} `image`: data/{PICTURE}: "

Change = Callable[[Path], object]
Case = tuple[Change, str, list[str]]
"""What is done to the folder, options of the dataset, and what the message holds."""


def cell(column: str, text: str, row: int = 3) -> Change:
    """One cell of the table replaced."""

    def change(root: Path) -> None:
        path = root / "labels.csv"
        lines = [line.split(",") for line in path.read_text().splitlines()]
        lines[row + 1][lines[0].index(column)] = text
        path.write_text("\n".join(map(",".join, lines)) + "\n")

    return change


def whole_column(column: str, text: str) -> Change:
    return lambda root: [cell(column, text, row)(root) for row in range(24)]


def picture(path: str, array: np.ndarray) -> Change:
    return lambda root: Image.fromarray(array).save(root / path)


def array(path: str, values: object) -> Change:
    return lambda root: np.save(root / path, np.asarray(values))


def changed_bytes(path: str, change: Callable[[bytes], bytes]) -> Change:
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes()))


def mask_with(value: int) -> np.ndarray:
    mask = draw(3)[1]
    mask[2, 5] = value
    return mask


def vectors_with(value: float) -> np.ndarray:
    vectors = np.ones((SIDE, SIDE, 3))
    vectors[1, 2, 0] = value
    return vectors


def bomb(side: int) -> bytes:
    """A PNG whose header states so many pixels a side, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def linked(root: Path) -> None:
    (root / PICTURE).unlink()
    (root / PICTURE).symlink_to(root.parent / "secret.png")


def folder_linked(root: Path) -> None:
    (root / "elsewhere").symlink_to(root.parent)
    cell("image", "elsewhere/secret.png")(root)


def no_change(root: Path) -> None:
    pass


CASES: dict[str, Case] = {
    "a truncated image": (
        changed_bytes(PICTURE, lambda data: data[: len(data) // 2]),
        SHAPE,
        [IMAGE_PLACE, "cannot be read", "truncated"],
    ),
    "an image cut off in its header": (changed_bytes(PICTURE, lambda data: data[:20]), SHAPE, [IMAGE_PLACE]),
    "an image with wrong bytes": (
        changed_bytes(PICTURE, lambda data: data[:50] + b"\0" * 9 + data[59:]),
        SHAPE,
        [IMAGE_PLACE, "cannot be read"],
    ),
    "an empty file": (changed_bytes(PICTURE, lambda data: b""), SHAPE, [IMAGE_PLACE, "is empty, and no picture"]),
    "a file of Git LFS": (
        changed_bytes(PICTURE, lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        SHAPE,
        [IMAGE_PLACE, "is what Git LFS keeps", "`git lfs pull`"],
    ),
    "a file that is no image": (
        changed_bytes(PICTURE, lambda data: b"hello"),
        SHAPE,
        [IMAGE_PLACE, "is no picture that can be read"],
    ),
    "a folder for an image": (cell("image", "pictures"), SHAPE, [PLACE, "there is no file data/pictures."]),
    "a missing image": (
        cell("image", "pictures/three.png"),
        SHAPE,
        [PLACE, "there is no file data/pictures/three.png", "Did you mean"],
    ),
    "a missing folder": (
        cell("image", "picture/3.png"),
        SHAPE,
        [PLACE, "there is no file data/picture/3.png", "There is no folder data/picture."],
    ),
    "no name of an image": (cell("image", ""), SHAPE, [PLACE, "the name of a file", "but got nothing"]),
    "numbers for names of images": (
        whole_column("image", "007"),
        SHAPE,
        ["row 0 (line 2), column `image`: there is no file data/007."],
    ),
    "an image twice": (
        cell("image", "pictures/./1.png"),
        SHAPE,
        [PLACE, "must be another file than that of row 1", "pictures/1.png"],
    ),
    "images of two sizes": (
        picture(PICTURE, np.zeros((10, 14, 3), np.uint8)),
        SHAPE,
        [PLACE, "`dataset.size`", "data/pictures/0.png is 12 x 12 pixels", "data/pictures/3.png is 10 x 14 pixels"],
    ),
    "an image of 32 bits": (
        lambda root: Image.fromarray(np.ones((SIDE, SIDE), np.float32)).save(root / PICTURE, "TIFF"),
        SHAPE,
        [IMAGE_PLACE, "8 or 16 bits, but its mode is F"],
    ),
    "a bomb": (
        changed_bytes(PICTURE, lambda data: bomb(60_000)),
        SHAPE,
        [IMAGE_PLACE, "must have at most 89,478,485 pixels"],
    ),
    "a smaller bomb": (
        changed_bytes(PICTURE, lambda data: bomb(10_000)),
        SHAPE,
        [IMAGE_PLACE, "must have at most 89,478,485 pixels"],
    ),
    "a bomb as a mask": (
        changed_bytes(MAP, lambda data: bomb(60_000)),
        MASK,
        [f"{PLACE} `mask`: data/{MAP}: ", "must have at most 89,478,485 pixels"],
    ),
    "a path out of the root": (
        cell("image", "../secret.png"),
        SHAPE,
        [PLACE, "must be a file in `dataset.root`", "'../secret.png' is outside of it"],
    ),
    "an absolute path out of the root": (
        cell("image", "/etc/passwd"),
        SHAPE,
        [PLACE, "'/etc/passwd' is outside"],
    ),
    "a link out of the root": (linked, SHAPE, [PLACE, f"'{PICTURE}' is outside of it"]),
    "a folder linked out of the root": (folder_linked, SHAPE, [PLACE, "'elsewhere/secret.png' is outside of it"]),
    "a mask out of the root": (cell("mask", "../secret.png"), MASK, [f"{PLACE} `mask`", "is outside of it"]),
    "a missing mask": (cell("mask", "maps/33.png"), MASK, [f"{PLACE} `mask`", "no file data/maps/33.png", "Did you"]),
    "a truncated mask": (
        changed_bytes(MAP, lambda data: data[:-25]),
        MASK,
        [f"{PLACE} `mask`: data/{MAP}: cannot be read"],
    ),
    "a mask of another size": (
        picture(MAP, np.zeros((SIDE, SIDE + 1), np.uint8)),
        MASK,
        [f"{PLACE} `mask`: data/{MAP}: ", "as large as the image of its row, 12 x 12 pixels, but is 12 x 13 pixels"],
    ),
    "a mask turned against its image": (
        picture(MAP, np.zeros((SIDE + 1, SIDE), np.uint8)),
        f"{MASK}, size: [8, 8]",
        ["but is 13 x 12 pixels"],
    ),
    "a value outside the classes": (
        picture(MAP, mask_with(7)),
        "tasks: {mask: {kind: segmentation, classes: 3}}",
        [
            f"{PLACE} `mask`: data/{MAP}: ",
            "0 to 2, or 255 where the class is missing, or one that `values` gives a class, but got 7 at [2, 5]",
        ],
    ),
    "a class without a name": (
        picture(MAP, mask_with(3)),
        "tasks: {mask: {kind: segmentation, classes: [none, disk, square]}}",
        ["0 to 2, or 255", "but got 3"],
    ),
    "a coloured mask": (
        picture(MAP, draw(3)[0]),
        MASK,
        [f"{PLACE} `mask`: data/{MAP}: must be a mask of one channel of 8 bits, but its mode is RGB"],
    ),
    "a mask of 16 bits": (picture(MAP, mask_with(1).astype(np.uint16)), MASK, ["but its mode is I;16"]),
    "masks all missing": (whole_column("mask", ""), MASK, ["column `mask`: every cell is empty", "task `mask`"]),
    "masks without a class": (
        lambda root: [picture(f"maps/{n}.png", np.full((SIDE, SIDE), 255, np.uint8))(root) for n in range(12, 18)],
        MASK,
        ["labels.csv: task `mask`, split `val`: every target is missing"],
    ),
    "a class in no training mask": (
        picture("maps/20.png", mask_with(3)),
        MASK,
        ["labels.csv: task `mask`, split `train`: class 3 is in none"],
    ),
    "grey edges": (
        picture("maps/edges3.png", mask_with(1)),
        "tasks: {edges: edges}",
        [f"{PLACE} `edges`: data/maps/edges3.png: pixels must be 0 or 255, but got "],
    ),
    "depth of 8 bits": (
        picture("maps/depth3.png", mask_with(1)),
        DEPTH,
        [f"{PLACE} `depth`: data/maps/depth3.png: must be of one channel of 16 bits, but its mode is L"],
    ),
    "depth that is not a number": (
        lambda root: (array("maps/d.npy", mask_with(0) + np.nan)(root), cell("depth", "maps/d.npy")(root)),
        DEPTH,
        [f"{PLACE} `depth`: data/maps/d.npy: pixels must be finite", "but got nan at [0, 0]"],
    ),
    "depth below 0": (
        lambda root: (array("maps/d.npy", mask_with(0) - 5.0)(root), cell("depth", "maps/d.npy")(root)),
        DEPTH,
        ["at least 0", "but got -"],
    ),
    "a scale of 0": (no_change, DEPTH.replace("0.001", "0"), ["`dataset.tasks.depth.scale` must be a number above 0"]),
    "normals of another shape": (
        array(VECTORS, np.ones((SIDE, SIDE, 2))),
        "tasks: {normals: normals}",
        [f"{PLACE} `normals`: data/{VECTORS}: must hold numbers, [3, height, width] or", "got float64 [12, 12, 2]"],
    ),
    "normals that are not finite": (
        array(VECTORS, vectors_with(np.inf)),
        "tasks: {normals: normals}",
        [f"data/{VECTORS}: pixels must be finite", "but got inf at [0, 1, 2]"],
    ),
    "normals of another size": (
        array(VECTORS, np.ones((SIDE, SIDE - 1, 3))),
        "tasks: {normals: normals}",
        ["as large as the image of its row", "but is 12 x 11 pixels"],
    ),
    "a truncated array": (
        changed_bytes(VECTORS, lambda data: data[:-8]),
        "tasks: {normals: normals}",
        [f"{PLACE} `normals`: data/{VECTORS}: cannot be read"],
    ),
    "an array of objects": (
        array(VECTORS, np.array([{}], dtype=object)),
        "tasks: {normals: normals}",
        [f"data/{VECTORS}: cannot be read"],
    ),
    "no such folder": (no_change, f"{SHAPE}, root: dta", ["`dataset.root` must be a folder", "dta"]),
    "no such table": (no_change, f"{SHAPE}, table: label.csv", ["data/label.csv: there is no such file"]),
    "no such column of images": (no_change, f"{SHAPE}, image: imge", ["no column `imge`", "Did you mean `image`?"]),
    "no such column of masks": (
        no_change,
        "tasks: {maks: segmentation}",
        ["no column `maks` for `dataset.tasks.maks`", "Did you mean `mask`?"],
    ),
    "files for classes": (no_change, "tasks: [mask]", ["`mask`", "too many to be taken for classes"]),
    "a size of 0": (no_change, f"{SHAPE}, size: [0, 4]", ["`dataset.size.0`"]),
}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with its bytes."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("change", "options", "fragments"), CASES.values(), ids=CASES)
def test_it_is_refused(
    change: Change,
    options: str,
    fragments: list[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.fromarray(draw(0)[0]).save(tmp_path / "secret.png")
    change(write_folder(tmp_path / "data"))
    root = "" if "root: " in options else "root: data, "
    (tmp_path / "my.yaml").write_text(EXPERIMENT.format(options=root + options))
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache") / "none"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["mtl-search", "search", "my.yaml", "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert printed.err.startswith("error: my.yaml: "), printed.err
    assert printed.err.count("\n") == 1, printed.err
    for fragment in fragments:
        assert fragment in printed.err.replace(f"{tmp_path}/", ""), printed.err
    assert (ended.value.code, printed.out) == (2, "")
    assert contents(tmp_path) == before
