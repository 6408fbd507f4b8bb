"""What went on inside the networks: shares of channels, branch points, agreement of the tasks' gradients."""

import html
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from mtl_search.comparison.summary import EntrantSummary, difference_of
from mtl_search.metrics.intervals import interval
from mtl_search.reporting.figures._intervals import interval_data
from mtl_search.reporting.figures._style import (
    AXIS,
    COARSE,
    DECIMALS,
    FEW_TICKS,
    FONT,
    NARROW_WRAP,
    NOTE_COLOR,
    ROW,
    SMALL,
    TALL_ROW,
    axis_title,
    layout,
    wrapped,
)
from mtl_search.reporting.figures.standings import COLORS

Scale = list[list[Any]]

SHARE_SCALE: Scale = [[0, "#eef3f8"], [0.5, "#56a0d3"], [1, "#08427d"]]
CONFLICT_SCALE: Scale = [[0, "#fbf1ea"], [0.5, "#ec9a60"], [1, "#8f3c00"]]
COSINE_SCALE: Scale = [[0, "#a84300"], [0.25, "#e89a62"], [0.5, "#f4f4f4"], [0.75, "#6fb0dc"], [1, "#00568a"]]
"""Opposed to agreed: orange to blue."""

AROUND_ROWS, AROUND_GRID = 150, 170
"""Pixels of a heat map besides its rows: title, names of the columns, colours; and of one with a title below, too."""
MANY_ROWS, LOW_ROW = 20, 16
"""More rows than these are as low as a line of small letters, in pixels."""
PANEL = 190
"""Pixels of a task's panel: its lines can be told apart, and three fit on a screen."""
MOST_TASKS = 6
"""More tasks than these are not drawn one below the other."""

Grid = list[list[float | None]]


# Channels that tasks have for themselves


def shares_data(entrants: Sequence[EntrantSummary]) -> dict[str, Any] | None:
    """The share of channels that each task has for itself, layer by layer, means over seeds.

    :returns: ``layers`` and ``rows`` (``entrant``, ``label``, ``task``, ``seeds``, ``shares``: 0 to 1, one per layer);
        ``None`` where no entrant tells it.
    """
    rows: list[dict[str, Any]] = []
    layers: list[str] = []
    for entrant in entrants:
        told = [details["share"] for details in entrant.details if "share" in details]
        if not told:
            continue
        for task, of_layers in told[0].items():
            layers = list(dict.fromkeys([*layers, *of_layers]))
            shares = {layer: fmean(share[task][layer] for share in told) for layer in of_layers}
            rows.append(
                {"entrant": entrant.key, "label": entrant.label, "task": task, "seeds": len(told), "of": shares}
            )
    if not rows:
        return None
    for row in rows:
        of_layer = row.pop("of")
        row["shares"] = [of_layer.get(layer) for layer in layers]
    return {"layers": layers, "rows": rows}


def shares_figure(data: Mapping[str, Any]) -> go.Figure:
    """A heat map: a row for each task of each variant, a column for each layer.

    :param data: Data of the figure, from :func:`shares_data`.
    """
    grid = [[None if share is None else round(share * 100, COARSE) for share in row["shares"]] for row in data["rows"]]
    labels = [_wrapped(f"{row['label']}, {row['task']}") for row in data["rows"]]
    figure = go.Figure(_heat(grid, data["layers"], SHARE_SCALE, (0, 100), " %", numbers=True))
    title = "channels that a task has for itself, in percent of the layer's"
    row = TALL_ROW if len(labels) <= MANY_ROWS else LOW_ROW
    figure.update_layout(layout(title, AROUND_ROWS + row * len(labels)))
    _rows_axis(figure, labels)
    return figure


# Branch points


def branch_points_data(entrant: EntrantSummary) -> dict[str, Any] | None:
    """How a task's shares of the places to leave the trunk moved over the epochs of the search, means over seeds.

    :returns: ``entrant``, ``label``, ``seeds``, ``tasks``, ``choices`` (names of the places to leave), ``alpha``
        (``[epoch][task][choice]``, 0 to 1; ``None`` where the choices changed during the search), ``branch_points``
        (task -> modules shared, for each seed), ``margins`` (task -> interval), ``margin_path`` (task -> its margin in
        each epoch), ``modules``, ``conflicts`` (``[epoch][module]``: share of the steps with a conflict) and ``frozen``
        (of each epoch the share of the steps in which a module did not learn); ``None`` where the entrant tells none of
        it. The last and ``margin_path`` hold nothing for trainings of earlier versions.
    """
    told = [details for details in entrant.details if details.get("alpha")]
    if not told:
        return None
    tasks, places = list(told[0]["branch_points"]), list(told[0]["places"])
    choices = [f"before {places[0]}", *(f"after {place}" for place in places[:-1]), "never"]
    modules = list(dict.fromkeys(name for details in told for epoch in details["conflicts"] for name in epoch))
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "seeds": len(told),
        "tasks": tasks,
        "choices": choices,
        "alpha": _mean_alpha([details["alpha"] for details in told], len(tasks), len(choices)),
        "branch_points": {task: [details["branch_points"][task] for details in told] for task in tasks},
        "margins": {
            task: interval_data(interval([details["margin"][number] for details in told], (0.0, 1.0)))
            for number, task in enumerate(tasks)
        },
        "margin_path": _columns(
            [[dict(zip(tasks, of_epoch, strict=True)) for of_epoch in details.get("margins", [])] for details in told],
            tasks,
        ),
        "modules": modules,
        "conflicts": _mean_rows([details["conflicts"] for details in told], modules),
        "frozen": _columns(
            [[{"frozen": share} for share in details.get("frozen", [])] for details in told], ["frozen"]
        )["frozen"],
    }


def _columns(of_seeds: Sequence[Sequence[Mapping[str, float | None]]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Name -> its mean over seeds in each epoch."""
    rows = _mean_rows(of_seeds, names)
    return {name: [row[number] for row in rows] for number, name in enumerate(names)}


def _mean_alpha(alphas: Sequence[Any], tasks: int, choices: int) -> list[list[list[float]]] | None:
    """Mean over seeds, unless a seed has another number of epochs, tasks or choices somewhere."""
    epochs = len(alphas[0])
    shapes = {
        (len(alpha), len(of_epoch), len(of_task)) for alpha in alphas for of_epoch in alpha for of_task in of_epoch
    }
    if shapes != {(epochs, tasks, choices)}:
        return None
    return [
        [[fmean(alpha[e][t][c] for alpha in alphas) for c in range(choices)] for t in range(tasks)]
        for e in range(epochs)
    ]


def paths_figure(data: Mapping[str, Any]) -> go.Figure:
    """A panel for each task: the share of each place to leave, over the epochs of the search.

    :param data: Data of the figure, from :func:`branch_points_data`, with ``alpha``.
    """
    tasks = data["tasks"][:MOST_TASKS]
    panels = [f"task {html.escape(task)}" for task in tasks]
    # 0.09 of the height between panels: for the name of the next
    figure = make_subplots(rows=len(tasks), cols=1, shared_xaxes=True, subplot_titles=panels, vertical_spacing=0.09)
    for row, _ in enumerate(tasks):
        for place, choice in enumerate(data["choices"]):
            figure.add_trace(_path(data, row, place, choice), row=row + 1, col=1)
    title = "share of each place at which a task can leave the trunk, in percent"
    figure.update_layout(layout(title, 130 + PANEL * len(tasks) + 8 * len(data["choices"])))
    figure.update_layout(legend_title={"text": "leaves", "font": {"size": FONT}})
    figure.update_annotations(font={"size": SMALL})
    figure.update_xaxes(AXIS, dtick=max(1, len(data["alpha"]) // 8))  # about eight ticks
    figure.update_xaxes(title=axis_title("epoch of the search"), row=len(tasks), col=1)
    figure.update_yaxes(AXIS, ticksuffix=" %", nticks=FEW_TICKS)
    return figure


def _path(data: Mapping[str, Any], task: int, place: int, choice: str) -> go.Scatter:
    dashes = ("solid", "dash", "dot", "dashdot")
    return go.Scatter(
        x=list(range(1, len(data["alpha"]) + 1)),
        y=[round(epoch[task][place] * 100, DECIMALS) for epoch in data["alpha"]],
        mode="lines",
        line={"color": COLORS[place % len(COLORS)], "width": 2, "dash": dashes[place // len(COLORS) % len(dashes)]},
        name=html.escape(choice),
        legendgroup=str(place),
        showlegend=task == 0,
    )


def conflicts_figure(data: Mapping[str, Any]) -> go.Figure:
    """A heat map: a row for each module of the trunk, a column for each epoch.

    :param data: Data of the figure, from :func:`branch_points_data`, with ``modules``.
    """
    grid = [
        [None if rate is None else round(rate * 100, COARSE) for rate in row]
        for row in zip(*data["conflicts"], strict=True)
    ]
    epochs = [str(epoch + 1) for epoch in range(len(data["conflicts"]))]
    figure = go.Figure(_heat([list(row) for row in grid], epochs, CONFLICT_SCALE, (0, 100), " %"))
    figure.update_layout(
        layout("steps in which tasks conflict at a shared module, in percent", AROUND_GRID + ROW * len(grid))
    )
    figure.update_xaxes(title=axis_title("epoch of the search"))
    _rows_axis(figure, [_wrapped(name) for name in data["modules"]])
    return figure


# Agreement of the tasks' gradients


def cosines_data(entrants: Sequence[EntrantSummary], other: EntrantSummary | None) -> dict[str, Any] | None:
    """The cosines between the tasks' gradients, layer by layer and epoch by epoch, means over seeds.

    :param other: What the others are compared with: hard sharing.
    :returns: ``limit`` (largest magnitude: the end of the common colour scale), ``other`` (its key) and ``maps``:
        ``entrant``, ``label``, ``seeds``, ``layers``, ``cosines`` (``[epoch][layer]``, ``None`` where nothing is
        shared), ``mean`` and ``negative`` (the mean cosine, and the share of layers and epochs with a negative one:
        intervals over seeds), ``difference`` (of the mean cosine to that of ``other``, seed by seed); ``None`` where
        nobody tells it.
    """
    maps = [_cosine_map(entrant, other) for entrant in entrants if _told_cosines(entrant)]
    if not maps:
        return None
    known = [abs(value) for one in maps for row in one["cosines"] for value in row if value is not None]
    # a tenth at least: where all cosines are small, colours should not cry
    limit = max(0.1, math.ceil(10 * max(known, default=0.1)) / 10)
    return {"limit": min(1.0, limit), "other": other.key if other else None, "maps": maps}


def _told_cosines(entrant: EntrantSummary) -> dict[int, list[dict[str, float | None]]]:
    """Seed -> an entry per epoch, of the seeds that tell at least one cosine."""
    pairs = zip(entrant.outcomes, entrant.details, strict=True)
    told = {outcome.seed: details["cosines"] for outcome, details in pairs if details.get("cosines")}
    return {seed: epochs for seed, epochs in told.items() if _known(epochs)}


def _known(epochs: Sequence[Mapping[str, float | None]]) -> list[float]:
    return [value for epoch in epochs for value in epoch.values() if value is not None]


def _cosine_map(entrant: EntrantSummary, other: EntrantSummary | None) -> dict[str, Any]:
    told = _told_cosines(entrant)
    layers = list(dict.fromkeys(layer for epochs in told.values() for epoch in epochs for layer in epoch))
    means = {seed: fmean(_known(epochs)) for seed, epochs in told.items()}
    negative = [fmean(value < 0 for value in _known(epochs)) for epochs in told.values()]
    theirs = {seed: fmean(_known(epochs)) for seed, epochs in _told_cosines(other).items()} if other else {}
    compared = other is not None and entrant.key != other.key
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "seeds": len(told),
        "layers": layers,
        "cosines": _mean_rows(list(told.values()), layers),
        "mean": interval_data(interval(list(means.values()), (-1.0, 1.0))),
        "negative": interval_data(interval(negative, (0.0, 1.0))),
        "difference": interval_data(difference_of(means, theirs, (-2.0, 2.0))) if compared else None,
    }


def cosines_figure(data: Mapping[str, Any], number: int) -> go.Figure:
    """One heat map: a row for each layer, a column for each epoch, the same colours in all of them.

    :param data: Data of the figure, from :func:`cosines_data`.
    :param number: Which of its ``maps`` is drawn, from 0.
    """
    one, limit = data["maps"][number], data["limit"]
    grid = [list(row) for row in zip(*one["cosines"], strict=True)]
    epochs = [str(epoch + 1) for epoch in range(len(one["cosines"]))]
    rounded = [[None if value is None else round(value, DECIMALS) for value in row] for row in grid]
    figure = go.Figure(_heat(rounded, epochs, COSINE_SCALE, (-limit, limit), ""))
    figure.update_layout(layout(f"{one['label']}: mean cosine between tasks", AROUND_GRID + ROW * len(grid)))
    figure.update_xaxes(title=axis_title("epoch"))
    _rows_axis(figure, [_wrapped(name) for name in one["layers"]])
    return figure


# Heat maps


def _mean_rows(of_seeds: Sequence[Sequence[Mapping[str, float | None]]], names: Sequence[str]) -> Grid:
    """``[epoch][name]``, the mean over the seeds that know it."""
    epochs = max(len(of_seed) for of_seed in of_seeds)
    return [
        [_mean_known([of_seed[epoch].get(name) for of_seed in of_seeds if epoch < len(of_seed)]) for name in names]
        for epoch in range(epochs)
    ]


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _heat(
    grid: Sequence[Sequence[float | None]],
    columns: Sequence[str],
    scale: Scale,
    ends: tuple[float, float],
    unit: str,
    numbers: bool = False,
) -> go.Heatmap:
    return go.Heatmap(
        z=grid,
        x=[html.escape(column) for column in columns],
        y=list(range(len(grid))),
        colorscale=scale,
        zmin=ends[0],
        zmax=ends[1],
        xgap=1,
        ygap=1,
        hoverongaps=False,
        texttemplate="%{z:.0f}" if numbers else None,
        hovertemplate=f"%{{x}}: %{{z:.3g}}{unit}<extra></extra>",
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "ticksuffix": unit,
            "nticks": FEW_TICKS,
            "tickfont": {"color": NOTE_COLOR},
        },
    )


def _rows_axis(figure: go.Figure, labels: Sequence[str]) -> None:
    """The first row on top."""
    figure.update_xaxes(AXIS, type="category", showgrid=False, showline=False)
    places = list(range(len(labels)))
    figure.update_yaxes(
        AXIS, tickvals=places, ticktext=labels, range=[len(labels) - 0.5, -0.5], showgrid=False, showline=False
    )


def _wrapped(text: str) -> str:
    return "<br>".join(wrapped(text, NARROW_WRAP))
