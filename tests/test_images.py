"""Images of the user's own: decoded by stated rules, once, and trained on."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_images import COUNT, SCALE, SIDE, draw, normals, write_folder
from mtl_search.cli.commands import main
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.datasets import images as images_module
from mtl_search.datasets._maps import read_answers, read_classes, resized
from mtl_search.datasets._pictures import picture_header, read_picture
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import FileArray

TASKS: dict[str, Any] = {
    "shape": None,
    "dark": "binary",
    "mask": "segmentation",
    "depth": {"kind": "depth", "scale": SCALE},
    "normals": "normals",
    "edges": "edges",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mtl_search"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def load(root: Path, **options: Any) -> Dataset:
    return load_dataset("images", **{"root": str(root), "tasks": TASKS, **options})


def test_images_and_targets_are_what_the_files_hold(root: Path) -> None:
    dataset = load(root)
    kinds = {task.name: task.kind for task in dataset.tasks}
    assert kinds == {"shape": "binary", "dark": "binary", **{n: n for n in ("depth", "normals", "edges")}} | {
        "mask": "segmentation"
    }
    assert dataset.input_shape == (3, SIDE, SIDE)
    assert dataset.rows["val"].tolist() == list(range(12, 18))
    for split, rows in dataset.rows.items():
        held = dataset.splits[split]
        pictures, masks = zip(*map(draw, rows), strict=True)
        assert isinstance(held.inputs, FileArray)
        assert held.inputs.dtype == np.uint8
        assert np.array_equal(np.asarray(held.inputs), np.moveaxis(np.stack(pictures), 3, 1))
        targets = {name: np.asarray(values) for name, values in held.targets.items()}
        mask = np.stack(masks)
        assert targets["shape"].tolist() == (rows % 2).tolist()
        assert np.array_equal(targets["mask"], mask)
        np.testing.assert_allclose(targets["depth"], (1000 + 500.0 * mask) * SCALE, rtol=1e-6)
        assert np.array_equal(targets["edges"], mask != np.roll(mask, 1, axis=2))
        expected = np.moveaxis(np.stack([normals(one) for one in masks]), 3, 1)
        np.testing.assert_allclose(targets["normals"], expected, rtol=1e-6)


@pytest.mark.slow
def test_they_are_decoded_once(root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(
        images_module, "read_picture", lambda path, *how: decoded.append(path) or read_picture(path, *how)
    )
    load(root)
    assert len(decoded) == COUNT
    load(root, split={"val": 0.3, "test": 0.3})
    load(root, tasks={**TASKS, "shape": "classification"})
    assert len(decoded) == COUNT, "neither splits nor labels change what is decoded"
    load(root, size=[8, 8])
    assert len(decoded) == 2 * COUNT
    Image.fromarray(draw(1)[0]).save(root / "pictures/0.png")
    load(root)
    assert len(decoded) == 3 * COUNT
    load(root, tasks={**TASKS, "depth": {"kind": "depth", "scale": 1}})
    assert len(decoded) == 4 * COUNT
    assert len(list(cache.iterdir())) == 4
    load(root, cache=str(root.parent / "elsewhere"))
    assert len(list((root.parent / "elsewhere").iterdir())) == 1


def test_empty_cells_are_missing_labels(tmp_path: Path) -> None:
    gone = {(0, name): "" for name in TASKS}
    dataset = load(write_folder(tmp_path / "data", changed=gone))
    for task in dataset.tasks:
        known = task.known(np.asarray(dataset.splits["train"].targets[task.name]))
        assert not known[0].any()
        assert known[1].any()


def test_255_is_a_pixel_without_a_class(root: Path) -> None:
    mask = draw(0)[1]
    mask[0] = 255
    Image.fromarray(mask).save(root / "maps/0.png")
    targets = np.asarray(load(root).splits["train"].targets["mask"])
    assert (targets[0, 0] == -1).all()
    assert (targets[1:] >= 0).all()


def test_classes_may_be_named(root: Path) -> None:
    named = {"kind": "segmentation", "classes": ["around", "disk", "square", "star"]}
    dataset = load_dataset("images", root=str(root), tasks={"mask": {**named, "classes": ["around", "disk", "square"]}})
    assert dataset.tasks[0].describe()["names"] == ("around", "disk", "square")
    with pytest.raises(DatasetError, match="class 'star' is in none"):
        load_dataset("images", root=str(root), tasks={"mask": named})


@pytest.mark.slow
def test_images_of_several_sizes_are_resized(root: Path) -> None:
    picture, mask = draw(0)
    Image.fromarray(picture).resize((30, 20)).save(root / "pictures/0.png")
    Image.fromarray(mask).resize((30, 20), Image.Resampling.NEAREST).save(root / "maps/0.png")
    with pytest.raises(DatasetError, match=r"0\.png is 20 x 30 pixels and .*1\.png is 12 x 12 pixels"):
        load(root, tasks=["shape"])
    dataset = load(root, tasks={"shape": None, "mask": "segmentation"}, size=[6, 10])
    assert dataset.input_shape == (3, 6, 10)
    assert np.unique(np.asarray(dataset.splits["train"].targets["mask"])).tolist() == [0, 1, 2]


def test_a_map_is_resized_to_the_nearest_pixels() -> None:
    values = np.arange(12).reshape(3, 4)
    assert resized(values, (6, 8)).tolist() == np.repeat(np.repeat(values, 2, axis=0), 2, axis=1).tolist()
    assert resized(np.repeat(np.repeat(values, 3, axis=0), 3, axis=1)[None], (3, 4)).tolist() == [values.tolist()]


GREY = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
RGB = np.stack([GREY, GREY + 5, 255 - GREY], axis=2)
MODES: dict[str, tuple[Image.Image, bool]] = {
    "grey": (Image.fromarray(GREY), True),
    "grey with alpha": (Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)]), True),
    "16 bits": (Image.fromarray(GREY.astype(np.uint16) * 256 + 77), True),
    "colours": (Image.fromarray(RGB), False),
    "colours with alpha": (Image.fromarray(np.dstack([RGB, GREY])), False),
    "a palette": (Image.fromarray(RGB).quantize(24, dither=Image.Dither.NONE), False),
}


@pytest.mark.parametrize(("picture", "grey"), MODES.values(), ids=MODES)
def test_modes_become_one_channel_or_three(picture: Image.Image, grey: bool, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    picture.save(path)
    assert picture_header(path)[:2] == ((4, 6), grey)
    found = read_picture(path, 3, (4, 6))
    expected = np.repeat(GREY[None], 3, axis=0) if grey else np.moveaxis(RGB, 2, 0)
    assert np.array_equal(found, expected)
    if grey:
        assert np.array_equal(read_picture(path, 1, (4, 6)), GREY[None])


def test_exif_says_which_side_is_up(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(path, exif=exif)
    assert picture_header(path).size == (6, 4)
    assert np.array_equal(read_picture(path, 3, (6, 4)), np.moveaxis(np.rot90(RGB, -1), 2, 0))


def test_masks_of_one_bit_and_of_palettes(tmp_path: Path) -> None:
    bits = GREY > 100
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert np.array_equal(read_answers(tmp_path / "bits.png"), bits)
    numbers = (GREY // 10 % 3).astype(np.uint8)
    palette = Image.fromarray(numbers).convert("P")
    palette.putpalette([9, 8, 7, 6, 5, 4, 3, 2, 1])
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_classes(tmp_path / "palette.png", None), numbers)


def test_grey_images_have_one_channel(root: Path) -> None:
    for number in range(COUNT):
        Image.fromarray(draw(number)[0]).convert("L").save(root / f"pictures/{number}.png")
    assert load(root, tasks=["shape"]).input_shape == (1, SIDE, SIDE)


EXPERIMENT = """
dataset:
  name: images
  root: data
  tasks: {TASKS}
backbone: {stages: [{width: 6}, {width: 6, stride: 2}]}
space: {bank: [paper, linear], shared_ratio: [1.0, 0.5]}
training: {batch_size: 6, epochs: 2, learning_rate: 0.01}
search: {trials: 2, workers: 0, sampler: random}
"""


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The status that the command line ends with."""
    monkeypatch.setattr(sys, "argv", ["mtl-search", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_from_files_to_a_reported_result(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (root.parent / "my.yaml").write_text(EXPERIMENT.replace("TASKS", "shape: classification, dark: binary"))
    assert command(monkeypatch, "check", "my.yaml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inputs"]["shape"] == [3, SIDE, SIDE]
    assert [(task["name"], task["kind"]) for task in found["tasks"]] == [
        ("shape", "classification"),
        ("dark", "binary"),
    ]
    assert command(monkeypatch, "search", "my.yaml", "--out", "out") == 0
    assert command(monkeypatch, "train", "out", "--seeds", "1") == 0
    assert command(monkeypatch, "report", "out") == 0
    report = json.loads((root.parent / "out/report.json").read_text())
    assert "dark/accuracy" in json.dumps(report)
    assert (root.parent / "out/pareto.html").exists()


@pytest.mark.slow
def test_from_maps_to_a_reported_result(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of map, and a class for the whole image."""
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))
    depth = f"{{kind: depth, scale: {SCALE}}}"
    tasks = f"{{shape: classification, mask: segmentation, depth: {depth}, normals: normals, edges: edges}}"
    (root.parent / "my.yaml").write_text(EXPERIMENT.replace("{TASKS}", tasks))
    assert command(monkeypatch, "search", "my.yaml", "--out", "out") == 0
    given = ("--baselines", "single_task,hard_sharing", "--pick", "knee", "--seeds", "1")
    assert command(monkeypatch, "compare", "out", *given) == 0
    assert command(monkeypatch, "export", "out", "--format", "torch") == 0
    assert list((root.parent / "out/exports").rglob("model_card.json"))
    report = json.loads((root.parent / "out/report.json").read_text())
    for score in ("shape/accuracy", "mask/miou", "depth/abs_error", "normals/mean_angle", "edges/ods_f_score"):
        assert score in json.dumps(report)
