"""Pictures and masks in the files that people have: read as they mean them, with all of their numbers, in silence."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from made_images import COUNT, draw, rows, write_folder, write_table
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.datasets._maps import read_mask
from mtl_search.datasets._pictures import picture_header, read_picture
from mtl_search.errors import DatasetError, UserError

LOT = np.random.default_rng(0)
GREY = LOT.integers(0, 256, (5, 7)).astype(np.uint8)
DEEP = LOT.integers(0, 4096, (5, 7)).astype(np.uint16)
COLOURS = LOT.integers(0, 4096, (5, 7, 4)).astype(np.uint16)


def png(values: NDArray[np.generic], colour: int, bits: int, exif: bytes = b"") -> bytes:
    """A PNG of any number of bits, EXIF behind the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def line(row: NDArray[np.generic]) -> bytes:
        if bits == 16:
            return row.astype(">u2").tobytes()
        return np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:].ravel()).tobytes()

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + line(row) for row in values))
    parts = [(b"IHDR", header), (b"IDAT", pixels), *([(b"eXIf", exif)] if exif else []), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pgm(values: NDArray[np.generic], largest: int) -> bytes:
    kind = ">u2" if largest > 255 else "u1"
    return b"P5\n%d %d\n%d\n" % (*values.shape[::-1], largest) + values.astype(kind).tobytes()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


DEEP_FILES = {
    "grey PNG": (png(DEEP, 0, 16), DEEP[None]),
    "grey PNG with alpha": (png(COLOURS[..., :2], 4, 16), COLOURS[None, ..., 0]),
    "coloured PNG": (png(COLOURS[..., :3], 2, 16), np.moveaxis(COLOURS[..., :3], 2, 0)),
    "coloured PNG with alpha": (png(COLOURS, 6, 16), np.moveaxis(COLOURS[..., :3], 2, 0)),
    "PGM of 16 bits": (pgm(DEEP, 65535), DEEP[None]),
    "PGM of 12 bits": (pgm(DEEP, 4095), DEEP[None]),
    "plain PGM": (b"P2\n7 5\n4095\n" + " ".join(map(str, DEEP.ravel())).encode(), DEEP[None]),
    "TIFF": (saved(Image.fromarray(DEEP), "tiff"), DEEP[None]),
    "TIFF, compressed": (saved(Image.fromarray(DEEP), "tiff", compression="tiff_lzw"), DEEP[None]),
    "TIFF of another byte order": (
        saved(Image.frombytes("I;16B", (7, 5), DEEP.astype(">u2").tobytes()), "tiff"),
        DEEP[None],
    ),
}


@pytest.mark.parametrize(("data", "expected"), DEEP_FILES.values(), ids=DEEP_FILES)
def test_all_16_bits_are_read(data: bytes, expected: NDArray[np.uint16], tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(data)
    header = picture_header(tmp_path / "picture")
    assert header == ((5, 7), len(expected) == 1, 16)
    found = read_picture(tmp_path / "picture", len(expected), header.size, 16)
    assert found.dtype == np.uint16
    assert np.array_equal(found, expected)
    assert np.array_equal(read_picture(tmp_path / "picture", len(expected), header.size), expected >> 8)


def orientation(kind: int, count: int, value: bytes) -> bytes:
    """EXIF with one tag, of a kind of number."""
    return b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + value.ljust(4, b"\0") + bytes(4)


TURNED = orientation(3, 1, b"\6")
UPRIGHT = {
    "a text": orientation(2, 2, b"6\0"),
    "0": orientation(3, 1, b"\0"),
    "9": orientation(3, 1, b"\x09"),
    "no whole number": orientation(11, 1, struct.pack("<f", 6)),
    "more than there are": orientation(3, 2**32 - 1, b"\6"),
    "an unknown kind": orientation(99, 1, b"\6"),
    "cut off": TURNED[:11],
    "no EXIF": b"\xff\0damaged",
}


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(("exif", "turned"), [(TURNED, True), *((exif, False) for exif in UPRIGHT.values())])
def test_exif_turns_by_whole_numbers_alone(exif: bytes, turned: bool, kind: str, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 72, 3)).astype(np.uint8)
    options = {"exif": b"Exif\0\0" + exif if kind == "jpeg" else exif, "quality": 100, "lossless": True}
    data = png(smooth, 0, 8, exif) if kind == "png" else saved(Image.fromarray(smooth).convert("RGB"), kind, **options)
    (tmp_path / "picture").write_bytes(data)
    expected = np.rot90(smooth, -1) if turned else smooth
    size = picture_header(tmp_path / "picture").size
    assert size == expected.shape
    found = read_picture(tmp_path / "picture", 3, size).astype(int)
    assert np.abs(found - expected).max() <= (3 if kind == "jpeg" else 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_mask_of_few_bits_holds_its_numbers(bits: int, tmp_path: Path) -> None:
    numbers = (GREY.astype(int) % 2**bits).astype(np.uint8)
    (tmp_path / "mask").write_bytes(png(numbers, 0, bits))
    assert np.array_equal(read_mask(tmp_path / "mask"), numbers)


def test_a_mask_of_pgm_holds_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "mask").write_bytes(pgm(GREY % 3, 2))
    assert np.array_equal(read_mask(tmp_path / "mask"), GREY % 3)


@pytest.mark.parametrize(("kind", "told"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF compressed as jpeg")])
def test_masks_in_formats_that_lose_are_refused(kind: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mask").write_bytes(
        saved(Image.fromarray(GREY), kind, **({"compression": "jpeg"} if kind == "tiff" else {}))
    )
    with pytest.raises(DatasetError, match=f"which {told} does not: make it again as PNG"):
        read_mask(tmp_path / "mask")


@pytest.mark.parametrize("kind", ["eps", "pdf", "icns", "tga"])
def test_other_formats_of_pillow_are_not_opened(kind: str, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(saved(Image.fromarray(GREY).resize((16, 16)), kind))
    with pytest.raises(DatasetError, match="is no picture that can be read"):
        picture_header(tmp_path / "picture.png")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "picture.png")
    with pytest.raises(DatasetError, match="must be a file, but is none"):
        picture_header(tmp_path / "picture.png")


def test_what_libtiff_says_stays_off_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(saved(Image.fromarray(GREY).resize((60, 60)), "tiff", compression="tiff_deflate"))
    data[40:90] = b"\xff" * 50
    (tmp_path / "picture.tif").write_bytes(data)
    with pytest.raises(DatasetError, match=r"picture\.tif: "):
        read_picture(tmp_path / "picture.tif", 1, (60, 60))
    os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_folder(tmp_path / "data")


def masks(root: Path, of_class: dict[int, int], tasks: object = "segmentation") -> Dataset:
    """The dataset with other numbers in its masks."""
    for number in range(COUNT):
        mask = draw(number)[1]
        Image.fromarray(np.vectorize(of_class.get)(mask).astype(np.uint8)).save(root / f"maps/{number}.png")
    return load_dataset("images", root=str(root), tasks={"mask": tasks})


def targets(dataset: Dataset) -> NDArray[np.int16]:
    return np.asarray(dataset.splits["train"].targets["mask"])


DRAWN = np.stack([draw(number)[1] for number in range(COUNT // 2)]).astype(int)


@pytest.mark.parametrize("tasks", ["segmentation", {"kind": "segmentation", "classes": ["around", "inside"]}])
def test_masks_of_0_and_255_alone_have_two_classes(root: Path, tasks: object) -> None:
    for _ in range(2):
        dataset = masks(root, {0: 0, 1: 255, 2: 255}, tasks)
        assert np.array_equal(targets(dataset), DRAWN > 0)
        assert "hold 0 and 255 alone: 255 is read as class 1" in dataset.found["notes"][0]


def test_255_beside_other_classes_is_missing_and_said(root: Path) -> None:
    dataset = masks(root, {0: 0, 1: 1, 2: 255})
    assert np.array_equal(targets(dataset), np.where(DRAWN == 2, -1, DRAWN))
    assert "say `values: {255: 2}`" in dataset.found["notes"][0]


@pytest.mark.parametrize(
    ("numbers", "task", "told"),
    [
        (
            (0, 255, 255),
            3,
            "class '1' of task `mask` is in none of its masks, which hold 0, 255 (255 stands for a pixel",
        ),
        ((0, 128, 255), None, "which hold 0, 128, 255 (255 stands for a pixel without a class)"),
        ((255, 255, 255), None, "which hold 255 (255 stands"),
        ((1, 2, 3), None, "say which number is which class, as in `values: {1: 0, 2: 1, 3: 2}`"),
    ],
)
def test_numbers_that_are_hardly_classes_are_told(
    root: Path, numbers: tuple[int, ...], task: int | None, told: str
) -> None:
    options = {"kind": "segmentation"} | ({} if task is None else {"classes": task})
    with pytest.raises(DatasetError) as error:
        masks(root, dict(enumerate(numbers)), options)
    assert told in str(error.value)


def test_values_say_which_number_is_which_class(root: Path) -> None:
    dataset = masks(root, {0: 0, 1: 128, 2: 255}, {"kind": "segmentation", "values": {0: None, 128: 0, 255: 1}})
    assert np.array_equal(targets(dataset), DRAWN - 1)
    assert "notes" not in dataset.found


@pytest.mark.parametrize("values", [[255], {256: 0}, {255: -1}, {True: 1}, {"255": 1}])
def test_values_of_another_form_are_refused(root: Path, values: object) -> None:
    with pytest.raises(UserError, match=r"`dataset.tasks.mask.values` must be a mapping from numbers of pixels"):
        masks(root, {0: 0, 1: 1, 2: 2}, {"kind": "segmentation", "values": values})


def named(root: Path, change: dict[str, str]) -> Dataset:
    """The dataset with other names in its table."""
    write_table(root, [{**row, "image": change.get(row["image"], row["image"])} for row in rows()])
    return load_dataset("images", root=str(root), tasks=["shape"])


@pytest.mark.parametrize(("on_disk", "in_table"), [("cafe\u0301", "caf\u00e9"), ("caf\u00e9", "cafe\u0301")])
def test_names_are_found_in_either_form_of_unicode(root: Path, on_disk: str, in_table: str) -> None:
    (root / on_disk).mkdir()
    (root / "pictures/3.png").rename(root / on_disk / f"{on_disk}.png")
    dataset = named(root, {"pictures/3.png": f"{in_table}\\{in_table}.png", "pictures/4.png": "pictures\\4.png"})
    found = np.asarray(dataset.splits["train"].inputs)
    assert np.array_equal(found[3], np.moveaxis(draw(3)[0], 2, 0))
    assert np.array_equal(found[4], np.moveaxis(draw(4)[0], 2, 0))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pictures/3.PNG", r"there is no file .*3\.PNG\. Did you mean `3\.png`\? Upper and lower case differ"),
        ("Pictures/3.png", r"There is no folder .*Pictures\. Did you mean `pictures`\? Upper and lower case differ"),
        ("..\\secret.png", r"must be a file in `dataset\.root`, but .* is outside of it"),
        ("pictures/" + "x" * 300, "must be the name of a file, but got .*: File name too long"),
        ("loop/3.png", "there is no file"),
        ("pipe.png", r"there is no file .*pipe\.png\. It is a pipe or a device"),
    ],
)
def test_other_names_are_refused(root: Path, name: str, message: str) -> None:
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe.png")
    with pytest.raises(DatasetError, match=rf"row 3 \(line 5\), column `image`: .*{message}"):
        named(root, {"pictures/3.png": name})


def test_numbers_of_12_bits_are_kept_and_said(root: Path) -> None:
    deep = {number: LOT.integers(0, 4096, (12, 12)).astype(np.uint16) for number in range(COUNT)}
    for number, values in deep.items():
        Image.fromarray(values).save(root / f"pictures/{number}.png")
    dataset = named(root, {})
    inputs = dataset.splits["train"].inputs
    assert (str(inputs.dtype), dataset.input_shape) == ("uint16", (1, 12, 12))
    assert np.array_equal(np.asarray(inputs)[:, 0], np.stack([deep[number] for number in range(12)]))
    largest, levels = np.max(list(deep.values())), len(np.unique(list(deep.values())))
    assert dataset.found["notes"] == [
        f"numbers of 16 bits are kept whole: the largest is {largest:,} of 65,535, and {levels:,} different ones are "
        "there"
    ]
    Image.fromarray(np.full((12, 12), 255, np.uint8)).save(root / "pictures/0.png")
    mixed = named(root, {})
    assert (np.asarray(mixed.splits["train"].inputs)[0] == 65535).all()
    assert mixed.found["notes"][1] == "1 of 24 pictures have 8 bits: their white is made 65,535"
