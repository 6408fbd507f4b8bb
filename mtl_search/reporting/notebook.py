"""A run in a notebook: its front as a picture and a table, and its figures by name."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.reporting.figures import (
    hypervolume_data,
    hypervolume_figure,
    importance_data,
    importance_figure,
    pareto_data,
    pareto_figure,
)
from mtl_search.reporting.figures.live_curves import curves_data, curves_figure
from mtl_search.reporting.front_svg import front_svg
from mtl_search.reporting.search_answer import states_text, summary
from mtl_search.reporting.text import score_text
from mtl_search.runs.folder import Run

FIGURES: Mapping[str, tuple[Callable[[Run], Any], Callable[[Any], Any], str]] = {
    "pareto": (lambda run: pareto_data(run) if run.front else None, pareto_figure, "no trial is complete"),
    "hypervolume": (hypervolume_data, lambda data: hypervolume_figure(data, "trials"), "the trials make no box"),
    "importance": (importance_data, importance_figure, "too few trials are complete, or nothing was to choose"),
    "loss": (lambda run: curves_data(run, "loss"), curves_figure, "no trial has two epochs"),
    "accuracy": (
        lambda run: curves_data(run, "accuracy"),
        curves_figure,
        "no trial has two epochs that were scored; `search: {learning_curves: true}` scores all",
    ),
}
"""Name of a figure -> what makes its data, what draws it, and why there may be nothing to draw."""


def figure_of(run: Run, name: str) -> Any:
    """A figure of plotly.

    :param run: The run that is drawn.
    :param name: ``pareto``, ``hypervolume``, ``importance``, ``loss`` or ``accuracy``.
    :raises UnknownNameError: If there is no figure of that name.
    :raises UserError: If there is nothing to draw yet.
    """
    if name not in FIGURES:
        raise UnknownNameError("figure", name, FIGURES)
    data_of, draw, reason = FIGURES[name]
    data = data_of(run)
    if data is None:
        raise UserError(f"figure `{name}`: there is nothing to draw: {reason}.")
    return draw(data)


def run_html(run: Run) -> str:
    """A run as a piece of HTML without scripts, in which all that others wrote is text: picture and table of its front.

    :param run: The run that is shown.
    """
    title = f"<b>Search {escape(run.experiment.name)}</b>: {escape(states_text(run))}"
    if not run.front:
        return f"<div>{title}</div>"
    data = pareto_data(run)
    told = " ".join(summary(run, data["quality"]["name"], data["cost"]["name"]))
    return f"<div>{title}<p>{escape(told)}</p>{front_svg(data)}{_front_table(run)}</div>"


def _front_table(run: Run) -> str:
    heads = ("trial", run.mean_name, "learnable parameters", "MACs", "architecture")
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    for trial in run.front:
        mark = "" if trial is not run.pick else " (knee)" if run.knee else " (best)"
        cells = (
            f"{trial.number}{mark}",
            score_text(trial.accuracy, "accuracy"),
            f"{trial.learnable_parameters:,}",
            f"{trial.macs:,}",
            str(trial.proposal),
        )
        lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
