"""Conflicts between tasks at a module that they share, and the one gradient that the module gets."""

from typing import Literal

import torch
from torch import Tensor

Conflict = Literal["module", "pair", "none"]


def resolve_conflicts(gradients: Tensor, conflict: Conflict = "module") -> Tensor:
    """One gradient for a shared module from those of all tasks.

    Two tasks conflict where the inner product of their gradients is negative.

    :param gradients: Gradients of all tasks, ``[tasks, parameters]``.
    :param conflict: ``module``: zeros if any two tasks conflict, else the mean over tasks (the paper). ``pair``: the
        mean over all tasks with zeros for those that conflict with another. ``none``: the mean.
    :returns: ``[parameters]``
    """
    return mean_of(gradients, kept_tasks(conflicting_pairs(gradients), conflict))


def conflicting_pairs(gradients: Tensor) -> Tensor:
    """Which pairs of tasks have a negative inner product, ``[tasks, tasks]`` bool.

    :param gradients: Gradients of all tasks, ``[tasks, parameters]``.
    """
    return gradients @ gradients.T < 0


def kept_tasks(pairs: Tensor, conflict: Conflict) -> Tensor:
    """Which tasks' gradients are kept, ``[tasks]`` bool, given the pairs that conflict."""
    if conflict == "none":
        return torch.ones_like(pairs[0])
    return ~(pairs.any(dim=1) if conflict == "pair" else pairs.any().expand(len(pairs)))


def mean_of(gradients: Tensor, keep: Tensor) -> Tensor:
    """Mean over all tasks with zeros for those that are not kept."""
    return torch.where(keep[:, None], gradients, 0).mean(dim=0)
