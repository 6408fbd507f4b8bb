"""What tasks share in a relaxed network, and what each has for itself, and the gradients of both."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from mtl_search.internal.gradients import flat_gradient, write_gradient
from mtl_search.methods._conflicts import Conflict, conflicting_pairs, kept_tasks, mean_of
from mtl_search.networks.relaxed import RelaxedNetwork


class Trunk:
    """The modules that tasks share; their gradients are resolved module by module, and the conflicts counted.

    :param network: The network, on the device that it is trained on.
    :param conflict: What counts as a conflict, see :func:`~mtl_search.methods._conflicts.resolve_conflicts`.
    :param carry: Whether a conflict counts in all deeper modules, too.
    :param skip: Whether a module that does not learn in a step gets no gradient, instead of one of zeros.
    :ivar shared: The shared modules, input to output -> numbers of the tasks that have a candidate through them.
    :ivar own: Of each task the parameters that nobody else has.
    """

    def __init__(self, network: RelaxedNetwork, conflict: Conflict, carry: bool, skip: bool) -> None:
        self.network, self.conflict, self.carry, self.skip = network, conflict, carry, skip
        users = network.users()
        self.shared = {place: tasks for place, tasks in users.items() if len(tasks) > 1}
        self.specific = [
            [p for place, of in users.items() if of == [task] for p in network.module(place).parameters()]
            + list(network.heads[task].parameters())
            for task in range(len(network.candidates))
        ]
        self.modules = [list(network.module(place).parameters()) for place in self.shared]
        self.device = network.alpha[0].device
        self.told = torch.zeros((), device=self.device)
        self.conflicts, self.frozen = torch.zeros(2, len(self.shared), device=self.device)

    def rates(self) -> tuple[list[float], list[float]]:
        """Of each shared module the share of steps with a conflict, and of those in which it did not learn, since they
        were asked for last."""
        told = self.told.clamp(min=1)
        found = (self.conflicts / told).tolist(), (self.frozen / told).tolist()
        for counts in (self.told, self.conflicts, self.frozen):
            counts.zero_()
        return found

    def write(self, losses: Tensor, present: Tensor | None = None) -> None:
        """Write the gradients of a step: each task's own for what is its own, resolved ones for what is shared.

        A task without a target in the batch has a gradient of zeros, which conflicts with none and adds nothing. Steps
        with less than two others tell nothing of conflicts, and are not counted among those that do.

        :param losses: ``[tasks]``, with their graph.
        :param present: Which tasks have a target in the batch, ``[tasks]`` bool; ``None`` for all.
        """
        self.told += 1 if present is None else present.sum() > 1
        jacobians = self._jacobians(losses)
        pairs = self._pairs(jacobians)
        self.conflicts += torch.stack([of_module.any() for of_module in pairs])
        kept = [kept_tasks(of_module, self.conflict) for of_module in pairs]
        learns = torch.stack([keep.any() for keep in kept])
        self.frozen += ~learns
        written = learns.tolist() if self.skip else [True] * len(kept)
        for parameters, jacobian, keep, write in zip(self.modules, jacobians, kept, written, strict=True):
            if write:
                write_gradient(len(losses) * mean_of(jacobian, keep), parameters)

    def _jacobians(self, losses: Tensor) -> list[Tensor]:
        """Of each shared module ``[tasks, parameters]``; gradients of what is a task's own are written on the way."""
        shared = [parameter for module in self.modules for parameter in module]
        jacobians: list[list[Tensor]] = [[] for _ in self.modules]
        for task, loss in enumerate(losses.unbind()):
            wanted = [*shared, *self.specific[task]]
            found = torch.autograd.grad(loss, wanted, retain_graph=task < len(losses) - 1, allow_unused=True)
            for parameter, gradient in zip(self.specific[task], found[len(shared) :], strict=True):
                parameter.grad = gradient
            rest = iter(found)
            for jacobian, module in zip(jacobians, self.modules, strict=True):
                jacobian.append(flat_gradient(module, [next(rest) for _ in module]))
        return [torch.stack(rows) for rows in jacobians]

    def _pairs(self, jacobians: Sequence[Tensor]) -> list[Tensor]:
        """Which pairs of tasks conflict at each shared module, ``[tasks, tasks]`` bool."""
        pairs = [conflicting_pairs(jacobian) for jacobian in jacobians]
        if not self.carry:
            return pairs
        uses = [torch.tensor([t in tasks for t in range(len(self.specific))]) for tasks in self.shared.values()]
        both = [(mask[:, None] & mask[None, :]).to(self.device) for mask in uses]
        return [carried & mask for carried, mask in zip(accumulate(pairs, torch.logical_or), both, strict=True)]
