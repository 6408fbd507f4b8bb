"""An architecture as SVG for a page; lengths are in the units of the viewBox, of which a drawing is 432 wide."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from mtl_search.reporting.layer_table import LayerRow, counted, described, entry_channels, layer_table, shortened
from mtl_search.spaces.architecture import Architecture

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""One per task: the palette of Okabe & Ito (2008), told apart with every common colour vision."""
SHARED_COLOR = "#808890"
MOST_DRAWN = len(COLORS)
"""With more tasks, one hatched box stands for all of them."""
COLUMNS = 5
"""Most columns (stem, layers, heads) in one row of the drawing."""
LEFT, PITCH, BOX, GHOST, STUB = 42.0, 78.0, 46.0, 7.0, 12.0
"""Pixels, all by eye: left of the first column, from one column to the next, widths of a box and of the bar that stands
for a column in another row, and the length of the lines at the end of a row."""
LINE, FONT, CHARACTER = 13.5, 11.5, 6.4
"""Pixels from one line of text to the next, of the letters, and of one letter's width, by which text is given room."""
EDGE = 4.0
"""Pixels left free at the left edge of the drawing."""
ROW_HEIGHT, HALF_HEIGHT = 150, 110
"""Pixels of the tallest stack of boxes where the drawing has one row, and where it has several, so that two fit a
page."""
THINNEST = 5.0
"""Pixels of a box of few channels: thinner, its colour could not be told."""
TITLE, CAPTION, BELOW = 20, 6, 18
"""Pixels above the boxes of a row for names, between boxes and captions, and below the captions."""
VIEW_WIDTH = LEFT + COLUMNS * PITCH
MOST_CHARACTERS = 12
"""Characters that fit under a column."""
IN_HEAD, HEAD = 9, PITCH - 9
"""Characters in the box of a head, and its width in pixels: wider than others, for nothing comes after it."""
HEAD_HEIGHT, GAP = 17.0, 4.0
"""Pixels of a head's box, a line of text and some air, and between boxes."""
LEGEND_LINE, SIGN, AFTER = 17.0, 16, 14
"""Pixels of a line of the legend, of the coloured sign of an entry, and between entries."""
NORMAL = 400
"""Weight of ordinary letters in CSS."""
MOST_IN_LEGEND = 40
"""Characters of a task's name in the legend: half of a line."""
TIMES = "\N{MULTIPLICATION SIGN}"
SHARED = 0
"""Lane of the shared boxes; that of task t is t + 1."""


@dataclass(frozen=True)
class _Box:
    """Channels of one lane in one column, at height ``top`` below the row's first box."""

    lane: int
    top: float
    height: float
    text: str
    title: str
    depth: int = 1
    carried: bool = False

    @property
    def middle(self) -> float:
        return self.top + self.height / 2


@dataclass(frozen=True)
class _Column:
    """One layer, the stem, or the heads."""

    name: str
    boxes: dict[int, _Box]
    captions: tuple[str, ...]
    width: float = BOX


@dataclass(frozen=True)
class _Sheet:
    """What all boxes of a drawing have in common.

    :param tasks: Names of the tasks.
    :param lanes: Number of boxes that stand for the tasks.
    :param scale: Units of height per channel.
    :param pattern: Identifier of the hatching.
    :param mixed: Whether the shared branch reads the tasks' features too.
    """

    tasks: tuple[str, ...]
    lanes: int
    scale: float
    pattern: str
    mixed: bool

    @property
    def collapsed(self) -> bool:
        return self.lanes < len(self.tasks)

    def color(self, lane: int) -> str:
        return SHARED_COLOR if lane == SHARED else COLORS[lane - 1]

    def fill(self, lane: int) -> str:
        return f"url(#{self.pattern})" if self.collapsed and lane != SHARED else self.color(lane)

    def task_of(self, lane: int) -> str:
        return f"each of {len(self.tasks)} tasks" if self.collapsed else self.tasks[lane - 1]


def svg_drawing(architecture: Architecture, tasks: Sequence[str]) -> str:
    """The layers as boxes whose heights are their channels, with the routing between them, as an ``<svg>`` element.

    It needs nothing but itself, takes the colour of text from the page, and is as wide as its container up to 640 px.
    Columns go on in further rows, each of which begins with the boxes that the row before ended with.

    :param tasks: Names of the tasks; more than six are drawn as one hatched box.
    """
    rows = layer_table(architecture)
    names = tuple(_printable(task) for task in tasks)
    sheet = _sheet(architecture, rows, names)
    columns = _columns(architecture, rows, sheet)
    legend, top = _legend(rows, sheet)
    body = [legend]
    before = _input_column()
    for part in _parts(columns):
        drawn, height = _svg_row(before, part, part[-1] is columns[-1], sheet)
        body.append(f'<g transform="translate(0 {top:.1f})">{drawn}</g>')
        top += height
        before = part[-1]
    return _svg(architecture, rows, sheet, "".join(body), top)


def _sheet(architecture: Architecture, rows: Sequence[LayerRow], tasks: tuple[str, ...]) -> _Sheet:
    lanes = 1 if len(tasks) > MOST_DRAWN else len(tasks)
    heights = [row.shared + row.carried_shared + lanes * (row.specific + row.carried) for row in rows]
    tallest = max([entry_channels(architecture), *heights])
    one_row = len(rows) + 2 <= COLUMNS
    scale = (ROW_HEIGHT if one_row else HALF_HEIGHT) / tallest
    return _Sheet(tasks, lanes, scale, f"hatch-{architecture.id}", architecture.routing == "mixed")


def _columns(architecture: Architecture, rows: Sequence[LayerRow], sheet: _Sheet) -> list[_Column]:
    backbone = architecture.backbone
    unit = "block" if backbone.residual else "layer"
    columns = [_layer_column(row, unit, sheet) for row in rows]
    if backbone.entry:
        columns.insert(0, _entry_column(architecture, sheet))
    return [*columns, _heads_column(backbone.head_pool, sheet)]


def _input_column() -> _Column:
    return _Column("input", {SHARED: _Box(SHARED, 0, 30, "", "input, read by all tasks")}, (), GHOST)


def _entry_column(architecture: Architecture, sheet: _Sheet) -> _Column:
    """The stem, or the embedding."""
    channels, backbone = entry_channels(architecture), architecture.backbone
    of_stems = {
        "rows": ("linear", "of a learned linear layer"),
        "sequences": ("conv 3", "of a learned convolution over three positions"),
        "images": ("conv 3x3", "of a learned 3x3 convolution"),
    }
    name, (caption, made) = "stem", of_stems[backbone.reads]
    if backbone.embedding:
        name, caption, made = "embedding", "of tokens", "learned for each token"
    title = f"{name}: {counted(channels, 'channel')} {made}, read by all tasks"
    boxes = _stack([(SHARED, channels, title, 1, False)], sheet)
    return _Column(name, boxes, (caption, *_stride_caption(backbone.stem_stride)))


def _layer_column(row: LayerRow, unit: str, sheet: _Sheet) -> _Column:
    parts = [(SHARED, row.shared, f"{counted(row.shared, 'channel')} shared by all tasks", 1, False)]
    parts.append((SHARED, row.carried_shared, "shared by all tasks, carried on from before", 1, True))
    for lane in range(1, sheet.lanes + 1):
        who = sheet.task_of(lane)
        title = f"{counted(row.specific, 'channel')} of {who}, branch depth {row.branch_depth}"
        parts.append((lane, row.specific, title, row.branch_depth, False))
        parts.append(
            (lane, row.carried, f"{counted(row.carried, 'channel')} of {who}, carried on from before", 1, True)
        )
    share = "all" if row.shared_ratio == 1 else f"{row.shared_ratio:.0%}"
    captions = [*_wrapped(row.bank), f"{share} shared"]
    captions += [f"depth {row.branch_depth}"] if row.branch_depth else []
    return _Column(
        f"{unit} {row.number}", _stack(parts, sheet), (*captions, *_stride_caption(row.stride, row.dilation))
    )


def _heads_column(pool: int, sheet: _Sheet) -> _Column:
    boxes = {}
    for lane in range(1, sheet.lanes + 1):
        name = shortened(sheet.tasks[lane - 1], IN_HEAD)
        text = f"{TIMES}{len(sheet.tasks)} heads" if sheet.collapsed else name
        top = (lane - 1) * (HEAD_HEIGHT + GAP)
        boxes[lane] = _Box(lane, top, HEAD_HEIGHT, text, f"head of {sheet.task_of(lane)}")
    return _Column("heads", boxes, (f"{pool}x{pool} grid",) if pool > 1 else (), HEAD)


def _stride_caption(stride: int, dilation: int = 1) -> tuple[str, ...]:
    named = {"stride": stride, "dilation": dilation}
    return tuple(f"{name} {value}" for name, value in named.items() if value > 1)


def _stack(parts: Sequence[tuple[int, int, str, int, bool]], sheet: _Sheet) -> dict[int, _Box]:
    """Boxes one below the other, from (lane, channels, title, depth, carried); what has no channels gets no box."""
    boxes: dict[int, _Box] = {}
    top = 0.0
    for lane, channels, title, depth, carried in parts:
        if channels:
            height = max(THINNEST, channels * sheet.scale)
            times = f"{TIMES}{len(sheet.tasks)}" if sheet.collapsed and lane != SHARED else ""
            boxes[lane] = _Box(lane, top, height, f"{channels}{times}", title, depth, carried)
            top += height + GAP
    return boxes


def _wrapped(bank: str) -> list[str]:
    """The name of a bank in at most two lines; an expression breaks after a ``+``."""
    first, rest = "", bank
    while rest:
        term, plus, after = rest.partition("+")
        if first and len(first + term + plus) > MOST_CHARACTERS:
            break
        first, rest = first + term + plus, after
    return [shortened(line, MOST_CHARACTERS) for line in (first, rest) if line]


def _parts(columns: Sequence[_Column]) -> list[Sequence[_Column]]:
    """The columns of each row, rows about equally long."""
    rows = math.ceil(len(columns) / COLUMNS)
    bounds = [round(index * len(columns) / rows) for index in range(rows + 1)]
    return [columns[start:stop] for start, stop in pairwise(bounds)]


def _svg_row(before: _Column, columns: Sequence[_Column], last: bool, sheet: _Sheet) -> tuple[str, float]:
    """The elements of a row and its height; ``before`` is drawn as a narrow bar at its left."""
    boxes_height = max(box.top + box.height for column in columns for box in column.boxes.values())
    placed = [(EDGE, GHOST, before)]
    placed += [(LEFT + index * PITCH, column.width, column) for index, column in enumerate(columns)]
    edges = [_svg_edges(left[0] + left[1], left[2], right[0], right[2], sheet) for left, right in pairwise(placed)]
    if not last:
        edges.append(_svg_stubs(placed[-1][0] + placed[-1][1], columns[-1], sheet))
    drawn = [_svg_ghost(before, sheet), *(_svg_column(x, column, boxes_height, sheet) for x, _, column in placed[1:])]
    lines = max(len(column.captions) for column in columns)
    height = TITLE + boxes_height + CAPTION + lines * LINE + BELOW
    return f'<g transform="translate(0 {TITLE})">{"".join([*edges, *drawn])}</g>', height


def _svg_column(x: float, column: _Column, boxes_height: float, sheet: _Sheet) -> str:
    middle = x + column.width / 2
    captions = [
        _svg_text(middle, boxes_height + CAPTION + LINE * (line + 0.8), caption, opacity=1.0 if line == 0 else 0.75)
        for line, caption in enumerate(column.captions)
    ]
    boxes = [_svg_box(x, column.width, box, sheet) for box in column.boxes.values()]
    return "".join([_svg_text(middle, -7, column.name, weight=600), *boxes, *captions])


def _svg_ghost(column: _Column, sheet: _Sheet) -> str:
    bars = [
        f'<rect x="4" y="{box.top:.1f}" width="{GHOST:g}" height="{box.height:.1f}" fill="{sheet.color(box.lane)}"'
        f' fill-opacity="0.45"><title>{escape(f"{column.name}: {box.title}")}</title></rect>'
        for box in column.boxes.values()
    ]
    name = '<text x="4" y="-7">input</text>' if column.width == GHOST else ""
    return "".join([name, *bars])


def _svg_box(x: float, width: float, box: _Box, sheet: _Sheet) -> str:
    color = sheet.color(box.lane)
    shape = f'y="{box.top:.1f}" height="{box.height:.1f}" rx="2" stroke="{color}"'
    parts = [f"<title>{escape(box.title)}</title>"]
    if box.carried:
        parts.append(f'<rect x="{x:.1f}" width="{width:.1f}" {shape} fill="none" stroke-dasharray="3 2.5"/>')
    else:
        parts.append(
            f'<rect x="{x:.1f}" width="{width:.1f}" {shape} fill="{sheet.fill(box.lane)}" fill-opacity="0.28"/>'
        )
    legible = box.height >= FONT
    tick = min(THINNEST, (box.height - FONT) / 2 if legible else box.height / 2)
    for cut in range(1, box.depth):
        place, end = x + width * cut / box.depth, box.top + box.height
        ticks = f"M{place:.1f} {box.top:.1f}v{tick:.1f}M{place:.1f} {end:.1f}v-{tick:.1f}"
        parts.append(f'<path d="{ticks}" stroke="{color}" stroke-width="1.5"/>')
    if legible:
        parts.append(_svg_text(x + width / 2, box.middle + FONT * 0.36, box.text))
    return f"<g>{''.join(parts)}</g>"


def _svg_edges(start: float, source: _Column, end: float, target: _Column, sheet: _Sheet) -> str:
    """Who reads whom between two columns."""
    edges = []
    for lane, box in target.boxes.items():
        own = source.boxes.get(lane)
        shared = source.boxes.get(SHARED)
        if own is not None and (lane != SHARED or box.carried):
            edges.append(_svg_edge(start, own, end, box, sheet, dashed=box.carried))
        if shared is not None and not box.carried:
            edges.append(_svg_edge(start, shared, end, box, sheet))
    if sheet.mixed and SHARED in target.boxes and not target.boxes[SHARED].carried:
        edges += [
            _svg_edge(start, box, end, target.boxes[SHARED], sheet, dashed=True)
            for lane, box in source.boxes.items()
            if lane != SHARED
        ]
    return "".join(edges)


def _svg_edge(start: float, source: _Box, end: float, target: _Box, sheet: _Sheet, dashed: bool = False) -> str:
    color = sheet.color(source.lane)
    tip, bend = end - 4, (end - start) / 2  # 4: within the arrow's head
    dash = ' stroke-dasharray="3 2.5"' if dashed else ""
    y = target.middle
    return (
        f'<path d="M{start:.1f} {source.middle:.1f}C{start + bend:.1f} {source.middle:.1f} {tip - bend:.1f} {y:.1f}'
        f' {tip:.1f} {y:.1f}" stroke="{color}" fill="none"{dash}/>'
        f'<path d="M{end:.1f} {y:.1f}l-5 -2.6v5.2z" fill="{color}"/>'
    )


def _svg_stubs(start: float, column: _Column, sheet: _Sheet) -> str:
    """Short lines at the end of a row, which the next row goes on with."""
    return "".join(
        f'<path d="M{start:.1f} {box.middle:.1f}h{STUB:g}" stroke="{sheet.color(lane)}" stroke-dasharray="4 2"/>'
        for lane, box in column.boxes.items()
    )


def _legend(rows: Sequence[LayerRow], sheet: _Sheet) -> tuple[str, float]:
    """What the colours mean, in as many lines as it takes, and their height."""
    entries = [(SHARED, "shared by all tasks")]
    if sheet.collapsed:
        entries.append((1, f"one of {len(sheet.tasks)} tasks, all alike"))
    else:
        entries += [(lane, shortened(task, MOST_IN_LEGEND)) for lane, task in enumerate(sheet.tasks, start=1)]
    if any(row.carried or row.carried_shared for row in rows):
        entries.append((-1, "carried on from before"))
    parts, x, line = [], EDGE, 0
    for lane, text in entries:
        length = SIGN + len(text) * CHARACTER + AFTER
        if x > EDGE and x + length > VIEW_WIDTH:
            x, line = EDGE, line + 1
        parts.append(_legend_entry(x, line * LEGEND_LINE, lane, text, sheet))
        x += length
    return "".join(parts), (line + 1) * LEGEND_LINE + 10  # of air


def _legend_entry(x: float, y: float, lane: int, text: str, sheet: _Sheet) -> str:
    style = f'fill="{sheet.fill(lane)}" fill-opacity="0.28" stroke="{sheet.color(lane)}"'
    if lane < SHARED:
        style = 'fill="none" stroke="currentColor" stroke-dasharray="3 2.5"'
    return (
        f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="11" height="11" rx="2" {style}/>'
        f'<text x="{x + SIGN:.1f}" y="{y + FONT:.1f}">{escape(text)}</text>'
    )


def _svg_text(x: float, y: float, text: str, weight: int = NORMAL, opacity: float = 1.0) -> str:
    style = f' font-weight="{weight}"' if weight != NORMAL else ""
    style += f' opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{style}>{escape(text)}</text>'


def _svg(architecture: Architecture, rows: Sequence[LayerRow], sheet: _Sheet, body: str, height: float) -> str:
    name = f"Architecture {architecture.id}"
    hatching = (
        f'<defs><pattern id="{sheet.pattern}" width="7" height="7" patternUnits="userSpaceOnUse"'
        f' patternTransform="rotate(45)"><path d="M0 0V7" stroke="{COLORS[0]}" stroke-width="5"/></pattern></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {VIEW_WIDTH:g} {height:.1f}" role="img"'
        f' aria-label={quoteattr(name)} font-size="{FONT:g}" font-family="system-ui, sans-serif"'
        f' fill="currentColor" style="display:block;width:100%;max-width:640px;height:auto">'
        f"<title>{escape(name)}</title><desc>{escape(described(architecture, rows, sheet.tasks))}</desc>"
        f"{hatching if sheet.collapsed else ''}{body}</svg>"
    )


def _printable(text: str) -> str:
    """``text`` without the characters that XML cannot hold."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
