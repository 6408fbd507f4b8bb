"""A Gaussian process over architectures: what it expects a quality to be, and how sure it is."""

import functools
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_search.metrics.posterior import ALIKE, LENGTHS, SLOPES

NOISES = (0.01, 0.03, 0.1, 0.3)
"""Variance of the noise, in that of the smooth part: lengths and slopes are those of
:mod:`mtl_search.metrics.posterior`. A process that proposes never takes all that it sees for noise."""


@dataclass(frozen=True)
class Kernel:
    """Covariance of two architectures: a smooth part, exp(-d² / 2 l²), a linear one, and noise.

    :param length: l, in the units of the features.
    :param slope: Variance of the linear part.
    :param noise: Variance of the noise.
    """

    length: float
    slope: float
    noise: float

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """``[n, features], [m, features] -> [n, m]``, without the noise."""
        smooth = torch.exp(-torch.cdist(first, second).square() / (2 * self.length**2))
        return smooth + self.slope / first.shape[1] * first @ second.T


class GaussianProcess:
    """Regression by a Gaussian process (Rasmussen & Williams, 2006, algorithm 2.1) with a known kernel.

    The mean is that of the values; the scale is the most likely one. With ``like`` both are those of another process.

    :param features: ``[n, features]``, each of about unit variance.
    :param values: Values of the points, ``[n]``.
    :param kernel: Covariance of the points, see :func:`most_likely_kernel`.
    """

    def __init__(self, features: Tensor, values: Tensor, kernel: Kernel, like: "GaussianProcess | None" = None) -> None:
        self.features, self.kernel = features, kernel
        self.mean: Tensor = like.mean if like else values.mean()
        self.unit: Tensor = like.unit if like else values.std(correction=0).clamp(min=ALIKE)
        scaled = (values - self.mean) / self.unit
        covariance = kernel(features, features) + kernel.noise * torch.eye(len(features), dtype=features.dtype)
        self.root = torch.linalg.cholesky(covariance)
        self.weights = torch.cholesky_solve(scaled[:, None], self.root)[:, 0]
        likely = (scaled @ self.weights + 1) / (len(features) + 1)  # + 1: a weak prior that the scale is 1
        self.variance: Tensor = like.variance if like else likely

    @property
    def log_likelihood(self) -> float:
        """Of the values at the most likely scale, but for a constant."""
        count = len(self.features)
        return float(-0.5 * count * self.variance.log() - self.root.diagonal().log().sum())

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of what a training would show, noise included: ``[m], [m]``."""
        across = self.kernel(features, self.features)
        explained = torch.linalg.solve_triangular(self.root, across.T, upper=False).square().sum(dim=0)
        own = 1 + self.kernel.slope / features.shape[1] * features.square().sum(dim=1)
        deviation = ((own - explained).clamp(min=0) + self.kernel.noise) * self.variance
        return self.mean + self.unit * (across @ self.weights), self.unit * deviation.sqrt()

    def smoothed(self) -> Tensor:
        """The mean at the places it has seen, without their noise: ``[n]``."""
        return self.predict(self.features)[0]


def most_likely_kernel(features: Tensor, values: Tensor) -> Kernel:
    """The kernel of a small grid under which the values are most likely."""
    root = math.sqrt(features.shape[1])
    kernels = [Kernel(length * root, *rest) for length, *rest in itertools.product(LENGTHS, SLOPES, NOISES)]
    process = functools.partial(GaussianProcess, features, values)
    return max(kernels, key=lambda kernel: process(kernel).log_likelihood)
