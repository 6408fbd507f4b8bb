"""Balancing: how the losses of the tasks, or their gradients, become one step. Works with any method.

Each is one file here, registered under its name; the fields of its dataclass are its options. Most that combine
gradients leave the algorithm to TorchJD, an extra: ``pip install 'mtl-search[balancing]'``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict
from torch import Tensor
from torch.nn import Parameter

from mtl_search.internal.gradients import flat, of_present, shared_rows, task_gradients, unflatten
from mtl_search.internal.options import build
from mtl_search.internal.registry import BALANCINGS

RNG_STATE = "lot"
"""Key, in checkpoints, of the state of the generator that a balancing draws from."""


@dataclass
class Balancing(ABC):
    """Turns the losses of all tasks into the gradients of one step. One instance serves one training.

    Without balancing the losses are added up; so the weights of a weighing add up to the number of tasks.

    Where labels are missing a task may be absent: without a target in the batch. Its loss is then 0, its gradient zero.
    The step is that of the present tasks as if there were no others: an absent one has no part in the weights of the
    others, is no row of the Jacobian, and is left out of means over steps.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: ClassVar[str]

    @property
    def passes(self) -> int:
        """Backward passes in a step, after :meth:`start`."""
        return 1

    def check(self) -> None:  # noqa: B027  most need nothing
        """Called once it is made, before anything is trained.

        :raises UserError: If something that it needs is not installed.
        """

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        """Called once, before the first step.

        :param tasks: Names of the tasks, in the order of the losses.
        :param parameters: All of the network that is trained.
        :param seed: Seed of the training, for a balancing that draws.
        """
        self.tasks, self.trained, self.seed = list(tasks), list(parameters), seed

    def parameters(self) -> list[Parameter]:
        """What is learned besides the network, after :meth:`start`; given to the optimiser without weight decay."""
        return []

    @abstractmethod
    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        """Write the gradients of a step into ``.grad``, which is ``None`` everywhere before.

        :param losses: ``[tasks]``, mean losses over the batch.
        :param present: ``[tasks]`` bool, which tasks have a target in the batch; ``None`` for all.
        """

    def end_epoch(self, losses: Tensor, present: Tensor | None = None) -> None:  # noqa: B027  most do nothing
        """Called after every epoch.

        :param losses: ``[tasks]``, their means over the steps of the epoch in which they were present.
        :param present: ``[tasks]`` bool, which were in any; ``None`` for all.
        """

    def state(self) -> dict[str, Tensor]:
        """What it remembers from step to step, for a checkpoint: name -> tensor. Nothing by default."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Remember what :meth:`state` gave; called after :meth:`start`."""
        assert not state, f"balancing `{self.name}` gives a state and does not take it back"


class LossBalancing(Balancing):
    """Weighs the losses; one backward pass."""

    @abstractmethod
    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        """One loss ``[]`` from those of all tasks ``[tasks]``.

        :param present: Which tasks have a target in the batch, as :meth:`backward` has it. Nothing may wait for its
            values.
        """

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        self.combine(losses, present).backward()


class GradientBalancing(Balancing):
    """Combines the tasks' gradients of what they share; what a task has for itself gets its own gradient.

    Shared are the rows of each parameter that several tasks have a gradient in, now or in an earlier step: one may have
    none for a while, behind a ReLU. Tasks that agree take the step that they take without balancing: the gradients
    are added up, so what a paper defines as a mean or a convex combination is multiplied by the number of tasks.

    Gradients that are not finite cannot be combined and are added up; the training then ends as diverged.
    """

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.rows: list[Tensor] | None = None

    @property
    def passes(self) -> int:
        return len(self.tasks)

    @abstractmethod
    def aggregate(self, jacobian: Tensor) -> Tensor:
        """One gradient ``[values]`` from those of all tasks ``[tasks, values]``, at what they share."""

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        there = of_present(losses, present)
        gradients = task_gradients(there if len(there) else losses, self.trained)
        total = [torch.stack(of_parameter).sum(dim=0) for of_parameter in zip(*gradients, strict=True)]
        rows = self._shared(gradients)
        alone = present is not None and len(there) < 2
        if not alone and any(bool(mask.any()) for mask in rows):
            jacobian = torch.stack([flat(of_task, rows) for of_task in gradients])
            if bool(jacobian.isfinite().all()):
                unflatten(self.aggregate(jacobian), total, rows)
        for parameter, gradient in zip(self.trained, total, strict=True):
            parameter.grad = gradient

    def state(self) -> dict[str, Tensor]:
        return {f"rows.{number}": mask for number, mask in enumerate(self.rows or [])}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        masks = [state[f"rows.{number}"] for number in range(len(self.trained)) if f"rows.{number}" in state]
        self.rows = [mask.to(one.device) for mask, one in zip(masks, self.trained, strict=True)] if masks else None

    def _shared(self, gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Which rows of each parameter have been shared so far, ``[rows]`` bool."""
        now = shared_rows(gradients)
        self.rows = now if self.rows is None else [old | new for old, new in zip(self.rows, now, strict=True)]
        return self.rows


def present_share(weights: Tensor, present: Tensor | None) -> Tensor:
    """Weights of tasks, ``[tasks]``, those of absent ones 0, the others scaled to add up to the number of these."""
    if present is None:
        return weights
    kept = torch.where(present, weights, 0)
    return kept * (present.sum() / kept.sum().clamp(min=torch.finfo(kept.dtype).tiny))


def make_balancing(name: str, options: Mapping[str, Any]) -> Balancing:
    """A balancing for one training.

    :param name: A registered one, or ``my_package.module:Name``.
    :raises UnknownNameError: If there is none of that name.
    :raises UserError: If an option is unknown or breaks a rule, or TorchJD is wanted and not installed.
    """
    found = BALANCINGS.get(name)
    balancing: Balancing = build(found, options, "balancing", name)
    balancing.check()
    return balancing
