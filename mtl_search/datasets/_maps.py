"""Maps in files, as arrays: masks, distances, normals; a number or a vector for every pixel.

A message says what is wrong with a file; where the file was named is for the caller to say.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mtl_search.datasets._pictures import (
    GREY_16,
    Picture,
    Size,
    numbers,
    opened,
    refuse_pixels,
    refuse_special,
    upright,
)
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import DAMAGED

LOSSY = ("JPEG", "MPO", "WEBP")
"""Formats that do not keep the numbers of pixels, or need not; ``MPO`` is a JPEG with more than one picture."""
LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")
"""The same of the compressions of TIFF."""
MASK = ("1", "L", "P")
"""Modes whose pixels are one number of at most 8 bits; of a palette it is the number of the colour."""
MISSING_CLASS = 255
"""What stands in a mask for a pixel whose class is not known."""
LARGEST_ARRAY = 3 * 2**27
"""Numbers that an array of a map may hold: three for each pixel of more than the largest picture that is read."""


def read_mask(path: Path) -> NDArray[np.uint8]:
    """The numbers of a mask as they are in the file, ``[height, width]``; of one bit 0 and 1."""
    with opened(path) as picture:
        _refuse_as_mask(picture, path)
        return numbers(picture, path).astype(np.uint8)


def read_classes(path: Path, classes: int | None, values: Mapping[int, int] | None = None) -> NDArray[np.int16]:
    """A mask of classes, ``[height, width]``, -1 where it is 255.

    :param classes: How many there are; any up to 254 if that is not known.
    :param values: Number of a pixel -> its class, -1 where it has none; other pixels have the class of their number.
    """
    of_number = np.arange(256, dtype=np.int16)
    of_number[MISSING_CLASS] = -1
    for value, number in (values or {}).items():
        of_number[value] = number
    mask = read_mask(path)
    found: NDArray[np.int16] = of_number[mask]
    if classes is not None:
        missing = f"or {MISSING_CLASS} where the class is missing"
        rule = f"0 to {classes - 1}, {missing}, or one that `values` gives a class"
        refuse_pixels(path, mask, found >= classes, rule)
    return found


def read_answers(path: Path) -> NDArray[np.int8]:
    """A mask of yes (255, or 1 of one bit) and no (0), ``[height, width]``, 1 and 0."""
    with opened(path) as picture:
        _refuse_as_mask(picture, path)
        values = np.asarray(upright(picture)).astype(np.uint8) * (255 if picture.mode == "1" else 1)
    refuse_pixels(path, values, (values != 0) & (values != 255), "0 or 255")
    return (values == 255).astype(np.int8)


def _refuse_as_mask(picture: Picture, path: Path) -> None:
    _refuse_lossy(picture, path)
    if picture.mode not in MASK:
        raise DatasetError(
            f"{path}: must be a mask of one channel of 8 bits, but its mode is {picture.mode}: save the numbers of the "
            "classes as a grey PNG, or one with a palette."
        )


def _refuse_lossy(picture: Picture, path: Path) -> None:
    """Refuse a map in a format that does not keep numbers."""
    found = "JPEG" if picture.format == "MPO" else str(picture.format)
    if found == "TIFF" and picture.info.get("compression") in LOSSY_IN_TIFF:
        found = f"TIFF compressed as {picture.info['compression']}"
    if found != picture.format or found in LOSSY:
        raise DatasetError(
            f"{path}: must be in a format that keeps the numbers of pixels, which {found} does not: make it again as "
            "PNG, from what it was made from."
        )


def read_depth(path: Path, scale: float) -> NDArray[np.float32]:
    """A map of distances, ``[height, width]``, 0 where missing: a picture of 16 bits, or an array in a ``.npy`` file.

    :param scale: What its numbers are multiplied by.
    """
    if path.suffix == ".npy":
        values = read_array(path, "[height, width]", lambda shape: len(shape) == 2)
    else:
        with opened(path) as picture:
            _refuse_lossy(picture, path)
            if picture.mode not in GREY_16:
                raise DatasetError(f"{path}: must be of one channel of 16 bits, but its mode is {picture.mode}.")
            values = numbers(picture, path)
    with np.errstate(over="ignore"):
        found = values.astype(np.float32) * np.float32(scale)
    rule = "finite and at least 0, which is where the depth is missing"
    refuse_pixels(path, found, ~(found >= 0) | np.isinf(found), rule)
    return found


def read_normals(path: Path) -> NDArray[np.float32]:
    """A map of vectors, ``[3, height, width]``, 0 0 0 where missing; an array, its channels first or last."""
    layout = "[3, height, width] or [height, width, 3]"
    values = read_array(path, layout, lambda shape: len(shape) == 3 and 3 in shape[::2])
    with np.errstate(over="ignore"):
        found = np.array(values if values.shape[0] == 3 else np.moveaxis(values, 2, 0), np.float32)
    refuse_pixels(path, found, ~np.isfinite(found), "finite, 0 0 0 where the normal is missing")
    return found


def resized(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """A map in another size: each pixel has what the nearest one had.

    :param values: The values of maps, ``[..., height, width]``.
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, values.shape[-2:], strict=True)
    )
    return values[..., rows[:, None], columns]


def read_array(path: Path, layout: str, fits: Callable[[tuple[int, ...]], bool]) -> NDArray[Any]:
    """An array of numbers in a ``.npy`` file; its shape is looked at before it is read.

    :param layout: What its shape must be, for messages.
    :param fits: Whether a shape is that.
    """
    refuse_special(path)
    try:
        values = npy.open_memmap(path, mode="r")
    except (OSError, *DAMAGED) as error:
        reason = getattr(error, "strerror", None) or "it is no array of numbers, or is cut off"
        raise DatasetError(f"{path}: cannot be read: {reason}.") from error
    if values.dtype.kind not in "iuf" or not fits(values.shape) or values.size > LARGEST_ARRAY:
        most = f", at most {LARGEST_ARRAY:,} of them" if values.size > LARGEST_ARRAY else ""
        raise DatasetError(f"{path}: must hold numbers, {layout}{most}, but got {values.dtype} {list(values.shape)}.")
    return values
