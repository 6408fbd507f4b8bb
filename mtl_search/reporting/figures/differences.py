"""How the entrants of a comparison differ from one of them, seed by seed."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from mtl_search.comparison.summary import Difference, EntrantSummary
from mtl_search.metrics.holm import holm
from mtl_search.metrics.intervals import LEVEL, Interval
from mtl_search.reporting.figures._intervals import bars, interval_data, interval_text, times
from mtl_search.reporting.figures._style import (
    AXIS,
    FAINT_COLOR,
    FRONT_COLOR,
    NOTE_COLOR,
    TALL_ROW,
    TICKS,
    layout,
    wrapped,
)


def differences_data(differences: Sequence[Difference], other: EntrantSummary, word: str) -> dict[str, Any]:
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
    figure.update_layout(layout(title, 120 + TALL_ROW * len(rows)), showlegend=True)  # title, axis, legend
    figure.update_xaxes(AXIS, nticks=TICKS)
    labels = ["<br>".join(wrapped(row["label"], 16)) for row in rows]  # characters: two lines of a row
    places = list(range(len(rows)))
    # half a row and a little more beyond the first and the last
    figure.update_yaxes(AXIS, tickvals=places, ticktext=labels, range=[len(rows) - 0.4, -0.6], showgrid=False)
    return figure


def _decided(row: Mapping[str, Any]) -> str:
    if row["verdict"] == "open":
        return "open"
    return "plain" if row["verdict_holm"] == "open" else "both"


def _difference_trace(
    chosen: Sequence[tuple[int, Mapping[str, Any]]], name: str, color: str, symbol: str
) -> go.Scatter:
    reach = bars([row["points"] for _, row in chosen], 1)
    return go.Scatter(
        x=[times(row["points"], "mean", 1) for _, row in chosen],
        y=[place for place, _ in chosen],
        error_x={**reach, "color": color, "thickness": 1.6, "width": 5, "visible": any(reach["array"])},
        mode="markers",
        marker={"color": color, "size": 10, "symbol": symbol},
        name=name,
        hovertext=[
            f"<b>{html.escape(row['label'])}</b><br>{interval_text(row['points'], 1, '+')} points" for _, row in chosen
        ],
        hoverinfo="text",
    )


def _hover(row: Mapping[str, Any]) -> str:
    return f"<b>{html.escape(row['label'])}</b><br>{interval_text(row['points'], 1, '+')} points"
