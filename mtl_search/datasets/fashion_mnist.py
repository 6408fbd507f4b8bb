"""Fashion and MNIST: a garment on the left, a digit on the right (Lin et al., NeurIPS 2019)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._idx import fashion_mnist
from mtl_search.datasets._pairs import disjoint, paired_dataset
from mtl_search.datasets.multi_fashion import GARMENTS
from mtl_search.datasets.multi_mnist import DIGITS, mnist_digits


@dataclass(frozen=True)
class FashionMNIST(DatasetSource):
    """A garment and a digit in a 36x36 picture; task ``left`` is the garment, ``right`` the digit, ten classes each.

    The splits are composed from disjoint garments and disjoint digits, divided as in ``multi_fashion`` and
    ``multi_mnist``.

    :param root: Folder with Fashion-MNIST's four IDX files, as for ``multi_fashion``.
    :param train: Number of training pictures; the defaults are those of ``multi_fashion``.
    :param val: Number of validation pictures.
    :param test: Number of test pictures.
    :param seed: Seed of the divisions and of the composition.
    """

    name = "fashion_mnist"
    root: str | None = None
    train: Annotated[int, Field(ge=1)] = 20_000
    val: Annotated[int, Field(ge=1)] = 5_000
    test: Annotated[int, Field(ge=1)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        training, test = fashion_mnist(self.root)
        garments = {**disjoint(training, GARMENTS, self.seed), "test": test}
        digits = disjoint(mnist_digits(), DIGITS, self.seed)
        sizes = {"train": self.train, "val": self.val, "test": self.test}
        return paired_dataset(self.name, garments, digits, sizes, self.seed)
