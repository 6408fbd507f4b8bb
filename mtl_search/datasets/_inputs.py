"""The inputs of a dataset: what they may be, and how those of the training split are distributed.

Both are found a part of the samples at a time, so that inputs may be larger than memory.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.errors import DatasetError

TYPES = {2: ("float32",), 4: ("uint8", "float32")}
"""Dimensions of the inputs -> what their numbers may be."""
AT_ONCE = 2**22
"""Numbers that are gone through at a time."""
CONSTANT = float(np.finfo(np.float32).eps)
"""A deviation that is so small against the mean is one of rounding."""


def check_inputs(inputs: NDArray[Any], sample: tuple[int, ...], split: str) -> None:
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
        kind = "images" if inputs.ndim == 4 else "tables"
        raise DatasetError(f"{where}: inputs that are {kind} must be {' or '.join(types)}, but got {inputs.dtype}.")
    if inputs.size == 0:
        raise DatasetError(f"{where}: inputs must hold at least one number, but got the shape {inputs.shape}.")
    if inputs.shape[1:] != sample:
        raise DatasetError(
            f"{where}: a sample must be of shape {sample}, as those of `train` are, but got {inputs.shape[1:]}."
        )
    if inputs.dtype == np.float32:
        _check_finite(inputs, where)


def mean_and_deviation(inputs: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of every channel of images, or of every feature of a table.

    Summed in float64, part by part (Chan, Golub & LeVeque, 1979). The deviation of what is constant is given as the
    size of its mean, at least 1: it is 0 when it is normalised, and stays small where other splits have other values.

    :param inputs: ``[samples, channels, height, width]`` or ``[samples, features]``
    """
    others = tuple(axis for axis in range(inputs.ndim) if axis != 1)
    count, mean, squares = 0, np.zeros(inputs.shape[1]), np.zeros(inputs.shape[1])
    for _, part in _parts(inputs):
        values = part.astype(np.float64)
        more, of_part = values.size // values.shape[1], values.mean(axis=others)
        apart = of_part - mean
        mean = mean + apart * more / (count + more)
        squares = squares + values.var(axis=others) * more + apart**2 * count * more / (count + more)
        count += more
    deviation = np.sqrt(squares / count)
    constant = deviation <= CONSTANT * np.abs(mean)
    deviation[constant] = np.maximum(1, np.abs(mean[constant]))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _check_finite(inputs: NDArray[Any], where: str) -> None:
    for start, part in _parts(inputs):
        wrong = ~np.isfinite(part)
        if wrong.any():
            row, *place = (int(number) for number in np.argwhere(wrong)[0])
            at = f"column {place[0]}" if len(place) == 1 else f"channel {place[0]}, pixel {tuple(place[1:])}"
            raise DatasetError(
                f"{where}, row {start + row}, {at}: inputs must be finite, but got {part[row, *place].item()}."
            )


def _parts(inputs: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """The inputs a part of the samples at a time, each with the number of its first sample."""
    size = max(1, AT_ONCE * len(inputs) // inputs.size)
    return ((start, inputs[start : start + size]) for start in range(0, len(inputs), size))
