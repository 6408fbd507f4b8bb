"""Inputs from an archive of arrays, in the layout and the type that they are computed on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._archives import Archive
from mtl_search.datasets._inputs import centre_of, centred, loss_note
from mtl_search.datasets._tables import LARGEST_LABEL
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array, FileArray, parts

AT_ONCE = 2**24
"""Numbers that are gone through at a time: 64 MB in float32, and one byte each for what is wrong with them."""

Made = tuple[Array, NDArray[np.float64] | None, list[str]]
"""Inputs, what they are less, and what was lost of them, each as a sentence."""


def array_inputs(archive: Archive, name: str, values: Array, channels: str | None, training: NDArray[np.int64]) -> Made:
    """Inputs: ``[samples, features]`` float32, or images ``[samples, channels, height, width]``, uint8 or float32.

    Images may have no axis of channels (there is one then), or it may come last: taken for so where the last axis is 1,
    3 or 4 and the second is not.

    :param values: Inputs of all samples as they are in the archive.
    :param channels: Which axis the channels are, ``first`` or ``last``; found as above if ``None``.
    :param training: Numbers of the training samples.
    :raises DatasetError: For another type, or a number that is not finite; the message names its row.
    """
    last = channels == "last" or (
        channels is None and values.ndim == 4 and values.shape[3] in (1, 3, 4) and values.shape[1] not in (1, 3, 4)
    )
    if isinstance(values, FileArray):
        if _is_computed_on(values, last):
            return values.shaped((1, *values.row_shape)) if values.ndim == 3 else values, None, []
        values = archive.array(name, "dataset.inputs")
    _check_numbers(archive, name, values)
    if values.ndim == 3:
        values = values[:, None]
    elif last and values.ndim == 4:
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    return _computable(values, training)


def _is_computed_on(values: FileArray, last: bool) -> bool:
    """Whether inputs can stay in their file, for nothing in them has to be changed.

    :param last: Whether channels are the last axis.
    """
    types = ("float32",) if values.ndim == 2 else ("uint8", "float32")
    return str(values.dtype) in types and not (last and values.ndim == 4)


def _check_numbers(archive: Archive, name: str, values: NDArray[Any]) -> None:
    """:raises DatasetError: If the inputs are no numbers, or one is not finite or too large for float32."""
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{archive.title(name)}: must hold numbers, but got {values.dtype}.")
    if values.dtype.kind != "f":
        return
    for start, part in parts(values, AT_ONCE):
        wrong = ~(np.abs(part) <= np.finfo(np.float32).max)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            where = f"{archive.at(start + int(place[0]))}, array `{name}`"
            raise DatasetError(f"{where}: must be finite, and no larger than float32 has, but got {part[place]}.")


def _computable(values: NDArray[Any], training: NDArray[np.int64]) -> Made:
    """As uint8 where images hold 0 to 255, else as float32, less a centre where that makes one of several numbers."""
    if values.dtype.kind != "f" and values.ndim > 2 and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8, copy=False), None, []
    if values.dtype.itemsize < 4 or values.dtype == np.float32:
        return values.astype(np.float32, copy=False), None, []
    found, centre, notes = np.empty(values.shape, np.float32), np.zeros(values.shape[1]), []
    for number in range(values.shape[1]):
        exact = values[:, number].astype(np.float64)
        centre[number] = centre_of(exact, exact[training])
        found[:, number] = centred(exact, centre[number])
        word = "feature" if values.ndim == 2 else "channel"
        large = centre[number] or np.abs(exact).max() >= LARGEST_LABEL
        different = len(np.unique(values[:, number])) if large else 0
        if large and (note := loss_note(f"{word} {number}", different, found[:, number])):
            notes.append(note)
    return found, centre if centre.any() else None, notes
