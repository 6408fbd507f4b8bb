"""The front as a small picture in SVG: where a page of a notebook is kept, no script runs."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mtl_search.reporting.figures._style import (
    FAINT_COLOR,
    FRONT_COLOR,
    KNEE_COLOR,
    NOTE_COLOR,
    cost_axis,
    cost_range,
    on_axis,
    short_number,
)

WIDTH, HEIGHT = 560, 300
"""Units of the picture, which are pixels where there is room for them."""
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 28, 44
"""Units beside the plot: numbers at the left, a title above, numbers and a name below."""
TICKS = 5
"""Numbers at the vertical axis."""


def front_svg(data: Mapping[str, Any]) -> str:
    """Quality against cost of every complete trial, the front as a stepped line where two objectives make it one.

    :param data: Data of the plot, from :func:`~mtl_search.reporting.figures.pareto.pareto_data`, with a front.
    """
    plot = _Plot(data)
    front = sorted((point for point in data["trials"] if point["on_front"]), key=lambda point: point["cost"])
    others = [point for point in data["trials"] if not point["on_front"]]
    parts = [
        *plot.axes(),
        *(plot.dot(point, FAINT_COLOR, 3) for point in others),
        plot.steps(front) if len(data["objectives"]) == 2 else "",
        *(plot.dot(point, KNEE_COLOR if point["is_knee"] else FRONT_COLOR, 4.5) for point in front),
    ]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" style="max-width:{WIDTH}px;width:100%" font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-size="11">{"".join(parts)}</svg>'


class _Plot:
    """Places in the picture of the values of two objectives.

    :param data: Data of the plot, with at least one trial.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.costs = [point["cost"] for point in data["trials"]]
        self.qualities = [point["quality"] for point in data["trials"]]
        self.low, self.high = min(self.qualities), max(self.qualities)
        if self.low == self.high:
            self.low, self.high = self.low - 0.01, self.high + 0.01  # one value: in the middle

    def x(self, cost: float) -> float:
        first, last = cost_range(self.costs)
        share = (on_axis(cost, self.costs) - first) / (last - first)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, quality: float) -> float:
        share = (quality - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - (0.05 + 0.9 * share) * (HEIGHT - TOP - BOTTOM), 1)  # a margin of 5 %

    def dot(self, point: Mapping[str, Any], color: str, radius: float) -> str:
        about = f"trial {point['trial']}: {self._shown(point['quality'])}, {short_number(point['cost'])}"
        place = f'cx="{self.x(point["cost"])}" cy="{self.y(point["quality"])}" r="{radius}" fill="{color}"'
        return f"<circle {place}><title>{escape(about)}</title></circle>"

    def steps(self, front: Sequence[Mapping[str, Any]]) -> str:
        places = [(self.x(point["cost"]), self.y(point["quality"])) for point in front]
        path = f"M{places[0][0]} {places[0][1]}" + "".join(f"H{x}V{y}" for x, y in places[1:])
        return f'<path d="{path}" fill="none" stroke="{FRONT_COLOR}" stroke-width="1.5"/>'

    def axes(self) -> list[str]:
        axis = cost_axis(self.costs, self.data["cost"]["label"])
        left, bottom, right = LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT
        lines = f'<path d="M{left} {TOP}V{bottom}H{right}" fill="none" stroke="{NOTE_COLOR}"/>'
        ticks = axis.get("tickvals") or [min(self.costs), max(self.costs)]
        values = [self.low + (self.high - self.low) * number / (TICKS - 1) for number in range(TICKS)]
        return [
            lines,
            *(_text(self.x(tick), bottom + 15, short_number(tick), "middle") for tick in ticks),
            *(_text(left - 6, self.y(value) + 4, self._shown(value), "end") for value in values),
            _text((left + right) / 2, HEIGHT - 8, axis["title"]["text"], "middle"),
            _text(left, TOP - 12, self.data["quality"]["label"], "start"),
        ]

    def _shown(self, quality: float) -> str:
        return f"{quality:.1%}" if self.data["quality"]["percent"] else f"{quality:.4g}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{NOTE_COLOR}">{escape(text)}</text>'
