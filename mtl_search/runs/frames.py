"""The trials of a run as a frame of pandas."""

from typing import Any

import pandas as pd

from mtl_search.metrics.pareto import COSTS
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import Trial
from mtl_search.spaces.proposal import TRAINING

FIRST = ("state", "on_front", "accuracy", WORST_TASK, "delta_m", *COSTS, "epochs", "seconds", "seed")
"""Columns that stand first, in this order; those in which no trial has a value are left out."""


def trials_frame(run: Run) -> pd.DataFrame:
    """A row per trial that ended, by its number.

    :param run: The run whose trials these are.
    """
    front = {trial.number for trial in run.front}
    rows = [_row(trial, trial.number in front) for trial in run.trials]
    columns = dict.fromkeys(name for row in rows for name in row)
    numbers = pd.Index([trial.number for trial in run.trials], name="trial", dtype="int64")
    frame = pd.DataFrame(rows, index=numbers, columns=list(columns))
    return frame.dropna(axis="columns", how="all") if rows else frame


def _row(trial: Trial, on_front: bool) -> dict[str, Any]:
    known = {"state": trial.state.value, "on_front": on_front}
    values = {name: known[name] if name in known else getattr(trial, name) for name in FIRST}
    values |= {TRAINING + name: value for name, value in trial.training.items()}
    return {**values, **trial.scores, "architecture": str(trial.architecture), "error": trial.error}
