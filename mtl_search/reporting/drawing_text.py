"""The picture of an architecture as text for a terminal."""

import textwrap
from collections.abc import Sequence

from mtl_search.reporting.layer_table import LayerRow, counted, layer_table, made_of, shortened
from mtl_search.spaces.architecture import Architecture

WIDTH, BANK = 80, 17
"""Characters of a line, those of a terminal, and of them for the name of a bank."""
BAR = 22
"""Characters of the longest bar: what 80 leave beside the numbers."""


def text_drawing(architecture: Architecture, tasks: Sequence[str]) -> str:
    """The layers as lines of at most 80 characters, each with a bar of its channels; needs no colour.

    :param tasks: Names of the tasks.
    """
    rows = layer_table(architecture)
    widest = max(row.shared + row.specific + row.carried_shared + row.carried for row in rows)
    head = f"{'layer':>5}  {'bank':<{BANK}} {'shared':>6} {'depth':>5} {'stride':>6}  {'channels':>9}"
    lines = [*_text_header(architecture, tasks), "", head]
    lines += [_text_row(row, BAR / widest) for row in rows]
    return "\n".join([*lines, "", _text_key(rows, len(tasks))]) + "\n"


def _text_header(architecture: Architecture, tasks: Sequence[str]) -> list[str]:
    named = f"{counted(len(tasks), 'task')}: {', '.join(tasks)}"
    return [line for text in (made_of(architecture), named) for line in textwrap.wrap(text, WIDTH)]


def _text_row(row: LayerRow, scale: float) -> str:
    depth = str(row.branch_depth or "-")
    stride = " ".join(_step(row)) or "-"
    chosen = f"{row.number:>5}  {shortened(row.bank, BANK):<{BANK}} {row.shared_ratio:>6.0%} {depth:>5} {stride:>6}"
    bars = ((row.shared, "█"), (row.carried_shared, "·"), (row.specific, "▒"), (row.carried, "·"))
    return f"{chosen}  {_channels(row):>9}  {_bars(bars, scale)}"


def _step(row: LayerRow) -> list[str]:
    """The stride, and the dilation behind a `d`, where they are not 1."""
    return [str(row.stride)] * (row.stride > 1) + [f"d{row.dilation}"] * (row.dilation > 1)


def _channels(row: LayerRow) -> str:
    """Shared channels + those of each task, in brackets where they are carried on."""
    shared = f"({row.carried_shared})" if row.carried_shared else str(row.shared)
    own = f"({row.carried})" if row.carried else str(row.specific)
    return shared if own == "0" else f"{shared}+{own}"


def _bars(parts: Sequence[tuple[int, str]], scale: float) -> str:
    """One bar after the other, their ends rounded so that the whole has the right length."""
    bar, channels = "", 0
    for part, sign in parts:
        channels += part
        length = round(channels * scale) - len(bar)
        bar += sign * (max(1, length) if part else 0)
    return bar


def _text_key(rows: Sequence[LayerRow], tasks: int) -> str:
    carried = "  (···) carried on" if any(row.carried or row.carried_shared for row in rows) else ""
    return f"channels: ███ shared  ▒▒▒ new, for each of {counted(tasks, 'task')}{carried}"
