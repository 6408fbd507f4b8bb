"""Which bank is for which inputs: images, or the rows of a table.

The classes of its primitives tell, which have to be loaded for it.
"""

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.primitives import (
    LinearPrimitive,
    LinearVectorPrimitive,
    NonlinearPrimitive,
    NonlinearVectorPrimitive,
)
from mtl_search.spaces.banks import CONVOLUTION, bank_names, primitives_of


def check_bank_is_for(bank: str, vectors: bool) -> None:
    """Check that a bank is for images, or for vectors.

    :raises UserError: If one of its primitives is not; the message names those that are valid.
    """
    others = [name for name in _members(bank) if not _is_for(name, vectors)]
    if others:
        inputs = "the rows of a table" if vectors else "images"
        raise UserError(
            f"the bank `{bank}` has primitives that are not for {inputs}: {', '.join(others)}. "
            f"Valid: {', '.join(banks_for(vectors))}."
        )


def banks_for(vectors: bool) -> list[str]:
    """Every name that a layer can ask for on images, or on vectors."""
    return [name for name in bank_names() if all(_is_for(member, vectors) for member in _members(name))]


def _members(bank: str) -> list[str]:
    return [] if bank == CONVOLUTION else list(dict.fromkeys(primitives_of(bank)))


def _is_for(name: str, vectors: bool) -> bool:
    of_vectors, of_images = (LinearVectorPrimitive, NonlinearVectorPrimitive), (LinearPrimitive, NonlinearPrimitive)
    return issubclass(PRIMITIVES.get(name), of_vectors if vectors else of_images)
