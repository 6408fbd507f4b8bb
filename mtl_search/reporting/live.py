"""What a run that another process may be writing looks like now: the figures of its page, and what is under way."""

from collections.abc import Callable, Mapping
from typing import Any

from mtl_search.execution.display import duration
from mtl_search.reporting.figures import hypervolume_data, hypervolume_figure, pareto_data, pareto_figure
from mtl_search.reporting.figures.live_curves import curves_data, curves_figure
from mtl_search.reporting.pages import rendered
from mtl_search.reporting.search_answer import caption, summary
from mtl_search.reporting.text import rounded, without_machine_paths
from mtl_search.runs.folder import Run
from mtl_search.runs.status import RunStatus, status
from mtl_search.runs.trial import State

MOST_ROWS = 20
"""Rows of a table of the page; of failures the latest. All of them are in the folder, and on the page at the end."""


def live_data(run: Run) -> dict[str, Any]:
    """What the page shows now, as plain data for JSON.

    :param run: The run as its folder tells it, read anew.
    :returns: ``name``, ``running``, ``headline``, ``summary``, ``caption``, ``tasks`` and the tables ``under_way``,
        ``front`` and ``failures``; ``figures``: ``pareto``, ``hypervolume``, ``loss`` and ``accuracy``, each the data
        of its figure or ``None``.
    """
    now, pareto = status(run), pareto_data(run)
    drawn = bool(run.front)
    data = {
        "name": run.experiment.name,
        "running": now.running,
        "headline": _headline(now),
        "summary": summary(run, pareto["quality"]["name"], pareto["cost"]["name"]) if drawn else [],
        "caption": caption(run, pareto) if drawn else "",
        "mean_name": run.mean_name,
        "under_way": _under_way(run, now),
        "front": [_front_row(run, trial.number) for trial in run.front],
        "failures": _failures(run),
        "figures": {
            "pareto": pareto if drawn else None,
            "hypervolume": hypervolume_data(run),
            "loss": curves_data(run, "loss"),
            "accuracy": curves_data(run, "accuracy"),
        },
    }
    shortened: dict[str, Any] = rounded(without_machine_paths(data))
    return shortened


def figures_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> figure of plotly, of those that there is something to draw for: as the page of a report draws them.

    :param data: Data of the page, from :func:`live_data`.
    """
    draw: dict[str, Callable[[Any], Any]] = {
        "pareto": pareto_figure,
        "loss": curves_figure,
        "accuracy": curves_figure,
        "hypervolume": lambda found: hypervolume_figure(found, "trials"),
    }
    return {name: draw[name](found) for name, found in data["figures"].items() if found is not None}


def live_text(data: Mapping[str, Any]) -> str:
    """The words and tables of the page, as a piece of HTML in which all that others wrote is text.

    :param data: Data of the page, from :func:`live_data`.
    """
    return rendered("live.html", **data, most=MOST_ROWS)


def _headline(now: RunStatus) -> str:
    """How far the run is, and how long it will take."""
    ended = ", ".join(f"{count:,} {state.lower()}" for state, count in now.states.items()) or "no trial has ended"
    text = f"{ended}, of {now.asked:,} trials asked for"
    left = "the time left is not known yet" if now.seconds_left is None else f"{duration(now.seconds_left)} left"
    if now.running:
        return f"Running: {text}; {left}."
    if now.ended_early:
        return f"Not running, and short of what was asked for: {text}. It goes on with: mtl-search resume."
    return f"Ended: {text}{'; ' + now.ended_because if now.ended_because else ''}."


def _under_way(run: Run, now: RunStatus) -> list[dict[str, Any]]:
    """The trials that began and have not ended, those that came farthest first."""
    latest = {row.trial: row for row in run.epochs}
    found = []
    for one in sorted(now.under_way, key=lambda one: -one["epochs"]):
        row = latest.get(one["trial"])
        found.append(
            {
                **one,
                "asked": run.experiment.training.epochs,
                "loss": row.loss if row else None,
                "accuracy": row.accuracy if row else None,
                "architecture": str(run.under_way[one["trial"]]),
            }
        )
    return found


def _front_row(run: Run, number: int) -> dict[str, Any]:
    trial = run.trial(number)
    return {
        "trial": number,
        "mark": "" if trial is not run.pick else "knee" if run.knee else "best",
        "accuracy": trial.accuracy,
        "learnable_parameters": trial.learnable_parameters,
        "macs": trial.macs,
        "architecture": str(trial.proposal),
    }


def _failures(run: Run) -> list[dict[str, Any]]:
    """The trials that failed, the latest first."""
    ended = reversed(run.ended)
    failed = [trial for trial in map(run.trial, ended) if trial.state is State.FAILED]
    return [{"trial": trial.number, "reason": trial.error, "architecture": str(trial.proposal)} for trial in failed]
