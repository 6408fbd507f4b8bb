"""Fixed random Fourier features of vectors (Rahimi & Recht, NeurIPS 2007)."""

import math

import torch
from torch import Generator, Tensor

from mtl_search.primitives import NonlinearVectorPrimitive


class Fourier(NonlinearVectorPrimitive):
    """Cosine and sine, in turn, of fixed random projections ``w x``, of which there are half as many as features.

    The entries of ``w`` are Gaussian with the variance 1 / features, so that projections of normalised features have a
    deviation of about 1: the features of a Gaussian kernel as wide as two samples are apart (our choice). They are
    scaled by the root of 2, for unit energy.
    """

    name = "fourier"

    def drawn(self, features: int, generator: Generator) -> Tensor:
        return torch.randn(_pairs(features), features, generator=generator) * features**-0.5

    def apply(self, x: Tensor, frozen: Tensor) -> Tensor:
        angles = x @ frozen.mT
        pairs = torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(2)
        return math.sqrt(2) * pairs[:, :, : x.shape[2]]

    def frozen_values(self, features: int) -> int:
        return _pairs(features) * features

    def macs(self, features: int) -> int:
        return _pairs(features) * features


def _pairs(features: int) -> int:
    return -(-features // 2)
