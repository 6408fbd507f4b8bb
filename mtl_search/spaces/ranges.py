"""What may be left open besides an architecture: a number between two ends, or one of several values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import BeforeValidator

from mtl_search.errors import FieldError

DIGITS = 3
"""Significant digits of a number of a range: what differs by less trains alike, and can be read."""
STEP = 0.125
"""Of the length of a range, to a neighbour of a number in it. An eighth of a range over a factor of 50 is a factor
of 1.6: about what moves the quality of a training by more than its noise."""


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``.

    :param low: Least value of the range.
    :param high: Largest value, above ``low``.
    :param log: Whether it is drawn, modelled and shown by its logarithm; ``low`` is above 0 then.
    :raises FieldError: If the ends are not finite, or do not fit.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise FieldError("high", "must be above `low`, both finite", (self.low, self.high))
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


def as_offer(value: Any) -> Any:
    """What a YAML file offers: a mapping of ``low``, ``high`` and ``log`` as a :class:`Range`, a list as a tuple.

    :raises FieldError: If it breaks a rule of either.
    """
    if isinstance(value, Mapping):
        return _range_of(value)
    options = tuple(value) if isinstance(value, list | tuple) else value
    if isinstance(options, Range):
        return options
    if not isinstance(options, tuple) or not options:
        raise FieldError("offer", "must be a list of values, or a mapping with `low` and `high`", value)
    if not all(isinstance(option, str | int | float) for option in options):
        raise FieldError("offer", "must be a list of texts, numbers or `true` and `false`", value)
    if any(is_offered(options[:place], option) for place, option in enumerate(options)):
        raise FieldError("offer", "must not offer the same value twice", value)
    return options


def _range_of(value: Mapping[Any, Any]) -> Range:
    names = [field.name for field in fields(Range)]
    for key in value:
        if key not in names:
            raise FieldError("offer", "must hold no key besides `low`, `high` and `log`", key)
    low, high, log = (value.get(name, default) for name, default in zip(names, (None, None, False), strict=True))
    for name, end in (("low", low), ("high", high)):
        if isinstance(end, bool) or not isinstance(end, int | float):
            raise FieldError("offer", f"must have a number as its `{name}`", end)
    if not isinstance(log, bool):
        raise FieldError("offer", "must have `true` or `false` as its `log`", log)
    try:
        return Range(float(low), float(high), log)
    except FieldError as error:
        raise FieldError(
            "offer", f"must have a `{error.field}` that is {error.rule.removeprefix('must be ')}", error.found
        ) from error


Offer = Annotated[Any, BeforeValidator(as_offer)]
"""What may be answered to a question: a number of a :class:`Range`, or one of a tuple of options."""


def offer_text(offer: Range | Sequence[Any]) -> str:
    """What is offered, for reading: ``0.001 to 0.05``, ``0, 0.01``."""
    if isinstance(offer, Range):
        return f"{offer.low:g} to {offer.high:g}"
    return ", ".join(str(option) for option in offer)


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
