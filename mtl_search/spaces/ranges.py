"""What may be left open besides an architecture: a number between two ends, or one of several values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict

from mtl_search.errors import FieldError

DIGITS = 3
"""Significant digits of a number of a range: what differs by less trains alike, and can be read."""
STEP = 0.125
"""Of the length of a range, to a neighbour of a number in it. An eighth of a range over a factor of 50 is a factor
of 1.6: about what moves the quality of a training by more than its noise."""


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``.

    :param low: Least value.
    :param high: Largest value, above ``low``.
    :param log: Whether it is drawn, modelled and shown by its logarithm; ``low`` is above 0 then.
    :raises FieldError: If the ends are not finite, or do not fit.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise FieldError("high", f"must be above `low`, {self.low:g}", self.high)
        if self.log and self.low <= 0:
            raise FieldError("low", "must be above 0 where `log` is true", self.low)

    def __contains__(self, value: object) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and self.low <= value <= self.high  # type: ignore[operator]

    def at(self, share: float) -> float:
        """The number at a share of the way from ``low`` (0) to ``high`` (1), rounded to :data:`DIGITS`."""
        low, high = self._axis(self.low), self._axis(self.high)
        place = low + min(max(share, 0.0), 1.0) * (high - low)
        return self.rounded(math.exp(place) if self.log else place)

    def share(self, value: float) -> float:
        """How far along the range a number lies, 0 to 1 where it lies in it: the inverse of :meth:`at`."""
        low, high = self._axis(self.low), self._axis(self.high)
        return (self._axis(value) - low) / (high - low)

    def rounded(self, value: float) -> float:
        """A number to :data:`DIGITS` significant digits, within the range."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def near(self, value: float) -> list[float]:
        """The numbers a :data:`STEP` of the range below and above, as far as the range reaches."""
        around = [self.at(self.share(value) + step) for step in (-STEP, STEP)]
        return [number for number in around if number != value]

    def _axis(self, value: float) -> float:
        return math.log(value) if self.log else value


Offer = Range | tuple[Any, ...]
"""What may be answered to a question: a number of a range, or one of several options."""


def drawn(offer: Range | Sequence[Any], share: float) -> Any:
    """The answer at a share, 0 to below 1, of what is offered: uniform where the share is."""
    return offer.at(share) if isinstance(offer, Range) else offer[int(share * len(offer))]


def is_offered(offer: Range | Sequence[Any], value: Any) -> bool:
    """Whether a value is an answer. ``True`` is not 1 here."""
    if isinstance(offer, Range):
        return value in offer
    return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in offer)


def neighbours(offer: Range | Sequence[Any], value: Any) -> list[Any]:
    """The answers next to one: numbers step up or down, other options to any other."""
    if isinstance(offer, Range):
        return offer.near(value)
    if not all(isinstance(option, int | float) and not isinstance(option, bool) for option in offer):
        return [option for option in offer if option != value]
    ordered = sorted(offer)
    place = ordered.index(value)
    return [*ordered[max(0, place - 1) : place], *ordered[place + 1 : place + 2]]
