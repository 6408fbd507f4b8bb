"""Intervals in figures: as plain data, as bars, and as text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mtl_search.metrics.intervals import Interval
from mtl_search.reporting.figures._style import DECIMALS
from mtl_search.reporting.numbers import written


def interval_data(interval: Interval | None) -> dict[str, Any] | None:
    """An interval as plain data: ``mean``, ``low``, ``high``, ``count``, ``spread``."""
    return None if interval is None else asdict(interval)


def times(interval: Mapping[str, Any] | None, end: str, factor: float) -> float | None:
    return None if interval is None else round(interval[end] * factor, DECIMALS)


def bars(intervals: Sequence[Mapping[str, Any] | None], factor: float) -> dict[str, list[float | None]]:
    """How far bars reach up and down; ends that were cut off make them uneven."""
    return {
        "array": [_reach(interval, "high", factor) for interval in intervals],
        "arrayminus": [_reach(interval, "low", factor) for interval in intervals],
    }


def _reach(interval: Mapping[str, Any] | None, end: str, factor: float) -> float | None:
    """From the mean to an end of the interval; ``None`` where there is none."""
    if interval is None or interval[end] is None:
        return None
    return round(abs(interval[end] - interval["mean"]) * factor, DECIMALS)


def interval_text(interval: Mapping[str, Any], factor: float, sign: str = "") -> str:
    mean, low, high = (_end(interval[end], factor, sign) for end in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})" if interval["low"] is not None else mean


def _end(value: float | None, factor: float, sign: str) -> str:
    return "" if value is None else written(value * factor, f"{sign}.2f")
