"""Which bank is for which inputs: images, the rows of a table, or sequences.

The classes of its primitives tell, which have to be loaded for it.
"""

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.primitives import (
    LinearPrimitive,
    LinearSequencePrimitive,
    LinearVectorPrimitive,
    NonlinearPrimitive,
    NonlinearVectorPrimitive,
    Primitive,
    UnfoldedSequencePrimitive,
)
from mtl_search.spaces.backbone import Reads
from mtl_search.spaces.banks import CONVOLUTION, bank_names, primitives_of

TAPS = 3
"""Positions that a kernel on sequences reads."""
KINDS: dict[Reads, tuple[type[Primitive], ...]] = {
    "images": (LinearPrimitive, NonlinearPrimitive),
    "rows": (LinearVectorPrimitive, NonlinearVectorPrimitive),
    "sequences": (LinearSequencePrimitive, UnfoldedSequencePrimitive),
}
"""What inputs are -> the bases of the primitives for them."""


def check_bank_is_for(bank: str, reads: Reads) -> None:
    """Check that a bank is for images, for rows, or for sequences.

    :raises UserError: If one of its primitives is not; the message names those that are valid.
    """
    others = [name for name in _members(bank) if not is_for(name, reads)]
    if others:
        inputs = "the rows of a table" if reads == "rows" else reads
        raise UserError(
            f"the bank `{bank}` has primitives that are not for {inputs}: {', '.join(others)}. "
            f"Valid: {', '.join(banks_for(reads))}."
        )


def banks_for(reads: Reads) -> list[str]:
    """Every name that a layer can ask for on images, on rows, or on sequences."""
    names = [name for name in bank_names() if all(is_for(member, reads) for member in _members(name))]
    return names if reads != "sequences" else [name for name in names if _has_room(name)]


def _has_room(bank: str) -> bool:
    """Whether no more kernels of three positions stand in a bank than can be independent."""
    members = [] if bank == CONVOLUTION else primitives_of(bank)
    return sum(issubclass(PRIMITIVES.get(name), LinearSequencePrimitive) for name in members) <= TAPS


def _members(bank: str) -> list[str]:
    return [] if bank == CONVOLUTION else list(dict.fromkeys(primitives_of(bank)))


def is_for(name: str, reads: Reads) -> bool:
    """Whether a primitive is for images, for rows, or for sequences."""
    return issubclass(PRIMITIVES.get(name), KINDS[reads])
