"""Inputs from an archive of arrays, in the layout and the type that they are computed on."""

from collections.abc import Callable
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
    last = channels_are_last(values, channels)
    if isinstance(values, FileArray):
        if _is_computed_on(values, last):
            return values.shaped((1, *values.row_shape)) if values.ndim == 3 else values, None, []
        values = archive.array(name, "dataset.inputs")
    check_numbers(values, archive.title(name), lambda row: f"{archive.at(row)}, array `{name}`")
    return _computable(laid_out(values, last), training)


def channels_are_last(values: Array, channels: str | None) -> bool:
    """Whether the last axis of images is that of the channels.

    :param channels: ``first`` or ``last``, where the user says so; else it is found as for :func:`array_inputs`.
    """
    return channels == "last" or (
        channels is None and values.ndim == 4 and values.shape[3] in (1, 3, 4) and values.shape[1] not in (1, 3, 4)
    )


def laid_out(values: NDArray[Any], last: bool) -> NDArray[Any]:
    """Images as ``[samples, channels, height, width]``; rows of features as they are.

    :param last: Whether the channels are the last axis.
    """
    if values.ndim == 3:
        return values[:, None]
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if last and values.ndim == 4 else values


def _is_computed_on(values: FileArray, last: bool) -> bool:
    """Whether inputs can stay in their file, for nothing in them has to be changed.

    :param last: Whether channels are the last axis.
    """
    types = ("float32",) if values.ndim == 2 else ("uint8", "float32")
    return str(values.dtype) in types and not (last and values.ndim == 4)


def check_numbers(values: Array, title: str, place: Callable[[int], str]) -> None:
    """Check that inputs can be computed on.

    :param title: Where the array stands, for messages.
    :param place: Says where a row is, for messages.
    :raises DatasetError: If they are no numbers, or one is not finite or too large for float32.
    """
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{title}: must hold numbers, but got {values.dtype}.")
    if values.dtype.kind != "f":
        return
    for start, part in parts(values, AT_ONCE):
        wrong = ~(np.abs(part) <= np.finfo(np.float32).max)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0])
            where = place(start + int(at[0]))
            raise DatasetError(f"{where}: must be finite, and no larger than float32 has, but got {part[at]}.")


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
