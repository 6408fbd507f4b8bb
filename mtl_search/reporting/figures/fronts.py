"""The fronts of several searches in one plot."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mtl_search.metrics.pareto import direction_of
from mtl_search.reporting.figures._style import AXIS, DECIMALS, HEIGHT, cost_axis, layout
from mtl_search.reporting.figures.pareto import COST_LABELS, is_percent, objective_label
from mtl_search.reporting.figures.planes import Cost, Quality, planes_data
from mtl_search.reporting.figures.standings import ABOVE_LEGEND, COLORS, LEGEND_ROW, SYMBOLS
from mtl_search.reporting.numbers import written

COSTS = ("learnable_parameters", "macs", "latency_ms")
"""What can stand across, where every trial has it."""


def fronts_figure(rows: Sequence[Mapping[str, Any]], word: str) -> go.Figure:
    """Mean quality against learnable parameters: a line for the front of each search.

    :param rows: The trials of all fronts, those of a search together, cheapest first: ``key``, ``run`` and what a row
        of a table of trials has.
    :param word: What the mean over tasks is called in all of them.
    """
    figure = go.Figure()
    for number, label in enumerate(dict.fromkeys(row["run"] for row in rows)):
        figure.add_trace(_trace([row for row in rows if row["run"] == label], label, number))
    figure.update_layout(layout(objective_label("accuracy", word), fronts_height(rows)), showlegend=True)
    figure.update_xaxes(cost_axis([row["learnable_parameters"] for row in rows], COST_LABELS["learnable_parameters"]))
    figure.update_yaxes({**AXIS, "ticksuffix": " %", "nticks": 7})
    return figure


def fronts_height(rows: Sequence[Mapping[str, Any]]) -> int:
    """Height of the figure in pixels."""
    return HEIGHT + ABOVE_LEGEND + LEGEND_ROW * len({row["run"] for row in rows})


def _trace(rows: Sequence[Mapping[str, Any]], label: str, number: int) -> go.Scatter:
    color = COLORS[number % len(COLORS)]
    return go.Scatter(
        x=[row["learnable_parameters"] for row in rows],
        y=[round(row["accuracy"] * 100, DECIMALS) for row in rows],
        customdata=[row["key"] for row in rows],
        name=html.escape(label),
        mode="lines+markers",
        line={"color": color, "width": 1.6},
        marker={"color": color, "size": 8, "symbol": SYMBOLS[number % len(SYMBOLS)]},
        hovertext=[_hover(row) for row in rows],
        hoverinfo="text",
    )


def _hover(row: Mapping[str, Any]) -> str:
    return "<br>".join(
        [
            f"<b>{html.escape(row['run'])}, trial {row['trial']}</b>",
            f"{written(row['accuracy'] * 100, '.2f')} %",
            f"{row['learnable_parameters']:,} learnable parameters",
            f"{row['macs']:,} MACs",
        ]
    )


def fronts_planes(rows: Sequence[Mapping[str, Any]], scores: Sequence[str], word: str) -> dict[str, Any]:
    """What the plot shows on each pair of axes.

    :param rows: The same runs as for :func:`fronts_figure`.
    :param scores: Names of the scores that all of them have.
    :returns: As :func:`~mtl_search.reporting.figures.planes.planes_data`.
    """
    costs = [
        Cost(name, COST_LABELS[name], [row[name] for row in rows])
        for name in COSTS
        if all(row[name] is not None for row in rows)
    ]
    qualities = [_quality(rows, name, word) for name in ("accuracy", *scores)]
    keys = [row["key"] for row in rows]
    return planes_data(keys, keys, costs, qualities, fronts_height(rows))


def _quality(rows: Sequence[Mapping[str, Any]], name: str, word: str) -> Quality:
    factor = 100 if is_percent(name) else 1
    values = [(row["scores"][name] if "/" in name else row[name]) * factor for row in rows]
    return Quality(name, objective_label(name, word), direction_of(name), values, percent=is_percent(name))
