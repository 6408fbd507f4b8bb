"""The figures: for each one function for its data, one for its drawing. The only home of plotly."""

import html
import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io

from mtl_search.pareto import COSTS, direction_of
from mtl_search.run_folder import Run
from mtl_search.trial import Trial

COST_LABELS = {
    "learnable_parameters": "learnable parameters",
    "fixed_parameters": "fixed parameters",
    "total_parameters": "learnable and fixed parameters",
    "macs": "MACs for one sample, all tasks",
}
"""Name of a cost -> what stands at its axis; each is a plain number without a unit."""

FRONT_COLOR = "#0072b2"
KNEE_COLOR = "#d55e00"
FAINT_COLOR = "#808890"
NOTE_COLOR = "#7a7f85"
"""Of text and lines: readable on white and on near-black."""

HEIGHT = 460
"""Pixels; the width is that of the page."""


def pareto_data(run: Run) -> dict[str, Any]:
    """What the Pareto plot shows, as plain data for JSON.

    Accuracies are 0 to 1. The axes are the experiment's first quality and its first cost.

    :returns: ``run`` (its folder, as a user types it), ``objectives``, ``quality``, ``cost`` (each with ``name``,
        ``label``, ``direction``, ``percent``), ``states`` (state -> number of trials), ``trials`` (the complete ones),
        ``front`` and ``knee`` (numbers of trials, cheapest first).
    """
    objectives = run.experiment.objectives
    quality = next(name for name in objectives if name not in COSTS)
    cost = next(name for name in objectives if name in COSTS)
    front = [trial.number for trial in run.front]
    knee = run.knee.number if run.knee else None
    return {
        "run": run_reference(run.path),
        "objectives": [_axis(name) for name in objectives],
        "quality": _axis(quality),
        "cost": _axis(cost),
        "states": dict(sorted(Counter(trial.state.value for trial in run.trials).items())),
        "trials": [_point(trial, quality, cost, trial.number in front, trial.number == knee) for trial in run.complete],
        "front": front,
        "knee": knee,
    }


def run_reference(path: Path) -> str:
    """A run's folder as a user types it: relative to the current directory if inside it, else just its name."""
    folder, here = path.absolute(), Path.cwd()
    return folder.relative_to(here).as_posix() if folder.is_relative_to(here) else folder.name


def objective_label(objective: str) -> str:
    """What stands at the axis of an objective, with its unit."""
    if objective == "accuracy":
        return "mean accuracy over tasks, in percent"
    if "/" in objective:
        task, _, metric = objective.partition("/")
        return f"{metric} of task {task}" + (", in percent" if is_percent(objective) else "")
    return COST_LABELS[objective]


def is_percent(objective: str) -> bool:
    """Whether the values of an objective are shares of 1, shown in percent."""
    return objective.rpartition("/")[2] == "accuracy"


def _axis(objective: str) -> dict[str, Any]:
    return {
        "name": objective,
        "label": objective_label(objective),
        "direction": direction_of(objective),
        "percent": is_percent(objective),
    }


def _point(trial: Trial, quality: str, cost: str, on_front: bool, is_knee: bool) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "quality": trial.value(quality),
        "cost": trial.value(cost),
        "accuracy": trial.accuracy,
        "delta_m": trial.delta_m,
        "scores": dict(trial.scores),
        "learnable_parameters": trial.learnable_parameters,
        "fixed_parameters": trial.fixed_parameters,
        "macs": trial.macs,
        "seconds": trial.seconds,
        "architecture": str(trial.architecture),
        "width_multiplier": trial.architecture.width_multiplier,
        "layers": [str(layer) for layer in trial.architecture.layers],
        "on_front": on_front,
        "is_knee": is_knee,
    }


def pareto_figure(data: Mapping[str, Any]) -> go.Figure:
    """Quality against cost: every complete trial, the front, the knee.

    :param data: From :func:`pareto_data`.
    """
    costs = [point["cost"] for point in data["trials"]]
    front = sorted((point for point in data["trials"] if point["on_front"]), key=lambda point: point["cost"])
    figure = go.Figure()
    figure.add_trace(_trials_trace([point for point in data["trials"] if not point["on_front"]], data))
    figure.add_trace(_front_trace(front, data))
    knee = [point for point in front if point["is_knee"]]
    if knee:
        figure.add_trace(_knee_trace(knee, data))
        figure.add_annotation(_knee_note(knee[0], costs, data["quality"]))
    figure.update_layout(_layout(data))
    figure.update_xaxes(_cost_axis(costs, data["cost"]["label"]))
    return figure


def figure_html(figure: go.Figure, identifier: str, with_library: bool = True) -> str:
    """A figure as a piece of a page that loads nothing.

    :param identifier: The ``id`` of its element.
    :param with_library: Put plotly.js (4.8 MB) into it; wanted for the first figure of a page.
    """
    text = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=with_library,
        div_id=identifier,
        default_height=f"{HEIGHT}px",
        config={
            "responsive": True,
            "displaylogo": False,
            "showSendToCloud": False,  # on by default in plotly 7: a button that uploads the chart
            "plotlyServerURL": "",
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        },
    )
    return str(text)


def _trials_trace(points: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> go.Scatter:
    marker = {"color": FAINT_COLOR, "size": 7, "opacity": 0.45}
    return _scatter(points, data, name="other trials", mode="markers", marker=marker)


def _front_trace(points: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> go.Scatter:
    """The front; a stepped line where two objectives make it one, markers alone where there are more."""
    steps = len(data["objectives"]) == 2
    return _scatter(
        points,
        data,
        name="front",
        mode="lines+markers" if steps else "markers",
        line={"color": FRONT_COLOR, "width": 2, "shape": "hv"},
        marker={"color": FRONT_COLOR, "size": 9},
    )


def _knee_trace(points: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> go.Scatter:
    line = {"color": KNEE_COLOR, "width": 3}
    marker = {"color": KNEE_COLOR, "size": 15, "symbol": "circle-open", "line": line}
    return _scatter(points, data, name="knee", mode="markers", marker=marker)


def _scatter(
    points: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    name: str,
    mode: str,
    marker: Mapping[str, Any],
    line: Mapping[str, Any] | None = None,
) -> go.Scatter:
    return go.Scatter(
        x=[point["cost"] for point in points],
        y=[_shown(point["quality"], data["quality"]) for point in points],
        hovertext=[_hover(point) for point in points],
        hoverinfo="text",
        name=name,
        mode=mode,
        marker=marker,
        line=line,
    )


def _shown(value: float, axis: Mapping[str, Any]) -> float:
    """A value in the unit of its axis."""
    return round(value * 100, 4) if axis["percent"] else value


def _hover(point: Mapping[str, Any]) -> str:
    """All that is known of a trial, a fact per line."""
    lines = [f"<b>trial {point['trial']}</b>" + (" (knee)" if point["is_knee"] else "")]
    if point["accuracy"] is not None:
        lines.append(f"mean accuracy {point['accuracy']:.2%}")
    if point["delta_m"] is not None:
        lines.append(f"delta_m {point['delta_m']:+.2f} %")
    lines += [html.escape(f"{name} {_score(name, value)}") for name, value in point["scores"].items()]
    lines.append(f"{point['learnable_parameters']:,} learnable parameters")
    lines.append(f"{point['fixed_parameters']:,} fixed parameters")
    lines.append(f"{point['macs']:,} MACs")
    lines.append(f"{point['seconds']:,.1f} s")
    lines.append(f"width x{point['width_multiplier']:g}")
    lines += [html.escape(f"layer {number}: {layer}") for number, layer in enumerate(point["layers"])]
    return "<br>".join(lines)


def _score(name: str, value: float) -> str:
    return f"{value:.2%}" if is_percent(name) else f"{value:.4g}"


def _knee_note(knee: Mapping[str, Any], costs: Sequence[float], quality: Mapping[str, Any]) -> dict[str, Any]:
    """The note at the knee, on the side of it where no trial can be; near the left edge, on the other."""
    up = 1 if quality["direction"] == "maximize" else -1
    low, high = _cost_range(costs)
    place = _on_axis(knee["cost"], costs)
    side = -1 if place > low + 0.3 * (high - low) else 1
    return {
        "x": place,
        "y": _shown(knee["quality"], quality),
        "text": f"<b>knee</b><br>trial {knee['trial']}",
        "ax": 32 * side,
        "ay": 32 * side * up,
        "xanchor": "right" if side < 0 else "left",
        "align": "right" if side < 0 else "left",
        "arrowcolor": KNEE_COLOR,
        "arrowwidth": 1.2,
        "standoff": 9,
        "font": {"color": KNEE_COLOR, "size": 13},
    }


def _layout(data: Mapping[str, Any]) -> dict[str, Any]:
    percent = data["quality"]["percent"]
    return {
        "template": "none",
        "height": HEIGHT,
        "title": {
            "text": "<br>".join(textwrap.wrap(html.escape(data["quality"]["label"]), 42)),
            "font": {"size": 13},
            "x": 0.01,
            "y": 0.94,
            "yanchor": "top",
        },
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": NOTE_COLOR},
        "margin": {"l": 8, "r": 14, "t": 66, "b": 8},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": NOTE_COLOR, "activecolor": FRONT_COLOR},
        "legend": {"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "bgcolor": "#22272e", "font": {"color": "#f2f4f6", "size": 12}},
        "hovermode": "closest",
        "dragmode": False,
        "yaxis": {**AXIS, "ticksuffix": " %" if percent else "", "nticks": 7},
    }


AXIS = {
    "automargin": True,
    "showline": True,
    "linecolor": NOTE_COLOR,
    "gridcolor": "rgba(128,136,144,0.25)",
    "zeroline": False,
    "ticks": "outside",
    "tickcolor": NOTE_COLOR,
}
"""What both axes have in common."""


def _cost_axis(costs: Sequence[float], label: str) -> dict[str, Any]:
    """A logarithmic axis, unless a cost is 0, with few ticks in plain numbers."""
    title = {"text": f"{label}{', logarithmic' if _is_logarithmic(costs) else ''}", "standoff": 8, "font": {"size": 13}}
    if not _is_logarithmic(costs):
        return {**AXIS, "title": title, "rangemode": "tozero", "nticks": 6}
    low, high = _cost_range(costs)
    ticks = _round_numbers(10**low, 10**high)
    return {
        **AXIS,
        "title": title,
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [short_number(tick) for tick in ticks],
    }


def _is_logarithmic(costs: Sequence[float]) -> bool:
    return bool(costs) and min(costs) > 0


def _on_axis(cost: float, costs: Sequence[float]) -> float:
    """The coordinate of a cost: on a logarithmic axis its exponent."""
    return math.log10(cost) if _is_logarithmic(costs) else cost


def _cost_range(costs: Sequence[float]) -> tuple[float, float]:
    """The ends of the axis in its coordinates, with room beside the outermost trials."""
    low, high = _on_axis(min(costs), costs), _on_axis(max(costs), costs)
    room = max(0.07 * (high - low), 0.04)
    return low - room, high + room


def _round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` round numbers from ``low`` to ``high``, as many as there can be."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
    for mantissas in choices:
        ticks = [m * 10.0**decade for decade in decades for m in mantissas if low <= m * 10.0**decade <= high]
        if len(ticks) <= most:
            break
    return ticks[:: math.ceil(len(ticks) / most)] if ticks else [low]


def short_number(number: float) -> str:
    """``12000`` as ``12k``, ``2500000`` as ``2.5M``."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{sign}"
    return f"{number:.3g}"
