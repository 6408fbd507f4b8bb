"""The Pareto plot: quality against cost of a search's trials."""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from mtl_search.metrics.pareto import COSTS, direction_of
from mtl_search.metrics.scores import WORST_TASK, headlines, is_share
from mtl_search.reporting.figures._style import (
    AXIS,
    DECIMALS,
    FAINT_COLOR,
    FONT,
    FRONT_COLOR,
    KNEE_COLOR,
    cost_axis,
    layout,
    on_axis,
)
from mtl_search.reporting.figures.planes import note_side, side_by_side
from mtl_search.reporting.numbers import signed, written
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import Trial

COST_LABELS = {
    "learnable_parameters": "learnable parameters",
    "fixed_parameters": "fixed parameters",
    "total_parameters": "learnable and fixed parameters",
    "macs": "MACs for one sample, all tasks",
    "latency_ms": "milliseconds for one sample, all tasks",
}
"""Name of a cost -> what stands at its axis."""


def pareto_data(run: Run) -> dict[str, Any]:
    """What the Pareto plot shows, as plain data for JSON.

    Accuracies are 0 to 1. The axes are the experiment's first quality and its first cost.

    :returns: ``run`` (its folder, as a user types it), ``objectives``, ``quality``, ``cost`` (each with ``name``,
        ``label``, ``direction``, ``percent``), ``mean_name`` (what the accuracy is called), ``states`` (state -> number
        of trials), ``trials`` (the complete ones), ``front`` (numbers of trials, cheapest first) and ``knee`` (number
        of a trial, or ``None``).
    """
    objectives = run.experiment.objectives
    quality = next(name for name in objectives if name not in COSTS)
    cost = next(name for name in objectives if name in COSTS)
    front = [trial.number for trial in run.front]
    knee = run.knee.number if run.knee else None
    return {
        "run": run_reference(run.path),
        "objectives": [_axis(name, run.mean_name) for name in objectives],
        "quality": _axis(quality, run.mean_name),
        "cost": _axis(cost, run.mean_name),
        "mean_name": run.mean_name,
        "states": dict(sorted(Counter(trial.state.value for trial in run.trials).items())),
        "trials": [
            {**_point(trial, quality, cost, trial.number in front, trial.number == knee), **_mean(run, trial, quality)}
            for trial in run.complete
        ],
        "front": front,
        "knee": knee,
    }


def run_reference(path: Path) -> str:
    """A run's folder as a user types it: relative to the current directory if inside it, else just its name."""
    folder, here = path.absolute(), Path.cwd()
    return folder.relative_to(here).as_posix() if folder.is_relative_to(here) else folder.name


def objective_label(objective: str, mean: str = "mean accuracy") -> str:
    """What stands at the axis of an objective, with its unit.

    :param mean: What the mean over tasks is called: :attr:`~mtl_search.runs.folder.Run.mean_name`.
    """
    if objective == "accuracy":
        return f"{mean} over tasks, in percent"
    if objective == WORST_TASK:
        return "quality of the worst task, in percent"
    if "/" in objective:
        task, _, metric = objective.partition("/")
        return f"{metric} of task {task}" + (", in percent" if is_percent(objective) else "")
    return COST_LABELS[objective]


def is_percent(objective: str) -> bool:
    """Whether the values of an objective are shares of 1, shown in percent."""
    return is_share(objective)


def _axis(objective: str, mean: str) -> dict[str, Any]:
    return {
        "name": objective,
        "label": objective_label(objective, mean),
        "direction": direction_of(objective),
        "percent": is_percent(objective),
    }


def _point(trial: Trial, quality: str, cost: str, on_front: bool, is_knee: bool) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "quality": trial.value(quality),
        "cost": trial.value(cost),
        "accuracy": trial.accuracy,
        "worst_task": trial.worst_task,
        "delta_m": trial.delta_m,
        "scores": dict(trial.scores),
        "learnable_parameters": trial.learnable_parameters,
        "fixed_parameters": trial.fixed_parameters,
        "macs": trial.macs,
        "latency_ms": trial.latency_ms,
        "seconds": trial.seconds,
        "architecture": str(trial.proposal),
        "width_multiplier": trial.architecture.width_multiplier,
        "layers": [str(layer) for layer in trial.architecture.layers],
        "on_front": on_front,
        "is_knee": is_knee,
    }


def _mean(run: Run, trial: Trial, quality: str) -> dict[str, Any]:
    """Where a trial is drawn: at the mean over seeds that is believed, with half of its 95 % interval as a bar."""
    estimate = run.beliefs.of(quality).estimates[trial.number]
    return {"quality": estimate.mean, "bar": estimate.bar, "as_trained": trial.value(quality)}


def pareto_figure(data: Mapping[str, Any]) -> go.Figure:
    """Quality against cost: every complete trial, the front, the knee.

    :param data: Data of the figure, from :func:`pareto_data`.
    """
    costs = [point["cost"] for point in data["trials"]]
    drawn = side_by_side(costs, [point["quality"] for point in data["trials"]])
    data = {**data, "trials": [{**point, "x": x} for point, x in zip(data["trials"], drawn, strict=True)]}
    front = sorted((point for point in data["trials"] if point["on_front"]), key=lambda point: point["cost"])
    figure = go.Figure()
    figure.add_trace(_trials_trace([point for point in data["trials"] if not point["on_front"]], data))
    figure.add_trace(_front_trace(front, data))
    knee = [point for point in front if point["is_knee"]]
    if knee:
        figure.add_trace(_knee_trace(knee, data))
        figure.add_annotation(_knee_note(knee[0], costs, data["quality"]))
    figure.update_layout(_layout(data))
    figure.update_xaxes(cost_axis(costs, data["cost"]["label"]))
    return figure


def _trials_trace(points: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> go.Scatter:
    # sizes in pixels: the front stands out of the others, the circle stands around its marker
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
        bars=True,
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
    bars: bool = False,
) -> go.Scatter:
    lengths = [_shown(point["bar"] or 0.0, data["quality"]) for point in points] if bars else []
    return go.Scatter(
        error_y={"array": lengths, "thickness": 1, "width": 3} if any(lengths) else None,
        x=[point["x"] for point in points],
        customdata=[point["trial"] for point in points],
        y=[_shown(point["quality"], data["quality"]) for point in points],
        hovertext=[_hover(point, data["mean_name"]) for point in points],
        hoverinfo="text",
        name=name,
        mode=mode,
        marker=marker,
        line=line,
    )


def _shown(value: float, axis: Mapping[str, Any]) -> float:
    """A value in the unit of its axis."""
    return round(value * 100, DECIMALS) if axis["percent"] else value


def _hover(point: Mapping[str, Any], mean: str) -> str:
    """All that is known of a trial, a fact per line."""
    lines = [f"<b>trial {point['trial']}</b>" + (" (knee)" if point["is_knee"] else "")]
    if point["accuracy"] is not None:
        lines.append(f"{mean} {_score('accuracy', point['accuracy'])}")
    if point["worst_task"] is not None:
        lines.append(f"worst task {_score(WORST_TASK, point['worst_task'])}")
    if point["delta_m"] is not None:
        lines.append(f"Delta_m {signed(point['delta_m'])} %")
    lines += [html.escape(f"{name} {_score(name, point['scores'][name])}") for name in _told(point["scores"])]
    if point["bar"] is not None:
        lines[1:1] = [f"drawn at its mean over seeds, which is known to ±{_bar(point)}; as trained:"]
    lines.append(f"{point['learnable_parameters']:,} learnable parameters")
    lines.append(f"{point['fixed_parameters']:,} fixed parameters")
    lines.append(f"{point['macs']:,} MACs")
    lines.append(f"{point['seconds']:,.1f} s")
    lines.append(f"width x{point['width_multiplier']:g}")
    lines += [html.escape(f"layer {number}: {layer}") for number, layer in enumerate(point["layers"])]
    return "<br>".join(lines)


MOST_SCORES = 8
"""Scores that fit beside a point; of more the headline of each task is told."""


def _told(scores: Mapping[str, float]) -> list[str]:
    return list(scores) if len(scores) <= MOST_SCORES else headlines(scores)


def _bar(point: Mapping[str, Any]) -> str:
    return f"{point['bar']:.2g}"


def _score(name: str, value: float) -> str:
    return f"{written(value * 100, '.2f')} %" if is_percent(name) else written(value)


NOTE_AWAY = 32
"""Pixels, across and up, from the knee to the note at it: no marker of a neighbour is under its first line."""


def _knee_note(knee: Mapping[str, Any], costs: Sequence[float], quality: Mapping[str, Any]) -> dict[str, Any]:
    """The note at the knee, on the side of it where no trial can be; near the left edge, on the other."""
    up = 1 if quality["direction"] == "maximize" else -1
    place, side = on_axis(knee["cost"], costs), note_side(knee["cost"], costs)
    return {
        "x": place,
        "y": _shown(knee["quality"], quality),
        "text": f"<b>knee</b><br>trial {knee['trial']}",
        "ax": NOTE_AWAY * side,
        "ay": NOTE_AWAY * side * up,
        "xanchor": "right" if side < 0 else "left",
        "align": "right" if side < 0 else "left",
        "arrowcolor": KNEE_COLOR,
        "arrowwidth": 1.2,
        "standoff": 9,  # outside of the circle
        "font": {"color": KNEE_COLOR, "size": FONT},
    }


def _layout(data: Mapping[str, Any]) -> dict[str, Any]:
    percent = data["quality"]["percent"]
    return {**layout(data["quality"]["label"]), "yaxis": {**AXIS, "ticksuffix": " %" if percent else "", "nticks": 7}}
