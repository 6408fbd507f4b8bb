"""How the entrants of a comparison stand: quality against parameters."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mtl_search.comparison.summary import EntrantSummary
from mtl_search.reporting.figures._intervals import bars, interval_data, interval_text, times
from mtl_search.reporting.figures._style import (
    AXIS,
    HEIGHT,
    KNEE_COLOR,
    NOTE_COLOR,
    SMALL,
    cost_axis,
    layout,
)

COLORS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#808890", "#8c6bb1", "#a6761d")
"""Of baselines; picks have the colour of the knee. To tell apart with any colour vision (Okabe & Ito), or by symbol."""

SYMBOLS = ("circle", "square", "triangle-up", "x", "triangle-down", "cross", "pentagon", "star", "hexagon", "bowtie")

UNITS = {
    "accuracy": (100, "mean {word} over tasks, in percent"),
    "delta_m": (1, "Delta_m over single task, in percent"),
}
"""What the plot can show -> factor, and what stands at the axis; ``{word}`` is what the mean over tasks is called."""


def standings_data(entrants: Sequence[EntrantSummary], word: str) -> dict[str, Any]:
    """What the plot of quality against parameters shows, as plain data for JSON.

    :param word: What the mean over tasks is called.
    :returns: ``word``, and ``groups``: the picks, then each recipe, with ``name``, ``kind``, ``line`` (the points that
        are connected: ``learnable_parameters``, ``accuracy`` and ``delta_m``, means) and ``points``. Accuracies are 0
        to 1, Delta_m is in percent. Entrants without a complete training are left out.
    """
    trained = [one for one in entrants if one.outcomes]
    picks = [one for one in trained if one.is_pick]
    baselines = [one for one in trained if not one.is_pick]
    recipes = list(dict.fromkeys(one.about["recipe"] for one in baselines))
    groups = [_group("picks from the front", "pick", picks, picks)] if picks else []
    for recipe in recipes:
        members = [one for one in baselines if one.about["recipe"] == recipe]
        curve = _curve(members, baselines) if any(one.about["curve"] for one in members) else []
        groups.append(_group(recipe.replace("_", " "), "baseline", members, curve))
    return {"word": word, "groups": groups}


def _curve(members: Sequence[EntrantSummary], baselines: Sequence[EntrantSummary]) -> list[EntrantSummary]:
    """The points of a curve: its members, and what differs from one of them in width alone."""
    alike = [_but_for_width(member) for member in members]
    return [one for one in baselines if one in members or _but_for_width(one) in alike]


def _but_for_width(entrant: EntrantSummary) -> tuple[Any, ...]:
    return entrant.method, entrant.about["options"], entrant.about["balancing"]


def _group(name: str, kind: str, members: Sequence[EntrantSummary], curve: Sequence[EntrantSummary]) -> dict[str, Any]:
    line = sorted((_point(one) for one in curve), key=lambda point: point["learnable_parameters"])
    return {"name": name, "kind": kind, "line": line, "points": [_point(one) for one in members]}


def _point(entrant: EntrantSummary) -> dict[str, Any]:
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "variant": str(entrant.about["trial"]) if entrant.is_pick else entrant.about["variant"],
        "learnable_parameters": entrant.mean("learnable_parameters"),
        "accuracy": interval_data(entrant.accuracy),
        "delta_m": interval_data(entrant.delta_m),
    }


def standings_figure(data: Mapping[str, Any]) -> go.Figure:
    """Quality against learnable parameters, with intervals; a switch shows Delta_m instead.

    :param data: Data of the figure, from :func:`standings_data`.
    """
    figure = go.Figure()
    shown: dict[str, list[dict[str, Any]]] = {name: [] for name in UNITS}
    for number, group in enumerate(data["groups"]):
        for points, style in _traces(group, number, data["word"]):
            figure.add_trace(go.Scatter(**style, x=[point["learnable_parameters"] for point in points]))
            for name in UNITS:
                shown[name].append(_heights(points, name, with_bars="error_y" in style))
    for trace, heights in zip(figure.data, shown["accuracy"], strict=True):
        trace.update(heights)
    height = HEIGHT + 60 + 11 * len(data["groups"])  # for the buttons, and the legend: two entries in a line
    figure.update_layout(layout(_title("accuracy", data["word"]), height), yaxis={**AXIS, "nticks": 8})
    points = [point for group in data["groups"] for point in group["points"]]
    figure.update_xaxes(cost_axis([point["learnable_parameters"] for point in points], "learnable parameters"))
    figure.update_yaxes(ticksuffix=" %")
    if all(point["delta_m"] for point in points):
        figure.update_layout(updatemenus=[_switch(shown, data["word"])], margin_t=92, title_y=1 - 62 / height)
    return figure


def _title(name: str, word: str) -> str:
    return UNITS[name][1].format(word=word)


def _traces(
    group: Mapping[str, Any], number: int, word: str
) -> list[tuple[Sequence[Mapping[str, Any]], dict[str, Any]]]:
    """The traces of a group, each with its points: the line, if it has one, then the markers."""
    pick = group["kind"] == "pick"
    color = KNEE_COLOR if pick else COLORS[number % len(COLORS)]
    marker = {
        "color": color,
        "size": 12 if pick else 9,
        "symbol": "diamond" if pick else SYMBOLS[number % len(SYMBOLS)],
    }
    markers = {
        "name": html.escape(group["name"]),
        "legendgroup": str(number),
        "mode": "markers+text" if group["line"] else "markers",
        "text": [html.escape(point["variant"]) for point in group["points"]] if group["line"] else None,
        "textposition": "top left",
        "cliponaxis": False,
        "textfont": {"color": color, "size": 11},
        "marker": marker,
        "error_y": {"color": color, "thickness": 1.3, "width": 4},
        "hovertext": [_hover(point, word) for point in group["points"]],
        "hoverinfo": "text",
    }
    line = {
        "mode": "lines",
        "line": {"color": color, "width": 1.6},
        "legendgroup": str(number),
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [*([(group["line"], line)] if len(group["line"]) > 1 else []), (group["points"], markers)]


def _heights(points: Sequence[Mapping[str, Any]], name: str, with_bars: bool) -> dict[str, Any]:
    """Where points stand, and how far their bars reach, in the unit of the axis."""
    factor, intervals = UNITS[name][0], [point[name] for point in points]
    found: dict[str, Any] = {"y": [times(interval, "mean", factor) for interval in intervals]}
    if with_bars:
        found["error_y"] = bars(intervals, factor)
    return found


def _switch(shown: Mapping[str, Sequence[Mapping[str, Any]]], word: str) -> dict[str, Any]:
    """Buttons for the mean over tasks and Delta_m."""
    buttons = []
    for name, label in (("accuracy", word), ("delta_m", "Delta_m")):
        change: dict[str, list[Any]] = {"y": [heights["y"] for heights in shown[name]]}
        for side in ("array", "arrayminus"):
            change[f"error_y.{side}"] = [heights.get("error_y", {}).get(side) for heights in shown[name]]
        buttons.append({"label": label, "method": "update", "args": [change, {"title.text": _title(name, word)}]})
    return {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
        "pad": {"b": 44, "l": 0},  # pixels above the plot: below them stands the title
        "bgcolor": "rgba(128,136,144,0.16)",
        "bordercolor": NOTE_COLOR,
        "font": {"size": SMALL},
    }


def _hover(point: Mapping[str, Any], word: str) -> str:
    lines = [f"<b>{html.escape(point['label'])}</b>"]
    if point["accuracy"]:
        lines.append(f"mean {word} {interval_text(point['accuracy'], 100)} %")
    if point["delta_m"]:
        lines.append(f"Delta_m {interval_text(point['delta_m'], 1, sign='+')} %")
    lines.append(f"{point['learnable_parameters']:,.0f} learnable parameters")
    count = point["accuracy"]["count"] if point["accuracy"] else 0
    return "<br>".join([*lines, f"{count} seed{'' if count == 1 else 's'}"])
