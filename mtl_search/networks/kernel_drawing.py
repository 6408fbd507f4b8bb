"""Draws the kernels of linear primitives, so that none in a bank is a combination of the others."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES

INDEPENDENCE = 1e-3
"""Smallest singular value that the unit-energy kernels of a channel may have and still count as independent. In 2,000
channels of the banks ``derivatives``, ``linear`` and ``paper`` it was 0.11 and more; in 12 of ``sparse``, where a
kernel had been drawn twice, it was rounding, 1e-16. """
TRIES = 20
"""Draws after which kernels depend on each other by what they are, not by chance."""
FIELD = 5
"""Pixels that the widest kernel reaches over, of size 3 and dilation 2."""


def draw_kernels(names: Sequence[str], channels: int, generator: Generator, tries: int = TRIES) -> list[Tensor]:
    """Kernels of linear primitives, each ``[channels, size, size]`` of unit energy in every channel.

    Channels in which they happen to depend on each other are drawn again.

    :raises UserError: If they still do after ``tries`` draws.
    """
    kernels = _draw(names, channels, generator)
    for _ in range(tries):
        dependent = dependent_channels(names, kernels)
        if not dependent.any():
            return kernels
        for kernel, again in zip(kernels, _draw(names, channels, generator), strict=True):
            kernel[dependent] = again[dependent]
    raise UserError(
        f"the kernels of the bank {'+'.join(names)} depend on each other, so that learned weights are wasted: "
        "leave one of its primitives out."
    )


def dependent_channels(names: Sequence[str], kernels: Sequence[Tensor]) -> Tensor:
    """In which channels some kernel is a combination of the others, ``[channels]``, bool."""
    if not kernels:
        return torch.zeros(0, dtype=torch.bool)
    field = torch.zeros(kernels[0].shape[0], len(kernels), FIELD, FIELD, dtype=torch.float64)
    for place, (name, kernel) in enumerate(zip(names, kernels, strict=True)):
        reach = PRIMITIVES.get(name).dilation * (kernel.shape[-1] // 2)
        step = PRIMITIVES.get(name).dilation
        taps = slice(FIELD // 2 - reach, FIELD // 2 + reach + 1, step)
        field[:, place, taps, taps] = kernel
    smallest = torch.linalg.svdvals(field.flatten(2))[:, -1] if len(kernels) <= FIELD**2 else torch.zeros(len(field))
    return smallest < INDEPENDENCE


def _draw(names: Sequence[str], channels: int, generator: Generator) -> list[Tensor]:
    drawn: dict[str, list[Tensor]] = {}
    for name in dict.fromkeys(names):
        primitive, count = PRIMITIVES.get(name)(), names.count(name)
        kernels = primitive.kernels(count, channels, generator)
        _check_kernels(name, kernels, primitive.size, (count, channels))
        energy = kernels.square().sum(dim=(2, 3), keepdim=True).sqrt()
        drawn[name] = list((kernels / energy).unbind(0))
    return [drawn[name].pop(0) for name in names]


def _check_kernels(name: str, kernels: Tensor, size: int, drawn: tuple[int, int]) -> None:
    """:raises UserError: If these are not kernels that a bank can be folded with, `drawn` counting those wanted."""
    if size not in (1, 3):
        raise UserError(f"`size` of a linear primitive must be 1 or 3, but got {size} of `{name}`.")
    wanted = [*drawn, size, size]
    if list(kernels.shape) != wanted:
        raise UserError(f"`{name}` must draw kernels {wanted}, but got {list(kernels.shape)}.")
