"""What is trained in a comparison: baselines, picks of a front, and architectures from files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtl_search import cost
from mtl_search.balancing import make_balancing
from mtl_search.comparison.recipes import Baseline
from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.evaluation import Entrant, entrant_of
from mtl_search.execution.capacity import check_memory
from mtl_search.methods import make_method
from mtl_search.runs.trial import Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment

COSINES = ("hard_sharing",)
"""Baselines whose gradients are followed, besides all picks."""


@dataclass(frozen=True)
class Entry:
    """One entrant of a comparison.

    :param key: Name of a baseline, or ``trial-<number>``.
    :param entrant: The method or architecture that is trained, with its settings.
    :param about: What ``comparison.json`` says of it: plain data.
    :param trial: Number of the trial that it comes from; ``None`` for a baseline.
    """

    key: str
    entrant: Entrant
    about: Mapping[str, Any]
    trial: int | None = None


def baseline_entry(
    baseline: Baseline,
    experiment: Experiment,
    training: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Entry:
    """A baseline on an experiment's backbone.

    :param training: Training settings of its own.
    :param options: Options of its method, besides those of its recipe.
    """
    training, options = training or {}, {**baseline.options, **(options or {})}
    baseline = replace(baseline, method=make_method(baseline.named, options))
    entrant = baseline.entrant(experiment.backbone.build())
    entrant = replace(entrant, training=training, cosines=baseline.key in COSINES)
    about = {
        "key": baseline.key,
        "kind": "baseline",
        "recipe": baseline.recipe,
        "variant": baseline.variant,
        "description": baseline.description,
        "method": baseline.named,
        "options": options,
        "training": dict(training),
        "balancing": (baseline.balancing or experiment.training.changed(training).balancing).model_dump(mode="json"),
        "width_multiplier": baseline.width_multiplier,
        "curve": baseline.curve,
    }
    return Entry(baseline.key, entrant, about)


def architecture_entry(architecture: Architecture, experiment: Experiment) -> Entry:
    """An architecture from a file."""
    key = f"architecture-{architecture.id}"
    balancing = experiment.training.balancing.model_dump(mode="json")
    about = {"key": key, "kind": "architecture", "method": "etr_nlp", "balancing": balancing}
    return Entry(key, entrant_of(architecture), about)


def trial_entry(
    trial: Trial, reasons: Mapping[str, str], experiment: Experiment, training: Mapping[str, Any] | None = None
) -> Entry:
    """A trial of a search, from scratch.

    :param reasons: What it was picked as -> why.
    :param training: Training settings of its own; those that the search chose if left out.
    """
    training = dict(trial.training) if training is None else dict(training)
    about = {
        "key": f"trial-{trial.number}",
        "kind": "pick",
        "trial": trial.number,
        "picks": list(reasons),
        "reasons": dict(reasons),
        "method": "etr_nlp",
        "balancing": experiment.training.changed(training).balancing.model_dump(mode="json"),
        "training": training,
    }
    entrant = replace(entrant_of(trial.architecture), training=training, cosines=True)
    return Entry(f"trial-{trial.number}", entrant, about, trial.number)


def check_entries(entries: Sequence[Entry], experiment: Experiment, dataset: Dataset) -> dict[str, int]:
    """Build each network once, so that what cannot be built is said before anything is trained.

    :returns: Key -> learnable parameters, of those whose network is known before training.
    """
    found = {}
    for entry in entries:
        try:
            problem = entry.entrant.context(dataset, experiment.training, seed=0)
            check_memory(entry.entrant.method.first_banks(problem), dataset)
            model = entry.entrant.method.build(problem)
            balancing = make_balancing(problem.training.balancing.name, problem.training.balancing.options)
            balancing.start([task.name for task in dataset.tasks], list(model.parameters()), seed=0)
        except UserError as error:
            raise UserError(f"baseline `{entry.key}`: {error}") from error
        if entry.entrant.method.measured_as_built:
            found[entry.key] = cost.measure(model, dataset.input_shape).learnable_parameters
    return found
