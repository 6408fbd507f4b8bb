"""The rows of a search's tables: every trial, the front with its architectures, and what has no result."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mtl_search.metrics.scores import headlines
from mtl_search.reporting.figures import run_reference
from mtl_search.reporting.layer_table import layer_table
from mtl_search.reporting.text import count
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State, Trial


def score_columns(run: Run) -> list[str]:
    """The scores to show: the headline of every task, and what the search had as an objective."""
    names = dict.fromkeys(name for trial in run.complete for name in trial.scores)
    shown = {*headlines(names), *run.experiment.objectives}
    return [name for name in names if name in shown]


def trial_row(run: Run, trial: Trial, shown: Sequence[str]) -> dict[str, Any]:
    """A trial as a row of a table, whatever its state; the same columns for all trials and for the front.

    :param shown: Names of the scores that the table shows.
    :returns: ``mark`` is ``knee`` or ``best`` for the trial that is taken where none is named, ``front`` for the others
        of the front. Accuracies and chances are 0 to 1; what is believed of the mean over seeds is ``None`` where the
        trial has no result.
    """
    return {
        "trial": trial.number,
        "state": trial.state.value.lower(),
        "mark": _mark(run, trial),
        "accuracy": trial.accuracy,
        **_believed(run, trial),
        "worst_task": trial.worst_task,
        "delta_m": trial.delta_m,
        "scores": {name: trial.scores[name] for name in shown if name in trial.scores},
        "learnable_parameters": trial.learnable_parameters,
        "fixed_parameters": trial.fixed_parameters,
        "macs": trial.macs,
        "latency_ms": trial.latency_ms,
        "epochs": trial.epochs,
        "seconds": trial.seconds,
        "summary": str(trial.proposal),
        "architecture": trial.architecture.to_dict(),
    }


def front_row(run: Run, trial: Trial) -> dict[str, Any]:
    """A trial of the front: its row, and its architecture with what to type to use it."""
    return {
        **trial_row(run, trial, ()),
        "knee": trial is run.knee,
        "mark": "" if trial is not run.pick else _mark(run, trial),
        "scores": dict(trial.scores),
        "seed": trial.seed,
        "training": dict(trial.training),
        "id": trial.architecture.id,
        "layers": [asdict(row) for row in layer_table(trial.architecture)],
        "commands": _commands(run, trial),
    }


def not_complete_row(trial: Trial) -> dict[str, Any]:
    """A trial without a result, and why it has none."""
    reason = trial.error or f"stopped after {count(trial.epochs, 'epoch', 'epochs')}"
    return {
        "trial": trial.number,
        "state": trial.state.value,
        "reason": reason,
        "architecture": str(trial.proposal),
    }


def _mark(run: Run, trial: Trial) -> str:
    if trial is run.pick:
        return "knee" if run.knee else "best"
    return "front" if trial in run.front else ""


def _believed(run: Run, trial: Trial) -> dict[str, Any]:
    """What is believed of the mean quality of a trial over seeds, and how likely it is truly the best, or the knee."""
    names = ("mean", "error", "bar", "trainings")
    if trial.state is not State.COMPLETE:
        return dict.fromkeys([*names, "chance_best", "chance_knee", "chance_front"])
    estimate = run.beliefs.of("accuracy").estimates[trial.number]
    chances = run.chances
    return {
        **{name: getattr(estimate, name) for name in names},
        "chance_best": chances.best[trial.number] if chances else None,
        "chance_knee": chances.knee[trial.number] if chances else None,
        "chance_front": chances.front[trial.number] if chances else None,
    }


def _commands(run: Run, trial: Trial) -> list[dict[str, str]]:
    """What to type to see a trial and to train its architecture again."""
    target = shlex.quote(f"{run_reference(run.path)}:{trial.number}")
    return [
        {"does": "Show it", "command": f"mtl-search show {target}"},
        {
            "does": "Train it again, three seeds, measured on the test split",
            "command": f"mtl-search train {target} --seeds 3",
        },
    ]
