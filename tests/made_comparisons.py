"""Comparisons that never ran: made-up outcomes in the folder of a made-up run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtl_search.comparison.results import (
    Comparison,
    Outcome,
    load_comparison,
    write_details,
    write_outcomes,
    write_request,
)
from mtl_search.datasets import Dataset
from mtl_search.evaluation import FROM_SCRATCH, Entrant, EvaluationOptions, Report, entrant_of, evaluate_by_epoch
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training

TASKS = ("left", "right")
LAYERS = ("stem", "layer 0", "layer 1", "layer 2")
EPOCHS = 6
ENVIRONMENT = {
    "command": "mtl-search compare results/made --seeds 3",
    "python": "3.11.2",
    "versions": {"torch": "2.13.0"},
    "hardware": {"processor": "a made-up processor", "cores": 2},
    "seed": 0,
    "source_revision": "0123abc",
    "started": "2026-01-03T10:00:00+00:00",
    "finished": "2026-01-03T11:00:00+00:00",
}
TRAINING = {
    "epochs": EPOCHS,
    "batch_size": 128,
    "learning_rate": 0.003,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "label_smoothing": 0.0,
    "balancing": {"name": "equal", "options": {}},
    "device": "auto",
}
BASELINES: dict[str, tuple[str, float, int, bool]] = {
    "single_task": ("single_task", 0.872, 106_000, False),
    "hard_sharing": ("hard_sharing", 0.848, 53_652, False),
    "hard_sharing_widths@0.5": ("hard_sharing", 0.822, 14_200, True),
    "hard_sharing_widths@1.5": ("hard_sharing", 0.857, 118_000, True),
    "balanced@pcgrad": ("hard_sharing", 0.850, 53_652, False),
    "interrogate@0.2": ("interrogate", 0.853, 66_000, True),
    "interrogate@0.5": ("interrogate", 0.861, 82_000, True),
    "conal": ("conal", 0.856, 74_000, False),
    "recon": ("recon", 0.858, 90_500, False),
}
"""Key -> method, accuracy, learnable parameters, whether it is on a curve."""


def made_baseline(key: str) -> dict[str, Any]:
    """What ``comparison.json`` says of a baseline."""
    recipe, _, variant = key.partition("@")
    return {
        "key": key,
        "kind": "baseline",
        "recipe": recipe,
        "variant": variant,
        "description": f"The recipe {recipe}.",
        "method": BASELINES[key][0],
        "options": {},
        "balancing": {"name": variant if recipe == "balanced" else "equal", "options": {}},
        "width_multiplier": 1.0,
        "curve": BASELINES[key][3],
    }


def made_pick(trial: int, picks: Sequence[str]) -> dict[str, Any]:
    """What ``comparison.json`` says of a trial."""
    balancing = {"name": "equal", "options": {}}
    return {
        "key": f"trial-{trial}",
        "kind": "pick",
        "trial": trial,
        "picks": list(picks),
        "method": "etr_nlp",
        "balancing": balancing,
    }


def made_outcome(
    key: str, seed: int, accuracy: float, parameters: int, method: str = "hard_sharing", trial: int | None = None
) -> Outcome:
    """A complete training: a little noise of its own, and a little that all of a seed have in common."""
    noise = 0.003 * math.sin(7.3 * seed + 1) + 0.0015 * math.sin(3.1 * (seed + 1) * sum(map(ord, key)))
    scores = {}
    for place, task in enumerate(TASKS):
        scores[f"{task}/accuracy"] = round(accuracy + noise + 0.004 * (1 - 2 * place), 4)
        scores[f"{task}/loss"] = round(1 - accuracy - noise, 4)
    return Outcome(
        entrant=key,
        state=State.COMPLETE,
        method=method,
        seed=seed,
        split="test",
        trial=trial,
        epochs=EPOCHS,
        seconds=90.0 + 3 * seed + parameters / 2000,
        accuracy=round(accuracy + noise, 4),
        learnable_parameters=parameters,
        fixed_parameters=11_592 if method == "etr_nlp" else 0,
        macs=parameters * 190,
        macs_of_one_task=parameters * 110,
        training_samples=EPOCHS * 12_000,
        training_macs=EPOCHS * 12_000 * 3 * parameters * 190,
        scores=scores,
    )


def made_details(outcome: Outcome) -> dict[str, Any]:
    """The details of a training, with what its method tells."""
    phase = {
        "epochs": outcome.epochs,
        "samples": EPOCHS * 12_000,
        "seconds": outcome.seconds * EPOCHS * 12_000 / outcome.training_samples,
        "macs": outcome.training_macs * EPOCHS * 12_000 // outcome.training_samples,
    }
    before = outcome.training_samples - EPOCHS * 12_000
    names = {"interrogate": "single-task initialisation", "conal": "search", "recon": "conflict counting"}
    phases = {names[outcome.method]: {**phase, "samples": before}} if before else {}
    return {**_own_details(outcome), "phases": {**phases, "training": phase}}


def _own_details(outcome: Outcome) -> dict[str, Any]:
    if outcome.method == "interrogate":
        return {"share": {task: {layer: _share(outcome, t, n) for n, layer in enumerate(LAYERS)} for t, task in TASK}}
    if outcome.method == "conal":
        return _conal(outcome.seed)
    if outcome.entrant == "hard_sharing" or outcome.method == "etr_nlp":
        return {"cosines": [_cosines(outcome, epoch) for epoch in range(EPOCHS)]}
    return {}


TASK = tuple(enumerate(TASKS))


def _share(outcome: Outcome, task: int, layer: int) -> float:
    target = float(outcome.entrant.partition("@")[2])
    return round(min(1.0, target * (0.4 + 0.5 * layer) + 0.03 * task + 0.01 * outcome.seed), 4)


def _margin(shares: list[float]) -> float:
    return round(sorted(shares)[-1] - sorted(shares)[-2], 5)


def _conal(seed: int) -> dict[str, Any]:
    """Shares that begin equal and drift towards leaving after two layers."""
    alpha = []
    for epoch in range(EPOCHS):
        raw = [[1.0 + 0.05 * epoch * (place == 2 + task) + 0.01 * seed for place in range(5)] for task, _ in TASK]
        alpha.append([[round(one / sum(of_task), 5) for one in of_task] for of_task in raw])
    return {
        "places": list(LAYERS),
        "alpha": alpha,
        "margins": [[_margin(of_task) for of_task in of_epoch] for of_epoch in alpha],
        "margin": [_margin(of_task) for of_task in alpha[-1]],
        "conflicts": [
            {name: round(0.2 + 0.1 * n + 0.01 * epoch, 4) for n, name in enumerate(LAYERS)} for epoch in range(6)
        ],
        "frozen": [round(0.1 * epoch, 4) for epoch in range(EPOCHS)],
        "stages": [],
        "branch_points": {"left": 2, "right": 3},
        "paths": {"left": [0, 0, 1, 1], "right": [0, 0, 0, 2]},
    }


def _cosines(outcome: Outcome, epoch: int) -> dict[str, float | None]:
    """Less opposed in picks; nothing shared in their last layer."""
    lift = 0.12 if outcome.method == "etr_nlp" else 0.0
    found: dict[str, float | None] = {
        name: round(0.3 - 0.12 * n - 0.03 * epoch + lift + 0.01 * outcome.seed, 4) for n, name in enumerate(LAYERS)
    }
    return {**found, LAYERS[-1]: None} if outcome.method == "etr_nlp" else found


EARLIER = {"interrogate": 2, "conal": 1, "recon": 1}
"""Method -> its earlier phases' samples, in those of the last one."""


def made_outcomes(baselines: Sequence[str], picks: Mapping[int, float], run: Run, seeds: int) -> list[Outcome]:
    """Complete trainings of all entrants."""
    made = []
    for seed in range(seeds):
        for key in baselines:
            method, accuracy, parameters, _ = BASELINES[key]
            outcome = made_outcome(key, seed, accuracy, parameters, method)
            more = 1 + EARLIER.get(method, 0)
            samples, macs = outcome.training_samples * more, outcome.training_macs * more
            made.append(replace(outcome, training_samples=samples, training_macs=macs, seconds=outcome.seconds * more))
        for trial, accuracy in picks.items():
            parameters = run.trial(trial).learnable_parameters
            made.append(made_outcome(f"trial-{trial}", seed, accuracy, parameters, "etr_nlp", trial))
    return made


def write_comparison(
    run: Run, entrants: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], seeds: int = 3
) -> Comparison:
    """Write a comparison into a run's folder, and read it again."""
    asked = {
        "seeds": seeds,
        "split": "test",
        "training": TRAINING,
        "entrants": [{**about, "seeds": seeds} for about in entrants],
        "now": [about["key"] for about in entrants],
        "unresolved": {},
        "environment": ENVIRONMENT,
        "revisions": ["0123abc"],
    }
    write_request(run.path, asked)
    for outcome in outcomes:
        if outcome.state is State.COMPLETE:
            write_details(run.path, outcome, made_details(outcome))
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    write_outcomes(run.path, outcomes, names)
    found = load_comparison(run.path)
    assert found is not None
    return found


def made_comparison(run: Run, seeds: int = 3, baselines: Sequence[str] = tuple(BASELINES)) -> Comparison:
    """A comparison of all baselines with three picks of the run's front, if it has one: the cheapest, the last, and
    what is called the knee, the one in the middle.
    """
    picks: dict[int, list[str]] = {}
    if run.front:
        knee = run.front[len(run.front) // 2]
        wanted = {"smallest": run.front[0].number, "knee": knee.number, "best": run.front[-1].number}
        for name, number in wanted.items():
            picks.setdefault(number, []).append(name)
        if "hard_sharing" in baselines:
            picks[run.front[-1].number].append("matched:hard_sharing")
    accuracies = {number: 0.845 + 0.008 * place for place, number in enumerate(picks)}
    entrants = [*map(made_baseline, baselines), *(made_pick(number, names) for number, names in picks.items())]
    return write_comparison(run, entrants, made_outcomes(baselines, accuracies, run, seeds), seeds)


class Cut:
    """Trains in earnest, until a training begins that is to be interrupted; notes what began.

    :param after: Trainings that begin before; all do with a number below 0.
    """

    def __init__(self, after: int) -> None:
        self.after = after
        self.begun: list[tuple[str, int]] = []
        """What, and with which seed."""
        self.rates: list[float] = []

    def __call__(
        self,
        what: Architecture | Entrant,
        dataset: Dataset,
        training: Training,
        seed: int,
        options: EvaluationOptions = FROM_SCRATCH,
    ) -> Iterator[Report]:
        if len(self.begun) == self.after:
            raise KeyboardInterrupt
        self.begun.append((repr(what), seed))
        self.rates.append(entrant_of(what).context(dataset, training, seed).training.learning_rate)
        split = "val" if "val" in dataset.splits else "test"  # tuning sees no test split, the comparison that alone
        yield from evaluate_by_epoch(what, dataset, training, seed, options, split=split)
