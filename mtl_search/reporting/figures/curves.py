"""Learning curves of a search's trials: the loss of every epoch, and the scores of those that were scored."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mtl_search.metrics.pareto import direction_of
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.reporting.figures._style import AXIS, FAINT_COLOR, FRONT_COLOR, HEIGHT, TICKS, axis_title, layout
from mtl_search.reporting.figures.pareto import is_percent, objective_label
from mtl_search.reporting.figures.planes import Cost, Quality, planes_data
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run

MOST_CURVES = 60
"""Trials that are drawn, those of the front first: more lines than that are a grey patch, and make the page large."""
LOSS = "loss"
LOSS_LABEL = "training loss, the mean over an epoch"
DIGITS = 5
"""Significant digits of a value in a curve: less than a pixel."""


def curves_data(run: Run, shown: Sequence[str]) -> dict[str, Any] | None:
    """What the plot of learning curves shows, as plain data for JSON.

    :param shown: Names of the scores to choose from, ``<task>/<metric>``.
    :returns: ``names``: what there is a curve of, ``loss`` first; ``mean_name``; ``left_out``: how many trials are not
        drawn; ``trials``: ``trial``, ``on_front``, ``epochs``, and ``values``: name -> one per epoch, ``None`` where it
        was not scored. ``None`` where no trial has two epochs.
    """
    rows: dict[int, list[EpochRow]] = defaultdict(list)
    for row in run.epochs:
        rows[row.trial].append(row)
    front = [trial.number for trial in run.front]
    order = [*front, *(trial for trial in sorted(rows) if trial not in front)]
    known = {trial: sorted(rows[trial], key=lambda row: row.epoch) for trial in order if len(rows.get(trial, [])) > 1}
    if not known:
        return None
    drawn = dict(list(known.items())[:MOST_CURVES])
    names = [LOSS, *(name for name in ("accuracy", WORST_TASK, *shown) if _is_curve(drawn, name))]
    return {
        "names": names,
        "mean_name": run.mean_name,
        "left_out": len(known) - len(drawn),
        "trials": [_curve(trial, found, names, trial in front) for trial, found in drawn.items()],
    }


def _is_curve(rows: Mapping[int, Sequence[EpochRow]], name: str) -> bool:
    """Whether some trial was scored more than once."""
    return any(sum(row.value(name) is not None for row in found) > 1 for found in rows.values())


def _curve(trial: int, rows: Sequence[EpochRow], names: Sequence[str], on_front: bool) -> dict[str, Any]:
    return {
        "trial": trial,
        "on_front": on_front,
        "epochs": [row.epoch for row in rows],
        "values": {name: [_short(row.loss if name == LOSS else row.value(name)) for row in rows] for name in names},
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


def curves_figure(data: Mapping[str, Any]) -> go.Figure:
    """The loss of each trial over its epochs: of the front in its colour, of the others faintly.

    :param data: Data of the figure, from :func:`curves_data`.
    """
    figure = go.Figure()
    start = 0
    for curve in data["trials"]:
        end = start + len(curve["epochs"])
        figure.add_trace(_trace(curve, range(start, end)))
        start = end
    figure.data = figure.data[::-1]  # the front above the others
    figure.update_layout(layout(LOSS_LABEL), showlegend=False)
    figure.update_xaxes({**AXIS, "title": axis_title("epoch"), "nticks": TICKS})
    figure.update_yaxes({**AXIS, "nticks": 7})
    return figure


def _trace(curve: Mapping[str, Any], places: range) -> go.Scatter:
    color = FRONT_COLOR if curve["on_front"] else FAINT_COLOR
    return go.Scatter(
        x=curve["epochs"],
        y=curve["values"][LOSS],
        customdata=list(places),
        mode="lines+markers",
        connectgaps=True,
        opacity=0.8 if curve["on_front"] else 0.35,  # the front stands out of the others
        line={"color": color, "width": 1.5},
        marker={"color": color, "size": 4},
        name=f"trial {curve['trial']}",
        hovertemplate="epoch %{x}: %{y:.4g}",
    )


def curves_planes(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the plot shows of each choice: the loss, the means over tasks, each task.

    :param data: Data of the figure, from :func:`curves_data`.
    :returns: As :func:`~mtl_search.reporting.figures.planes.planes_data`; a point is an epoch of a trial.
    """
    points = [(curve, place) for curve in data["trials"] for place in range(len(curve["epochs"]))]
    epochs = Cost("epoch", "epoch", [curve["epochs"][place] for curve, place in points])
    qualities = [_quality(points, name, data["mean_name"]) for name in data["names"]]
    targets = [f"trial-{curve['trial']}" for curve, _ in points]
    made = planes_data(range(len(points)), targets, [epochs], qualities, HEIGHT)
    made["x"][0] |= {"layout": {}, "sides": []}
    return made


def _quality(points: Sequence[tuple[Mapping[str, Any], int]], name: str, mean: str) -> Quality:
    percent = name != LOSS and is_percent(name)
    values = [curve["values"][name][place] for curve, place in points]
    shown = [None if value is None else value * (100 if percent else 1) for value in values]
    label = LOSS_LABEL if name == LOSS else objective_label(name, mean)
    return Quality(name, label, "minimize" if name == LOSS else direction_of(name), shown, percent=percent)
