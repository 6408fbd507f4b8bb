"""Texts at the points of a plot: each where it covers no marker and no other text, or nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mtl_search.reporting.figures._style import cost_range, on_axis

WIDE, HIGH = 560, 300
"""Pixels of the plot between its axes that labels are fitted into: of a window half as wide as a page, so that there is
room on wider ones, too."""
CHARACTER, LINE = 6.2, 13
"""Pixels of a character of a label, and of its height."""
MARKER = 6
"""Pixels from the middle of a marker to its edge."""
PLACES = (
    *(("top left", -1, 1), ("top right", 1, 1), ("bottom left", -1, -1), ("bottom right", 1, -1)),
    *(("middle left", -1, 0), ("middle right", 1, 0)),
)
"""Where a text can stand, in the order of preference -> plotly's name, and the side of the marker across and up."""


@dataclass(frozen=True)
class Label:
    """A point of a plot.

    :param key: Name of the point.
    :param cost: Where it stands across.
    :param height: Where it stands up.
    :param text: To stand at it; empty for none.
    """

    key: str
    cost: float
    height: float
    text: str


class _Box(NamedTuple):
    left: float
    low: float
    right: float
    high: float

    def meets(self, other: "_Box") -> bool:
        return self.left < other.right and other.left < self.right and self.low < other.high and other.low < self.high


def free_labels(points: Sequence[Label], costs: Sequence[float]) -> dict[str, tuple[str, str]]:
    """Key of each point whose text has room -> the text, and plotly's name of where it stands.

    :param points: All points of the plot; those without a text are only kept clear of.
    :param costs: What the horizontal axis is made from.
    """
    spots = _in_pixels(points, costs)
    taken = [_Box(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in spots]
    found = {}
    for number, point in enumerate(points):
        if not point.text:
            continue
        for name, across, up in PLACES:
            box = _text_box(*spots[number], len(point.text) * CHARACTER, across, up)
            others = taken[:number] + taken[number + 1 :]
            if not any(box.meets(other) for other in others):
                taken.append(box)
                found[point.key] = (point.text, name)
                break
    return found


def _in_pixels(points: Sequence[Label], costs: Sequence[float]) -> list[tuple[float, float]]:
    if not points:
        return []
    low, high = cost_range(costs)
    heights = [point.height for point in points]
    span = (max(heights) - min(heights)) or 1.0
    return [
        ((on_axis(point.cost, costs) - low) / (high - low) * WIDE, (point.height - min(heights)) / span * HIGH)
        for point in points
    ]


def _text_box(x: float, y: float, width: float, across: int, up: int) -> _Box:
    left = x - width - MARKER if across < 0 else x + MARKER
    low = y + (MARKER if up > 0 else -MARKER - LINE if up < 0 else -LINE / 2)
    return _Box(left, low, left + width, low + LINE)
