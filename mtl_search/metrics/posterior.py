"""What trainings tell of the means that they are drawn from: a Gaussian process over what was trained.

A training of an architecture is one draw: another seed gives another value. Architectures that are alike have means
that are alike, so each training tells something of the others' means, too. The process is of the kind that proposes
candidates (:mod:`mtl_search.samplers.gaussian_process`); here it is averaged over kernels, for what counts is how sure
it is, and it knows of an architecture that was trained several times. It does without torch, which takes longer to load
than ``status`` takes in all.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LENGTHS = (0.4, 0.8, 1.6, 3.2)
"""Of the smooth part of the kernel, in units of the root of the number of features, each of variance 1: from shorter
than two architectures are apart to so long that it is nearly linear."""
SLOPES = (0.0, 0.1, 1.0)
"""Variance of the linear part, in that of the smooth part: none, some, as much."""
ALIKE = 1e-9
"""Deviation up to which values are all the same: what is divided by a smaller one is rounding."""
NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Variance of what features do not explain, likewise: 1 is a space whose choices tell nothing."""
OWN = (0.0, 0.3)
"""How much of that is an architecture's own, and stays when it is trained again. Where nothing was trained twice both
are as likely."""
LEAST_WEIGHT = 0.01
"""Kernels that are less likely than this, in parts of the likeliest, are left out: each would count for 1 % of a mean
at most."""
DRAWS = 512
"""Number of draws that chances are counted in: one of one half is known to 0.02."""


@dataclass(frozen=True)
class Trained:
    """What was measured of some architectures.

    :param features: Features of the architectures, ``[n, features]``.
    :param means: ``[n]``, over the trainings of each.
    :param counts: ``[n]``, the number of its trainings.
    :param within: Sum over all trainings of the squared distances from these means.
    """

    features: Array
    means: Array
    counts: Array
    within: float = 0.0


@dataclass(frozen=True)
class Part:
    """What one kernel makes of it.

    :param weight: How likely the kernel is, among all.
    :param mean: Expected means over seeds, ``[n]``.
    :param covariance: ``[n, n]``, of the means.
    :param left_out: ``[n]``, what is expected of each by the others alone.
    """

    weight: float
    mean: Array
    covariance: Array
    left_out: Array


@dataclass(frozen=True)
class Posterior:
    """What is believed of the means of some architectures, given their trainings.

    :param parts: The parts of the mixture, one for each kernel, the likeliest first; their weights add up to 1.
    :param explained: Share of the variance between architectures that the others explain, each left out in turn: 0 or
        less where the features explain nothing, at most 1.
    """

    parts: Sequence[Part]
    explained: float

    @property
    def mean(self) -> Array:
        """``[n]``"""
        return np.asarray(sum(part.weight * part.mean for part in self.parts))

    @property
    def deviation(self) -> Array:
        """Standard deviation of what is believed of each mean, not of a training: ``[n]``."""
        mean = self.mean
        squares = (part.weight * (part.covariance.diagonal() + (part.mean - mean) ** 2) for part in self.parts)
        return np.sqrt(np.maximum(sum(squares), 0.0))

    def draws(self, seed: int, count: int = DRAWS) -> Array:
        """Means as they may be, all together: ``[count, n]``. The same seed draws the same."""
        rng = np.random.default_rng(seed)
        ends = np.round(count * np.cumsum([part.weight for part in self.parts])).astype(int)
        numbers = np.diff(ends, prepend=0)
        return np.concatenate([_drawn(part, number, rng) for part, number in zip(self.parts, numbers, strict=True)])


def posterior(trained: Trained) -> Posterior:
    """What the trainings tell of the means, averaged over kernels by how likely each makes what was measured.

    Regression by a Gaussian process (Rasmussen & Williams, 2006, algorithm 2.1), its scale the most likely one.

    :param trained: Three architectures or more.
    """
    features = _standard(trained.features)
    kernels = list(itertools.product(LENGTHS, SLOPES, NOISES, OWN))
    smooth = {length: _smooth(features, length) for length in LENGTHS}
    linear = features @ features.T / max(1, features.shape[1])
    fits = [
        _Fit(trained, smooth[length] + slope * linear, noise * own, noise * (1 - own))
        for length, slope, noise, own in kernels
    ]
    best = max(fit.log_likelihood for fit in fits)
    likely = [fit for fit in fits if math.exp(fit.log_likelihood - best) >= LEAST_WEIGHT]
    likely.sort(key=lambda fit: -fit.log_likelihood)
    weights = np.exp([fit.log_likelihood - best for fit in likely])
    parts = [fit.part(float(weight)) for fit, weight in zip(likely, weights / weights.sum(), strict=True)]
    return Posterior(parts, _explained(trained, parts))


class _Fit:
    """One kernel, and how likely it makes what was measured.

    :param covariance: ``[n, n]`` of the features, the smooth part with variance 1.
    :param own: Variance of what is an architecture's own.
    :param noise: Variance of a training.
    """

    def __init__(self, trained: Trained, covariance: Array, own: float, noise: float) -> None:
        self.trained, count, trainings = trained, len(trained.means), float(trained.counts.sum())
        self.level = float(trained.means.mean())
        self.unit = float(trained.means.std()) or 1.0
        self.scaled = (trained.means - self.level) / self.unit
        self.own_covariance = covariance + own * np.eye(count)
        self.measured = self.own_covariance + np.diag(noise / trained.counts)
        root = _root_beside(self.measured, self.scaled)
        within = trained.within / self.unit**2 / noise
        fit = float(root[-1, :-1] @ root[-1, :-1])
        self.variance = (fit + within + 1) / (trainings + 1)  # + 1: a weak prior that the scale is 1
        again = (trainings - count) * math.log(noise)
        self.log_likelihood = -0.5 * (
            trainings * math.log(self.variance) + 2 * float(np.log(root.diagonal()[:-1]).sum()) + again
        )

    def part(self, weight: float) -> Part:
        inverse = np.linalg.inv(self.measured)
        weights = inverse @ self.scaled
        told = self.own_covariance @ inverse
        covariance = self.variance * self.unit**2 * (self.own_covariance - told @ self.own_covariance)
        left_out = self.trained.means - self.unit * weights / inverse.diagonal()
        return Part(weight, self.level + self.unit * (self.own_covariance @ weights), covariance, left_out)


def _standard(features: Array) -> Array:
    """Each of mean 0 and variance 1; without those that are the same everywhere."""
    deviation = features.std(axis=0)
    varies = deviation > ALIKE
    return np.asarray((features - features.mean(axis=0))[:, varies] / deviation[varies])


def _smooth(features: Array, length: float) -> Array:
    squares = (features**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0.0)
    return np.asarray(np.exp(-distances / (2 * length**2 * max(1, features.shape[1]))))


def _root_beside(matrix: Array, values: Array) -> Array:
    """The root L of a matrix, ``[n + 1, n + 1]``; its last row holds L^-1 ``values``."""
    square = np.zeros((len(values) + 1, len(values) + 1))
    square[:-1, :-1], square[-1, :-1] = matrix, values
    square[-1, -1] = 1e6 * (1 + values @ values)  # large enough for a root; it is not looked at
    return np.asarray(np.linalg.cholesky(square))


def _explained(trained: Trained, parts: Sequence[Part]) -> float:
    count = len(trained.means)
    expected = sum(part.weight * part.left_out for part in parts)
    around = (trained.means - trained.means.mean()) * count / (count - 1)  # from the mean of the others
    spread = float((around**2).sum())
    return 1 - float(((trained.means - expected) ** 2).sum()) / spread if spread else 0.0


def _drawn(part: Part, count: int, rng: np.random.Generator) -> Array:
    variances, ways = np.linalg.eigh(part.covariance)
    normal = rng.standard_normal((count, len(part.mean)))
    return np.asarray(part.mean + (normal * np.sqrt(np.maximum(variances, 0.0))) @ ways.T)
