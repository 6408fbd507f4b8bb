"""What all figures have in common: colours, axes, and the way into a page."""

import html
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io
import plotly.offline

FRONT_COLOR = "#0072b2"
KNEE_COLOR = "#d55e00"
FAINT_COLOR = "#808890"
NOTE_COLOR = "#7a7f85"
"""Of text and lines: readable on white and on near-black."""

HEIGHT = 460
"""Pixels; the width is that of the page, with which it makes about 4:3 on a screen."""
FONT, SMALL = 13, 12
"""Pixels of letters, a little smaller than the page's, and of those that stand closer."""
TITLE_LINE, ABOVE = 17, 32
"""Pixels of a line of the title, and above the plot besides: what plotly's buttons need."""
ROW, TALL_ROW = 26, 34
"""Pixels of a row of bars or of a heat map with a name of one line, and of up to two lines."""
TICKS, FEW_TICKS = 6, 5
"""Ticks of an axis at most: as many numbers as fit on a phone, and of an axis with units beside them or a low one."""
DECIMALS, COARSE = 4, 2
"""Decimals of what is drawn, far below a pixel, and of what only colours a cell or is read as a percentage: the page
stays small."""
WRAP, NARROW_WRAP = 42, 18
"""Characters of a line of a title, and of the name of a row, on a phone."""


def figure_html(figure: go.Figure, identifier: str, library: bool | str = True) -> str:
    """A figure as a piece of a page.

    :param identifier: The ``id`` of its element.
    :param library: Whether to put plotly.js (4.8 MB) into it, which the first figure of a page needs; or the address of
        a file that holds it, from the page.
    """
    text = plotly.io.to_html(
        figure,
        full_html=False,
        include_plotlyjs=library,
        div_id=identifier,
        default_height=f"{figure.layout.height or HEIGHT}px",
        config={
            "responsive": True,
            "displaylogo": False,
            "showSendToCloud": False,  # on by default in plotly 7: a button that uploads the chart
            "plotlyServerURL": "",
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        },
    )
    return str(text)


def plotly_js() -> str:
    """The text of plotly.js, for a file that several pages share."""
    return str(plotly.offline.get_plotlyjs())


def layout(title: str, height: int = HEIGHT, wrap: int = WRAP) -> dict[str, Any]:
    """What every figure's layout begins with: a title in place of that of the vertical axis, colours, margins.

    :param title: Wrapped after ``wrap`` characters, so that it fits on a phone.
    :param height: Height of the figure in pixels.
    """
    lines = wrapped(title, wrap)
    return {
        "template": "none",
        "height": height,
        "title": {
            "text": "<br>".join(lines),
            "font": {"size": FONT},
            "x": 0.01,
            "y": 1 - 28 / height,
            "yanchor": "top",
        },
        "font": {"family": "system-ui, sans-serif", "size": FONT, "color": NOTE_COLOR},
        "margin": {"l": 8, "r": 14, "t": ABOVE + TITLE_LINE * len(lines), "b": 8},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": NOTE_COLOR, "activecolor": FRONT_COLOR},
        "legend": {"orientation": "h", "yref": "container", "y": 0.01, "yanchor": "bottom", "x": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left", "bgcolor": "#22272e", "font": {"color": "#f2f4f6", "size": SMALL}},
        "hovermode": "closest",
        "dragmode": False,
    }


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most ``width`` characters, what plotly would take for markup escaped in each."""
    return [html.escape(line) for line in textwrap.wrap(text, width)]


def axis_title(text: str) -> dict[str, Any]:
    """What stands at a horizontal axis."""
    return {"text": text, "standoff": 8, "font": {"size": FONT}}


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


def cost_axis(costs: Sequence[float], label: str) -> dict[str, Any]:
    """A logarithmic axis, unless a cost is 0, with few ticks in plain numbers."""
    title = axis_title(f"{label}{', logarithmic' if _is_logarithmic(costs) else ''}")
    if not _is_logarithmic(costs):
        return {**AXIS, "title": title, "rangemode": "tozero", "nticks": TICKS}
    low, high = cost_range(costs)
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


def on_axis(cost: float, costs: Sequence[float]) -> float:
    """The coordinate of a cost: on a logarithmic axis its exponent."""
    return math.log10(cost) if _is_logarithmic(costs) else cost


def off_axis(place: float, costs: Sequence[float]) -> float:
    """The cost at a coordinate, the inverse of :func:`on_axis`."""
    return float(10**place) if _is_logarithmic(costs) else place


def cost_range(costs: Sequence[float]) -> tuple[float, float]:
    """The ends of the axis in its coordinates, with room beside the outermost trials."""
    low, high = on_axis(min(costs), costs), on_axis(max(costs), costs)
    room = max(0.07 * (high - low), 0.04)  # half of a large marker; a tenth of a cost where all are the same
    return low - room, high + room


def _round_numbers(low: float, high: float, most: int = TICKS) -> list[float]:
    """At most ``most`` round numbers from ``low`` to ``high``, as many as there can be."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # mantissas with which a decade is parted about evenly, ever more coarsely
    choices = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
    for mantissas in choices:
        ticks = [m * 10.0**decade for decade in decades for m in mantissas if low <= m * 10.0**decade <= high]
        if len(ticks) <= most:
            break
    return ticks[:: math.ceil(len(ticks) / most)] if ticks else [low]


def short_number(number: float) -> str:
    """``12000`` as ``12k``, ``2500000`` as ``2.5M``."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:  # from there on three digits round up to the next unit
            return f"{number / size:.3g}{sign}"
    return f"{number:.3g}"
