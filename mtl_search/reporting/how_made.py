"""How the numbers of a run were made, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.metrics.pareto import direction_of
from mtl_search.reporting.figures import objective_label
from mtl_search.reporting.search_answer import states_text
from mtl_search.reporting.text import as_pairs, augmentation_text, capitalised, count, made_by_machine, quality_text
from mtl_search.runs.folder import Run
from mtl_search.runs.picks import limit_texts
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.ranges import offer_text


def how_made(run: Run, shown: Sequence[str]) -> list[dict[str, str]]:
    """What someone needs to judge the numbers and to make them again, as pairs of a name and a text.

    :param shown: Names of the scores that the page shows, ``<task>/<metric>``.
    """
    pairs = {**_made_by_experiment(run, shown), **made_by_machine(run.environment)}
    return [{"name": name, "text": text} for name, text in pairs.items() if text]


def _made_by_experiment(run: Run, shown: Sequence[str]) -> dict[str, str]:
    experiment, training, search = run.experiment, run.experiment.training, run.experiment.search
    limits = [f"{name.replace('_', ' ')} at most {limit:,}" for name, limit in experiment.constraints.limits().items()]
    limits += limit_texts(run)
    seconds = sum(trial.seconds for trial in run.trials)
    return {
        "Dataset": ", ".join([experiment.dataset.name, *as_pairs(experiment.dataset.options)]),
        "Measured on": "the validation split, which no candidate was trained on. The test split was not read.",
        "Trained": f"once each, {count(training.epochs, 'epoch', 'epochs')}, batches of {training.batch_size}, AdamW,"
        f" learning rate up to {training.learning_rate:g} ({training.schedule.replace('_', ' ')}), weight decay"
        f" {training.weight_decay:g}{augmentation_text(training.model_dump()['augmentation'])}",
        "Searched": f"{experiment.search_space.size:,} architectures{_open_settings(experiment)} with the sampler"
        f" {search.sampler},"
        f" workers: {search.workers}, seed {search.seed}",
        "Early stopping": _early_stopping(experiment),
        capitalised(run.mean_name): quality_text(shown),
        "Weights of tasks": ", ".join(f"{name} {weight:g}" for name, weight in experiment.task_weights.items()),
        "Objectives": "; ".join(_objective(name, run.mean_name) for name in experiment.objectives),
        "Constraints": "; ".join(limits) or "none",
        "Trials": f"{len(run.trials):,} of {search.trials:,} asked for: {states_text(run)}",
        "Training time": f"{seconds:,.0f} s, all trials and workers added up",
        "Sessions": _sessions(run.environment.get("sessions", [])),
    }


def _open_settings(experiment: Experiment) -> str:
    """The training settings that the search chose, as a further part of a sentence; empty where there are none."""
    told = [f"{name.replace('_', ' ')} {offer_text(offer)}" for name, offer in experiment.space.training.items()]
    return f" and their {', '.join(told)}" if told else ""


def _early_stopping(experiment: Experiment) -> str:
    settings = experiment.search.early_stopping
    if settings is None:
        return ""
    return (
        f"successive halving after {count(settings.grace, 'epoch', 'epochs')}, then each time after"
        f" {settings.factor:g} times as many: one trial in {settings.factor:g} goes on, by non-dominated rank. Stopped"
        " trials are not on the front."
    )


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> str:
    """Nothing of a run that was made in one go."""
    if len(sessions) < 2:
        return ""
    changes = [change for session in sessions for change in session["changes"]]
    mixed = f"; allowed to go on in spite of: {'; '.join(changes)}" if changes else ""
    return f"made in {len(sessions)} sessions, the last one begun at {sessions[-1]['started']}{mixed}"


def _objective(name: str, mean: str) -> str:
    return f"{objective_label(name, mean)} ({'less' if direction_of(name) == 'minimize' else 'more'} is better)"
