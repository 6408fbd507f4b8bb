"""NYUv2: rooms with classes, depth and normals (Silberman et al., ECCV 2012)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._mtan import Folders, mtan_dataset

FOLDERS = Folders("NYUv2", "label", classes=13, normal="normal")
"""The layout of their folders, and the number of classes that the labels tell apart."""


@dataclass(frozen=True)
class NYUv2(DatasetSource):
    """NYUv2 (Silberman et al., ECCV 2012), in the files of Liu et al. (CVPR 2019): 13 classes, depth, normals.

    Their 654 validation images, on which results are published, are the test split; validation images are drawn from
    their 795 training images. The final training of a comparison is on all 795.

    :param root: Folder with ``train`` and ``val``, each with ``image``, ``label``, ``depth`` and ``normal`` of
        ``0.npy`` and so on.
    :param val: Training images that are taken for validation; a tenth by default.
    :param seed: Seed of the draw of the validation samples.
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "nyuv2"
    root: str
    val: Annotated[int, Field(ge=1)] = 80
    seed: Annotated[int, Field(ge=0)] = 0
    cache: str | None = None

    def load(self) -> Dataset:
        return mtan_dataset(self.name, Path(self.root), FOLDERS, self.val, self.seed, self.cache)
