"""PASCAL-Context for five tasks (Chen et al., CVPR 2014; Mottaghi et al., CVPR 2014; Maninis et al., CVPR 2019)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._maps import read_classes, resized
from mtl_search.datasets._official import check_name, find_all, official_dataset, rows_of_training
from mtl_search.datasets._pictures import picture_header, read_picture
from mtl_search.errors import DatasetError
from mtl_search.tasks import Edges, Normals, Saliency, Segmentation

LISTS = ("ImageSets/Context/train.txt", "ImageSets/Context/val.txt")
FOLDERS = {
    "image": ("JPEGImages", ".jpg"),
    "parts": ("human_parts", ".mat"),
    "labels": ("pascal-context/trainval", ".mat"),
    "saliency": ("sal_distill", ".png"),
    "normals": ("normals_distill", ".png"),
}
CLASS_FOLDERS = ("semseg/VOC12", "semseg/pascal-context")
"""Masks of the 21 classes; those of the first are preferred."""
CLASSES = 21
"""Classes of PASCAL VOC: twenty kinds of objects, and 0 for what is around them."""
PERSON = 15
"""Number of the class whose parts are told apart."""
PARTS: dict[str, int] = {
    **dict.fromkeys(("head", "hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth"), 1),
    **dict.fromkeys(("torso", "neck"), 2),
    **dict.fromkeys(("luarm", "ruarm"), 3),
    **dict.fromkeys(("llarm", "rlarm", "lhand", "rhand"), 4),
    **dict.fromkeys(("luleg", "ruleg"), 5),
    **dict.fromkeys(("llleg", "rlleg", "lfoot", "rfoot"), 6),
}
"""Names of parts in the annotations -> head, torso, upper and lower arms, upper and lower legs; 0 is around them."""

HALF = 127.5
"""The middle of 8 bits: from there on a pixel stands out, and there a part of a normal is 0."""
Side = Annotated[int, Field(ge=8, le=2048)]
"""Pixels; the files have 500."""


@dataclass(frozen=True)
class PascalContext(DatasetSource):
    """PASCAL-Context, in the files of Maninis et al. (CVPR 2019): classes, human parts, saliency, edges, normals.

    Saliency and normals are what other networks have put out, as they give it. Edges are where two of the 459 labels
    meet: a pixel that differs from the one to its right or below. Where there is no person with parts the parts are
    missing. Images and targets are resized whole to one size; at 512 x 512 the 10,103 samples take 50 GB in the cache.

    Departures from the authors' own loader: it thins the zero crossings of a Laplacian for edges, leaves out normals on
    classes that NYUv2 has not, and crops instead of resizing.

    The 5,105 validation images, on which results are published, are the test split; validation images are drawn from
    the 4,998 training images. The final training of a comparison is on all of those.

    :param root: Folder with ``JPEGImages``, ``semseg``, ``human_parts``, ``sal_distill``, ``normals_distill``,
        ``pascal-context/trainval`` and ``ImageSets/Context``.
    :param size: Height and width that pictures are brought to, in pixels; 512 is about what the files have, and a power
        of two, as strides are.
    :param val: Training images that are taken for validation; a tenth by default.
    :param seed: Seed of the draw of the validation samples.
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "pascal_context"
    root: str
    size: tuple[Side, Side] = (512, 512)
    val: Annotated[int, Field(ge=1)] = 500
    seed: Annotated[int, Field(ge=0)] = 0
    cache: str | None = None

    def load(self) -> Dataset:
        root = Path(self.root)
        find_all(root, [*LISTS, *(folder for folder, _ in FOLDERS.values()), "semseg"], "PASCAL-Context")
        train, test = ([_files(root, name) for name in _names(root / path)] for path in LISTS)
        rows = rows_of_training(len(train), len(test), self.val, self.seed)
        samples = [*train, *test]
        files = tuple(path for sample in samples for path in sample.values())
        source = Source(self.name, files, {"size": self.size})
        arrays = cached(source, self.cache, self._decoded(samples))
        tasks = (
            Segmentation("segmentation", classes=CLASSES),
            Segmentation("parts", classes=1 + max(PARTS.values())),
            Saliency("saliency"),
            Edges("edges"),
            Normals("normals"),
        )
        return official_dataset(self.name, tasks, arrays["inputs"], arrays, rows)

    def _decoded(self, samples: Sequence[dict[str, Path]]) -> Iterator[Sample]:
        for sample in samples:
            maps = {
                "segmentation": read_classes(sample["classes"], CLASSES),
                "parts": _parts(sample["parts"]),
                "saliency": (_whole(sample["saliency"], 1)[0] > HALF).astype(np.int8),
                "edges": _edges(sample["labels"]),
                "normals": _whole(sample["normals"], 3).astype(np.float32) / HALF - 1,
            }
            resized_maps = {
                name: np.full(self.size, -1, np.int16) if values is None else resized(values, self.size)
                for name, values in maps.items()
            }
            yield {"inputs": read_picture(sample["image"], 3, self.size), **resized_maps}


def _names(path: Path) -> list[str]:
    """Names of the samples of a list."""
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    for name in names:
        check_name(path, name)
    if not names:
        raise DatasetError(f"{path}: must name samples, a line each, but is empty.")
    return names


def _files(root: Path, name: str) -> dict[str, Path]:
    """What -> file, of a sample."""
    files = {what: root / folder / f"{name}{ending}" for what, (folder, ending) in FOLDERS.items()}
    masks = [root / folder / f"{name}.png" for folder in CLASS_FOLDERS]
    files["classes"] = next((path for path in masks if path.is_file()), masks[0])
    missing = next((path for path in files.values() if not path.is_file()), None)
    if missing is not None:
        raise DatasetError(f"sample {name} of `dataset.root`: there is no file {missing}.")
    return files


def _whole(path: Path, channels: int) -> NDArray[np.uint8]:
    """A picture in its own size, ``[channels, height, width]``."""
    return read_picture(path, channels, picture_header(path).size)


def _edges(path: Path) -> NDArray[np.int8]:
    """Where labels meet, ``[height, width]``, 0 or 1."""
    labels = np.asarray(_mat(path, "LabelMap"))
    if labels.ndim != 2:
        raise DatasetError(f"{path}: LabelMap must be [height, width], but is {list(labels.shape)}.")
    found = np.zeros(labels.shape, np.int8)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def _parts(path: Path) -> NDArray[np.int16] | None:
    """The parts of all persons, ``[height, width]``, 0 around them; ``None`` where no person has parts."""
    found: NDArray[np.int16] | None = None
    try:
        for thing in _structs(_mat(path, "anno")["objects"]):
            parts = _structs(thing["parts"]) if thing["class_ind"] == PERSON else []
            if parts and found is None:
                found = np.zeros(np.shape(thing["mask"]), np.int16)
            for part in parts:
                found[np.asarray(part["mask"]) > 0] = PARTS[part["part_name"]]  # type: ignore[index]
    except (KeyError, TypeError, IndexError) as error:
        raise DatasetError(f"{path}: must hold objects with `parts` of known names, but not so: {error}.") from error
    return found


def _structs(values: Any) -> list[dict[str, Any]]:
    """What was an array of structures: of a single one MATLAB files say no more than the structure."""
    return [values] if isinstance(values, dict) else list(values)


def _mat(path: Path, name: str) -> Any:
    """A variable of a MATLAB file, structures as dictionaries."""
    try:
        found = loadmat(path, simplify_cells=True)
    except (OSError, ValueError, NotImplementedError, TypeError, MatReadError) as error:
        raise DatasetError(f"{path}: cannot be read as a MATLAB file: {' '.join(str(error).split())}.") from error
    if name not in found:
        raise DatasetError(f"{path}: must have a variable {name}, but has none.")
    return found[name]
