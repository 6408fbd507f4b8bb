"""Recon (Shi, Li, Zhang, Chen & Wu, ICLR 2023, arXiv 2302.11289)."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mtl_search import cost
from mtl_search.internal.gradients import task_gradients
from mtl_search.methods import Epochs, Method, MethodContext, TrainedModel
from mtl_search.methods._phase import PhaseTrainer
from mtl_search.networks.paths import PathNetwork
from mtl_search.training.trainer import BACKWARD_MACS, Epoch


@dataclass(frozen=True)
class Recon(Method):
    """Counts where the tasks' gradients conflict while hard sharing trains; then trains with those layers separate.

    Two phases. ``conflict counting`` trains the shared trunk, and counts for each layer the pairs of tasks whose
    gradients on it have a cosine below the threshold, summed over pairs and steps: its S-conflict score. Then the
    layers with the highest scores become task-specific, and ``training`` trains the new network from scratch.

    Our reading: a layer is a module of the backbone with its norms; one that never saw a conflict stays shared, so that
    fewer than ``layers`` may be separated; a shared layer behind a separate one has batch statistics for each task.

    :param threshold: S. The authors' scripts set it for each dataset: -0.1 on Multi-Fashion+MNIST, -0.02 on NYUv2, 0 on
        Cityscapes; the first of them is nearest to what is trained here.
    :param layers: How many layers become task-specific; a third of them, rounded up, if left out (ours: the authors
        set it for each dataset).
    :param counting_epochs: Epochs of the first phase; as many as the training has if left out.
    """

    name = "recon"
    measured_as_built = False
    threshold: Annotated[float, Field(ge=-1, le=1)] = -0.1
    layers: Annotated[int, Field(ge=1)] | None = None
    counting_epochs: Epochs | None = None

    def build(self, context: MethodContext) -> PathNetwork:
        return context.path_network([(0,) * len(context.shapes) for _ in context.tasks])

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        counter = ConflictCounter(self.build(context), self._counting(context), self.threshold)
        yield from counter.epochs()
        counts = counter.counts()
        separate = worst(list(counts.values()), self.layers or -(-len(counts) // 3))
        model = context.path_network(separated(len(counts), separate, len(context.tasks)))
        yield from context.trainer(model).epochs()
        names = list(counts)
        return TrainedModel(
            model,
            {
                "threshold": self.threshold,
                "conflicts": counts,
                "separate": [names[place] for place in separate],
            },
        )

    def rebuild(self, context: MethodContext, details: Mapping[str, Any]) -> PathNetwork:
        names = [shape.name for shape in context.shapes]
        separate = [names.index(name) for name in details["separate"]]
        return context.path_network(separated(len(names), separate, len(context.tasks)))

    def _counting(self, context: MethodContext) -> MethodContext:
        return context if self.counting_epochs is None else context.with_training(epochs=self.counting_epochs)


class ConflictCounter(PhaseTrainer):
    """Trains as the common loop does, by one backward pass for each task, and counts conflicts on the way.

    :param model: The layers of its :meth:`~PathNetwork.layer_parameters` are counted.
    :param context: What to train on, with the budget of this phase.
    :param threshold: Cosines below it are conflicts.
    """

    def __init__(self, model: PathNetwork, context: MethodContext, threshold: float) -> None:
        super().__init__(model, context, phase="conflict counting")
        self.threshold = threshold
        numbers = {id(parameter): number for number, parameter in enumerate(self.parameters)}
        self.layers = {
            name: [numbers[id(parameter)] for parameter in parameters]
            for name, parameters in model.layer_parameters().items()
        }
        self.conflicts = torch.zeros(len(self.layers), dtype=torch.int64, device=self.device)

    @cached_property
    def macs_per_sample(self) -> int:
        """A forward pass and a backward pass for each task: the step is made from the gradients that are counted."""
        return cost.count_macs(self.model, self.dataset.input_shape) * (1 + BACKWARD_MACS * len(self.tasks))

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        gradients = task_gradients(losses, self.parameters)
        self.conflicts += torch.stack(
            [conflicting_pairs(_jacobian(gradients, layer), self.threshold, present) for layer in self.layers.values()]
        )
        self.balancing.backward(_linear(losses, self.parameters, gradients), present)

    def counts(self) -> dict[str, int]:
        """Name of the layer -> conflicts so far, summed over pairs of tasks and steps."""
        return dict(zip(self.layers, self.conflicts.tolist(), strict=True))


def conflicting_pairs(jacobian: Tensor, threshold: float, present: Tensor | None = None) -> Tensor:
    """How many pairs of tasks have gradients with a cosine below the threshold, ``[]``, on the device.

    :param jacobian: ``[tasks, values]``. A gradient of zeros has a cosine of 0 with any other.
    :param present: Which tasks have a target in the batch, ``[tasks]`` bool; pairs with others do not count.
    """
    unit = F.normalize(jacobian, dim=1)
    conflicts = (unit @ unit.T).lt(threshold)
    if present is not None:
        conflicts = conflicts & present & present[:, None]
    return conflicts.triu(diagonal=1).sum()


def worst(counts: Sequence[int], most: int) -> list[int]:
    """The places with the highest counts, at most so many and none of no conflict; of equals, those nearer the input.

    :returns: Places, input to output.
    """
    order = sorted(range(len(counts)), key=lambda place: -counts[place])
    return sorted(place for place in order[:most] if counts[place])


def separated(places: int, separate: Sequence[int], tasks: int) -> list[tuple[int, ...]]:
    """The tasks' paths where some places have a module for each task, and the others one for all."""
    return [tuple(task if place in separate else 0 for place in range(places)) for task in range(tasks)]


def _jacobian(gradients: Sequence[Sequence[Tensor]], layer: Sequence[int]) -> Tensor:
    """The tasks' gradients on some parameters, ``[tasks, values]``."""
    return torch.stack([torch.cat([of_task[number].flatten() for number in layer]) for of_task in gradients])


def _linear(losses: Tensor, parameters: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """Losses of the same values and gradients that are linear in the parameters.

    Any balancing makes its step from them, without another pass through the network.
    """
    slopes = torch.stack(
        [
            torch.stack([(parameter * one).sum() for parameter, one in zip(parameters, of_task, strict=True)]).sum()
            for of_task in gradients
        ]
    )
    return losses.detach() + (slopes - slopes.detach())
