"""Learning curves: what was noted of every trial after each of its epochs."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mtl_search.metrics.scores import is_share
from mtl_search.reporting.figures._style import (
    AXIS,
    DECIMALS,
    FAINT_COLOR,
    FRONT_COLOR,
    KNEE_COLOR,
    TICKS,
    axis_title,
    layout,
)
from mtl_search.runs.folder import Run

LOW = 340
"""Pixels of the figure, in place of :data:`HEIGHT`: two of them stand side by side."""
MOST_CURVES = 120
"""Trials that are drawn: those under way, the front, and of the others the latest. More would be one grey area."""
KINDS = {"other": FAINT_COLOR, "front": FRONT_COLOR, "under way": KNEE_COLOR}
"""Kind of a trial -> colour, those that matter most drawn last, on top."""


def curves_data(run: Run, value: str) -> dict[str, Any] | None:
    """A curve per trial.

    :param value: What is drawn over epochs: ``loss``, ``accuracy`` or a score, ``<task>/<metric>``.
    :returns: ``value``, ``label``, ``percent``, ``left_out`` (number of trials that are not drawn) and ``curves``, of
        each ``trial``, ``kind`` (``other``, ``front`` or ``under way``), ``architecture`` and ``points``, pairs of an
        epoch and the value after it; ``None`` where no trial has two points.
    """
    points: dict[int, list[list[float]]] = {}
    for row in run.epochs:
        found = row.loss if value == "loss" else row.value(value)
        if found is not None:
            points.setdefault(row.trial, []).append([row.epoch, found])
    if all(len(one) < 2 for one in points.values()):
        return None
    front = {trial.number for trial in run.front}
    kinds = {
        number: "under way" if number in run.under_way else "front" if number in front else "other" for number in points
    }
    drawn = sorted(points, key=lambda number: (list(KINDS).index(kinds[number]), number))[-MOST_CURVES:]
    named = {**{trial.number: trial.proposal for trial in run.trials}, **run.under_way}
    curves = [
        {
            "trial": number,
            "kind": kinds[number],
            "architecture": str(named[number]),
            "points": sorted(points[number]),
        }
        for number in drawn
    ]
    label = {"loss": "training loss", "accuracy": run.mean_name}.get(value, value)
    percent = is_share(value)
    return {
        "value": value,
        "label": label,
        "percent": percent,
        "left_out": len(points) - len(drawn),
        "curves": curves,
    }


def curves_figure(data: Mapping[str, Any]) -> go.Figure:
    """A line per trial over epochs.

    :param data: Data of the figure, from :func:`curves_data`.
    """
    figure = go.Figure()
    for kind, color in KINDS.items():
        of_kind = [curve for curve in data["curves"] if curve["kind"] == kind]
        for number, curve in enumerate(of_kind):
            figure.add_trace(_trace(curve, color, first=number == 0, percent=data["percent"]))
    unit = ", in percent" if data["percent"] else ""
    more = f"; {data['left_out']:,} earlier trials are not drawn" if data["left_out"] else ""
    figure.update_layout(layout(f"{data['label']}{unit}{more}", LOW))
    figure.update_xaxes(AXIS, title=axis_title("epoch"), nticks=TICKS, rangemode="tozero")
    figure.update_yaxes(AXIS, ticksuffix=" %" if data["percent"] else "", nticks=TICKS)
    return figure


def _trace(curve: Mapping[str, Any], color: str, first: bool, percent: bool) -> go.Scatter:
    points: Sequence[Sequence[float]] = curve["points"]
    about = f"<b>trial {curve['trial']}</b> ({curve['kind']})<br>{html.escape(curve['architecture'])}"
    shown = [value * 100 if percent else value for _, value in points]
    return go.Scatter(
        x=[epoch for epoch, _ in points],
        y=[round(value, DECIMALS) for value in shown],
        mode="lines+markers",
        line={"color": color, "width": 1 if curve["kind"] == "other" else 2},
        marker={"size": 4},
        opacity=0.4 if curve["kind"] == "other" else 1.0,
        name=curve["kind"],
        legendgroup=curve["kind"],
        showlegend=first,
        hovertext=[
            f"{about}<br>epoch {epoch:g}: {value:.4g}{' %' * percent}"
            for (epoch, _), value in zip(points, shown, strict=True)
        ],
        hoverinfo="text",
    )
