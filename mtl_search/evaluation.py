"""Evaluates one candidate: build, train, score. Everything that is compared goes through here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mtl_search import cost
from mtl_search.architecture import Architecture
from mtl_search.datasets import Dataset
from mtl_search.experiment import Training
from mtl_search.networks.network import build_model
from mtl_search.tasks import Task
from mtl_search.training import MACS_PER_STEP, Trainer, scores_on
from mtl_search.trial import State, Trial


@dataclass(frozen=True)
class Report:
    """What is known of a training after an epoch.

    :param epoch: Epochs trained.
    :param seconds: Seconds spent so far.
    :param loss: Mean training loss of the epoch.
    :param scores: ``"<task>/<metric>"`` -> value; empty before the last epoch.
    :param training_macs: MACs spent on training so far, forward and backward.
    :param weights: The trained ``state_dict``; empty before the last epoch.
    :param done: Whether this was the last epoch.
    """

    epoch: int
    seconds: float
    loss: float
    scores: Mapping[str, float] = field(default_factory=dict)
    training_macs: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    done: bool = False


Evaluate = Callable[[Architecture, Dataset, Training, int], Iterator[Report]]
"""Trains an architecture with a seed and reports after every epoch; the last report is ``done``."""


def evaluate_by_epoch(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, split: str = "val"
) -> Iterator[Report]:
    """Train an architecture from scratch and score it once, at the end.

    :param dataset: Trained on its split ``train``.
    :param seed: Of initial weights, primitives, and order of the samples.
    :param split: What it is scored on.
    :raises DivergedError: If the loss is no longer finite.
    """
    model = build_model(architecture, dataset.tasks, dataset.input_shape, seed)
    macs = cost.estimate(architecture, dataset.tasks, dataset.input_shape).macs
    trainer = Trainer(model, dataset.tasks, dataset, training, seed)
    seconds, spent = 0.0, 0
    for epoch in trainer.epochs():
        seconds += epoch.seconds
        spent += MACS_PER_STEP * macs * epoch.samples
        if epoch.number < training.epochs:
            yield Report(epoch.number, seconds, epoch.loss, training_macs=spent)
    scores = scores_on(model, dataset.tasks, dataset, split, trainer.device)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    yield Report(epoch.number, seconds, epoch.loss, scores, spent, weights, done=True)


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
    *_, last = evaluate_by_epoch(architecture, dataset, training or Training(), seed, split)
    return trial_of(0, architecture, dataset, seed, last)


def trial_of(number: int, architecture: Architecture, dataset: Dataset, seed: int, last: Report) -> Trial:
    """The complete trial that ends with a report."""
    known = cost.estimate(architecture, dataset.tasks, dataset.input_shape)
    return Trial(
        number,
        State.COMPLETE,
        architecture,
        seed=seed,
        epochs=last.epoch,
        seconds=last.seconds,
        accuracy=mean_headline(dataset.tasks, last.scores),
        learnable_parameters=known.learnable_parameters,
        fixed_parameters=known.fixed_parameters,
        macs=known.macs,
        scores=dict(last.scores),
    )


def mean_headline(tasks: tuple[Task, ...], scores: Mapping[str, float]) -> float:
    """Mean over tasks of each task's headline metric."""
    return sum(scores[f"{task.name}/{task.headline}"] for task in tasks) / len(tasks)
