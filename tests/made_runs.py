"""Folders of runs that never ran: real architectures of the quickstart space, with scores that are made up."""

import math
from collections.abc import Sequence
from pathlib import Path

from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.writer import RunWriter
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, load_experiment

ENVIRONMENT = {
    "command": "mtl-search search quickstart --out results/made",
    "python": "3.11.2",
    "versions": {"torch": "2.13.0", "optuna": "5.0.0"},
    "hardware": {"processor": "a made-up processor", "cores": 2},
    "seed": 0,
    "source_revision": "0123abc",
    "started": "2026-01-02T10:00:00+00:00",
    "finished": "2026-01-02T10:06:00+00:00",
}


PLAIN = (
    "space.bank=[paper, linear, orthonormal]",
    "space.training={}",
    "search.points=[]",
    "training.learning_rate=0.003",
)
"""Nothing of the training is chosen, and nothing is tried first."""


def made_experiment(changes: Sequence[str] = ()) -> Experiment:
    """The quickstart experiment in a space of its own, with some keys changed, each ``dotted.key=value``."""
    return load_experiment("quickstart", [*PLAIN, "search.trials=24", *changes])


def made_trial(number: int, architecture: Architecture, tasks: Sequence[str] = ("left", "right")) -> Trial:
    """A complete trial whose accuracy grows with its cost, bent and with a little noise."""
    parameters = 1500 + sum(
        int(400 * architecture.width_multiplier**2 * (layer + 1) * (2 - choice.shared_ratio) * len(choice.bank))
        for layer, choice in enumerate(architecture.layers)
    )
    accuracy = 0.97 - 40 / parameters**0.65 + 0.012 * math.sin(number * 2.4)
    scores = {}
    for place, task in enumerate(tasks):
        scores[f"{task}/accuracy"] = round(accuracy + 0.01 * (place % 2) - 0.005, 4)
        scores[f"{task}/loss"] = round(1 - accuracy, 4)
    return Trial(
        number,
        State.COMPLETE,
        architecture,
        epochs=5,
        seconds=11.5 + number / 7,
        accuracy=round(accuracy, 4),
        learnable_parameters=parameters,
        fixed_parameters=parameters // 3,
        macs=parameters * 190,
        scores=scores,
    )


def made_trials(experiment: Experiment, complete: int = 24, tasks: Sequence[str] = ("left", "right")) -> list[Trial]:
    """Complete trials of different architectures of the experiment's space."""
    space = experiment.search_space
    return [made_trial(number, space.sample(number), tasks) for number in range(complete)]


def ended(number: int, state: State, error: str, experiment: Experiment) -> Trial:
    """A trial that was not trained to its end."""
    return Trial(number, state, experiment.search_space.sample(number), error=error)


def write_run(path: Path, experiment: Experiment, trials: Sequence[Trial]) -> Run:
    """Write the folder of a run that made these trials, and read it again."""
    scores = list(dict.fromkeys(name for trial in trials for name in trial.scores))
    writer = RunWriter(path, ENVIRONMENT, scores)
    writer.begin(experiment)
    for trial in trials:
        writer.start(trial.number, trial.proposal)
        writer.add(trial)
    return load_run(path)


def made_run(path: Path, complete: int = 24, tasks: Sequence[str] = ("left", "right")) -> Run:
    """The folder of a run of the quickstart experiment with that many complete trials."""
    experiment = made_experiment()
    return write_run(path, experiment, made_trials(experiment, complete, tasks))
