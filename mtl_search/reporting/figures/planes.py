"""The axes of a plot that a reader can choose between, and where its points stand on each pair of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtl_search.metrics.pareto import Direction, front_mask
from mtl_search.reporting.figures._style import (
    AXIS,
    DECIMALS,
    cost_axis,
    cost_range,
    layout,
    off_axis,
    on_axis,
)

STEP = 0.013
"""Part of the axis between points that are spread: as wide as a marker in a plot as wide as a page."""
WIDEST = 0.14
"""Part of the axis that points at one place are spread over at most."""
SAME = 0.006
"""Part of an axis that points differ by at most to be at one place: half a marker."""


@dataclass(frozen=True)
class Quality:
    """What can stand on the vertical axis.

    :param name: Name of it: ``accuracy``, ``<task>/<metric>``.
    :param label: Stands at the axis.
    :param direction: Which way is better.
    :param values: One per point, in the unit of the axis; ``None`` where it was not measured.
    :param bars: How far the bar of each point reaches up and down; empty if there are none.
    :param percent: Whether the unit is percent.
    """

    name: str
    label: str
    direction: Direction
    values: Sequence[float | None]
    bars: Sequence[tuple[float, float] | None] = ()
    percent: bool = False


@dataclass(frozen=True)
class Cost:
    """What can stand on the horizontal axis.

    :param values: One per point, all known.
    """

    name: str
    label: str
    values: Sequence[float]


def planes_data(
    keys: Sequence[Any], targets: Sequence[str], costs: Sequence[Cost], qualities: Sequence[Quality], height: int
) -> dict[str, Any]:
    """What the page's switches choose between.

    :param keys: What the figure's ``customdata`` calls each point.
    :param targets: Where on the page more is told of it, one per point.
    :param height: Height of the figure in pixels.
    :returns: ``keys``, ``targets``, ``x`` and ``y``: per axis its ``name``, ``label``, ``layout`` and ``values``, of
        ``y`` also ``bars``, and whether better is ``up`` (1 or -1), of ``x`` ``sides``: on which side of each point a
        note has room. The first of each is what the figure shows as it is made.
    """
    return {
        "keys": list(keys),
        "targets": list(targets),
        "x": [_horizontal(cost) for cost in costs],
        "y": [_vertical(quality, height) for quality in qualities],
    }


def _horizontal(cost: Cost) -> dict[str, Any]:
    return {
        "name": cost.name,
        "label": cost.label,
        "layout": {"xaxis": cost_axis(cost.values, cost.label)},
        "values": list(cost.values),
        "sides": [note_side(value, cost.values) for value in cost.values],
        "log": min(cost.values, default=0) > 0,
    }


def _vertical(quality: Quality, height: int) -> dict[str, Any]:
    label = quality.label if quality.direction == "maximize" else f"{quality.label}; lower is better"
    made = layout(label, height)
    axis = {**AXIS, "ticksuffix": " %" if quality.percent else "", "nticks": 7}
    return {
        "name": quality.name,
        "label": label,
        "layout": {"title": made["title"], "margin": made["margin"], "yaxis": axis},
        "values": [None if value is None else round(value, DECIMALS + 2) for value in quality.values],
        "bars": list(quality.bars),
        "up": 1 if quality.direction == "maximize" else -1,
    }


def note_side(cost: float, costs: Sequence[float]) -> int:
    """On which side of a point a note has room: left (-1), near the left edge right (1)."""
    low, high = cost_range(costs)
    return -1 if on_axis(cost, costs) > low + 0.3 * (high - low) else 1  # on a phone it is a fourth of the axis long


def best_of_plane(cost: Cost, quality: Quality, keys: Sequence[Any]) -> list[Any]:
    """The points that no other one dominates in these two alone, cheapest first."""
    known = [(c, q, key) for c, q, key in zip(cost.values, quality.values, keys, strict=True) if q is not None]
    mask = front_mask([[c, q] for c, q, _ in known], ["minimize", quality.direction]).tolist() if known else []
    return [key for _, key in sorted((c, key) for (c, _, key), best in zip(known, mask, strict=True) if best)]


def side_by_side(costs: Sequence[float], heights: Sequence[float | None] | None = None) -> list[float]:
    """Where points are drawn along the axis of a cost: beside each other where one would cover the other.

    :param costs: Cost of each point.
    :param heights: Where each stands on the other axis; left out where bars reach over all of it, so that points of
        one cost are always spread.
    """
    drawn = list(costs)
    if len(drawn) < 2:
        return drawn
    low, high = cost_range(costs)
    for group in _at_one_place(costs, heights, high - low):
        step = min(STEP, WIDEST / (len(group) - 1)) * (high - low)
        middle = sum(on_axis(costs[one], costs) for one in group) / len(group)
        for number, one in enumerate(group):
            place = middle + (number - (len(group) - 1) / 2) * step
            drawn[one] = float(f"{off_axis(place, costs):.6g}")
    return drawn


def _at_one_place(costs: Sequence[float], heights: Sequence[float | None] | None, width: float) -> list[list[int]]:
    """Groups of at least two points, each near the first of its group."""
    known = [value for value in heights or () if value is not None]
    tall = max(known, default=0) - min(known, default=0)

    def near(one: int, other: int) -> bool:
        if abs(on_axis(costs[one], costs) - on_axis(costs[other], costs)) > SAME * width:
            return False
        if heights is None:
            return True
        here, there = heights[one], heights[other]
        return here is not None and there is not None and abs(here - there) <= 2 * SAME * tall  # it is half as tall

    groups: list[list[int]] = []
    for one in sorted(range(len(costs)), key=lambda place: costs[place]):
        group = next((group for group in groups if near(group[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return [group for group in groups if len(group) > 1]
