"""Operators of torch's that run our kernels: how they are registered, and what they do not give.

Each is known to torch as ``torch.ops.mtl_search.<name>``: its schema, its kernel for the processor, its gradient, and
the shapes of its results for tensors without values (``torch.library.opcheck`` passes).

A training step calls the same :class:`torch.autograd.Function` directly, not through torch's dispatcher, whose calls of
Python take time. With its gradient a call took 0.45 ms as a bare function on 2 images of 8 x 6 x 6, 0.6 ms registered
by :class:`torch.library.Library` as here, and 1.4 ms registered by ``torch.library.custom_op`` (one thread of an AMD
EPYC, torch 2.13.0). A step of 37 ms (width 16, two tasks, 16 pictures) took 10 % longer by the second of them.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtl_search.errors import MTLSearchError

Backward = Callable[..., tuple[Tensor | None, ...]]

LIBRARY = torch.library.Library("mtl_search", "FRAGMENT")
"""Where the operators are registered, for as long as it lives."""


def register(
    schema: str, kernel: Callable[..., object], fake: Callable[..., object], autograd: Callable[..., object] | None
) -> Callable[..., Any]:
    """Register an operator for the processor.

    :param schema: Name, arguments and results of the operator, as torch writes them.
    :param kernel: Function that computes the operator on tensors of the processor.
    :param fake: Function that makes results of the right shapes, without computing them.
    :param autograd: What is called where gradients may be wanted; ``None`` for what has none.
    :returns: What calls it.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, kernel, "CPU")
    torch.library.register_fake(f"mtl_search::{name}", fake, lib=LIBRARY)
    if autograd is not None:
        LIBRARY.impl(name, autograd, "AutogradCPU")
    registered: Callable[..., Any] = getattr(torch.ops.mtl_search, name).default
    return registered


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
