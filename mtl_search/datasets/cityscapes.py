"""Cityscapes: streets with classes and depth (Cordts et al., CVPR 2016)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._mtan import Folders, mtan_dataset


@dataclass(frozen=True)
class Cityscapes(DatasetSource):
    """Cityscapes (Cordts et al., CVPR 2016), in the files of Liu et al. (CVPR 2019): 7 or 19 classes, inverse depth.

    Their 500 validation images, on which results are published, are the test split; validation images are drawn from
    their 2,975 training images. The final training of a comparison is on all 2,975.

    :param root: Folder with ``train`` and ``val``, each with ``image``, ``depth``, and ``label_7`` or ``label_19``
        (``label``, where there is no other), of ``0.npy`` and so on.
    :param classes: Number of classes of the segmentation, 7 or 19.
    :param val: Training images that are taken for validation; a tenth by default.
    :param seed: Seed of the draw of the validation samples.
    :param cache: Folder for what was decoded; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "cityscapes"
    root: str
    classes: Literal[7, 19] = 7
    val: Annotated[int, Field(ge=1)] = 300
    seed: Annotated[int, Field(ge=0)] = 0
    cache: str | None = None

    def load(self) -> Dataset:
        root, label = Path(self.root), f"label_{self.classes}"
        if not (root / "train" / label).exists() and (root / "train" / "label").is_dir():
            label = "label"
        folders = Folders("Cityscapes", label, self.classes)
        return mtan_dataset(self.name, root, folders, self.val, self.seed, self.cache)
