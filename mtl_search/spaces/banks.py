"""Banks: named sets of primitives.

Where an architecture asks for a bank it takes a name of this table, a single primitive, or an expression that joins
primitives with ``+`` and repeats them with ``*``: ``random*3+average_pool+shift``. A repeated primitive is drawn that
many times, each draw different.
"""

import functools
import re

from mtl_search.errors import FieldError, UnknownNameError
from mtl_search.internal.registry import PRIMITIVES

CONVOLUTION = "conv"
"""In the place of a bank: no primitives, but an ordinary convolution with learned 3x3 kernels, to compare with; for the
rows of a table an ordinary linear layer, for sequences a convolution with kernels of three positions."""

BANKS: dict[str, str] = {
    "paper": "random+dilated_random+average_pool+shift+perturbation",
    "linear": "identity+average_pool+shift+sobel+laplacian",
    "derivatives": "identity+gaussian+sobel*2+laplacian",
    "orthonormal": "random*5",
    "orthonormal7": "random*7",
    "sparse": "sparse_binary*5",
    "pooling": "identity+average_pool+max_pool",
    "nonlinear": "random*3+max_pool+perturbation",
    "vector": "identity+permutation+projection",
    "vector_random": "projection*4",
    "vector_nonlinear": "identity+projection+perturbation+fourier",
    "sequence": "identity+shift+mean",
    "sequence_mixing": "identity+shift+mixing",
    "sequence_cosine": "identity+shift+cosine",
    "sequence_local": "identity+shift+difference+max_pool",
}
"""Name of the bank -> its primitives, as an expression. Those of ``vector`` are for the rows of a table, those of
``sequence`` for sequences."""


MOST_PRIMITIVES = 99
"""In a bank, as many as one of them can be repeated. Nine span all 3x3 kernels."""
LONGEST = 1000
"""Characters of an expression."""


def default_bank(kind: str) -> str:
    """The bank where none was chosen, for a backbone of a kind."""
    return kind if kind in ("vector", "sequence") else "paper"


def bank_names() -> list[str]:
    """Every single name that a layer can ask for: banks, primitives, and ``conv``."""
    return sorted({CONVOLUTION, *BANKS, *PRIMITIVES.names()})


@functools.cache
def primitives_of(bank: str) -> tuple[str, ...]:
    """The primitives of a bank, repeats written out.

    :param bank: A name of :data:`BANKS`, a primitive, or an expression of primitives.
    :raises UnknownNameError: If a name in it is neither a bank nor a primitive.
    :raises FieldError: If it is no such expression.
    """
    if len(bank) > LONGEST:
        raise FieldError("bank", f"must have at most {LONGEST} characters", bank)
    members: list[str] = []
    for term in BANKS.get(bank, bank).split("+"):
        name, repeat = _split_term(bank, term.strip())
        members += [name] * repeat
    if len(members) > MOST_PRIMITIVES:
        raise FieldError("bank", f"must have at most {MOST_PRIMITIVES} primitives", f"{len(members)}: {bank}")
    return tuple(members)


def check_bank(bank: str) -> None:
    """Raise what :func:`primitives_of` would raise. ``conv`` passes."""
    if bank != CONVOLUTION:
        primitives_of(bank)


def check_use(bank: str) -> None:
    """Check that code of the user's own in a bank may be loaded."""
    for name in primitives_of(bank) if bank != CONVOLUTION else ():
        PRIMITIVES.check_use(name)


def _split_term(bank: str, term: str) -> tuple[str, int]:
    match = re.fullmatch(r"([\w.:]+)(?:\*([1-9]\d?))?", term)
    if match is None:
        raise FieldError("bank", "must be a bank, a primitive, or primitives joined as in `random*3+shift`", bank)
    name, repeat = match[1], int(match[2] or 1)
    if ":" in name:
        PRIMITIVES.check(name)
    elif name not in PRIMITIVES.names():
        if name in bank_names():
            raise FieldError("bank", f"may join and repeat primitives only, and `{name}` is none", bank)
        raise UnknownNameError("bank or primitive", name, bank_names())
    return name, repeat
