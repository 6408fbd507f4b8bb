"""InterroGate (Bejnordi et al., arXiv 2402.16848; first named GatedMTL): channels that tasks share, found by gates.

The tasks' own branches start from networks trained for one task each, and are trained on together with a shared branch
and the gates between them. A hinge keeps the share of channels that a task has for itself near a target. Then the
gates are fixed and what no task reads is removed. Code was never published; what the paper leaves open is our reading,
and said so where it stands.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mtl_search import cost
from mtl_search.errors import FieldError, UserError
from mtl_search.internal.seeds import generator
from mtl_search.methods import Method, MethodContext, TrainedModel
from mtl_search.methods._phase import PhaseTrainer
from mtl_search.methods.single_task import SingleTask
from mtl_search.networks.gated import GatedNetwork, open_gates
from mtl_search.networks.geometry import image_shape
from mtl_search.networks.paths import ModuleShape, make_module
from mtl_search.networks.pruned import PrunedNetwork, SlicedEmbedding, SlicedModule
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import Epoch

INITIALISATION = "single-task initialisation"

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Interrogate(Method):
    """Gated training from single-task weights, then pruning.

    :param target: Share of the channels that a task may have for itself without penalty, tau in the paper: one for all
        tasks, or a mapping of their names. The share is averaged over each place, then over the places (our reading).
    :param penalty: ``hinge``: nothing below the target. ``l1``: the share itself, whatever the target; a hinge at 0.
    :param weigh_by: What the average over places weighs them by: ``channels``, each place the same; ``macs``, each by
        the MACs of its module, so that the target is a ratio of cost (ours).
    :param sparsity_weight: Factor of the penalty, lambda_s in the paper. On 5,000 pairs of Multi-Fashion, 156 steps,
        the default left the tasks 13 and 16 % of the channels at a target of 0.1, 19 % at 0.3, half of them at 0.5.
        Those numbers are for ``sigmoids``.
    :param gate_rate: Learning rate of gates and mixing weights, in that of the weights. Gates start near
        their threshold or far from it, and have to be decided within a training (ours).
    :param shared_start: The shared branch starts from ``fresh`` weights, or from the ``mean`` of the tasks' (ours; the
        paper is silent). On 4,000 pairs of Multi-Fashion the mean was 2 points of accuracy better, at lower cost.
    :param share_of: What the share is of: ``gates``, of those that are open, as in the pruned network, with the
        gradient of the sigmoid; or ``sigmoids``, their mean. Gates are our reading, for they hold the target: on 4,000
        pairs of ``multi_mnist``, 5 epochs at a rate of .012, two seeds, they left the tasks 13 to 14 % of the channels
        at .15 and 28 to 29 % at .3, sigmoids 7 to 9 % and 20 to 22 %: of gates that are shut the sigmoids still count.
        Accuracies were alike (94.1 to 95.0 %).
    :param initialisation: Part of the experiment's epochs that go to the single-task networks; the gated training has
        the rest, so that both together see as many samples as other methods (ours). ``None``: each has all epochs.
    :raises FieldError: By what it builds, if the names of the targets are not those of the tasks.
    """

    name = "interrogate"
    measured_as_built = False
    target: Share | dict[str, Share] = 0.3
    penalty: Literal["hinge", "l1"] = "hinge"
    weigh_by: Literal["channels", "macs"] = "channels"
    sparsity_weight: Annotated[float, Field(ge=0)] = 3.0
    gate_rate: Annotated[float, Field(gt=0)] = 10.0
    shared_start: Literal["fresh", "mean"] = "mean"
    share_of: Literal["gates", "sigmoids"] = "gates"
    initialisation: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def starts_from(self) -> str:
        return "single_task" if self.initialisation is None else ""

    def build(self, context: MethodContext) -> GatedNetwork:
        self._targets(context)
        return GatedNetwork(
            context.backbone, context.tasks, context.input_shape, context.seed, context.width_multiplier
        )

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        sparsity = self.sparsity(context)
        first, context = self.phases(context)
        given = yield from _single_task_weights(first)
        model = self.build(context)
        self.start(model, given)
        trainer = GatedTrainer(model, context, sparsity, self.gate_rate)
        path = []
        for epoch in trainer.epochs():
            path.append(sparsity.shares(model.chosen()))
            yield epoch
        pruned = prune(model)
        return TrainedModel(pruned, _details(model, pruned, sparsity, path))

    def rebuild(self, context: MethodContext, details: Mapping[str, Any]) -> PrunedNetwork:
        of_tasks = [details["gates"][task.name] for task in context.tasks]
        gates = [[of_task[shape.name] for of_task in of_tasks] for shape in context.shapes]
        return PrunedNetwork(context.backbone, gates, context.tasks, context.input_shape, context.width_multiplier)

    def phases(self, context: MethodContext) -> tuple[MethodContext, MethodContext]:
        """What the two phases solve: each the context, or parts of its epochs.

        :raises UserError: If there is only one epoch for both.
        """
        if self.initialisation is None:
            return context, context
        epochs = context.training.epochs
        if epochs < 2:
            raise UserError("`options.initialisation` needs at least 2 epochs, one for each phase, but got 1.")
        first = min(max(round(self.initialisation * epochs), 1), epochs - 1)
        return replace(context.with_training(epochs=first), given={}), context.with_training(epochs=epochs - first)

    def start(self, model: GatedNetwork, given: Mapping[str, Tensor]) -> None:
        """Give the tasks' branches and heads the weights of networks for one task each, and the shared branch its own.

        :param given: The ``state_dict`` of a trained :class:`~mtl_search.methods.single_task.SingleTask`.
        """
        model.load_state_dict({**model.state_dict(), **given})
        if self.shared_start == "mean":
            for place, shared in enumerate(model.shared):
                states = [model.specific(place, number).state_dict() for number in range(len(model.tasks))]
                shared.load_state_dict({name: sum(state[name] for state in states) / len(states) for name in states[0]})

    def sparsity(self, context: MethodContext) -> "Sparsity":
        """The penalty on the gates, for the tasks of a context."""
        weights = [1.0] * len(context.shapes)
        if self.weigh_by == "macs":
            weights = [float(macs) for macs in module_macs(context.shapes, context.input_shape)]
        total = sum(weights)
        parts = [weight / total for weight in weights]
        return Sparsity(self._targets(context), parts, self.sparsity_weight, hard=self.share_of == "gates")

    def _targets(self, context: MethodContext) -> dict[str, float]:
        """Name of the task -> its target.

        :raises FieldError: If they are not those of the tasks.
        """
        names = [task.name for task in context.tasks]
        if self.penalty == "l1":
            return dict.fromkeys(names, 0.0)
        if not isinstance(self.target, dict):
            return dict.fromkeys(names, self.target)
        if set(self.target) != set(names):
            raise FieldError("target", f"must be a number, or have one for each of {', '.join(names)}", self.target)
        return {name: self.target[name] for name in names}


@dataclass(frozen=True)
class Sparsity:
    """How far the tasks are above their targets.

    :param targets: Name of the task -> share of the channels that it may have for itself.
    :param weights: Weight of each place in the average over places; they add up to 1.
    :param factor: Factor on the penalty, in the units of the loss.
    :param hard: Whether open gates are counted, or else their sigmoids.
    """

    targets: Mapping[str, float]
    weights: Sequence[float]
    factor: float
    hard: bool = True

    def penalty(self, gates: Sequence[Tensor]) -> Tensor:
        """``factor * mean over tasks of max(0, mean over places and channels of the gates - target)``, ``[]``.

        :param gates: ``[tasks, channels]`` for each place: alpha. Its gradient is that of the sigmoid in any case.
        """
        opened = [open_gates(alpha) if self.hard else alpha.sigmoid() for alpha in gates]
        means = torch.stack([of_place.mean(dim=1) * w for of_place, w in zip(opened, self.weights, strict=True)])
        targets = torch.tensor(list(self.targets.values()), dtype=means.dtype, device=means.device)
        return self.factor * torch.relu(means.sum(dim=0) - targets).mean()

    def shares(self, chosen: Sequence[Sequence[Sequence[int]]]) -> dict[str, float]:
        """Name of the task -> share of open gates, averaged as in the penalty.

        :param chosen: The gates that were chosen, see :data:`~mtl_search.networks.gated.Gates`.
        """
        return {
            name: sum(w * _mean(gates[number]) for gates, w in zip(chosen, self.weights, strict=True))
            for number, name in enumerate(self.targets)
        }


class GatedTrainer(PhaseTrainer):
    """The common loop, with the penalty on the gates besides the losses; it is not balanced against them.

    :param gate_rate: Learning rate of gates and mixing weights, in that of the weights.
    """

    model: GatedNetwork

    def __init__(self, model: GatedNetwork, context: MethodContext, sparsity: Sparsity, gate_rate: float) -> None:
        group = Group([*model.gates, *model.mixing], rate=gate_rate, weight_decay=0.0)
        super().__init__(model, context, [group], observer=context.observer)
        self.sparsity = sparsity

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        """The tasks' gradients as they are balanced; those of the penalty are added to the gates'."""
        super().backward(losses, present)
        gates = list(self.model.gates)
        for gate, gradient in zip(gates, torch.autograd.grad(self.sparsity.penalty(gates), gates), strict=True):
            gate.grad = gradient if gate.grad is None else gate.grad + gradient


@torch.no_grad()
def prune(model: GatedNetwork) -> PrunedNetwork:
    """Fix the gates of a network and remove what no task reads. In evaluation mode its outputs stay the same."""
    pruned = PrunedNetwork(model.backbone, model.chosen(), model.tasks, model.input_shape, model.width_multiplier)
    pruned.to(model.gates[0])
    for place in range(len(model.shapes)):
        for number in range(len(model.tasks)):
            if (specific := pruned.specific(place, number)) is not None:
                _take(specific, model.specific(place, number))
    for name, shared in pruned.shared.items():
        whole = model.shared[int(name)]
        _take(shared, whole)
    for name, weights in pruned.mixing.items():
        weights.copy_(model.mixing[int(name)].softmax(dim=0)[:, list(pruned.kept[int(name)].order)])
    pruned.take_heads(model.heads)
    return pruned.train(model.training)


def _take(sliced: nn.Module, whole: nn.Module) -> None:
    """Copy what is kept of a whole module."""
    assert isinstance(sliced, SlicedModule | SlicedEmbedding)
    sliced.take(whole)


def module_macs(shapes: Sequence[ModuleShape], input_shape: tuple[int, ...]) -> list[int]:
    """MACs of one module at every place of a backbone."""
    _, height, width = image_shape(input_shape)
    found = []
    for shape in shapes:
        module = make_module(shape, generator(0, "counted"))
        found.append(0 if shape.tokens else cost.count_macs(module, (shape.inputs, height, width)))
        height, width = -(-height // shape.stride), -(-width // shape.stride)
    return found


def _single_task_weights(context: MethodContext) -> Generator[Epoch, None, Mapping[str, Tensor]]:
    """Those that the context brings; else trained here, as a phase of its own."""
    if context.given:
        return context.given
    model = SingleTask().build(context)
    yield from context.trainer(model, INITIALISATION).epochs()
    return model.state_dict()


def _details(
    model: GatedNetwork, pruned: PrunedNetwork, sparsity: Sparsity, path: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """What the report shows of the gates: plain data."""
    layers, chosen = [shape.name for shape in model.shapes], model.chosen()
    gates = {
        task.name: {layer: of_tasks[number] for layer, of_tasks in zip(layers, chosen, strict=True)}
        for number, task in enumerate(model.tasks)
    }
    return {
        "targets": dict(sparsity.targets),
        "mean_share": sparsity.shares(chosen),
        "share": {name: {layer: _mean(values) for layer, values in of_task.items()} for name, of_task in gates.items()},
        "shared_channels": {layer: len(kept.shared) for layer, kept in zip(layers, pruned.kept, strict=True)},
        "share_path": {name: [shares[name] for shares in path] for name in gates},
        "gates": gates,
    }


def _mean(gates: Sequence[int]) -> float:
    return sum(gates) / len(gates)
