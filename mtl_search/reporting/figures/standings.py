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
    cost_axis,
    layout,
)
from mtl_search.reporting.figures.labels import Label, free_labels
from mtl_search.reporting.figures.planes import side_by_side

COLORS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#808890", "#8c6bb1", "#a6761d")
"""Of baselines; picks have the colour of the knee. To tell apart with any colour vision (Okabe & Ito), or by symbol."""

SYMBOLS = (
    *("circle", "square", "triangle-up", "x", "triangle-down", "cross", "pentagon", "star", "hexagon", "bowtie"),
    *("hourglass", "triangle-left", "triangle-right"),
)
"""One more than a dozen, and no multiple of the colours: a colour comes back with another symbol."""

ABOVE_LEGEND, LEGEND_ROW = 60, 11
"""Pixels of the figure for its legend: for the first lines, and for each entry, as two stand in a line on a phone."""


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
        if any(one.about["curve"] for one in members):
            groups.append(_group(_named(recipe), "baseline", members, _curve(members, baselines)))
        else:  # each is a method of its own
            groups += [
                _group(_named(recipe) if len(members) == 1 else one.label, "baseline", [one], []) for one in members
            ]
    return {"word": word, "groups": groups}


def _named(recipe: str) -> str:
    return recipe.replace("_", " ")


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
    """Quality against learnable parameters, with intervals; what has as many parameters stands side by side.

    :param data: Data of the figure, from :func:`standings_data`.
    """
    points = {point["entrant"]: point for group in data["groups"] for point in (*group["line"], *group["points"])}
    costs = [point["learnable_parameters"] for point in points.values()]
    places = dict(zip(points, side_by_side(costs), strict=True))
    words = free_labels(_labelled(data["groups"], places), costs)
    figure = go.Figure()
    for number, group in enumerate(data["groups"]):
        figure.add_traces(_traces(group, number, data["word"], places, words))
    figure.update_layout(layout(f"mean {data['word']} over tasks, in percent", standings_height(data)))
    figure.update_xaxes(cost_axis(costs, "learnable parameters"))
    figure.update_yaxes({**AXIS, "nticks": 8, "ticksuffix": " %"})
    return figure


def standings_height(data: Mapping[str, Any]) -> int:
    """Height of the figure in pixels."""
    return HEIGHT + ABOVE_LEGEND + LEGEND_ROW * len(data["groups"])


def texts_of(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Entrant -> what is to stand at it: on a curve its variant."""
    return {point["entrant"]: point["variant"] for group in groups if group["line"] for point in group["points"]}


def _labelled(groups: Sequence[Mapping[str, Any]], places: Mapping[str, float]) -> list[Label]:
    texts = texts_of(groups)
    return [
        Label(point["entrant"], places[point["entrant"]], point["accuracy"]["mean"], texts.get(point["entrant"], ""))
        for group in groups
        for point in group["points"]
        if point["accuracy"]
    ]


def _traces(
    group: Mapping[str, Any], number: int, word: str, places: Mapping[str, float], words: Mapping[str, tuple[str, str]]
) -> list[go.Scatter]:
    """The traces of a group: the line, if it has one, then the markers."""
    pick = group["kind"] == "pick"
    color = KNEE_COLOR if pick else COLORS[number % len(COLORS)]
    markers: dict[str, Any] = {
        "name": html.escape(group["name"]),
        "mode": "markers+text" if group["line"] else "markers",
        "text": [html.escape(words[key][0]) if key in words else "" for key in _keys(group["points"])] or None,
        "textposition": [words[key][1] if key in words else "top left" for key in _keys(group["points"])],
        "cliponaxis": False,
        "textfont": {"color": color, "size": 11},
        "marker": {
            "color": color,
            "size": 12 if pick else 9,
            "symbol": "diamond" if pick else SYMBOLS[number % len(SYMBOLS)],
        },
        "error_y": {
            "color": color,
            "thickness": 1.3,
            "width": 4,
            **bars([point["accuracy"] for point in group["points"]], 100),
        },
        "hovertext": [_hover(point, word) for point in group["points"]],
        "hoverinfo": "text",
    }
    line: dict[str, Any] = {
        "mode": "lines",
        "line": {"color": color, "width": 1.6},
        "showlegend": False,
        "hoverinfo": "skip",
    }
    found = [(group["line"], line)] if len(group["line"]) > 1 else []
    return [_trace(points, number, places, style) for points, style in [*found, (group["points"], markers)]]


def _keys(points: Sequence[Mapping[str, Any]]) -> list[str]:
    return [point["entrant"] for point in points]


def _trace(
    points: Sequence[Mapping[str, Any]], number: int, places: Mapping[str, float], style: Mapping[str, Any]
) -> go.Scatter:
    return go.Scatter(
        x=[places[key] for key in _keys(points)],
        y=[times(point["accuracy"], "mean", 100) for point in points],
        customdata=_keys(points),
        legendgroup=str(number),
        **style,
    )


def _hover(point: Mapping[str, Any], word: str) -> str:
    lines = [f"<b>{html.escape(point['label'])}</b>"]
    if point["accuracy"]:
        lines.append(f"mean {word} {interval_text(point['accuracy'], 100)} %")
    if point["delta_m"]:
        lines.append(f"Delta_m {interval_text(point['delta_m'], 1, sign='+')} %")
    lines.append(f"{point['learnable_parameters']:,.0f} learnable parameters")
    count = point["accuracy"]["count"] if point["accuracy"] else 0
    return "<br>".join([*lines, f"{count} seed{'' if count == 1 else 's'}"])
