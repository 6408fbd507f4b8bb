"""The inputs of a dataset: what they may be, and how those of the training split are distributed.

Both are found a part of the samples at a time, so that inputs may be larger than memory.
"""

import numpy as np
from numpy.typing import NDArray

from mtl_search.arrays import AT_ONCE, Array, moments, parts
from mtl_search.errors import DatasetError

TYPES = {2: ("float32",), 4: ("uint8", "uint16", "float32")}
"""Dimensions of the inputs -> what their numbers may be."""
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
            f"{where}: inputs must be tables `[samples, features]` or images `[samples, channels, height, width]`, "
            f"but got the shape {inputs.shape}."
        )
    types = TYPES[inputs.ndim]
    if str(inputs.dtype) not in types:
        kind, allowed = ("images" if inputs.ndim == 4 else "tables"), " or ".join(types)
        raise DatasetError(f"{where}: inputs that are {kind} must be {allowed}, but got {inputs.dtype}.")
    if inputs.size == 0:
        raise DatasetError(f"{where}: inputs must hold at least one number, but got the shape {inputs.shape}.")
    if inputs.shape[1:] != sample:
        raise DatasetError(
            f"{where}: a sample must be of shape {sample}, as those of `train` are, but got {inputs.shape[1:]}."
        )
    if inputs.dtype == np.float32:
        _check_finite(inputs, where)


def mean_and_deviation(inputs: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every channel of images, or of every feature of a table.

    The deviation of what is constant is given as the size of its mean, at least 1: it is 0 when it is normalised, and
    stays small where other splits have other values.

    :param inputs: ``[samples, channels, height, width]`` or ``[samples, features]``
    """
    _, mean, deviation = moments(inputs)
    constant = deviation <= CONSTANT * np.abs(mean)
    deviation[constant] = np.maximum(1, np.abs(mean[constant]))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _check_finite(inputs: Array, where: str) -> None:
    for start, part in parts(inputs, AT_ONCE):
        wrong = ~np.isfinite(part)
        if wrong.any():
            row, *place = (int(number) for number in np.argwhere(wrong)[0])
            at = f"column {place[0]}" if len(place) == 1 else f"channel {place[0]}, pixel {tuple(place[1:])}"
            raise DatasetError(
                f"{where}, row {start + row}, {at}: inputs must be finite, but got {part[row, *place].item()}."
            )
