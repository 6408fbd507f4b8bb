"""Training samples held out for a search that learns on two parts of them."""

import dataclasses

import numpy as np
import torch

from mtl_search.datasets import Dataset, Split
from mtl_search.internal.seeds import generator


def divided(dataset: Dataset, part: float, seed: int) -> Dataset:
    """The training samples by themselves, in two splits: what weights are trained on as ``train``, the rest as ``val``.

    :param part: Share of the samples that is held out; at least one.
    :param seed: Seed of the draw of the samples.
    """
    samples = dataset.splits["train"]
    order = torch.randperm(len(samples), generator=generator(seed, "samples held out for the search")).numpy()
    count = max(1, round(part * len(samples)))
    splits = {"train": _samples(samples, order[count:]), "val": _samples(samples, order[:count])}
    return dataclasses.replace(dataset, splits=splits)


def _samples(split: Split, numbers: "np.typing.NDArray[np.int64]") -> Split:
    parts = None if split.parts is None else split.parts[numbers]
    return Split(split.inputs[numbers], {name: target[numbers] for name, target in split.targets.items()}, parts)
