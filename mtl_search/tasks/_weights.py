"""Weights of classes in the loss, for data in which some are rare."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor

from mtl_search.errors import FieldError

BALANCED = "balanced"
"""Every class counts as much in the loss as any other, however many samples it has."""
Weight = Annotated[float, Field(gt=0, le=1e6)]
ClassWeights = Literal["balanced"] | tuple[Weight, ...] | None
PositiveWeight = Literal["balanced"] | Weight | None


def scaled_weights(asked: str | Sequence[float], counts: ArrayLike) -> tuple[float, ...]:
    """Weights of classes whose mean over the training targets is 1, so that the task weighs what it did without.

    :param asked: ``balanced``, by which a class weighs one over its number of targets, or a weight for each class.
    :param counts: Number of training targets of each class, ``[classes]``, none of them 0.
    """
    counts = np.asarray(counts, np.float64)
    weights = 1 / counts if isinstance(asked, str) else np.asarray(asked, np.float64)
    scaled: list[float] = (weights * counts.sum() / (weights * counts).sum()).tolist()
    return tuple(scaled)


def of_yes(asked: str | float) -> str | tuple[float, float]:
    """What :func:`scaled_weights` is asked for no and yes, of which only that of yes is given."""
    return asked if isinstance(asked, str) else (1.0, asked)


def weighed(errors: Tensor, targets: Tensor, weights: Sequence[float]) -> Tensor:
    """Losses of targets, each times the weight of its class.

    :param errors: The loss of each target, of the shape of ``targets``.
    :param targets: The number of the class of each, from 0.
    :param weights: Weight of each class; empty where all weigh the same.
    """
    if not weights:
        return errors
    return errors * torch.tensor(weights, dtype=errors.dtype, device=errors.device)[targets.long()]


def check_weights(name: str, asked: object, count: int | None = None) -> None:
    """Check what an option says.

    :param name: Name of the option.
    :param asked: What the option was given.
    :param count: Number of classes, each with a weight; ``None`` where one number is the weight of yes.
    :raises FieldError: If it is neither ``balanced`` nor made of positive numbers.
    """
    if asked is None or asked == BALANCED:
        return
    numbers = asked if isinstance(asked, tuple) else (asked,)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and one > 0 for one in numbers):
        raise FieldError(name, "must be `balanced`, or above 0", asked)
    if count is not None and (not isinstance(asked, tuple) or len(asked) != count):
        raise FieldError(name, f"must be `balanced`, or have {count} numbers, one for each class", asked)
