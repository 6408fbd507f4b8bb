"""How a search went: hypervolume over trials and over time, and which choices mattered."""

import html
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from mtl_search.metrics.intervals import chance_share, explained_share
from mtl_search.metrics.pareto import COSTS, axis_value, direction_of, hypervolume
from mtl_search.reporting.figures._style import (
    AXIS,
    COARSE,
    DECIMALS,
    FAINT_COLOR,
    FEW_TICKS,
    FRONT_COLOR,
    NOTE_COLOR,
    ROW,
    TICKS,
    axis_title,
    layout,
    wrapped,
)
from mtl_search.reporting.figures.pareto import is_percent, objective_label
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import Trial
from mtl_search.spaces.ranges import Range

LOW = 320
"""Pixels of the figure of one curve, in place of :data:`HEIGHT`."""
LEAST_TRIALS = 8
"""With fewer complete trials nothing is said about which choices mattered."""

PARTS = 3
"""Of a range, each a level of its own: in more the trials of a short search would be too few for a mean."""
MOST_CHOICES = 15
"""Choices that are drawn, the most important ones."""


# Hypervolume


def hypervolume_data(run: Run) -> dict[str, Any] | None:
    """How much of the objectives' space the trials dominated, after each of them.

    The reference point is fixed over the whole search: of each cost its constraint, where it has one, otherwise the
    largest among the complete trials; of each quality the worst among them. The unit is the box between it and the
    ideal point (the best of each objective). Volumes are measured on the axes of the plots, on which costs are
    logarithmic (:func:`~mtl_search.metrics.pareto.axis_value`).

    :returns: ``objectives``, ``reference_point`` and ``ideal_point`` (one value per objective), ``points``: ``trials``
        ended, ``seconds`` of training so far, ``share`` of the box, 0 to 1; ``None`` where the trials make no box.
    """
    objectives = run.experiment.objectives
    if not run.complete:
        return None
    limits = run.experiment.constraints.limits()
    values = {trial.number: [_value(trial, name) for name in objectives] for trial in run.complete}
    columns = list(zip(objectives, zip(*values.values(), strict=True), strict=True))
    reference = [limits.get(name, _worst(name, column)) for name, column in columns]
    ideal = [_best(name, column) for name, column in columns]
    directions = [direction_of(name) for name in objectives]

    def volume(points: Sequence[Sequence[float]]) -> float:
        return hypervolume(
            [_on_axes(objectives, point) for point in points], _on_axes(objectives, reference), directions
        )

    box = volume([ideal])
    if box == 0:
        return None
    points = [{"trials": 0, "seconds": 0.0, "share": 0.0}]
    found: list[list[float]] = []
    for count, trial in enumerate(run.trials, start=1):
        found += [values[trial.number]] if trial.number in values else []
        share = volume(found) / box
        points.append({"trials": count, "seconds": points[-1]["seconds"] + trial.seconds, "share": share})
    return {"objectives": list(objectives), "reference_point": reference, "ideal_point": ideal, "points": points}


def _value(trial: Trial, objective: str) -> float:
    value = trial.value(objective)
    assert value is not None, "a complete trial has a value for every objective"
    return float(value)


def _on_axes(objectives: Sequence[str], values: Sequence[float]) -> list[float]:
    return [axis_value(name, value) for name, value in zip(objectives, values, strict=True)]


def _worst(objective: str, values: Sequence[float]) -> float:
    return min(values) if direction_of(objective) == "maximize" else max(values)


def _best(objective: str, values: Sequence[float]) -> float:
    return max(values) if direction_of(objective) == "maximize" else min(values)


def hypervolume_figure(data: Mapping[str, Any], over: str) -> go.Figure:
    """A stepped line.

    :param data: Data of the figure, from :func:`hypervolume_data`.
    :param over: What the horizontal axis counts: ``trials`` or ``seconds``.
    """
    titles = {"trials": "trials that ended", "seconds": "seconds of training, all workers added up"}
    trace = go.Scatter(
        x=[round(point[over], 1) for point in data["points"]],
        y=[round(point["share"] * 100, DECIMALS) for point in data["points"]],
        mode="lines",
        line={"color": FRONT_COLOR, "width": 2, "shape": "hv"},
        name="hypervolume",
    )
    figure = go.Figure(trace)
    figure.update_layout(layout("hypervolume, in percent of the box", LOW), showlegend=False)
    figure.update_xaxes(AXIS, title=axis_title(titles[over]), rangemode="tozero", nticks=TICKS)
    figure.update_yaxes(AXIS, ticksuffix=" %", rangemode="tozero", nticks=TICKS)
    return figure


# Which choices mattered


def importance_data(run: Run) -> dict[str, Any] | None:
    """How much of the variance of the first quality each choice explains, taken by itself, over the complete trials.

    :returns: ``quality``, ``label``, ``trials`` (their number) and ``choices``, most important first: ``choice``,
        ``share`` (epsilon squared), ``chance`` (what chance does not exceed in 95 % of cases) and ``levels``
        (``value``, ``trials``, ``mean``); ``None`` with few trials, or where nothing was to choose.
    """
    quality = next(name for name in run.experiment.objectives if name not in COSTS)
    if len(run.complete) < LEAST_TRIALS:
        return None
    told = [(_choices(run, trial), _value(trial, quality)) for trial in run.complete]
    names = list(told[0][0])
    rows = [_importance(name, [(choices[name], value) for choices, value in told]) for name in names]
    found = [row for row in rows if row["share"] is not None]
    if not found:
        return None
    return {
        "quality": quality,
        "label": objective_label(quality, run.mean_name).removesuffix(", in percent"),
        "percent": is_percent(quality),
        "trials": len(told),
        "choices": sorted(found, key=lambda row: -row["share"]),
    }


def _choices(run: Run, trial: Trial) -> dict[str, str]:
    """Name of each choice of the space -> what was chosen; of a range of numbers in which part of it that lies."""
    architecture = trial.architecture
    space = run.experiment.search_space
    found = {"width multiplier": f"{architecture.width_multiplier:g}"}
    for number, group in enumerate(space.groups()):
        name = "all layers" if space.granularity == "network" else f"{space.granularity} {number}"
        choice = architecture.layers[group[0]]
        found[f"{name}: bank"] = choice.bank
        found[f"{name}: shared ratio"] = f"{choice.shared_ratio:g}"
        found[f"{name}: branch depth"] = f"{choice.branch_depth}" if choice.shared_ratio < 1 else "no branch"
    for name, value in trial.training.items():
        found[name.replace("_", " ")] = _level(run.experiment.space.training[name], value)
    return found


def _level(offer: Any, value: Any) -> str:
    """A training value as a level: of a range, which of :data:`PARTS` parts of the same length it lies in."""
    if not isinstance(offer, Range):
        return str(value)
    part = min(int(offer.share(value) * PARTS), PARTS - 1)
    return f"{offer.at(part / PARTS):g} to {offer.at((part + 1) / PARTS):g}"


def _importance(name: str, pairs: Sequence[tuple[str, float]]) -> dict[str, Any]:
    groups = {level: [value for one, value in pairs if one == level] for level, _ in sorted(pairs)}
    levels = [{"value": level, "trials": len(values), "mean": fmean(values)} for level, values in groups.items()]
    share, chance = explained_share(list(groups.values())), chance_share(list(groups.values()))
    return {"choice": name, "share": share, "chance": chance, "levels": levels}


def importance_figure(data: Mapping[str, Any]) -> go.Figure:
    """A bar per choice, the most important on top, and a mark where chance reaches.

    :param data: Data of the figure, from :func:`importance_data`.
    """
    rows = data["choices"][:MOST_CHOICES]
    places = list(range(len(rows)))
    colors = [FRONT_COLOR if row["share"] > row["chance"] else FAINT_COLOR for row in rows]
    hover = [_levels_text(row, data["percent"]) for row in rows]
    shares, chances = ([round(row[name] * 100, COARSE) for row in rows] for name in ("share", "chance"))
    bars = go.Bar(
        x=shares,
        y=places,
        orientation="h",
        marker_color=colors,
        hovertext=hover,
        hoverinfo="text",
        name="explained",
        showlegend=False,
    )
    marks = go.Scatter(
        x=chances,
        y=places,
        mode="markers",
        marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": NOTE_COLOR}},
        name="chance stays below this in 19 of 20 cases",
        hoverinfo="x",
    )
    figure = go.Figure([bars, marks])
    figure.update_layout(
        layout(f"part of the variance of {data['label']} that one choice explains", 150 + ROW * len(rows))
    )
    labels = ["<br>".join(wrapped(row["choice"], 22)) for row in rows]  # characters: most in one line
    figure.update_xaxes(AXIS, ticksuffix=" %", nticks=FEW_TICKS)
    figure.update_yaxes(AXIS, tickvals=places, ticktext=labels, range=[len(rows) - 0.4, -0.6], showgrid=False)
    return figure


def _levels_text(row: Mapping[str, Any], percent: bool) -> str:
    lines = [f"<b>{html.escape(row['choice'])}</b>: {row['share'] * 100:.1f} %"]
    for level in row["levels"]:
        mean = f"{level['mean'] * 100:.2f} %" if percent else f"{level['mean']:.4g}"
        lines.append(html.escape(f"{level['value']}: mean {mean}, trials: {level['trials']}"))
    return "<br>".join(lines)
