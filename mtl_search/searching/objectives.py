"""What an experiment wants of its tasks, held against what the dataset measures."""

from collections.abc import Iterable

from mtl_search.datasets import Dataset
from mtl_search.errors import ExperimentError, UnknownNameError
from mtl_search.metrics.scores import MEANS, is_error, is_share
from mtl_search.spaces.experiment import Experiment


def check_metrics(experiment: Experiment, dataset: Dataset) -> None:
    """Check the names of scores and tasks that an experiment holds, before anything is written or trained.

    :raises UserError: If an objective, a limit on a quality or the target is not measured, is undefined on what the
        search chooses by, or cannot be reached; if a weight is of no task, or none is above 0.
    """
    target, limits = experiment.search.target, experiment.constraints.qualities()
    for objective in experiment.objectives:
        if "/" in objective:
            _check_known("objective", objective, dataset.score_names)
    for name, limit in limits.items():
        _check_known("metric for `constraints`", name, [*MEANS, *dataset.score_names])
        _check_reachable(f"constraints.{name}", name, limit)
    if target is not None:
        _check_known("metric for `search.target`", target.metric, [*MEANS, *dataset.score_names])
        _check_reachable("search.target.value", target.metric, target.value)
    _check_defined("objectives", experiment.objectives, dataset)
    _check_defined("constraints", limits, dataset)
    _check_defined("search.target.metric", [target.metric] if target else [], dataset)
    _check_weights(experiment, dataset)


def _check_known(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)


def _check_reachable(key: str, name: str, value: float) -> None:
    """A share of 1 that is meant in percent is never reached, nor is an error below 0."""
    if (name in MEANS or is_share(name)) and value > 1:
        what = "accuracy" if name == "accuracy" else name
        raise ExperimentError(f"`{key}` must be at most 1 for the {what}, but got {value:g}.")
    if is_error(name) and value < 0:
        raise ExperimentError(f"`{key}` must be at least 0 for an error, but got {value:g}.")


def _check_defined(key: str, metrics: Iterable[str], dataset: Dataset) -> None:
    for task in dataset.tasks:
        lacking = {f"{task.name}/{one}" for one in task.undefined(dataset.splits["val"].targets[task.name])}
        for metric in lacking.intersection(metrics):
            raise ExperimentError(
                f"`{key}` must not hold `{metric}`, which is undefined on the split `val`: all targets of task "
                f"`{task.name}` there are the same, or there is only one. Take `{task.name}/{task.headline.name}`."
            )


def _check_weights(experiment: Experiment, dataset: Dataset) -> None:
    names, weights = [task.name for task in dataset.tasks], experiment.task_weights
    for name in weights:
        _check_known("task for `task_weights`", name, names)
    if not any(weights.get(name, 1.0) for name in names):
        raise ExperimentError("`task_weights` must leave a task a weight above 0, but got 0 for all of them.")
