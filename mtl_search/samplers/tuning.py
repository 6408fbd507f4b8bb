"""Tunes a few settings of one method in a few trainings: what is tried next, and what is chosen in the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mtl_search.samplers.gaussian_process import GaussianProcess, most_likely_kernel
from mtl_search.spaces.ranges import Range, drawn, is_offered, neighbours

SPREAD = 0.5
"""Share of the trainings that are spread over what is offered, before a model is asked."""
LEAST = 3
"""Values that the model needs: of two it would know a difference, and nothing of noise."""
GROWS_AFTER = 0.75
"""Share of the trainings after which a range grows, if the best of them lies at its end: the rest can use it."""
EDGE = 0.1
"""Part of a range at each end that counts as its end."""
GROWTH = 0.5
"""By what part of its length a range grows: one over a factor of 64 by a factor of 8."""
CANDIDATES = 256
"""Points of a Sobol sequence among which the next is chosen; the neighbours of the best are there besides."""

Values = dict[str, Any]
"""Setting -> value."""


@dataclass(frozen=True)
class Told:
    """A training that ended.

    :param values: What it was trained with.
    :param quality: Higher is better; ``None`` for one that failed: a rate at which it diverges is a bad one.
    """

    values: Mapping[str, Any]
    quality: float | None


@dataclass(frozen=True)
class Tuner:
    """Proposes values for the trainings of one method, one after the other.

    The first are the usual values; half of the trainings are spread by a scrambled Sobol sequence; then a Gaussian
    process over the settings (numbers of a range on its axis) proposes what is expected to improve most on the best it
    expects (EI; Jones, Schonlau & Welch, 1998). Where after three quarters of the trainings the best lies at the end of
    a range, that grows there, once, within the limits. What is proposed depends on the seed and on what was told alone.

    :param offers: Setting -> what is offered for it.
    :param usual: Setting -> its value where nothing is tuned; it need not be offered.
    :param trainings: Number of trainings that there are in all.
    :param limits: Setting -> least and largest value that a range may grow to.
    :param seed: Seed of the sequence of values.
    """

    offers: Mapping[str, Any]
    usual: Mapping[str, Any]
    trainings: int
    limits: Mapping[str, tuple[float, float]]
    seed: int = 0

    def ask(self, told: Sequence[Told]) -> Values | None:
        """The values of the next training; ``None`` after the last, or where all that is offered was tried.

        :param told: What ended so far, in order.
        """
        if len(told) >= self.trainings:
            return None
        tried = [dict(one.values) for one in told]
        if not tried:
            return dict(self.usual)
        points = [point for point in self.points(told) if point not in tried]
        if not points:
            return None
        if len(told) < max(LEAST, math.ceil(SPREAD * self.trainings)) or len(_known(told)) < LEAST:
            return points[0]
        gained = self._improvements(points, told)
        return points[int(gained.argmax())]

    def chosen(self, told: Sequence[Told]) -> Values | None:
        """The values with the best quality as the model expects it, of those that were trained; ``None`` without any.

        By the model a lucky training does not win over neighbours that agree with each other.
        """
        known = _known(told)
        if not known:
            return None
        expected = torch.tensor([one.quality for one in known], dtype=torch.float64)
        if len(known) > LEAST:
            expected = self._process(known, told).predict(self._features([one.values for one in known], told))[0]
        return dict(known[int(expected.argmax())].values)

    def offered(self, told: Sequence[Told]) -> dict[str, Any]:
        """What is offered after these trainings: as at first, or with ranges that have grown."""
        count = math.ceil(GROWS_AFTER * self.trainings)
        return self._grown(told[:count]) if len(told) >= count else dict(self.offers)

    def at_end(self, told: Sequence[Told]) -> dict[str, str]:
        """Setting -> ``low`` or ``high``, of those whose chosen value lies at the end of its range."""
        chosen = self.chosen(told)
        offers = self.offered(told)
        return {} if chosen is None else _at_end(offers, chosen)

    def _grown(self, told: Sequence[Told]) -> dict[str, Any]:
        known = _known(told)
        if not known:
            return dict(self.offers)
        best = max(known, key=lambda one: one.quality or -math.inf).values
        offers = dict(self.offers)
        for name, end in _at_end(offers, best).items():
            offers[name] = _longer(offers[name], end, *self.limits.get(name, (-math.inf, math.inf)))
        return offers

    def points(self, told: Sequence[Told]) -> list[Values]:
        """What may be tried next, in the order of the sequence; then the neighbours of the best."""
        offers = self.offered(told)
        sequence = torch.quasirandom.SobolEngine(len(offers), scramble=True, seed=self.seed)
        shares = sequence.draw(CANDIDATES, dtype=torch.float64).tolist()
        points = [
            {name: drawn(offer, one) for (name, offer), one in zip(offers.items(), row, strict=True)} for row in shares
        ]
        best = self.chosen(told)
        if best is not None:
            steps = {
                name: neighbours(offers[name], best[name]) for name in offers if is_offered(offers[name], best[name])
            }
            points += [{**best, name: value} for name, values in steps.items() for value in values]
        return [point for place, point in enumerate(points) if point not in points[:place]]

    def _improvements(self, points: Sequence[Values], told: Sequence[Told]) -> Tensor:
        """By how much each point is expected to be better than the best that is expected so far: ``[points]``."""
        known = _known(told)
        process = self._process(known, told)
        best = process.smoothed().max()
        mean, deviation = process.predict(self._features(points, told))
        unit = (mean - best) / deviation
        return deviation * (unit * torch.special.ndtr(unit) + torch.exp(-unit.square() / 2) / math.sqrt(2 * math.pi))

    def _process(self, known: Sequence[Told], told: Sequence[Told]) -> GaussianProcess:
        """The model of what is known; a training that failed counts as bad as the worst."""
        worst = min(one.quality for one in known if one.quality is not None)
        all_of_them = [one if one.quality is not None else replace(one, quality=worst) for one in told]
        features = self._features([one.values for one in all_of_them], told)
        qualities = torch.tensor([one.quality for one in all_of_them], dtype=torch.float64)
        return GaussianProcess(features, qualities, most_likely_kernel(features, qualities))

    def _features(self, points: Sequence[Mapping[str, Any]], told: Sequence[Told]) -> Tensor:
        """``[points, features]``: of a range how far along it a value lies, of others one for each option."""
        offers = self.offered(told)
        return torch.tensor([_features(offers, point) for point in points], dtype=torch.float64)


def _features(offers: Mapping[str, Any], point: Mapping[str, Any]) -> list[float]:
    found: list[float] = []
    for name, offer in offers.items():
        if isinstance(offer, Range):
            found.append((offer.share(point[name]) - 0.5) * math.sqrt(12))  # of unit variance over the range
        else:
            found += [float(point[name] == option) for option in offer[1:]]
    return found


def _known(told: Sequence[Told]) -> list[Told]:
    return [one for one in told if one.quality is not None]


def _at_end(offers: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    shares = {name: offer.share(values[name]) for name, offer in offers.items() if isinstance(offer, Range)}
    return {name: "low" if share <= EDGE else "high" for name, share in shares.items() if not EDGE < share < 1 - EDGE}


def _longer(offer: Range, end: str, least: float, most: float) -> Range:
    """A range that goes on at one end, as far as the limits let it."""
    if end == "low":
        low = _beyond(offer, -GROWTH)
        return replace(offer, low=max(low, least))
    return replace(offer, high=min(_beyond(offer, 1 + GROWTH), most))


def _beyond(offer: Range, share: float) -> float:
    """The number at a share outside of a range, on its axis."""
    if not offer.log:
        return float(f"{offer.low + share * (offer.high - offer.low):.3g}")
    return float(f"{offer.low * (offer.high / offer.low) ** share:.3g}")
