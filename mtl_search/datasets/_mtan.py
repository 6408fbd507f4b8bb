"""NYUv2 and Cityscapes as Liu, Johns & Davison (CVPR 2019) give them out: a ``.npy`` file for every map of a sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._maps import read_array
from mtl_search.datasets._official import find_all, official_dataset, rows_of_training
from mtl_search.datasets._pictures import Size, refuse_pixels
from mtl_search.errors import DatasetError
from mtl_search.tasks import Depth, Normals, Segmentation, Task

TRAIN, TEST = "train", "val"
"""Their folders. The one for validation is what papers report on: it is our test split."""
IMAGES = "image"


@dataclass(frozen=True)
class Folders:
    """Where a dataset has its maps.

    :param title: Name of the dataset, for messages.
    :param label: Folder of the classes.
    :param classes: Number of classes of the segmentation.
    :param depth: Folder of the distances, or of what stands for them.
    :param normal: Folder of the normals; ``None`` where there are none.
    """

    title: str
    label: str
    classes: int
    depth: str = "depth"
    normal: str | None = None

    @property
    def names(self) -> list[str]:
        """All folders."""
        return [IMAGES, self.label, self.depth, *([self.normal] if self.normal else [])]


def mtan_dataset(name: str, root: Path, folders: Folders, val: int, seed: int, cache: str | None) -> Dataset:
    """Read a dataset.

    :param val: Training samples that are taken for validation.
    :param seed: Seed of the draw of the validation samples.
    :raises DatasetError: If files are missing, or not as they should be; the message names the file.
    """
    wanted = [f"{part}/{folder}" for part in (TRAIN, TEST) for folder in folders.names]
    find_all(root, [*wanted, f"{TRAIN}/{IMAGES}/0.npy", f"{TEST}/{IMAGES}/0.npy"], folders.title)
    samples = {part: _samples(root / part, folders) for part in (TRAIN, TEST)}
    paths = [*samples[TRAIN], *samples[TEST]]
    rows = rows_of_training(len(samples[TRAIN]), len(samples[TEST]), val, seed)
    files = tuple(path for sample in paths for path in sample.values())
    source = Source(name, files, {"classes": folders.classes})
    arrays = cached(source, cache, _decoded(paths, folders))
    tasks: list[Task] = [Segmentation("segmentation", classes=folders.classes), Depth("depth")]
    if folders.normal:
        tasks.append(Normals("normals"))
    return official_dataset(name, tasks, arrays["inputs"], arrays, rows)


def _samples(part: Path, folders: Folders) -> list[dict[str, Path]]:
    """Folder -> file, of every sample: they are numbered from 0."""
    count = sum(1 for _ in (part / IMAGES).glob("*.npy"))
    samples = [{folder: part / folder / f"{number}.npy" for folder in folders.names} for number in range(count)]
    for sample in samples:
        for path in sample.values():
            if not path.is_file():
                raise DatasetError(f"{part / IMAGES} holds {count} images, but there is no file {path}.")
    return samples


def _decoded(samples: Sequence[Mapping[str, Path]], folders: Folders) -> Iterator[Sample]:
    size: Size | None = None
    for sample in samples:
        image = _image(sample[IMAGES])
        size = size or (image.shape[1], image.shape[2])
        decoded: dict[str, NDArray[Any]] = {
            "inputs": image,
            "segmentation": _classes(sample[folders.label], folders.classes),
            "depth": _depth(sample[folders.depth]),
        }
        if folders.normal:
            decoded["normals"] = _normals(sample[folders.normal])
        for (name, values), path in zip(decoded.items(), sample.values(), strict=True):
            if values.shape[-2:] != size:
                found = f"{values.shape[-2]} x {values.shape[-1]}"
                rule = f"must be of {size[0]} x {size[1]} pixels as the first image is"
                raise DatasetError(f"{path}: {name} {rule}, but is of {found}.")
        yield decoded


def _image(path: Path) -> NDArray[np.uint8]:
    """``[3, height, width]``, 0 to 255; in the file ``[height, width, 3]``, numbers of 0 to 1."""
    values = read_array(path, "[height, width, 3]", lambda shape: len(shape) == 3 and shape[2] == 3)
    refuse_pixels(path, values, ~((values >= 0) & (values <= 1)), "0 to 1")
    return np.ascontiguousarray(np.moveaxis(np.rint(255.0 * values).astype(np.uint8), 2, 0))


def _classes(path: Path, classes: int) -> NDArray[np.int8]:
    """``[height, width]``, -1 where there is none."""
    values = read_array(path, "[height, width]", lambda shape: len(shape) == 2)
    refuse_pixels(path, values, ~np.isin(values, np.arange(-1, classes)), f"-1 to {classes - 1}")
    return values.astype(np.int8)


def _depth(path: Path) -> NDArray[np.float32]:
    """``[height, width]``, 0 where there is none."""
    values = read_array(path, "[height, width, 1]", lambda shape: len(shape) in (2, 3) and shape[2:] in ((), (1,)))
    found = np.array(values, np.float32).reshape(values.shape[:2])
    refuse_pixels(path, found, ~np.isfinite(found), "finite")
    return found


def _normals(path: Path) -> NDArray[np.float32]:
    """``[3, height, width]``, 0 0 0 where there is none."""
    values = read_array(path, "[height, width, 3]", lambda shape: len(shape) == 3 and shape[2] == 3)
    found = np.ascontiguousarray(np.moveaxis(values, 2, 0), np.float32)
    refuse_pixels(path, found, ~np.isfinite(found), "finite")
    return found
