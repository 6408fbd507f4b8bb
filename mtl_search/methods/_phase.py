"""The training of a network in one phase of a method."""

from collections.abc import Sequence

from torch import nn

from mtl_search.methods import MethodContext
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import MEASURED, Observer, Trainer


class PhaseTrainer(Trainer):
    """The common loop with the tasks, data, settings and seed of a context.

    :param model: Maps inputs to a dictionary of outputs, task by task.
    :param context: The data, budget and seed that the method was given.
    :param groups: Parameters with a learning rate or weight decay of their own.
    :param phase: Name of the phase, in its epochs.
    :param observer: Called after every epoch; that of the context in the phase that is measured.
    """

    def __init__(
        self,
        model: nn.Module,
        context: MethodContext,
        groups: Sequence[Group] = (),
        phase: str = MEASURED,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(model, context.tasks, context.dataset, context.training, context.seed, groups, phase, observer)
