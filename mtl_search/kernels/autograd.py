"""Functions of our own for autograd: where they can stand in for torch's operations, and what they do not give."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtl_search.errors import MTLSearchError

Backward = Callable[..., tuple[Tensor | None, ...]]


def can_stand_in(x: Tensor) -> bool:
    """Whether they can for what reads a tensor: in a training step on the processor, and not where torch has to see the
    operations in them, for autocast, for compiling, for the transforms of ``torch.func``.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return not torch.is_autocast_enabled("cpu") and torch._C._functorch.peek_interpreter_stack() is None


def once(backward: Backward) -> Backward:
    """A backward pass whose gradients are numbers only.

    torch's ``once_differentiable`` lets a second derivative pass as 0 where the gradient that comes in has no graph.

    :raises MTLSearchError: If it is run with ``create_graph=True``.
    """

    @functools.wraps(backward)
    def checked(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise MTLSearchError(
                "the fused network has no second derivatives (`create_graph=True`): build it with "
                "`implementation='reference'`, which computes the same."
            )
        return backward(ctx, *gradients)

    return checked
