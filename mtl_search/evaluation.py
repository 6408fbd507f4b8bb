"""Evaluates one entrant: build, train, score. Everything that is compared goes through here."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset
from mtl_search.errors import CheckpointError, DatasetError
from mtl_search.internal.gradients import layer_cosines, of_present
from mtl_search.methods import Finished, Method, Problem
from mtl_search.methods._candidate import Candidate
from mtl_search.metrics.scores import is_optional
from mtl_search.runs.trial import State, Trial
from mtl_search.spaces.architecture import Architecture, Backbone
from mtl_search.spaces.proposal import Proposal
from mtl_search.spaces.settings import BalancingSettings, Training
from mtl_search.tasks import Task
from mtl_search.training.devices import device_of
from mtl_search.training.scoring import scores_on, simulated_scores
from mtl_search.training.trainer import Checkpoint, Epoch, Trainer, restoring

COSINE_BATCHES = 4
"""Batches of training samples over which the cosines between the tasks' gradients are averaged."""


@dataclass(frozen=True)
class Entrant:
    """Something to be trained and measured: a method, and what it is built on.

    :param method: With its options.
    :param backbone: Stages, widths and strides.
    :param width_multiplier: Factor on every width of the backbone.
    :param training: Training settings of its own, instead of those that all share.
    :param balancing: Instead of the one that the training settings name.
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

    def problem(self, dataset: Dataset, training: Training, seed: int) -> Problem:
        """What its method has to solve."""
        training = training.changed(self.training)
        if self.balancing is not None:
            training = training.model_copy(update={"balancing": self.balancing})
        return Problem(self.backbone, dataset, training, seed, self.width_multiplier, self.given)


@dataclass(frozen=True)
class Course:
    """What a training is asked for on its way, and where it begins. Changes nothing in what it ends with.

    :param scored_after: Epochs after which the network is scored, besides the last one.
    :param checkpoints: Whether to give a checkpoint after every epoch.
    :param start: The checkpoint to go on from; from scratch if left out.
    """

    scored_after: tuple[int, ...] = ()
    checkpoints: bool = False
    start: Checkpoint | None = None


FROM_SCRATCH = Course()


@dataclass(frozen=True)
class Phase:
    """What one phase of a training took.

    :param epochs: Passes over its training samples.
    :param samples: Samples seen.
    :param seconds: Spent on training.
    :param macs: Multiply-accumulates, forward and backward.
    """

    epochs: int = 0
    samples: int = 0
    seconds: float = 0.0
    macs: int = 0

    def __add__(self, epoch: Epoch) -> "Phase":
        return Phase(
            self.epochs + 1, self.samples + epoch.samples, self.seconds + epoch.seconds, self.macs + epoch.macs
        )


@dataclass(frozen=True)
class Report:
    """What is known of a training after an epoch, or at its end.

    :param epoch: Epochs trained in this phase.
    :param seconds: Seconds spent so far, on training in all phases and on scoring.
    :param loss: Mean training loss of the epoch.
    :param phase: Name of the phase; the last one is ``training``.
    :param phases: Name of each phase so far -> what it took.
    :param scores: ``"<task>/<metric>"`` -> value; empty before the end where none were asked for.
    :param cost: Of the network that was measured; ``None`` before the end.
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


Evaluate = Callable[[Architecture | Entrant, Dataset, Training, int, Course], Iterator[Report]]
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
    course: Course = FROM_SCRATCH,
    split: str = "val",
    simulated: bool = False,
) -> Iterator[Report]:
    """Train an architecture or an entrant and score it at the end.

    :param dataset: Trained on its split ``train``.
    :param seed: Of initial weights, primitives, and order of the samples.
    :param course: Scores and checkpoints on the way, for a method that the common loop trains; where to begin.
    :param split: What it is scored on.
    :param simulated: Whether the trained network also acts in the simulation of the dataset, if that has one.
    :raises DivergedError: If the loss is no longer finite.

    Where the course begins with a checkpoint that is none of this training, it begins with the first epoch.
    """
    dataset = dataset if simulated else replace(dataset, simulation=None)
    try:
        yield from _evaluated(what, dataset, training, seed, course, split)
    except CheckpointError:
        yield from _evaluated(what, dataset, training, seed, replace(course, start=None), split)


def _evaluated(
    what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, course: Course, split: str
) -> Iterator[Report]:
    entrant = entrant_of(what)
    assert entrant.method.goes_on or course == FROM_SCRATCH, "methods of several phases are trained in one go"
    with restoring():
        witness = Witness(entrant, dataset, course, split)
        phases = _phases_of(course.start)
        begun = _seconds(phases)
    problem = entrant.problem(dataset, training, seed)
    epochs = entrant.method.train(replace(problem, observer=witness, start=course.start))
    last = Report(course.start.epoch if course.start else 0, begun, loss=0.0, phases=phases)
    while True:
        try:
            epoch = next(epochs)
        except StopIteration as end:
            finished: Finished = end.value
            break
        phases = {**phases, epoch.phase: phases.get(epoch.phase, Phase()) + epoch}
        last = witness.tell(Report(phases[epoch.phase].epochs, _seconds(phases), epoch.loss, epoch.phase, phases))
        yield last
    details = {**finished.details, **({"cosines": witness.cosines.found} if witness.cosines else {})}
    device = device_of(training.device)
    scores = witness.score(finished.model, device) | simulated_scores(finished.model, dataset, device)
    yield Report(
        last.epoch,
        witness.seconds + _seconds(phases),
        last.loss,
        phases=phases,
        scores=scores,
        cost=cost.measure(finished.model, dataset.input_shape),
        macs_of_one_task=entrant.method.macs_of_one_task(finished.model, problem),
        details=details,
        weights={name: value.detach().cpu() for name, value in finished.model.state_dict().items()},
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


@runtime_checkable
class Layered(Protocol):
    """A network that says which parameters belong to which layer."""

    def layer_parameters(self) -> dict[str, list[Parameter]]:
        """Name of the layer -> its parameters."""


class Witness:
    """Looks at a training after every epoch: scores, checkpoints and cosines, as they were asked for."""

    def __init__(self, entrant: Entrant, dataset: Dataset, course: Course, split: str) -> None:
        self.dataset, self.course, self.split = dataset, course, split
        self.cosines = CosineObserver() if entrant.cosines else None
        self.seconds = float(course.start.values["scoring_seconds"]) if course.start else 0.0
        self.scores: dict[str, float] = {}
        self.checkpoint: Checkpoint | None = None

    def __call__(self, trainer: Trainer) -> None:
        if self.cosines is not None:
            self.cosines(trainer)
        self.scores = {}
        if trainer.done in self.course.scored_after and trainer.done < trainer.settings.epochs:
            self.scores = self.score(trainer.model, trainer.device)
        self.checkpoint = trainer.checkpoint() if self.course.checkpoints else None

    def score(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """The scores of a network, in evaluation mode afterwards; the time counts."""
        start = time.perf_counter()
        scores = scores_on(model, self.dataset.tasks, self.dataset, self.split, device)
        self.seconds += time.perf_counter() - start
        return scores

    def tell(self, report: Report) -> Report:
        """The report of an epoch, with what was seen after it."""
        checkpoint = self.checkpoint
        if checkpoint is not None:
            phases = {name: asdict(phase) for name, phase in report.phases.items()}
            values = {**checkpoint.values, "phases": phases, "scoring_seconds": self.seconds}
            checkpoint = replace(checkpoint, values=values)
        return replace(report, seconds=report.seconds + self.seconds, scores=self.scores, checkpoint=checkpoint)


class CosineObserver:
    """Follows how much the tasks agree, layer by layer: the cosines between their gradients after every epoch.

    Between those tasks that have a target in a batch.

    Always on the same few batches of training samples, with batch statistics; the network is left as it was.
    """

    def __init__(self) -> None:
        self.found: list[dict[str, float | None]] = []
        """An entry per epoch: name of the layer -> mean cosine over batches and pairs of tasks."""

    def __call__(self, trainer: Trainer) -> None:
        buffers = {name: value.clone() for name, value in trainer.model.named_buffers()}
        size = trainer.settings.batch_size
        assert isinstance(trainer.model, Layered)
        layers = trainer.model.layer_parameters()
        seen = [
            layer_cosines(_losses(trainer, slice(number * size, (number + 1) * size)), layers)
            for number in range(min(COSINE_BATCHES, trainer.steps))
        ]
        with torch.no_grad():
            for name, value in trainer.model.named_buffers():
                value.copy_(buffers[name])
        self.found.append({name: _mean([one[name] for one in seen]) for name in layers})


def _losses(trainer: Trainer, samples: slice) -> Tensor:
    """Of the tasks that have a target among these samples; of all, which are zeros, if none has."""
    inputs, targets = trainer.data.batch(samples)
    losses = trainer.losses(inputs, targets)
    there = of_present(losses, targets.present)
    return there if len(there) else losses


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _phases_of(start: Checkpoint | None) -> dict[str, Phase]:
    """What the phases took up to a checkpoint."""
    return {} if start is None else {name: Phase(**phase) for name, phase in start.values["phases"].items()}


def _seconds(phases: Mapping[str, Phase]) -> float:
    return sum(phase.seconds for phase in phases.values())
