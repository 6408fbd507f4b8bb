"""CelebA, NYUv2, Cityscapes and PASCAL-Context, from tiny files in the formats that their authors give out."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from mtl_search.datasets import Dataset, load_dataset
from mtl_search.datasets.celeba import GROUPS
from mtl_search.errors import DatasetError, FieldError
from mtl_search.internal.arrays import FileArray

HEIGHT, WIDTH = 6, 8
LOT = np.random.default_rng(0)
NAMES = [f"Attribute_{number}" for number in range(40)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def load(name: str, root: Path, **options: Any) -> Dataset:
    return load_dataset(name, root=str(root), **options)


def read(dataset: Dataset, split: str, task: str) -> NDArray[Any]:
    return np.asarray(dataset.splits[split].targets[task])


# CelebA

FACES = 12
ANSWERS = np.array([[(face >> bit % 2 ^ bit >> 1) & 1 for bit in range(40)] for face in range(FACES)])
"""Of the faces in the order of the file: in every split both answers to every question."""


def celeba(root: Path) -> Path:
    (root / "img_align_celeba").mkdir(parents=True)
    files = [f"{number:06d}.jpg" for number in range(1, FACES + 1)]
    for number, file in enumerate(files):
        Image.new("RGB", (178, 218), (20 * number, 0, 255)).save(root / "img_align_celeba" / file, quality=95)
    lines = [f"{file}  {'  '.join('1' if yes else '-1' for yes in ANSWERS[row])}" for row, file in enumerate(files)]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(FACES), " ".join(NAMES) + " ", *lines]) + "\n")
    parts = [f"{file} {row // 4}" for row, file in enumerate(files)]
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return root


def test_celeba_has_forty_questions_in_its_splits(tmp_path: Path) -> None:
    dataset = load("celeba", celeba(tmp_path / "data"))
    assert [(task.name, task.kind) for task in dataset.tasks] == [(name, "binary") for name in NAMES]
    assert dataset.input_shape == (3, 64, 64)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "val": 4, "test": 4}
    for number, name in enumerate(("train", "val", "test")):
        split = dataset.splits[name]
        assert isinstance(split.inputs, FileArray)
        assert split.inputs.dtype == np.uint8
        red = np.asarray(split.inputs)[:, 0].mean(axis=(1, 2))
        np.testing.assert_allclose(red, 20 * np.arange(4 * number, 4 * number + 4), atol=4)
        found = np.stack([np.asarray(split.targets[task]) for task in NAMES], axis=1)
        assert np.array_equal(found, ANSWERS[4 * number : 4 * number + 4])


def test_celeba_in_eight_groups(tmp_path: Path) -> None:
    dataset = load("celeba", celeba(tmp_path / "data"), targets="groups", size=16)
    assert sorted(member for members in GROUPS.values() for member in members) == list(range(40))
    assert [task.outputs for task in dataset.tasks] == [9, 5, 9, 4, 2, 5, 2, 4]
    assert dataset.input_shape == (3, 16, 16)
    for task in dataset.tasks:
        members = list(GROUPS[task.name])
        assert task.describe()["names"] == tuple(NAMES[member] for member in members)
        assert np.array_equal(read(dataset, "val", task.name), ANSWERS[4:8][:, members])


# NYUv2 and Cityscapes


def mtan(root: Path, label: str, classes: int, normal: bool, train: int = 6, test: int = 3) -> Path:
    """Sample ``n`` of a part is of the brightness ``n``."""
    for part, count, offset in (("train", train, 0), ("val", test, 100)):
        for number in range(count):
            values = {
                "image": np.full((HEIGHT, WIDTH, 3), (number + offset) / 255),
                label: np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % (classes + 1) - 1.0,
                "depth": LOT.random((HEIGHT, WIDTH, 1)) + number,
                **({"normal": LOT.standard_normal((HEIGHT, WIDTH, 3))} if normal else {}),
            }
            for name, array in values.items():
                folder = root / part / name
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{number}.npy", array.astype(np.float32))
    return root


def test_nyuv2_has_thirteen_classes_depth_and_normals(tmp_path: Path) -> None:
    root = mtan(tmp_path / "data", "label", 13, normal=True)
    dataset = load("nyuv2", root, val=2)
    assert [(task.name, task.outputs) for task in dataset.tasks] == [
        ("segmentation", 13),
        ("depth", 1),
        ("normals", 3),
    ]
    brightness = {name: np.asarray(split.inputs)[:, 0, 0, 0].tolist() for name, split in dataset.splits.items()}
    assert brightness["test"] == [100, 101, 102], "the validation samples of the files"
    assert sorted(brightness["train"] + brightness["val"]) == list(range(6))
    assert [len(brightness[name]) for name in ("train", "val")] == [4, 2]
    for split, part, offset in (("train", "train", 0), ("val", "train", 0), ("test", "val", 100)):
        for row, bright in enumerate(brightness[split]):
            stored = {path.parent.name: np.load(path) for path in (root / part).glob(f"*/{bright - offset}.npy")}
            assert np.array_equal(read(dataset, split, "segmentation")[row], stored["label"])
            assert np.array_equal(read(dataset, split, "depth")[row], stored["depth"][..., 0])
            assert np.array_equal(read(dataset, split, "normals")[row], np.moveaxis(stored["normal"], 2, 0))


def test_validation_samples_are_drawn_by_the_seed_and_joined_again(tmp_path: Path) -> None:
    root = mtan(tmp_path / "data", "label", 13, normal=True)
    drawn = [np.asarray(load("nyuv2", root, val=2, seed=seed).splits["val"].inputs)[:, 0, 0, 0] for seed in range(8)]
    assert len({tuple(one) for one in drawn}) > 1
    again = np.asarray(load("nyuv2", root, val=2, seed=3).splits["val"].inputs)[:, 0, 0, 0]
    assert np.array_equal(again, drawn[3])
    whole = load("nyuv2", root, val=2).merged().splits["train"]
    assert isinstance(whole.inputs, FileArray)
    assert sorted(np.asarray(whole.inputs)[:, 0, 0, 0].tolist()) == list(range(6))


@pytest.mark.parametrize(("label", "classes"), [("label_7", 7), ("label_19", 19), ("label", 7)])
def test_cityscapes_has_seven_or_nineteen_classes(tmp_path: Path, label: str, classes: int) -> None:
    root = mtan(tmp_path / "data", label, classes, normal=False)
    dataset = load("cityscapes", root, val=1, classes=classes)
    assert [(task.name, task.outputs) for task in dataset.tasks] == [("segmentation", classes), ("depth", 1)]
    assert set(np.unique(read(dataset, "test", "segmentation"))) == set(range(-1, classes))


# PASCAL-Context


PARTS = ("hair", "neck", "ruarm", "lhand", "luleg", "rfoot")


def structs(rows: list[tuple[Any, ...]], *names: str) -> NDArray[Any]:
    """An array of structures, ``[1, rows]``."""
    found = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for number, row in enumerate(rows):
        found[0, number] = row
    return found


def pascal(root: Path, train: int = 4, test: int = 2) -> Path:
    """Of every sample a person on the left half, a part in each row, but for the last of each list."""
    for folder in ("JPEGImages", "semseg/VOC12", "semseg/pascal-context", "human_parts", "pascal-context/trainval"):
        (root / folder).mkdir(parents=True)
    for folder in ("sal_distill", "normals_distill", "ImageSets/Context"):
        (root / folder).mkdir(parents=True)
    for part, count in (("train", train), ("val", test)):
        names = [f"{part}_{number}" for number in range(count)]
        (root / f"ImageSets/Context/{part}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            write_sample(root, name, person=number < count - 1, voc=number % 2 == 0)
    return root


def write_sample(root: Path, name: str, person: bool, voc: bool) -> None:
    left = np.zeros((HEIGHT, WIDTH), np.uint8)
    left[:, : WIDTH // 2] = 1
    Image.fromarray(np.dstack([100 * left] * 3)).save(root / f"JPEGImages/{name}.jpg")
    mask = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 22
    mask[mask == 21] = 255
    Image.fromarray(mask).save(root / f"semseg/{'VOC12' if voc else 'pascal-context'}/{name}.png")
    Image.fromarray(200 * left + 20).save(root / f"sal_distill/{name}.png")
    Image.fromarray(np.dstack([255 * left, 0 * left, 255 - 255 * left])).save(root / f"normals_distill/{name}.png")
    savemat(root / f"pascal-context/trainval/{name}.mat", {"LabelMap": 284.0 * left})
    row = np.arange(HEIGHT)[:, None]
    parts = structs([(part, left * (row == number)) for number, part in enumerate(PARTS)], "part_name", "mask")
    other = ("car", 7, 1 - left, structs([], "part_name", "mask"))
    things = [("person", 15, left, parts), other] if person else [other]
    things = structs(things, "class", "class_ind", "mask", "parts")
    savemat(root / f"human_parts/{name}.mat", {"anno": structs([(name, things)], "imname", "objects")})


def test_pascal_context_has_five_tasks(tmp_path: Path) -> None:
    dataset = load("pascal_context", pascal(tmp_path / "data"), val=1, seed=1, size=[2 * HEIGHT, 2 * WIDTH])
    assert [(task.name, task.kind, task.outputs) for task in dataset.tasks] == [
        ("segmentation", "segmentation", 21),
        ("parts", "segmentation", 7),
        ("saliency", "saliency", 1),
        ("edges", "edges", 1),
        ("normals", "normals", 3),
    ]
    assert dataset.input_shape == (3, 2 * HEIGHT, 2 * WIDTH)
    first = {task.name: read(dataset, "test", task.name)[0][..., ::2, ::2] for task in dataset.tasks}
    left = np.zeros((HEIGHT, WIDTH), bool)
    left[:, : WIDTH // 2] = True
    numbers = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 22
    assert np.array_equal(first["segmentation"], np.where(numbers == 21, -1, numbers))
    assert np.array_equal(first["parts"], np.where(left, 1 + np.arange(HEIGHT)[:, None], 0))
    assert np.array_equal(first["saliency"], left)
    edge = np.zeros((HEIGHT, WIDTH))
    edge[:, WIDTH // 2 - 1] = 1
    assert np.array_equal(first["edges"], edge)
    np.testing.assert_allclose(first["normals"][0], np.where(left, 1, -1), atol=0.01)
    assert (read(dataset, "test", "parts")[1] == -1).all(), "there is no person"


# What is wrong


def gone(path: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        target = root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return change


def saved(path: str, array: NDArray[Any]) -> Callable[[Path], object]:
    return lambda root: np.save(root / path, array)


def written(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text(text)


def replaced(path: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text().replace(old, new))


ATTRIBUTES, PARTITION = "list_attr_celeba.txt", "list_eval_partition.txt"
WRONG: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "no folder of faces": (
        "celeba",
        gone("img_align_celeba"),
        ["`dataset.root` must hold the files of CelebA", ATTRIBUTES, PARTITION, "has no img_align_celeba"],
    ),
    "no such root": ("celeba", gone("."), ["there is no folder"]),
    "39 attributes": ("celeba", replaced(ATTRIBUTES, " Attribute_39", ""), ["line 2: must name the 40", "names 39"]),
    "another count": ("celeba", replaced(ATTRIBUTES, "12\n", "13\n"), ["line 1", "number of pictures, 12", "'13'"]),
    "an answer of 0": ("celeba", replaced(ATTRIBUTES, "000003.jpg  -1", "000003.jpg  0"), ["line 5", "-1 or 1"]),
    "a split of 3": ("celeba", replaced(PARTITION, "000003.jpg 0", "000003.jpg 3"), ["line 3", "0, 1 or 2"]),
    "a way out of the folder": (
        "celeba",
        replaced(ATTRIBUTES, "000003.jpg  ", "../../3.jpg  "),
        [ATTRIBUTES, "names of files without their folders", "'../../3.jpg'"],
    ),
    "a sample out of the folder": (
        "pascal_context",
        written("ImageSets/Context/val.txt", "../../0"),
        ["val.txt: must hold names of files without their folders", "'../../0'"],
    ),
    "a list that is no text": (
        "pascal_context",
        lambda root: (root / "ImageSets/Context/val.txt").write_bytes(b"\xff\xfe"),
        ["val.txt: cannot be read"],
    ),
    "no split": ("celeba", replaced(PARTITION, "000003.jpg 0\n", ""), ["has no line for 000003.jpg"]),
    "a missing face": ("celeba", gone("img_align_celeba/000005.jpg"), ["names 000005.jpg, but there is no file"]),
    "a face that is none": (
        "celeba",
        written("img_align_celeba/000005.jpg", "face"),
        ["000005.jpg: is no picture that can be read"],
    ),
    "no normals": ("nyuv2", gone("val/normal"), ["files of NYUv2", "train/image", "has no val/normal"]),
    "a missing map": (
        "nyuv2",
        gone("train/depth/3.npy"),
        ["holds 6 images", "no file", "train/depth/3.npy"],
    ),
    "a class too many": (
        "nyuv2",
        saved("val/label/1.npy", np.full((HEIGHT, WIDTH), 13.0)),
        ["val/label/1.npy: pixels must be -1 to 12, but got 13 at [0, 0]"],
    ),
    "an image of bytes": (
        "nyuv2",
        saved("train/image/2.npy", np.full((HEIGHT, WIDTH, 3), 200.0)),
        ["train/image/2.npy: pixels must be 0 to 1, but got 200"],
    ),
    "a map of another size": (
        "nyuv2",
        saved("train/depth/2.npy", np.ones((HEIGHT, WIDTH + 1, 1))),
        ["train/depth/2.npy", "must be of 6 x 8 pixels as the first image is, but is of 6 x 9"],
    ),
    "an array of another shape": (
        "nyuv2",
        saved("train/normal/2.npy", np.ones((3, HEIGHT, WIDTH))),
        ["train/normal/2.npy: must hold numbers, [height, width, 3], but got"],
    ),
    "a folder of faces for rooms": ("nyuv2", gone("train"), ["has no train/image"]),
    "no masks of 7 classes": ("cityscapes", gone("train/label_7"), ["files of Cityscapes", "has no train/label_7"]),
    "no lists": (
        "pascal_context",
        gone("ImageSets"),
        ["PASCAL-Context", "has no ImageSets/Context/train.txt"],
    ),
    "no saliency of a sample": (
        "pascal_context",
        gone("sal_distill/val_1.png"),
        ["sample val_1", "sal_distill/val_1.png"],
    ),
    "a MATLAB file that is none": (
        "pascal_context",
        written("human_parts/train_1.mat", "person"),
        ["human_parts/train_1.mat: cannot be read as a MATLAB file"],
    ),
    "a MATLAB file of something else": (
        "pascal_context",
        lambda root: savemat(root / "pascal-context/trainval/train_1.mat", {"Labels": 1}),
        ["train_1.mat: must have a variable LabelMap"],
    ),
    "a part without a name that is known": (
        "pascal_context",
        lambda root: savemat(
            root / "human_parts/train_1.mat",
            {
                "anno": structs(
                    [
                        (
                            "x",
                            structs(
                                [("person", 15, np.eye(4), structs([("tail", np.eye(4))], "part_name", "mask"))],
                                "class",
                                "class_ind",
                                "mask",
                                "parts",
                            ),
                        )
                    ],
                    "imname",
                    "objects",
                )
            },
        ),
        ["train_1.mat: must hold objects with `parts` of known names", "'tail'"],
    ),
}
MADE: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "celeba": (celeba, {}),
    "nyuv2": (lambda root: mtan(root, "label", 13, normal=True), {"val": 2}),
    "cityscapes": (lambda root: mtan(root, "label_7", 7, normal=False), {"val": 2}),
    "pascal_context": (pascal, {"val": 1}),
}


@pytest.mark.parametrize(("name", "change", "fragments"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(
    name: str, change: Callable[[Path], object], fragments: list[str], tmp_path: Path
) -> None:
    make, options = MADE[name]
    change(make(tmp_path / "data"))
    with pytest.raises(DatasetError) as caught:
        load(name, tmp_path / "data", **options)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert not (tmp_path / "cache").exists(), "nothing is written"


def test_a_validation_split_of_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match=r"`dataset\.val` must be below the number of training samples, 6"):
        load("nyuv2", mtan(tmp_path / "data", "label", 13, normal=True), val=6)
