"""What a method's last training really did, step by step: its budget is the same for all methods."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from torch import Tensor, nn

from mtl_search.methods import Method
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.testing._problems import picture_problem, solve
from mtl_search.testing._rules import require
from mtl_search.training.trainer import Trainer

Step = tuple[list[int], float, float]
"""Samples, learning rate, weight decay."""
ORDINARY = 0.9
"""Share of the weights, vectors aside, that has the learning rate and the weight decay of all methods."""


@dataclass(frozen=True)
class Budget:
    """What the optimiser of one phase really did.

    :param steps: For each step its samples, its learning rate and its weight decay.
    """

    phase: str
    optimiser: type
    steps: list[Step]
    epochs: int
    batch_size: int


@functools.cache
def budget_of_all() -> Budget:
    """The budget of hard sharing in the common loop, as recorded."""
    return recorded(HardSharing()).budget


@dataclass(frozen=True)
class Recorded:
    """The last trainer that a method made, and what it did."""

    trainer: Trainer
    budget: Budget


def recorded(method: Method) -> Recorded:
    """Train, and look at every batch that the last trainer draws."""
    seen: list[Trainer] = []
    batches: dict[int, list[Step]] = {}
    make = Trainer.__init__

    def watched(trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        make(trainer, *args, **kwargs)
        draw: Callable[..., Any] = trainer.data.batch

        def drawn(chosen: Tensor, *moves: Any) -> Any:
            ordinary = trainer.optimiser.param_groups[0]
            batches.setdefault(id(trainer), []).append((chosen.tolist(), ordinary["lr"], ordinary["weight_decay"]))
            return draw(chosen, *moves)

        trainer.data.batch = drawn  # type: ignore[method-assign, assignment]
        seen.append(trainer)

    with mock.patch.object(Trainer, "__init__", watched):
        solve(method, picture_problem())
    require(bool(seen), "a training", "no Trainer, whose budget is that of all methods")
    last = seen[-1]
    settings, drawn_last = last.settings, batches.get(id(last), [])
    kind = type(last.optimiser)
    return Recorded(last, Budget(last.phase, kind, drawn_last, settings.epochs, settings.batch_size))


def require_ordinary_weights_in_the_first_group(trainer: Trainer) -> None:
    """Weights of convolutions and linear layers, and nine tenths of all that are no vectors."""
    first = {id(parameter) for parameter in trainer.optimiser.param_groups[0]["params"]}
    layers = [module for module in trainer.model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    outside = [layer for layer in layers if layer.weight.requires_grad and id(layer.weight) not in first]
    require(not outside, "the optimiser's first group", f"{len(outside)} layers whose weights are not in it")
    weights = [one for one in trainer.model.parameters() if one.requires_grad and one.ndim > 1]
    inside = sum(one.numel() for one in weights if id(one) in first)
    share = inside / sum(one.numel() for one in weights)
    require(share >= ORDINARY, "the optimiser's first group", f"{share:.0%} of the weights in it")
