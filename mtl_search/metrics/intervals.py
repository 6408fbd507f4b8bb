"""Intervals for means over few trainings. The only home of scipy."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

from mtl_search.errors import FieldError

LEVEL = 0.95
"""Probability that an interval covers the mean, if what it is made from is normally distributed."""
FEWEST = 3
"""Values that an interval needs: from two it would reach 12.7 standard errors to each side, from three 4.3."""
MOST = 100
"""Values up to which :attr:`Interval.count_to_decide` counts: more trainings of one network hardly anybody pays for."""

Bounds = tuple[float | None, float | None]
"""The least and the most that a value can be; ``None`` where nothing bounds it."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    :param mean: Mean of the values, in their unit.
    :param low: Lower end; ``None`` for fewer than three values, whose spread is hardly known.
    :param high: Upper end of the interval, in the unit of the values.
    :param count: Number of values that it is made of.
    :param spread: Standard deviation of the values; ``None`` for a single one.
    """

    mean: float
    low: float | None
    high: float | None
    count: int
    spread: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside; never for fewer than three values."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def p_value(self) -> float | None:
        """Of the two-sided t test (Student, 1908) that the mean is 0; ``None`` for fewer than three values.

        Of a :func:`paired_difference` it is that of the paired t test; below 0.05 exactly where 0 is excluded.
        """
        if self.spread is None or self.count < FEWEST:
            return None
        if self.spread == 0:
            return 0.0 if self.mean else 1.0
        statistic = abs(self.mean) / self.spread * math.sqrt(self.count)
        return 2 * float(stdtr(self.count - 1, -statistic))

    @property
    def count_to_decide(self) -> int | None:
        """With how many values the interval would exclude 0 if mean and spread stayed as they are.

        The t factor shrinks with the number, too, see :func:`deviations_to_each_side`. A rough figure, as mean and
        spread are estimates from few values; and even if they are right, about half of all repetitions with just so
        many would come out open.

        :returns: ``None`` for fewer than three values, or where more than 100 would be needed.
        """
        if self.spread is None or self.count < FEWEST:
            return None
        counts = range(FEWEST, MOST + 1)
        return next((n for n in counts if deviations_to_each_side(n) * self.spread < abs(self.mean)), None)

    def scaled(self, factor: float) -> "Interval":
        """The same in another unit, ``factor`` (above 0) times as many of it."""
        low, high, spread = (None if one is None else one * factor for one in (self.low, self.high, self.spread))
        return Interval(self.mean * factor, low, high, self.count, spread)


def interval(values: Sequence[float], bounds: Bounds = (None, None)) -> Interval:
    """Mean and 95 % interval of Student's t distribution with ``n - 1`` degrees of freedom.

    There is no interval for fewer than three values. None reaches beyond ``bounds``: what lies there is cut off, which
    takes nothing from its coverage, as the mean that it is about lies within them too.

    :param values: Finite; at least one.
    :param bounds: The least and the most that a value can be.
    :raises FieldError: If there are none, or one is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise FieldError("values", "must hold finite numbers, at least one", list(values))
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, None, None, 1)
    spread = stdev(values)
    if len(values) < FEWEST:
        return Interval(mean, None, None, len(values), spread)
    half = deviations_to_each_side(len(values)) * spread
    least, most = bounds
    low = mean - half if least is None else min(mean, max(mean - half, least))
    high = mean + half if most is None else max(mean, min(mean + half, most))
    return Interval(mean, low, high, len(values), spread)


def deviations_to_each_side(count: int) -> float:
    """How many standard deviations of the values an interval of :func:`interval` reaches to each side.

    :param count: Number of values, at least 2.
    """
    return float(stdtrit(count - 1, (1 + LEVEL) / 2)) / math.sqrt(count)


def paired_difference(first: Sequence[float], second: Sequence[float], bounds: Bounds = (None, None)) -> Interval:
    """Mean and 95 % interval of ``first - second``, pair by pair: what both have from their pair drops out.

    :param first: One value per pair.
    :param second: The other value of each pair, in the same order.
    :param bounds: The least and the most that a difference can be.
    :raises FieldError: If they differ in length, or as :func:`interval`.
    """
    if len(first) != len(second):
        raise FieldError("second", f"must hold {len(first)} values, one for each of `first`", len(second))
    return interval([a - b for a, b in zip(first, second, strict=True)], bounds)


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

    :param rounds: Number of times that the values are dealt: of 200 the 95 % are known to 1.5 points.
    :returns: As :func:`explained_share`.
    """
    if explained_share(groups) is None:
        return None
    rng, values = random.Random(0), [value for group in groups for value in group]
    shares = []
    for _ in range(rounds):
        rng.shuffle(values)
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
