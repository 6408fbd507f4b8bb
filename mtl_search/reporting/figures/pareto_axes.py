"""The axes that the Pareto plot can be turned to: each cost, each mean over tasks, each task."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.metrics.pareto import direction_of
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.reporting.figures._style import HEIGHT
from mtl_search.reporting.figures.pareto import is_percent, objective_label
from mtl_search.reporting.figures.planes import Cost, Quality, best_of_plane, planes_data, side_by_side

SWITCHED = ("learnable_parameters", "fixed_parameters", "macs", "latency_ms")
"""Costs to choose between, where all trials have them and they differ."""


def pareto_planes(data: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """What the plot shows on each pair of axes: costs across, the means over tasks and each task up.

    :param data: Data of the figure, from :func:`pareto_data`, with at least one trial.
    :param shown: Names of the scores to choose from, ``<task>/<metric>``.
    :returns: As :func:`~mtl_search.reporting.figures.planes.planes_data`; ``lines``: ``x|y`` -> the trials that are
        best for their cost on this pair alone; ``moved``: ``x|y`` -> trial -> where it is drawn on the horizontal axis,
        of those that stand beside another; ``knee``.
    """
    points, (costs, qualities) = data["trials"], _axes(data, shown)
    keys = [point["trial"] for point in points]
    made = planes_data(keys, [f"trial-{key}" for key in keys], costs, qualities, HEIGHT)
    pairs = {f"{cost.name}|{quality.name}": (cost, quality) for cost in costs for quality in qualities}
    lines = {name: best_of_plane(cost, quality, keys) for name, (cost, quality) in pairs.items()}
    moved = {name: _moved(cost, quality, keys) for name, (cost, quality) in pairs.items()}
    return {
        **made,
        "lines": lines,
        "moved": {name: found for name, found in moved.items() if found},
        "knee": data["knee"],
    }


def _axes(data: Mapping[str, Any], shown: Sequence[str]) -> tuple[list[Cost], list[Quality]]:
    """The plot's own axes first, then what else all trials have."""
    points = data["trials"]
    costs = [
        data["cost"]["name"],
        *(name for name in SWITCHED if name != data["cost"]["name"] and _differs(points, name)),
    ]
    own = data["quality"]["name"]
    names = dict.fromkeys([own, "accuracy", WORST_TASK, *shown])
    return (
        [Cost(name, objective_label(name), [_cost(point, name) or 0 for point in points]) for name in costs],
        [
            _quality(points, name, data["mean_name"], name == own)
            for name in names
            if any(_has(p, name) for p in points)
        ],
    )


def _differs(points: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(point[name] is not None for point in points) and len({p[name] for p in points}) > 1


def _cost(point: Mapping[str, Any], name: str) -> float | None:
    if name == "total_parameters":
        return float(point["learnable_parameters"] + point["fixed_parameters"])
    found: float | None = point[name]
    return found


def _has(point: Mapping[str, Any], name: str) -> bool:
    return (point["scores"].get(name) if "/" in name else point[name]) is not None


def _quality(points: Sequence[Mapping[str, Any]], name: str, mean: str, own: bool) -> Quality:
    """A quality of all trials; the plot's own one as it is drawn, at its mean over seeds."""
    percent = is_percent(name)
    factor = 100 if percent else 1
    found = [p["quality"] if own else p["scores"].get(name) if "/" in name else p[name] for p in points]
    bars = [None if p["bar"] is None else (p["bar"] * factor,) * 2 for p in points] if own else []
    values = [None if value is None else value * factor for value in found]
    label = objective_label(name, mean)
    return Quality(name, label, direction_of(name), values, bars if any(bars) else [], percent)


def _moved(cost: Cost, quality: Quality, keys: Sequence[int]) -> dict[int, float]:
    drawn = side_by_side(cost.values, quality.values)
    return {key: x for key, x, value in zip(keys, drawn, cost.values, strict=True) if x != value}
