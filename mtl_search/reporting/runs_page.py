"""Several searches on one page: their fronts in one plot, and a table of each."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from mtl_search.errors import StorageError, UserError, shown_path
from mtl_search.internal.characters import printable
from mtl_search.internal.files import write_text
from mtl_search.reporting.figures import figure_html, fronts_figure, fronts_planes
from mtl_search.reporting.library import shared_library
from mtl_search.reporting.links import COMPARISON_PAGE, PAGE
from mtl_search.reporting.pages import rendered
from mtl_search.reporting.search_rows import score_columns, trial_row
from mtl_search.reporting.text import as_pairs, rounded, without_machine_paths
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import Trial


def write_runs_report(paths: Sequence[str | Path], out: str | Path, plotly: str | Path | None = None) -> Path:
    """Write one page of several searches.

    :param paths: Folders of the runs.
    :param out: The page, whose name ends in ``.html``; a page that is there is replaced.
    :param plotly: A file for plotly.js, as for :func:`~mtl_search.reporting.search_page.write_report`.
    :returns: The path of the page.
    :raises RunFolderError: If a folder is not a run's.
    :raises UserError: If the page has another name, is in no folder, or a run is given twice.
    :raises StorageError: If it cannot be written.
    """
    page = Path(out)
    if page.suffix != ".html":
        raise UserError(f"{shown_path(page)}: the name of a page must end in `.html`.")
    if not page.parent.is_dir():
        raise UserError(f"{shown_path(page.parent)}: is no folder; make it before a page is written into it.")
    runs = [load_run(path) for path in paths]
    twice = [path for path, number in Counter(run.path.resolve() for run in runs).items() if number > 1]
    if twice:
        raise UserError(f"{shown_path(twice[0])}: is given twice; name each run once.")
    library = True if plotly is None else shared_library(Path(plotly), page.parent)
    text = runs_page(runs_data(runs, page.parent), library)
    try:
        write_text(page, text)
    except OSError as error:
        raise StorageError(page, error, "report") from error
    return page


def runs_data(runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    """Everything that the page shows, as plain data.

    :param folder: Folder of the page, below which runs are linked to.
    :returns: ``word`` (what the mean over tasks is called), ``runs``, ``scores`` (what all trials of all fronts have),
        ``front``: the trials of all fronts, each with its ``run`` and a ``key``; and ``differ``: what runs differ in,
        so that their numbers cannot be compared.
    """
    labels = _labels(runs)
    front = [
        {**trial_row(run, trial, score_columns(run)), "run": label, "key": f"{number}-trial-{trial.number}"}
        for number, (label, run) in enumerate(zip(labels, runs, strict=True))
        for trial in run.front
    ]
    words = {run.mean_name for run in runs}
    common = set.intersection(*[set(row["scores"]) for row in front]) if front else set()
    data = {
        "word": words.pop() if len(words) == 1 else "mean quality",
        "runs": [_run_row(label, run, folder) for label, run in zip(labels, runs, strict=True)],
        "scores": [name for name in (front[0]["scores"] if front else ()) if name in common],
        "front": [{key: value for key, value in row.items() if key != "architecture"} for row in front],
        "differ": _differ(runs),
    }
    shortened: dict[str, Any] = rounded(without_machine_paths(data))
    return shortened


def _labels(runs: Sequence[Run]) -> list[str]:
    """The name of each folder, with that of the folder above where two have one name."""
    names = [printable(run.path.absolute().name) for run in runs]
    return [
        name if names.count(name) == 1 else f"{printable(run.path.absolute().parent.name)}/{name}"
        for name, run in zip(names, runs, strict=True)
    ]


def _run_row(label: str, run: Run, folder: Path) -> dict[str, Any]:
    best, knee = run.best, run.knee
    return {
        "label": label,
        "name": run.experiment.name,
        "links": _links(run, folder),
        "dataset": _dataset(run),
        "sampler": run.experiment.search.sampler,
        "seed": run.experiment.search.seed,
        "trials": len(run.trials),
        "complete": len(run.complete),
        "on_front": len(run.front),
        "best": _pick_row(best),
        "knee": _pick_row(knee),
        "seconds": sum(trial.seconds for trial in run.trials),
    }


def _pick_row(trial: Trial | None) -> dict[str, Any]:
    names = ("accuracy", "learnable_parameters")
    if trial is None:
        return dict.fromkeys(["trial", *names])
    return {"trial": trial.number, **{name: getattr(trial, name) for name in names}}


def _links(run: Run, folder: Path) -> list[dict[str, str]]:
    """The pages of a run below the folder of the page: what is elsewhere may be so on this machine alone."""
    here, there = folder.absolute(), run.path.absolute()
    if not there.is_relative_to(here):
        return []
    names = {PAGE: "search", COMPARISON_PAGE: "comparison"}
    return [
        {"text": text, "address": quote(os.fsencode(there.relative_to(here) / name))}
        for name, text in names.items()
        if (there / name).is_file()
    ]


def _dataset(run: Run) -> str:
    return ", ".join([run.experiment.dataset.name, *as_pairs(run.experiment.dataset.options)])


def _differ(runs: Sequence[Run]) -> list[str]:
    """In what the runs differ that makes their qualities different things."""
    facts = {
        "the data": [_dataset(run) for run in runs],
        "the tasks": [", ".join(run.task_names) for run in runs],
        "the epochs of a training": [str(run.experiment.training.epochs) for run in runs],
    }
    return [what for what, values in facts.items() if len(set(values)) > 1]


def runs_page(data: dict[str, Any], library: bool | str = True) -> str:
    """The page, as HTML.

    :param data: Data of the page, from :func:`runs_data`.
    :param library: Address of plotly.js, as for :func:`~mtl_search.reporting.search_page.report_page`.
    """
    if not data["front"]:
        return rendered("runs.html", **data, name="runs")
    plot = Markup(figure_html(fronts_figure(data["front"], data["word"]), "fronts-plot", library))
    planes = fronts_planes(data["front"], data["scores"], data["word"])
    return rendered("runs.html", **data, name="runs", plot=plot, planes=planes)
