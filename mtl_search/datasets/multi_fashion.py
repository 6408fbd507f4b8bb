"""Multi-Fashion: two garments of Fashion-MNIST in one picture (Lin et al., NeurIPS 2019)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._idx import fashion_mnist
from mtl_search.datasets._pairs import MOST, disjoint, paired_dataset

GARMENTS = {"train": 50_000, "val": 10_000}
"""Garments of Fashion-MNIST's training set that the pictures of a split are made of; its test set makes the others."""


@dataclass(frozen=True)
class MultiFashion(DatasetSource):
    """Two garments in a 36x36 picture; tasks ``left`` and ``right``, ten classes each.

    Training and validation pictures are composed from disjoint parts of Fashion-MNIST's training set (50,000 and
    10,000), test pictures from its test set.

    :param root: Folder with Fashion-MNIST's four IDX files; without it they are looked for where Debian's package puts
        them, then downloaded.
    :param train: Number of training pictures; the default is what ``multi_mnist`` has.
    :param val: Number of validation pictures: of 5,000 an accuracy of 90 % is known to 0.4 points, of 10,000 to 0.3.
    :param test: Number of test pictures.
    :param seed: Seed of the division of the garments and of the composition.
    """

    name = "multi_fashion"
    root: str | None = None
    train: Annotated[int, Field(ge=1, le=MOST)] = 20_000
    val: Annotated[int, Field(ge=1, le=MOST)] = 5_000
    test: Annotated[int, Field(ge=1, le=MOST)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        training, test = fashion_mnist(self.root)
        parts = {**disjoint(training, GARMENTS, self.seed), "test": test}
        sizes = {"train": self.train, "val": self.val, "test": self.test}
        return paired_dataset(self.name, parts, parts, sizes, self.seed)
