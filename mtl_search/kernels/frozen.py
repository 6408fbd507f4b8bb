"""What is frozen in a bank of primitives, as the kernels take it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mtl_search.errors import UserError
from mtl_search.primitives.perturbation import TILE

LINEAR, MAX_POOL, PERTURBATION = KINDS = ("linear", "max_pool", "perturbation")
"""The primitives that there are kernels for, in the order of ``bank.h``."""
MOST_TAPS = 9
"""Pixels that one primitive reads, as many as the registers of ``bank.h`` hold weights for."""
Table = tuple[int, ...]
MASK = TILE
"""Height and width of the mask of a perturbation; ``bank.h`` has the same."""


@dataclass(frozen=True)
class FrozenPrimitive:
    """A primitive.

    :param kind: Which kernel computes it: one of :data:`KINDS`.
    :param taps: How far down and to the right of the pixel that is computed each pixel is that it reads.
    :param frozen: ``[rows, channels]``: the weights of each tap of a linear primitive, the 8x8 mask of a perturbation,
        no rows for max pooling.
    :raises UserError: If there is no such kernel, or its frozen values are not those that it takes.
    """

    kind: str
    taps: Sequence[tuple[int, int]]
    frozen: Tensor

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"`native` of a primitive must be one of {', '.join(KINDS[1:])}, but got {self.kind!r}.")
        if self.kind == LINEAR and len(self.taps) > MOST_TAPS:
            raise UserError(f"a linear primitive must read at most {MOST_TAPS} pixels, but got {len(self.taps)}.")
        rows = rows_of(self.kind, len(self.taps))
        if self.frozen.ndim != 2 or len(self.frozen) != rows:
            found = list(self.frozen.shape)
            raise UserError(f"the kernel `{self.kind}` takes frozen values [{rows}, channels], but got {found}.")


@dataclass(frozen=True)
class FrozenBank:
    """A bank.

    :param members: The primitives of the bank, in the order of the learned weights.
    """

    members: tuple[FrozenPrimitive, ...]

    @cached_property
    def frozen(self) -> Tensor:
        """All frozen values, ``[rows, channels]``."""
        return torch.cat([member.frozen for member in self.members]).contiguous()

    @cached_property
    def tables(self) -> tuple[Table, Table, Table, Table]:
        """Place of each primitive's kind in :data:`KINDS`, its number of taps, how far down and right each tap is."""
        taps = [tap for member in self.members for tap in member.taps]
        kinds = tuple(KINDS.index(member.kind) for member in self.members)
        counts = tuple(len(member.taps) for member in self.members)
        return kinds, counts, tuple(down for down, _ in taps), tuple(right for _, right in taps)


def rows_of(kind: str, taps: int) -> int:
    """How many frozen values a primitive has for each channel."""
    return {LINEAR: taps, MAX_POOL: 0, PERTURBATION: MASK**2}[kind]
