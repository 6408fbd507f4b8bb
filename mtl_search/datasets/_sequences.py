"""Sequences as inputs: of tokens, or of vectors. Padding is at the end: -1 among tokens, NaN among vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array

TOKENS = ("int16", "int32")
"""Types of tokens. Rows of a table are floats."""
MOST_TOKENS = 2**31 - 1
"""What int32 holds."""


def is_tokens(inputs: Array) -> bool:
    """Whether inputs are sequences of tokens, ``[samples, length]``."""
    return inputs.ndim == 2 and str(inputs.dtype) in TOKENS


def is_sequences(inputs: Array) -> bool:
    """Whether inputs are sequences, of tokens or of vectors ``[samples, length, channels]``."""
    return inputs.ndim == 3 or is_tokens(inputs)


def padded(inputs: NDArray[Any]) -> NDArray[np.bool_]:
    """Which positions are padding, ``[samples, length]``."""
    gone: NDArray[np.bool_] = np.isnan(inputs[:, :, 0]) if inputs.ndim == 3 else inputs < 0
    return gone


def lengths(inputs: Array) -> NDArray[np.int64]:
    """Positions of each sample that are none of padding, ``[samples]``."""
    found: NDArray[np.int64] = np.count_nonzero(~padded(np.asarray(inputs)), axis=1)
    return found


def vocabulary(inputs: Array) -> int:
    """Number of different tokens that there may be: one more than the largest; 0 of inputs that are none."""
    return int(np.asarray(inputs).max(initial=0)) + 1 if is_tokens(inputs) else 0


def sequence_inputs(values: Array, title: str, place: Callable[[int], str]) -> NDArray[Any]:
    """Sequences in the type that they are computed on: whole numbers ``[samples, length]`` are tokens, int16 or int32.

    :param values: Tokens; or numbers ``[samples, length, channels]``, of one channel ``[samples, length]`` floats.
    :param title: Where the array stands, for messages.
    :param place: Says where a row is, for messages.
    :raises DatasetError: If they are neither; as :func:`check_sequences`.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "iuf" or found.ndim not in (2, 3):
        raise DatasetError(
            f"{title}: sequences must be whole numbers [samples, length], which are tokens, or numbers [samples, "
            f"length, channels], but got {found.dtype} {list(found.shape)}."
        )
    if found.ndim == 2 and found.dtype.kind in "iu":
        if found.max() > MOST_TOKENS or found.min() < -MOST_TOKENS:
            raise DatasetError(f"{title}: tokens must be at most {MOST_TOKENS:,}, but got {found.max():,}.")
        found = found.astype(np.int16 if found.max() < 2**15 and found.min() >= -(2**15) else np.int32)
    else:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as that
            found = (found if found.ndim == 3 else found[:, :, None]).astype(np.float32)
    check_sequences(found, place)
    return found


def check_sequences(inputs: NDArray[Any], place: Callable[[int], str]) -> None:
    """Check that padding is at the end, and that what is none can be computed on.

    :param place: Says where a row is, for messages.
    :raises DatasetError: If it is not, or a sample is nothing but padding; the message names the row.
    """
    if inputs.ndim == 3:
        missing = np.isnan(inputs)
        partly: NDArray[np.bool_] = missing.any(axis=2) & ~missing.all(axis=2)
        _refuse(partly, place, "a position must be NaN in all channels, where it is padding, or in none")
        _refuse(np.isinf(inputs).any(axis=2), place, "numbers must be finite, and no larger than float32 has")
    else:
        _refuse(inputs < -1, place, "tokens must be 0 or more, or -1 where padded")
    gone = padded(inputs)
    followed = gone[:, :-1] & ~gone[:, 1:]
    _refuse(followed, place, "padding must be at the end: nothing may follow it")
    _refuse(np.all(gone, axis=1, keepdims=True), place, "a sequence must have a position that is none of padding")


def _refuse(wrong: NDArray[np.bool_], place: Callable[[int], str], rule: str) -> None:
    """:param wrong: Which positions break the rule, ``[samples, positions]``"""
    if wrong.any():
        row, position = map(int, np.argwhere(wrong)[0])
        raise DatasetError(f"{place(row)}, position {position}: {rule}.")
