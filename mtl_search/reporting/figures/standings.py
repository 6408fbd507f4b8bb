"""How the entrants of a comparison stand: quality against parameters, and differences to one of them."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import plotly.graph_objects as go

from mtl_search.comparison.summary import Difference, Entrant
from mtl_search.metrics.holm import holm
from mtl_search.metrics.intervals import LEVEL, Interval
from mtl_search.reporting.figures._style import (
    AXIS,
    FAINT_COLOR,
    FRONT_COLOR,
    HEIGHT,
    KNEE_COLOR,
    NOTE_COLOR,
    cost_axis,
    layout,
    wrapped,
)

COLORS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#808890", "#8c6bb1", "#a6761d")
"""Of baselines; picks have the colour of the knee. To tell apart with any colour vision (Okabe & Ito), or by symbol."""

SYMBOLS = ("circle", "square", "triangle-up", "x", "triangle-down", "cross", "pentagon", "star", "hexagon", "bowtie")

UNITS = {
    "accuracy": (100, "mean {word} over tasks, in percent"),
    "delta_m": (1, "Delta_m over single task, in percent"),
}
"""What the plot can show -> factor, and what stands at the axis; ``{word}`` is what the mean over tasks is called."""


def interval_data(interval: Interval | None) -> dict[str, Any] | None:
    """An interval as plain data: ``mean``, ``low``, ``high``, ``count``, ``spread``."""
    return None if interval is None else asdict(interval)


# Quality against parameters


def standings_data(entrants: Sequence[Entrant], word: str) -> dict[str, Any]:
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


def _curve(members: Sequence[Entrant], baselines: Sequence[Entrant]) -> list[Entrant]:
    """The points of a curve: its members, and what differs from one of them in width alone."""
    alike = [_but_for_width(member) for member in members]
    return [one for one in baselines if one in members or _but_for_width(one) in alike]


def _but_for_width(entrant: Entrant) -> tuple[Any, ...]:
    return entrant.method, entrant.about["options"], entrant.about["balancing"]


def _group(name: str, kind: str, members: Sequence[Entrant], curve: Sequence[Entrant]) -> dict[str, Any]:
    line = sorted((_point(one) for one in curve), key=lambda point: point["learnable_parameters"])
    return {"name": name, "kind": kind, "line": line, "points": [_point(one) for one in members]}


def _point(entrant: Entrant) -> dict[str, Any]:
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
    height = HEIGHT + 60 + 11 * len(data["groups"])
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
    found: dict[str, Any] = {"y": [_times(interval, "mean", factor) for interval in intervals]}
    if with_bars:
        found["error_y"] = _bars(intervals, factor)
    return found


def _times(interval: Mapping[str, Any] | None, end: str, factor: float) -> float | None:
    return None if interval is None else round(interval[end] * factor, 4)


def _bars(intervals: Sequence[Mapping[str, Any] | None], factor: float) -> dict[str, list[float | None]]:
    """How far bars reach up and down; ends that were cut off make them uneven."""
    return {
        "array": [_reach(interval, "high", factor) for interval in intervals],
        "arrayminus": [_reach(interval, "low", factor) for interval in intervals],
    }


def _reach(interval: Mapping[str, Any] | None, end: str, factor: float) -> float | None:
    """From the mean to an end of the interval; ``None`` where there is none."""
    if interval is None or interval[end] is None:
        return None
    return round(abs(interval[end] - interval["mean"]) * factor, 4)


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
        "pad": {"b": 44, "l": 0},
        "bgcolor": "rgba(128,136,144,0.16)",
        "bordercolor": NOTE_COLOR,
        "font": {"size": 12},
    }


def _hover(point: Mapping[str, Any], word: str) -> str:
    lines = [f"<b>{html.escape(point['label'])}</b>"]
    if point["accuracy"]:
        lines.append(f"mean {word} {_text(point['accuracy'], 100)} %")
    if point["delta_m"]:
        lines.append(f"Delta_m {_text(point['delta_m'], 1, sign='+')} %")
    lines.append(f"{point['learnable_parameters']:,.0f} learnable parameters")
    count = point["accuracy"]["count"] if point["accuracy"] else 0
    return "<br>".join([*lines, f"{count} seed{'' if count == 1 else 's'}"])


def _text(interval: Mapping[str, Any], factor: float, sign: str = "") -> str:
    mean = f"{interval['mean'] * factor:{sign}.2f}"
    if interval["low"] is None:
        return mean
    return f"{mean} ({interval['low'] * factor:{sign}.2f} to {interval['high'] * factor:{sign}.2f})"


# Differences


def differences_data(differences: Sequence[Difference], other: Entrant, word: str) -> dict[str, Any]:
    """What the plot of differences shows, as plain data for JSON.

    :param differences: Difference of each entrant to ``other``, seed by seed.
    :param word: What the mean over tasks is called.
    :returns: ``other`` (``entrant``, ``label``), ``word``, and ``rows``, best first: ``entrant``, ``label``, ``kind``,
        ``points`` (entrant minus other, in points of the mean over tasks), ``excludes_zero``, ``p`` (of the paired t
        test; ``None`` for fewer than three seeds), ``p_holm`` (corrected for all rows that have one, by Holm),
        ``verdict`` and ``verdict_holm`` by these (``better``, ``worse``, ``open``), and ``seeds_to_decide``: how many
        an open one would need, ``None`` if more than 100; see
        :attr:`~mtl_search.metrics.intervals.Interval.count_to_decide`.
    """
    known = [(one.entrant, one.points) for one in differences if one.points is not None]
    known.sort(key=lambda one: -one[1].mean)
    tested = [p for _, points in known if (p := points.p_value) is not None]
    corrected = iter(holm(tested))
    rows = [
        {
            "entrant": entrant.key,
            "label": entrant.label,
            "kind": entrant.about["kind"],
            "points": interval_data(points),
            "excludes_zero": points.excludes_zero,
            **_verdicts(points, None if points.p_value is None else next(corrected)),
        }
        for entrant, points in known
    ]
    return {"other": {"entrant": other.key, "label": other.label}, "word": word, "rows": rows}


def _verdicts(points: Interval, corrected: float | None) -> dict[str, Any]:
    """What can be said of a difference by itself, and as one of many."""
    return {
        "p": points.p_value,
        "p_holm": corrected,
        "verdict": _verdict(points.mean, points.p_value),
        "verdict_holm": _verdict(points.mean, corrected),
        "seeds_to_decide": None if points.excludes_zero else points.count_to_decide,
    }


def _verdict(mean: float, p: float | None) -> str:
    if p is None or p >= 1 - LEVEL:
        return "open"
    return "better" if mean > 0 else "worse"


DECIDED = {
    "both": ("decided, also after Holm", FRONT_COLOR, "square"),
    "plain": ("decided by itself alone", FRONT_COLOR, "square-open"),
    "open": ("open", FAINT_COLOR, "square-open"),
}
"""What is said of a difference -> its words in the legend, colour and symbol."""


def differences_figure(data: Mapping[str, Any]) -> go.Figure:
    """A row per entrant: the mean difference and its interval, marked by what can be said of it.

    :param data: Data of the figure, from :func:`differences_data`.
    """
    rows = data["rows"]
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": NOTE_COLOR, "width": 1.2, "dash": "dot"})
    for decided in DECIDED:
        chosen = [(place, row) for place, row in enumerate(rows) if _decided(row) == decided]
        if chosen:
            figure.add_trace(_difference_trace(chosen, *DECIDED[decided]))
    title = f"points of mean {data['word']}, entrant minus {data['other']['label']}: to the right is better than it"
    figure.update_layout(layout(title, 120 + 34 * len(rows)), showlegend=True)
    figure.update_xaxes(AXIS, nticks=6)
    labels = ["<br>".join(wrapped(row["label"], 16)) for row in rows]
    places = list(range(len(rows)))
    figure.update_yaxes(AXIS, tickvals=places, ticktext=labels, range=[len(rows) - 0.4, -0.6], showgrid=False)
    return figure


def _decided(row: Mapping[str, Any]) -> str:
    if row["verdict"] == "open":
        return "open"
    return "plain" if row["verdict_holm"] == "open" else "both"


def _difference_trace(
    chosen: Sequence[tuple[int, Mapping[str, Any]]], name: str, color: str, symbol: str
) -> go.Scatter:
    bars = _bars([row["points"] for _, row in chosen], 1)
    return go.Scatter(
        x=[_times(row["points"], "mean", 1) for _, row in chosen],
        y=[place for place, _ in chosen],
        error_x={**bars, "color": color, "thickness": 1.6, "width": 5, "visible": any(bars["array"])},
        mode="markers",
        marker={"color": color, "size": 10, "symbol": symbol},
        name=name,
        hovertext=[f"<b>{html.escape(row['label'])}</b><br>{_text(row['points'], 1, '+')} points" for _, row in chosen],
        hoverinfo="text",
    )
