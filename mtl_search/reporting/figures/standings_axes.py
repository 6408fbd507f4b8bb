"""The axes that the plot of a comparison can be turned to: costs across, the means over tasks and each task up."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.metrics.pareto import direction_of
from mtl_search.reporting.figures._intervals import bars, times
from mtl_search.reporting.figures.labels import Label, free_labels
from mtl_search.reporting.figures.pareto import COST_LABELS, is_percent, objective_label
from mtl_search.reporting.figures.planes import Cost, Quality, planes_data, side_by_side
from mtl_search.reporting.figures.standings import standings_height, texts_of


def standings_planes(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """What the plot shows on each pair of axes.

    :param comparison: Data of the page, from :func:`~mtl_search.reporting.comparison_page.comparison_data`, with an
        entrant that was trained.
    :returns: As :func:`~mtl_search.reporting.figures.planes.planes_data`, of the entrants that were trained; and
        ``labels``: ``x|y`` -> entrant -> the text at it and where it stands.
    """
    known = [row for row in comparison["entrants"] if row["learnable_parameters"]]
    keys = [row["entrant"] for row in known]
    costs = [Cost(name, label, side_by_side(values)) for name, label, values in _costs(known)]
    qualities = _qualities(known, comparison["scores"], comparison["word"])
    texts = texts_of(comparison["standings"]["groups"])
    labels = {
        f"{cost.name}|{quality.name}": free_labels(_labels(keys, cost, quality, texts), cost.values)
        for cost in costs
        for quality in qualities
    }
    return {**planes_data(keys, keys, costs, qualities, standings_height(comparison["standings"])), "labels": labels}


def _qualities(rows: Sequence[Mapping[str, Any]], scores: Sequence[str], word: str) -> list[Quality]:
    found = [_quality("accuracy", f"mean {word} over tasks, in percent", [row["accuracy"] for row in rows])]
    if all(row["delta_m"] for row in rows):
        found.append(_quality("delta_m", "Delta_m over single task, in percent", [row["delta_m"] for row in rows]))
    return found + [_quality(name, objective_label(name), [row["scores"][name] for row in rows]) for name in scores]


def _labels(keys: Sequence[str], cost: Cost, quality: Quality, texts: Mapping[str, str]) -> list[Label]:
    return [
        Label(key, x, y, texts.get(key, ""))
        for key, x, y in zip(keys, cost.values, quality.values, strict=True)
        if y is not None
    ]


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[float]]]:
    return [
        ("learnable_parameters", "learnable parameters", [row["learnable_parameters"]["mean"] for row in rows]),
        ("macs", COST_LABELS["macs"], [row["macs"]["mean"] for row in rows]),
        (
            "training_macs",
            "MACs of a training, forward and backward",
            [row["training"]["macs"]["mean"] for row in rows],
        ),
    ]


def _quality(name: str, label: str, intervals: Sequence[Mapping[str, Any] | None]) -> Quality:
    """In percent what is a share or a gain; ``delta_m`` is in percent already."""
    percent = is_percent(name) or name == "delta_m"
    factor = 100 if is_percent(name) else 1
    reach = bars(intervals, factor)
    lengths = [
        None if up is None or down is None else (up, down)
        for up, down in zip(reach["array"], reach["arrayminus"], strict=True)
    ]
    direction = "maximize" if name == "delta_m" else direction_of(name)
    return Quality(name, label, direction, [times(one, "mean", factor) for one in intervals], lengths, percent)
