"""Trials as the folder of a run has them: rows of ``trials.csv``, and beside each the file of its architecture."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mtl_search.errors import RunFolderError, UserError
from mtl_search.internal.characters import quoted
from mtl_search.internal.layout import ARCHITECTURES, NUMBER, TRIALS, VALUES
from mtl_search.internal.reading import read_json
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.runs.rows import of_training, once, parsed, read_table, real, real_or_none, state_of, whole
from mtl_search.runs.trial import ENDS, State, Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import TRAINING, Proposal
from mtl_search.spaces.ranges import Range, is_offered

COLUMNS = (
    "trial",
    "state",
    "method",
    "seed",
    "epochs",
    "seconds",
    "accuracy",
    "delta_m",
    "learnable_parameters",
    "fixed_parameters",
    "macs",
    "error",
)
"""Columns of ``trials.csv``; after them stands a column ``<task>/<metric>`` for every score."""


def read_trials(folder: Path, experiment: Experiment) -> tuple[Trial, ...]:
    """In the order in which they ended."""
    path = folder / TRIALS
    rows = once(path, read_table(path, COLUMNS).rows, ["trial"])
    return tuple(parsed(path, rows, lambda row: _trial(row, folder, experiment)))


def read_under_way(folder: Path, ended: Collection[int], experiment: Experiment) -> dict[int, Proposal]:
    """The trials whose architecture was written and whose row was not."""
    names = [path.name for path in (folder / ARCHITECTURES).glob("*.json")]
    numbers = sorted(int(name[: -len(".json")]) for name in names if re.fullmatch(rf"({NUMBER})\.json", name))
    found = {}
    for number in numbers:
        if number not in ended:
            try:
                values = _read_values(folder, number, experiment)
                found[number] = Proposal(_read_architecture(folder, number), values)
            except UserError as error:
                again = "Put it back from a copy, or remove it: the search then goes on without this trial."
                raise RunFolderError(f"{error} {again}") from error
    return found


def _read_architecture(folder: Path, number: int) -> Architecture:
    path = folder / ARCHITECTURES / f"{number}.json"
    data = read_json(path, follow=False)
    try:
        return Architecture.from_dict(data)
    except UserError as error:
        raise RunFolderError(f"{path}: {error}") from error


def _read_values(folder: Path, number: int, experiment: Experiment) -> tuple[tuple[str, Any], ...]:
    """The training values of a trial, in the order of the space."""
    offers = experiment.space.training
    if not offers:
        return ()
    path = folder / ARCHITECTURES / f"{number}{VALUES}"
    data = read_json(path, follow=False)
    wrong = [name for name, offer in offers.items() if not is_offered(offer, data.get(name))]
    if wrong:
        raise RunFolderError(f"{path}: `{wrong[0]}` must be a value that `space.training` offers.")
    return tuple((name, data[name]) for name in offers)


def _trial(row: Mapping[str, str], folder: Path, experiment: Experiment) -> Trial:
    number, state = whole(row, "trial"), state_of(row, ENDS)
    try:
        architecture = _read_architecture(folder, number)
    except UserError as error:
        raise ValueError(
            f"{error} Put it back from a copy, or remove the line to do without trial {number}."
        ) from error
    trial = Trial(
        **of_training(row),
        number=number,
        state=state,
        architecture=architecture,
        training={name: _value_in(row, name, offer) for name, offer in experiment.space.training.items()},
        latency_ms=real_or_none(row, "latency_ms"),
        worst_task=real_or_none(row, WORST_TASK),
    )
    values, limits = ("accuracy", *experiment.objectives), tuple(experiment.constraints.limits())
    needed = {State.COMPLETE: values, State.STOPPED: values, State.INFEASIBLE: limits, State.FAILED: ()}
    missing = [name for name in needed[trial.state] if trial.value(name) is None]
    if missing:
        raise ValueError(f"a {trial.state.value} trial must have a value in column `{missing[0]}`, but it is empty.")
    return trial


def _value_in(row: Mapping[str, str], name: str, offer: Any) -> Any:
    """The value of a training setting in a row of ``trials.csv``.

    :raises ValueError: If there is none that the space offers.
    """
    column = TRAINING + name
    cell = row.get(column, "")
    if isinstance(offer, Range):
        found = [real(row, column)] if cell else []
    else:
        found = [option for option in offer if str(option) == cell]
    if not found or not is_offered(offer, found[0]):
        raise ValueError(f"`{column}` must be a value that `space.training` offers, but got {quoted(cell)}.")
    return found[0]
