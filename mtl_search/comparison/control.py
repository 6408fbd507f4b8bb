"""Controls: what the same number of trainings finds without primitives, and without routing.

A search that finds something better than a baseline has shown nothing yet: it had many trainings to choose from, and a
space in which ordinary convolutions may do as well. ``--control`` searches twice more, with as many trials, the same
seed, sampler and open training settings:

``routing``
    The same space with ``bank: [conv]``: ratios of shared channels, branches and widths, but no primitives.
``hard_sharing``
    Everything shared and ordinary convolutions, over widths and learning rates.

Each is a whole run in ``RUN/control/<name>``, that every command can open. What they found is compared like the picks:
their best, and their best with at most as many parameters as the best of the search.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rich.console import Console

from mtl_search.comparison.entrants import Entry, trial_entry
from mtl_search.comparison.results import HARD_SHARING_CONTROL, ROUTING_CONTROL, control_folder
from mtl_search.comparison.tuning import plain, rate_offer
from mtl_search.datasets import Dataset
from mtl_search.errors import SearchInterruptedError, UserError
from mtl_search.evaluation import Evaluate
from mtl_search.internal.layout import EXPERIMENT
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.front import best_of
from mtl_search.runs.rows import written_seconds
from mtl_search.runs.trial import State
from mtl_search.searching.run import resume, search
from mtl_search.spaces.banks import CONVOLUTION
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.spaces.section import LONGEST_NAME
from mtl_search.spaces.space_settings import SpaceSettings

WIDTHS = 9
"""Of hard sharing: steps of at most a fifth where a space offers half to twice the widths."""
NARROWER = 0.5
"""Of the least width of the space: networks of primitives have fewer learnable parameters at the same width."""


@dataclass(frozen=True)
class Control:
    """What a control found.

    :param name: Which control it is: ``routing`` (without primitives) or ``hard_sharing``.
    :param run: The run that the control's search made.
    :param limit: Most learnable parameters of the one that is compared at equal size: those of the search's best.
    """

    name: str
    run: Run
    limit: int

    @cached_property
    def picks(self) -> dict[int, dict[str, str]]:
        """Number of each trial that is compared -> what it is compared as -> why.

        :raises UserError: If no trial of it is complete.
        """
        if self.run.best is None:
            raise UserError(f"{self.run.path}: no trial of this control is complete, so there is none to compare.")
        found = {self.run.best.number: {"best": f"the best of {len(self.run.complete)} trials"}}
        small = [trial for trial in self.run.front if trial.learnable_parameters <= self.limit]
        if small:
            objectives, value = self.run.experiment.objectives, self.run.beliefs.value
            matched = best_of(small, objectives, value)
            reason = f"the best of {len(self.run.complete)} trials with at most {self.limit:,} parameters"
            found.setdefault(matched.number, {})["matched"] = reason
        return found

    def entry(self, number: int, training: Mapping[str, Any] | None = None) -> Entry:
        """One of them as an entrant; at the values that its search chose where it was not tuned."""
        found = trial_entry(self.run.trial(number), self.picks[number], self.run.experiment, training)
        recipe = f"{self.name.replace('_', ' ')} control"
        about = {**found.about, "key": self.key(number), "kind": "control", "control": self.name}
        about |= {"recipe": recipe, "variant": str(number), "options": {}, "width_multiplier": 1.0, "curve": False}
        return Entry(self.key(number), replace(found.entrant, cosines=False), about, number)

    def key(self, number: int) -> str:
        """Its key in the comparison."""
        return f"control-{self.name}-{number}"

    def to_dict(self) -> dict[str, Any]:
        """As ``comparison.json`` has it."""
        trained = [trial for trial in self.run.trials if trial.state is not State.INFEASIBLE]
        return {
            "trials": len(trained),
            "complete": len(self.run.complete),
            "seconds": written_seconds(sum(trial.seconds for trial in trained)),
            "limit": self.limit,
            "entrants": [self.key(number) for number in self.picks],
        }


def control_experiments(run: Run) -> dict[str, Experiment]:
    """Name -> the experiment of each control of a run.

    ``routing`` is left out where the space has no primitives, or would leave nothing to choose without them.

    :raises UserError: If the run has no complete trial.
    """
    if run.best is None:
        raise UserError(f"{run.path}: no trial of this run is complete, so there is nothing to control.")
    routing = _without_primitives(run.experiment)
    spaces = {
        **({ROUTING_CONTROL: routing} if _is_another_search(run.experiment, routing) else {}),
        HARD_SHARING_CONTROL: _hard_sharing(run.experiment),
    }
    return {name: _searching(run, name, space) for name, space in spaces.items()}


def search_controls(
    run: Run,
    experiments: Mapping[str, Experiment],
    dataset: Dataset,
    *,
    workers: int | None,
    address: str | None,
    show_progress: bool,
    evaluate: Evaluate,
) -> list[Control]:
    """Do the searches of the controls, or what is left of them.

    :param run: Whose folder this process is alone in.
    :param experiments: Name of each control -> its experiment, from :func:`control_experiments`.
    :param workers: Trainings at the same time; 0: in this process. This and what follows are passed to
        :func:`~mtl_search.searching.run.search`.
    :raises SearchInterruptedError: On SIGINT or SIGTERM.
    """
    limit, found = limit_of(run), []
    for name, experiment in experiments.items():
        folder = control_folder(run.path, name)
        begin = functools.partial(search, experiment, out=folder)
        go_on = functools.partial(resume, folder, trials=experiment.search.trials)
        if show_progress:
            Console(stderr=True).print(f"control {name}: {experiment.search.trials} trials", highlight=False)
        try:
            if not (folder / EXPERIMENT).exists():
                begin(dataset=dataset, workers=workers, address=address, show_progress=show_progress, evaluate=evaluate)
            elif _trained(load_run(folder)) < experiment.search.trials:
                go_on(dataset=dataset, workers=workers, address=address, show_progress=show_progress, evaluate=evaluate)
        except SearchInterruptedError as error:
            raise SearchInterruptedError(f"interrupted in the control `{name}`; the same command goes on") from error
        found.append(Control(name, load_run(folder), limit))
    return found


def _trained(run: Run) -> int:
    """Trainings of a search, those that confirm others included."""
    return sum(trial.state is not State.INFEASIBLE for trial in run.trials) + len(run.confirmations)


def limit_of(run: Run) -> int:
    """The learnable parameters of a run's best trial."""
    assert run.best is not None
    return run.best.learnable_parameters


def _without_primitives(experiment: Experiment) -> dict[str, Any]:
    """The ``space`` of an experiment with ordinary convolutions alone."""
    space = experiment.to_dict()["space"]
    conv = {"bank": [CONVOLUTION]}
    layers = {number: {**own, **(conv if "bank" in own else {})} for number, own in space["layers"].items()}
    return {**space, **conv, "layers": layers}


def _is_another_search(experiment: Experiment, space: Mapping[str, Any]) -> bool:
    """Whether a space differs from the experiment's own and leaves a choice."""
    found = SpaceSettings.model_validate(space)
    architectures = found.build(experiment.backbone.build())
    choices = architectures.size > 1 or bool(found.training)
    return choices and architectures != experiment.search_space


def _hard_sharing(experiment: Experiment) -> dict[str, Any]:
    """A space of hard sharing alone: over widths, learning rates, and what else is open of the training."""
    offers = {"learning_rate": rate_offer(experiment), **experiment.space.training}
    return {
        "bank": [CONVOLUTION],
        "shared_ratio": [1.0],
        "width_multiplier": _widths(experiment.space.width_multiplier),
        "training": {name: plain(offer) for name, offer in offers.items()},
    }


def _widths(offered: Sequence[float]) -> list[float]:
    """Widths at equal ratios, from half the least that is offered to the greatest, and 1, which comes first."""
    low, high = NARROWER * min(offered), max(offered)
    steps = {float(f"{low * (high / low) ** (step / (WIDTHS - 1)):.3g}") for step in range(WIDTHS)}
    return [1.0, *sorted(steps - {1.0})]


def _searching(run: Run, name: str, space: Mapping[str, Any]) -> Experiment:
    """The run's experiment in another space, with as many trials as the run trained, and no other end."""
    data = run.experiment.to_dict()
    kept = {key: value for key, value in data["search"].items() if key not in ("hours", "target")}
    confirm = run.experiment.search.confirm
    least = 1 + (confirm.trainings if confirm else 0)  # one at least is not trained to confirm others
    search = {**kept, "trials": max(_trained(run), least), "points": _points(run, name)}
    named = f"{run.experiment.name} {name} control".replace("_", " ")[:LONGEST_NAME]
    changed = {**data, "name": named, "description": "", "space": dict(space), "search": search}
    return parse_experiment(changed, f"{run.path} --control")


def _points(run: Run, name: str) -> list[dict[str, Any]]:
    """What a control tries first: what the run did, without its banks; hard sharing as it stands."""
    if name == HARD_SHARING_CONTROL:
        return [{"width_multiplier": 1.0}]
    without = [
        {question: answer for question, answer in point.items() if not str(question).endswith("bank")}
        for point in run.experiment.search.points
    ]
    return [point for number, point in enumerate(without) if point not in without[:number]]
