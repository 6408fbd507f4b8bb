"""Evaluates one entrant: build, train, score. Everything that is compared goes through here."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset
from mtl_search.errors import CheckpointError, DatasetError
from mtl_search.methods import Method, MethodContext, TrainedModel
from mtl_search.methods._candidate import Candidate
from mtl_search.metrics.scores import is_optional
from mtl_search.networks.geometry import check_tokens
from mtl_search.runs.trial import State, Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.proposal import Proposal
from mtl_search.spaces.settings import BalancingSettings, Training
from mtl_search.tasks import Task
from mtl_search.training.checkpoint import Checkpoint, restoring
from mtl_search.training.devices import device_of
from mtl_search.training.monitor import EpochMonitor, Phase, phases_until, seconds_of
from mtl_search.training.scoring import simulated_scores


@dataclass(frozen=True)
class Entrant:
    """Something to be trained and measured: a method, and what it is built on.

    :param method: The method, with its options.
    :param backbone: Stages, widths and strides.
    :param width_multiplier: Factor on every width of the backbone.
    :param training: Training settings of its own, instead of those that all share.
    :param balancing: How its tasks are balanced, instead of the one that the training settings name.
    :param given: Weights that the method may start from.
    :param cosines: Whether to follow the cosines between the tasks' gradients, layer by layer.
    """

    method: Method
    backbone: Backbone
    width_multiplier: float = 1.0
    training: Mapping[str, Any] = field(default_factory=dict)
    balancing: BalancingSettings | None = None
    given: Mapping[str, Tensor] = field(default_factory=dict)
    cosines: bool = False

    def context(self, dataset: Dataset, training: Training, seed: int) -> MethodContext:
        """What its method has to solve."""
        training = training.changed(self.training)
        if self.balancing is not None:
            training = training.model_copy(update={"balancing": self.balancing})
        return MethodContext(self.backbone, dataset, training, seed, self.width_multiplier, self.given)


@dataclass(frozen=True)
class EvaluationOptions:
    """What a training is asked for on its way, and where it begins. Changes nothing in what it ends with.

    :param scored_after: Epochs after which the network is scored, besides the last one.
    :param checkpoints: Whether to give a checkpoint after every epoch.
    :param start: The checkpoint to go on from; from scratch if left out.
    """

    scored_after: tuple[int, ...] = ()
    checkpoints: bool = False
    start: Checkpoint | None = None


FROM_SCRATCH = EvaluationOptions()


@dataclass(frozen=True)
class Report:
    """What is known of a training after an epoch, or at its end.

    :param epoch: Epochs trained in this phase.
    :param seconds: Seconds spent so far, on training in all phases and on scoring.
    :param loss: Mean training loss of the epoch.
    :param phase: Name of the phase; the last one is ``training``.
    :param phases: Name of each phase so far -> what it took.
    :param scores: ``"<task>/<metric>"`` -> value; empty before the end where none were asked for.
    :param cost: Parameters and MACs of the network that was measured; ``None`` before the end.
    :param macs_of_one_task: MACs for one task alone, the mean over tasks.
    :param details: What the method has to tell besides.
    :param weights: The trained ``state_dict``; empty before the end.
    :param checkpoint: What the training can go on from, where it was asked for; ``None`` at the end.
    :param done: Whether this is the end.
    """

    epoch: int
    seconds: float
    loss: float
    phase: str = "training"
    phases: Mapping[str, Phase] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    macs_of_one_task: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    done: bool = False

    @property
    def training_macs(self) -> int:
        """MACs spent on training so far, forward and backward, in all phases."""
        return sum(phase.macs for phase in self.phases.values())


Evaluate = Callable[[Architecture | Entrant, Dataset, Training, int, EvaluationOptions], Iterator[Report]]
"""Trains with a seed and reports after every epoch, then once more, ``done``, with the scores."""


def entrant_of(what: Architecture | Proposal | Entrant) -> Entrant:
    """An architecture or a proposal as an entrant; an entrant as it is."""
    if isinstance(what, Entrant):
        return what
    architecture, values = (what, {}) if isinstance(what, Architecture) else (what.architecture, what.training)
    return Entrant(Candidate(architecture), architecture.backbone, training=values)


def evaluate_by_epoch(
    what: Architecture | Entrant,
    dataset: Dataset,
    training: Training,
    seed: int,
    options: EvaluationOptions = FROM_SCRATCH,
    split: str = "val",
    simulated: bool = False,
) -> Iterator[Report]:
    """Train an architecture or an entrant and score it at the end.

    :param dataset: Trained on its split ``train``.
    :param seed: Seed of the initial weights, the primitives, and the order of the samples.
    :param options: Scores and checkpoints on the way, for a method that the common loop trains; where to begin.
    :param split: What it is scored on.
    :param simulated: Whether the trained network also acts in the simulation of the dataset, if that has one.
    :raises DivergedError: If the loss is no longer finite.

    Where the checkpoint to start from is none of this training, it begins with the first epoch.
    """
    dataset = dataset if simulated else replace(dataset, simulation=None)
    try:
        yield from _evaluated(what, dataset, training, seed, options, split)
    except CheckpointError:
        yield from _evaluated(what, dataset, training, seed, replace(options, start=None), split)


def _evaluated(
    what: Architecture | Entrant,
    dataset: Dataset,
    training: Training,
    seed: int,
    options: EvaluationOptions,
    split: str,
) -> Iterator[Report]:
    entrant = entrant_of(what)
    check_tokens(entrant.backbone, tokens=dataset.vocabulary > 0)
    assert entrant.method.goes_on or options == FROM_SCRATCH, "methods of several phases are trained in one go"
    with restoring():
        monitor = EpochMonitor(
            dataset, split, options.scored_after, options.checkpoints, options.start, entrant.cosines
        )
        phases = phases_until(options.start)
        begun = seconds_of(phases)
    context = entrant.context(dataset, training, seed)
    epochs = entrant.method.train(replace(context, observer=monitor, start=options.start))
    last = Report(options.start.epoch if options.start else 0, begun, loss=0.0, phases=phases)
    while True:
        try:
            epoch = next(epochs)
        except StopIteration as end:
            trained: TrainedModel = end.value
            break
        phases = {**phases, epoch.phase: phases.get(epoch.phase, Phase()) + epoch}
        last = Report(
            phases[epoch.phase].epochs,
            seconds_of(phases) + monitor.seconds,
            epoch.loss,
            epoch.phase,
            phases,
            monitor.scores,
            checkpoint=monitor.checkpoint(phases),
        )
        yield last
    details = {**trained.details, **({"cosines": monitor.cosines.found} if monitor.cosines else {})}
    device = device_of(training.device)
    scores = monitor.score(trained.model, device) | simulated_scores(trained.model, dataset, device)
    yield Report(
        last.epoch,
        monitor.seconds + seconds_of(phases),
        last.loss,
        phases=phases,
        scores=scores,
        cost=cost.measure(trained.model, dataset.input_shape),
        macs_of_one_task=entrant.method.macs_of_one_task(trained.model, context),
        details=details,
        weights={name: value.detach().cpu() for name, value in trained.model.state_dict().items()},
        done=True,
    )


def evaluate(
    architecture: Architecture,
    dataset: Dataset,
    training: Training | None = None,
    seed: int = 0,
    split: str = "val",
) -> Trial:
    """Train an architecture from scratch and score it.

    :param training: Budget and optimiser; the defaults if left out.
    :param split: What it is scored on.
    :returns: A complete trial, number 0.
    :raises DivergedError: If the loss is no longer finite.
    """
    *_, last = evaluate_by_epoch(architecture, dataset, training or Training(), seed, split=split)
    assert last.cost is not None
    return Trial(
        0,
        State.COMPLETE,
        architecture,
        seed=seed,
        epochs=last.epoch,
        seconds=last.seconds,
        accuracy=mean_quality(dataset.tasks, last.scores),
        learnable_parameters=last.cost.learnable_parameters,
        fixed_parameters=last.cost.fixed_parameters,
        macs=last.cost.macs,
        worst_task=worst_quality(dataset.tasks, last.scores),
        scores=dict(last.scores),
    )


def mean_quality(
    tasks: tuple[Task, ...], scores: Mapping[str, float], weights: Mapping[str, float] | None = None
) -> float:
    """Mean over tasks of each task's quality, the objective ``accuracy``; see :meth:`~mtl_search.tasks.Task.quality`.

    :param weights: Task -> how much it counts; 1 for those that are not named.
    :raises DatasetError: If a task has no headline: no target of the split is there.
    """
    weighed = [(weights or {}).get(task.name, 1.0) for task in tasks]
    products = zip(weighed, task_qualities(tasks, scores), strict=True)
    return sum(weight * quality for weight, quality in products) / sum(weighed)


def worst_quality(tasks: tuple[Task, ...], scores: Mapping[str, float]) -> float:
    """The quality of the task that is done worst, the objective ``worst_task``.

    :raises DatasetError: As :func:`mean_quality`.
    """
    return min(task_qualities(tasks, scores))


def task_qualities(tasks: tuple[Task, ...], scores: Mapping[str, float]) -> list[float]:
    """The quality of each task, 1 is perfect.

    :raises DatasetError: As :func:`mean_quality`.
    """
    missing = missing_scores(tasks, scores)
    if missing:
        raise DatasetError(f"there is no score {', '.join(missing)}: has the split any target for it?")
    return [task.quality(_of_task(task, scores)) for task in tasks]


def missing_scores(tasks: tuple[Task, ...], scores: Mapping[str, float]) -> list[str]:
    """The scores of the tasks that are not there, but for those that may be undefined; a headline may not."""
    needed = [n for task in tasks for n in task.score_names if n == task.score_names[0] or not is_optional(n)]
    return [name for name in needed if name not in scores]


def wrong_scores(tasks: tuple[Task, ...], report: Report) -> str:
    """What is wrong with the scores of a report, as a reason of a failure; empty if nothing is."""
    if not report.done and not report.scores:
        return ""
    missing = missing_scores(tasks, report.scores)
    if missing:
        return f"the evaluation gave no score {', '.join(missing)}"
    endless = [f"{name} = {value}" for name, value in report.scores.items() if not math.isfinite(value)]
    return f"the scores are not finite: {', '.join(endless)}" if endless else ""


def _of_task(task: Task, scores: Mapping[str, float]) -> dict[str, float]:
    """Metric -> value."""
    names = {metric.name: f"{task.name}/{metric.name}" for metric in task.metrics}
    return {metric: scores[name] for metric, name in names.items() if name in scores}
