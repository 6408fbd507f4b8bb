"""The inputs of a dataset: what they may be, and how those of the training split are distributed.

Both are found a part of the samples at a time, so that inputs may be larger than memory.
"""

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._sequences import TOKENS, check_sequences, is_sequences, is_tokens
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import AT_ONCE, Array, moments, parts

TYPES = {2: ("float32", *TOKENS), 3: ("float32",), 4: ("uint8", "uint16", "float32")}
"""Dimensions of the inputs -> what their numbers may be."""
RULES = {
    2: "tables must be float32, and tokens int16 or int32",
    3: "sequences `[samples, length, channels]` must be float32, and images `[samples, channels, height, width]`",
    4: "images must be uint8 or uint16 or float32",
}
"""The same in words, for messages."""
ROUNDING = 2.0**-10
"""Of the distance between a feature's quartiles: where float32 moves a number by more, that is a distance the network
may be asked to see. Numbers around 1,000 times as large as they are apart are moved by 0.0001 of it."""
CONSTANT = float(np.finfo(np.float32).eps)
"""A deviation that is so small against the mean is one of rounding."""


def check_inputs(inputs: Array, sample: tuple[int, ...], split: str) -> None:
    """Check the inputs of a split.

    :param sample: Shape of a sample of the training split.
    :raises DatasetError: For a wrong type or shape, if there are none, or if a number is not finite.
    """
    where = f"split `{split}`"
    if inputs.ndim not in TYPES:
        raise DatasetError(
            f"{where}: inputs must be tables `[samples, features]`, sequences `[samples, length, channels]` or images "
            f"`[samples, channels, height, width]`, but got the shape {inputs.shape}."
        )
    if str(inputs.dtype) not in TYPES[inputs.ndim]:
        raise DatasetError(f"{where}: inputs that are {RULES[inputs.ndim]}, but got {inputs.dtype}.")
    if inputs.size == 0:
        raise DatasetError(f"{where}: inputs must hold at least one number, but got the shape {inputs.shape}.")
    if inputs.shape[1:] != sample:
        raise DatasetError(
            f"{where}: a sample must be of shape {sample}, as those of `train` are, but got {inputs.shape[1:]}."
        )
    if is_sequences(inputs):
        check_sequences(np.asarray(inputs), lambda row: f"{where}, row {row}")
    elif inputs.dtype == np.float32:
        _check_finite(inputs, where)


def mean_and_deviation(inputs: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every channel of images or sequences, or of every feature of a table.

    The deviation of what is constant is given as the size of its mean, at least 1: it is 0 when it is normalised, and
    stays small where other splits have other values.

    Padding has no part in them. Tokens have none: 0 and 1 stand for them.

    :param inputs: Inputs as a split holds them.
    """
    if is_tokens(inputs):
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    _, mean, deviation = moments(np.moveaxis(np.asarray(inputs), 2, 1) if inputs.ndim == 3 else inputs)
    constant = deviation <= CONSTANT * np.abs(mean)
    deviation[constant] = np.maximum(1, np.abs(mean[constant]))
    return mean.astype(np.float32), deviation.astype(np.float32)


def centre_of(values: NDArray[np.float64], training: NDArray[np.float64]) -> float:
    """What to subtract from the numbers of a feature before they become float32: 0 where float32 has them as they are.

    Else it is the median of the training samples, a whole number where all are: seconds since 1970 within a minute are
    one number in float32, and their distances from the median are exact.

    :param values: Values of a feature for all samples, finite.
    :param training: Values of the feature for the training samples.
    """
    moved = np.abs(values - values.astype(np.float32)).max()
    if moved == 0 or values.min() == values.max():
        return 0.0
    if bool((values == np.floor(values)).all()):
        return float(np.round(np.median(training)))
    low, high = np.quantile(values, [0.25, 0.75])
    return float(np.median(training)) if moved > ROUNDING * ((high - low) or values.std()) else 0.0


def centred(values: NDArray[np.float64], centre: float) -> NDArray[np.float32]:
    """Numbers less their centre, which is subtracted before they become float32."""
    return (values - centre).astype(np.float32)


def loss_note(name: str, before: int, found: NDArray[np.float32]) -> str | None:
    """How many different values of a feature are left, as a sentence, where float32 makes one of several.

    :param before: How many different values the data holds.
    :param found: Values of all samples in float32, as they are computed on.
    """
    after = len(np.unique(found))
    if after >= before:
        return None
    return f"of {before:,} different values of {name} {after:,} are left in float32, in which networks compute"


def _check_finite(inputs: Array, where: str) -> None:
    for start, part in parts(inputs, AT_ONCE):
        wrong = ~np.isfinite(part)
        if wrong.any():
            row, *place = (int(number) for number in np.argwhere(wrong)[0])
            at = f"column {place[0]}" if len(place) == 1 else f"channel {place[0]}, pixel {tuple(place[1:])}"
            raise DatasetError(
                f"{where}, row {start + row}, {at}: inputs must be finite, but got {part[row, *place].item()}."
            )
