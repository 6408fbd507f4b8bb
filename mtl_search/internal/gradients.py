"""Gradients task by task: what balancing, conflict counting and the report's cosines are made of."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


def task_gradients(losses: Tensor, parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """The gradient of every task's loss by itself: one backward pass for each task, ``gradients[task][parameter]``.

    :param losses: Losses of the tasks with their graph, ``[tasks]``, from one forward pass, of which the graph is used
        up.
    :param parameters: A parameter that a loss does not depend on gets zeros.
    """
    last = len(losses) - 1
    return [
        [
            torch.zeros_like(parameter) if gradient is None else gradient.contiguous()
            for gradient, parameter in zip(
                torch.autograd.grad(loss, parameters, retain_graph=task < last, allow_unused=True),
                parameters,
                strict=True,
            )
        ]
        for task, loss in enumerate(losses.unbind())
    ]


def of_present(losses: Tensor, present: Tensor | None) -> Tensor:
    """The losses of the tasks that have a target in a batch.

    :param losses: Losses of the tasks with their graph, ``[tasks]``
    :param present: ``[tasks]`` bool; ``None`` for all.
    """
    return losses if present is None else losses[present]


def shared_rows(gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Which rows (along the first dimension) of each parameter two tasks or more have a gradient in, ``[rows]`` bool.

    Weights of several tasks may lie stacked in one parameter, each task's in rows of its own; the gradients tell.

    :param gradients: Gradients of the tasks, as :func:`task_gradients` gives them.
    """
    return [
        torch.stack([_rows(gradient).any(dim=1) for gradient in of_parameter]).sum(dim=0) > 1
        for of_parameter in zip(*gradients, strict=True)
    ]


def flat(gradients: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """One task's gradients at some rows of its parameters, ``[values]``."""
    return torch.cat([_rows(one)[mask].flatten() for one, mask in zip(gradients, rows, strict=True)])


def unflatten(values: Tensor, into: Sequence[Tensor], rows: Sequence[Tensor]) -> None:
    """Write what :func:`flat` gave back to the rows that it was taken from."""
    start = 0
    for one, mask in zip(into, rows, strict=True):
        view = _rows(one)
        count = int(mask.sum()) * view.shape[1]
        view[mask] = values[start : start + count].view(-1, view.shape[1])
        start += count


def flat_gradient(parameters: Sequence[Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    """The gradients of some parameters as one vector, ``[values]``; zeros for a parameter that has none."""
    return torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
    )


def write_gradient(values: Tensor, parameters: Sequence[Parameter]) -> None:
    """Give each parameter its part of what :func:`flat_gradient` is made of, or of a mean of such."""
    parts = values.split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view(parameter.shape)


def mean_cosine(jacobian: Tensor) -> float | None:
    """The mean over pairs of tasks of the cosine between their gradients; ``None`` where one of them is zero.

    :param jacobian: ``[tasks, values]``, at least two tasks.
    """
    norms = jacobian.norm(dim=1)
    if not jacobian.shape[1] or not bool(norms.gt(0).all()):
        return None
    unit = jacobian / norms[:, None]
    first, second = torch.triu_indices(len(jacobian), len(jacobian), offset=1)
    return float((unit @ unit.T)[first, second].mean())


def layer_cosines(losses: Tensor, layers: Mapping[str, Sequence[Parameter]]) -> dict[str, float | None]:
    """How much the tasks agree on each layer: the mean cosine between their gradients at what they share of it.

    :param losses: Losses of the tasks with their graph, ``[tasks]``, with their graph.
    :param layers: Name of the layer -> its parameters.
    :returns: Name of the layer -> -1 (opposed) to 1 (agreed); ``None`` where nothing of it is shared.
    """
    parameters = [parameter for layer in layers.values() for parameter in layer]
    gradients = task_gradients(losses, parameters)
    rows = shared_rows(gradients)
    found: dict[str, float | None] = {}
    start = 0
    for name, layer in layers.items():
        part = slice(start, start + len(layer))
        found[name] = mean_cosine(torch.stack([flat(of_task[part], rows[part]) for of_task in gradients]))
        start += len(layer)
    return found


def _rows(tensor: Tensor) -> Tensor:
    return tensor.view(len(tensor), -1) if tensor.ndim else tensor.view(1, 1)
