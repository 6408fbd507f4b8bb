"""A run as pages that work offline, and as one JSON file with every number on them.

The pages are functions of the JSON, and the JSON of the run's folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mtl_search.comparison.results import load_comparison
from mtl_search.errors import StorageError
from mtl_search.internal.files import write_json, write_text
from mtl_search.reporting.comparison_page import comparison_data
from mtl_search.reporting.figures import (
    conflicts_figure,
    cosines_figure,
    curves_data,
    curves_figure,
    curves_planes,
    differences_figure,
    figure_html,
    hypervolume_figure,
    importance_figure,
    pareto_data,
    pareto_figure,
    pareto_planes,
    paths_figure,
    shares_figure,
    standings_figure,
    standings_planes,
)
from mtl_search.reporting.how_made import how_made
from mtl_search.reporting.library import shared_library
from mtl_search.reporting.links import COMPARISON_PAGE, PAGE, Link, links_of
from mtl_search.reporting.packed import packed
from mtl_search.reporting.pages import drawing, rendered
from mtl_search.reporting.search_answer import caption, summary
from mtl_search.reporting.search_rows import front_row, not_complete_row, score_columns, trial_row
from mtl_search.reporting.text import rounded, without_machine_paths
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import means_text
from mtl_search.runs.trial import State

DATA = "report.json"

MANY = 6
"""From this many trials on, the list of those without a result is folded, and tasks have no column of their own."""


def write_report(run: Run | str | Path, plotly: str | Path | None = None) -> Path:
    """Write ``pareto.html``, ``report.json`` and, if the folder holds a comparison, ``report.html``; each in one step.

    :param run: A run, or the path of its folder.
    :param plotly: A file for plotly.js, which the pages load then and others may share; it is written if it is not
        there. Each page holds its own copy (4.8 MB) if left out, and loads nothing.
    :returns: The path of the page to read first: ``report.html`` if there is a comparison, otherwise ``pareto.html``.
    :raises RunFolderError: If the folder is not a run's, or a file of its comparison cannot be read.
    :raises StorageError: If the folder cannot be written.
    :raises UserError: If the file for plotly.js holds something else, or cannot be written.
    """
    run = run if isinstance(run, Run) else load_run(run)
    data = report_data(run)
    library = True if plotly is None else shared_library(Path(plotly), run.path)
    compared = data["comparison"] is not None
    pages = {PAGE: report_page(data, library, links_of(run, PAGE, compared))}
    if compared:
        pages[COMPARISON_PAGE] = comparison_page(data, library, links_of(run, COMPARISON_PAGE, compared))
    try:
        write_json(run.path / DATA, data)
        for name, text in pages.items():
            write_text(run.path / name, text)
    except OSError as error:
        raise StorageError(run.path, error, "report") from error
    return run.path / list(pages)[-1]


def report_data(run: Run) -> dict[str, Any]:
    """Everything that the pages show, as plain data for JSON; ``comparison`` is ``None`` where there is none.

    A report is made to be passed on: absolute paths in it are shortened to their last part.

    :raises RunFolderError: If a file of the comparison cannot be read.
    """
    pareto, comparison, shown = pareto_data(run), load_comparison(run.path), score_columns(run)
    data = {
        "name": run.experiment.name,
        "description": run.experiment.description,
        "summary": summary(run, pareto["quality"]["name"], pareto["cost"]["name"]),
        "caption": caption(run, pareto),
        "pareto": pareto,
        "mean_name": run.mean_name,
        "tasks": run.task_names,
        "score_columns": shown,
        "trials": [trial_row(run, trial, shown) for trial in run.trials],
        "curves": curves_data(run, shown),
        "front": [front_row(run, trial) for trial in run.front],
        "means": means_text(run) if run.front else "",
        "confirmations": [asdict(one) for one in run.confirmations],
        "not_complete": [not_complete_row(trial) for trial in run.trials if trial.state is not State.COMPLETE],
        "made": how_made(run, shown),
        "comparison": comparison_data(run, comparison) if comparison else None,
    }
    shortened: dict[str, Any] = rounded(without_machine_paths(data))
    return shortened


def report_page(data: Mapping[str, Any], library: bool | str = True, links: Sequence[Link] = ()) -> str:
    """The page of the search, as HTML.

    :param data: Data of the page, from :func:`report_data`.
    :param library: Address of plotly.js, from the page; ``True`` to have it in the page, which loads nothing then.
    :param links: The other pages to lead to.
    """
    drawings = {row["trial"]: drawing(row["architecture"], data["tasks"]) for row in data["front"]}
    others = {
        str(row["trial"]): drawing(row["architecture"], data["tasks"])
        for row in data["trials"]
        if row["trial"] not in drawings
    }
    figures = {"plot": pareto_figure(data["pareto"])} if data["front"] else {}
    planes = {"plot": pareto_planes(data["pareto"], data["score_columns"])} if data["front"] else {}
    if data["curves"]:
        figures["curves"], planes["curves"] = curves_figure(data["curves"]), curves_planes(data["curves"])
    return rendered(
        PAGE,
        **data,
        plots=_in_page(figures, {"plot": "pareto-plot", "curves": "curves-plot"}, library),
        planes=planes,
        links=links,
        drawings=drawings,
        others=packed(others) if others else "",
        many=MANY,
    )


def comparison_page(data: Mapping[str, Any], library: bool | str = True, links: Sequence[Link] = ()) -> str:
    """The page of the comparison, as HTML.

    :param data: Data of the page, from :func:`report_data`, with a comparison.
    :param library: Address of plotly.js, as for :func:`report_page`.
    :param links: The other pages to lead to.
    """
    comparison = data["comparison"]
    figures = _comparison_figures(comparison)
    return rendered(
        COMPARISON_PAGE,
        **comparison,
        name=data["name"],
        description=data["description"],
        plots=_in_page(figures, {name: f"plot-{name}" for name in figures}, library),
        planes=standings_planes(comparison) if "standings" in figures else None,
        links=links,
        drawings={pick["trial"]: drawing(pick["architecture"], pick["tasks"]) for pick in comparison["picks"]},
    )


def _in_page(figures: Mapping[str, Any], names: Mapping[str, str], library: bool | str) -> dict[str, Markup]:
    """Figures as pieces of a page, each with its ``id``; the first brings plotly.js for all."""
    return {
        name: Markup(figure_html(figure, names[name], library if number == 0 else False))
        for number, (name, figure) in enumerate(figures.items())
    }


def _comparison_figures(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> figure, of those that there is something to draw for."""
    figures = {}
    if comparison["standings"]["groups"]:
        figures["standings"] = standings_figure(comparison["standings"])
    if comparison["differences"]:
        figures["differences"] = differences_figure(comparison["differences"])
    if comparison["shares"]:
        figures["shares"] = shares_figure(comparison["shares"])
    for number, data in enumerate(comparison["branch_points"]):
        if data["alpha"]:
            figures[f"paths-{number}"] = paths_figure(data)
        if data["modules"]:
            figures[f"conflicts-{number}"] = conflicts_figure(data)
    for number, _ in enumerate(comparison["cosines"]["maps"] if comparison["cosines"] else []):
        figures[f"cosines-{number}"] = cosines_figure(comparison["cosines"], number)
    if comparison["hypervolume"]:
        figures |= {f"hypervolume-{x}": hypervolume_figure(comparison["hypervolume"], x) for x in ("trials", "seconds")}
    if comparison["importance"]:
        figures["importance"] = importance_figure(comparison["importance"])
    return figures
