"""Intervals for means over few trainings. The only home of scipy."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from mtl_search.errors import FieldError

LEVEL = 0.95
"""Probability that an interval covers the mean, if what it is made from is normally distributed."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    :param mean: In the unit of the values.
    :param low: Lower end; ``None`` for a single value, whose spread is not known.
    :param high: Upper end, likewise.
    :param count: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never for a single value."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def scaled(self, factor: float) -> "Interval":
        """The same in another unit, ``factor`` (above 0) times as many of it."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Interval(self.mean * factor, low, high, self.count)


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of Student's t distribution with ``n - 1`` degrees of freedom.

    :param values: Finite; at least one.
    :raises FieldError: If there are none, or one is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise FieldError("values", "must hold finite numbers, at least one", list(values))
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None, 1)
    half = deviations_to_each_side(len(values)) * stdev(values)
    return Interval(mean, mean - half, mean + half, len(values))


def deviations_to_each_side(count: int) -> float:
    """How many standard deviations of the values an interval of :func:`interval` reaches to each side.

    :param count: Number of values, at least 2.
    """
    return float(stdtrit(count - 1, (1 + LEVEL) / 2)) / math.sqrt(count)


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Mean and 95 % interval of ``first - second``, pair by pair: what both have from their pair drops out.

    :param first: One value per pair.
    :param second: Likewise.
    :raises FieldError: If they differ in length, or as :func:`interval`.
    """
    if len(first) != len(second):
        raise FieldError("second", f"must hold {len(first)} values, one for each of `first`", len(second))
    return interval([a - b for a, b in zip(first, second, strict=True)])


def explained_share(groups: Sequence[Sequence[float]]) -> float | None:
    """The share of the variance that the groups explain: epsilon squared (Kelley, 1935).

    ``(SS_between - (k - 1) MS_within) / SS_total``. The plain share ``SS_between / SS_total`` grows with the number of
    groups even where they differ by chance alone; what chance would give on average is taken off here, so that the
    value can be a little below 0.

    :param groups: The values of each of ``k`` groups, none of them empty.
    :returns: At most 1; ``None`` with fewer than two groups, no more values than groups, or values that are all equal.
    """
    values = [value for group in groups for value in group]
    free = len(values) - len(groups)
    if len(groups) < 2 or free < 1 or min(values) == max(values):
        return None
    total = _squares(values)
    within = math.fsum(_squares(group) for group in groups)
    return (total - within - (len(groups) - 1) * within / free) / total


def chance_share(groups: Sequence[Sequence[float]], rounds: int = 200) -> float | None:
    """What chance reaches of :func:`explained_share` in one case of twenty.

    The values are dealt to groups of the same sizes by lot, again and again; of the shares that come out this is the
    one that 95 % do not exceed. The lots are the same at every call.

    :param rounds: How often they are dealt.
    :returns: As :func:`explained_share`.
    """
    if explained_share(groups) is None:
        return None
    lot, values = random.Random(0), [value for group in groups for value in group]
    shares = []
    for _ in range(rounds):
        lot.shuffle(values)
        shares.append(explained_share(_dealt(values, [len(group) for group in groups])) or 0.0)
    return sorted(shares)[math.ceil(LEVEL * rounds) - 1]


def _dealt(values: Sequence[float], sizes: Sequence[int]) -> list[Sequence[float]]:
    """The values in groups of these sizes."""
    ends = list(itertools.accumulate(sizes))
    return [values[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _squares(values: Sequence[float]) -> float:
    """Sum of squared distances from the mean."""
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)
