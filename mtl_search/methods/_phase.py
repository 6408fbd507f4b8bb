"""The training of a network in one phase of a method."""

from collections.abc import Sequence

from torch import nn

from mtl_search.methods import Problem
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import Observer, Trainer


class PhaseTrainer(Trainer):
    """The common loop with the tasks, data, settings and seed of a problem.

    :param model: Maps inputs to a dictionary of outputs, task by task.
    :param problem: What is trained on, and how.
    :param groups: Parameters with a learning rate or weight decay of their own.
    :param phase: Its name, in the epochs.
    :param observer: Called after every epoch; that of the problem in the phase that is measured.
    """

    def __init__(
        self,
        model: nn.Module,
        problem: Problem,
        groups: Sequence[Group] = (),
        phase: str = "training",
        observer: Observer | None = None,
    ) -> None:
        super().__init__(model, problem.tasks, problem.dataset, problem.training, problem.seed, groups, phase, observer)
