"""A trained network of a run, put together from what the run's folder holds of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from mtl_search.comparison.results import Comparison, control_folder, load_comparison, outcome_folder
from mtl_search.datasets import Dataset
from mtl_search.errors import RunFolderError, UnknownNameError, UserError
from mtl_search.evaluation import Entrant, entrant_of
from mtl_search.internal.layout import DETAILS
from mtl_search.methods import make_method
from mtl_search.metrics.scores import headline_word
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import PICKS, Pick, pick
from mtl_search.runs.weights import has_weights, load_weights
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training


@dataclass(frozen=True)
class Trained:
    """A trained network of a run.

    :param name: Name of its folder: number of the trial, or entrant of the comparison and seed.
    :param title: Title of the model card, for people.
    :param network: The network with its weights, in evaluation mode.
    :param about: What the card says of how it was made: plain data.
    :param scores: ``"<task>/<metric>"`` -> value, on the split and seed that ``about`` names.
    :param picked: Why this trial was taken; empty for an entrant of a comparison.
    """

    name: str
    title: str
    network: nn.Module
    about: Mapping[str, Any]
    scores: Mapping[str, float]
    picked: str = ""


def load_trained(run: Run, which: str | int | None, dataset: Dataset, seed: int | None = None) -> Trained:
    """A trained network of a run, with its weights.

    :param which: What is exported, as in :func:`~mtl_search.exporting.export.export`.
    :param seed: Seed of the training that is meant, of an entrant; the first one if left out.
    :raises UserError: If there is none of that name, or with that seed, or its weights were not kept.
    """
    found = chosen(run, which)
    if isinstance(found, str):
        return _trained_entrant(run, found, dataset, seed)
    if seed not in (None, found.trial.seed):
        raise UserError(
            f"{run.path}: trial {found.trial.number} was trained with seed {found.trial.seed} alone, but got {seed}. "
            f"Other seeds are those of a comparison: `mtl-search compare {run.path} --pick {found.trial.number}`."
        )
    return _trained_trial(run, found, dataset)


def chosen(run: Run, which: str | int | None) -> Pick | str:
    """What is meant: a trial of the search, or an entrant of its comparison.

    :param which: What is exported, as in :func:`~mtl_search.exporting.export.export`.
    :raises UserError: If there is none of that name.
    """
    comparison = load_comparison(run.path)
    entrants = comparison.entrants if comparison else []
    if which in entrants and which not in PICKS:
        return str(which)
    try:
        return pick(run, which)
    except UnknownNameError as error:
        if comparison is None:
            raise UserError(
                f"{run.path}: holds no comparison, so `{which}` must be the number of a trial, {', '.join(PICKS)}."
            ) from error
        raise UnknownNameError("entrant", which, [*PICKS, *entrants]) from error


def entrant_text(run: Run, key: str, seed: int | None) -> str:
    """An entrant of a comparison as a sentence: its scores and its size; why it cannot be told if it cannot.

    :param seed: Which of its trainings; the first one for ``None``.
    """
    comparison = load_comparison(run.path)
    assert comparison is not None, "it was found in it"
    seed = comparison.first_seed if seed is None else seed
    found = next((one for one in comparison.of(key) if one.seed == seed), None)
    if found is None or found.accuracy is None:
        return f"{key}, seed {seed}: no complete training"
    quality = f"{100 * found.accuracy:.1f} % {headline_word(found.scores)} on the split `{found.split}`"
    return f"{key}, seed {seed}: {quality}, {found.learnable_parameters:,} parameters"


def _trained_trial(run: Run, picked: Pick, dataset: Dataset) -> Trained:
    trial, number = picked.trial, picked.trial.number
    if not has_weights(run.checkpoint(number)):
        kept = ", ".join(str(one.number) for one in run.front if has_weights(run.checkpoint(one.number)))
        raise UserError(
            f"{run.path}: the weights of trial {number} were not kept, only those of the front ({kept or 'none here'})."
        )
    entrant = entrant_of(trial.proposal)
    about = {
        **_architecture(trial.architecture),
        "seed": trial.seed,
        "trained_on": "the training split",
        "measured_on": "val",
    }
    network = _network(entrant, dataset, run.experiment.training, trial.seed, {}, run.checkpoint(number))
    return Trained(str(number), f"Trial {number}", network, about, trial.scores, picked.reason)


def _trained_entrant(run: Run, key: str, dataset: Dataset, seed: int | None) -> Trained:
    comparison = load_comparison(run.path)
    assert comparison is not None, "it was found in it"
    seed = comparison.first_seed if seed is None else seed
    outcome = next((one for one in comparison.of(key) if one.seed == seed), None)
    folder = outcome_folder(run.path, key, seed)
    if outcome is None or not has_weights(folder):
        seeds = [one.seed for one in comparison.of(key) if has_weights(outcome_folder(run.path, key, one.seed))]
        found = f"those of seed {', '.join(map(str, seeds))}" if seeds else "none here"
        raise UserError(f"{run.path}: the weights of {key}, seed {seed}, were not kept; {found}.")
    about = next(one for one in comparison.request["entrants"] if one["key"] == key)
    training = Training.model_validate(comparison.request["training"])
    made: dict[str, Any]
    if about.get("trial") is not None:
        architecture = _searched(run, about).trial(about["trial"]).architecture
        entrant, made = entrant_of(architecture), _architecture(architecture)
    else:
        method = make_method(about["method"], about["options"])
        entrant = Entrant(method, run.experiment.backbone.build(), about["width_multiplier"])
        made = {name: about[name] for name in ("method", "options", "balancing", "width_multiplier")}
        made["backbone"] = asdict(entrant.backbone)
    entrant = replace(entrant, training=about.get("training") or {})
    details = comparison.details(key, seed)
    network = _network(entrant, dataset, training, seed, details, folder)
    split = str(comparison.request["split"])
    trained_on = "the training and validation splits" if split == "test" else "the training split"
    made |= {"seed": seed, "trained_on": trained_on, "measured_on": split, **_spread(comparison, key)}
    return Trained(f"{key}-seed{seed}", f"{key}, seed {seed},", network, made, outcome.scores)


def _searched(run: Run, about: Mapping[str, Any]) -> Run:
    """The search that an entrant comes from: the run's own, or that of a control."""
    return load_run(control_folder(run.path, about["control"])) if about.get("control") else run


def _network(
    entrant: Entrant, dataset: Dataset, training: Training, seed: int, details: Mapping[str, Any], folder: Path
) -> nn.Module:
    try:
        network = entrant.method.rebuild(entrant.context(dataset, training, seed), details)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunFolderError(
            f"{folder / DETAILS}: does not tell how the network of {entrant.method.name} is made: {error}. "
            "Put it back from a copy."
        ) from error
    try:
        network.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        raise RunFolderError(f"{folder}: the weights do not fit the network that they are said to be of.") from error
    return network.eval()


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {"method": "etr_nlp", "architecture": json.loads(architecture.to_json())}


def _spread(comparison: Comparison, key: str) -> dict[str, Any]:
    """The scores of all seeds, so that the card does not show one lucky one alone."""
    return {"accuracy_of_all_seeds": {str(one.seed): one.accuracy for one in comparison.of(key)}}
