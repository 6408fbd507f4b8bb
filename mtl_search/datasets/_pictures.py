"""Pictures and maps in files, as arrays. The only home of Pillow.

A message says what is wrong with a file; where the file was named is for the caller to say.
"""

import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mtl_search.errors import DatasetError

GREY = ("1", "L", "LA", "La")
GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Modes of Pillow that pictures may have."""
MASK = ("1", "L", "P")
"""Modes whose pixels are one number of at most 8 bits; of a palette it is the number of the colour."""
MISSING_CLASS = 255
"""What stands in a mask for a pixel whose class is not known."""
ORIENTATION = 0x0112
"""The tag of EXIF that says how a picture is to be turned; from 5 on height and width change places."""

Size = tuple[int, int]
"""Height and width."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture, its pixels not read yet.

    :raises DatasetError: If the file is no picture, is damaged or has too many pixels, also where the pixels are read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                yield picture
    except DatasetError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise DatasetError(f"{path}: must have at most {limit} pixels, for it may be a decompression bomb.") from error
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path}: is no picture that can be read.") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise DatasetError(f"{path}: cannot be read: {reason}.") from error


def picture_header(path: Path) -> tuple[Size, bool]:
    """Height and width of a picture as it is to be looked at, and whether it is grey. Reads no pixels.

    :raises DatasetError: If it cannot be read, or has pixels of a sort that is not known.
    """
    with _opened(path) as picture:
        if picture.mode not in (*GREY, *GREY_16, *COLOUR):
            raise DatasetError(f"{path}: must be grey or coloured, of 8 or 16 bits, but its mode is {picture.mode}.")
        width, height = picture.size
        turned = picture.getexif().get(ORIENTATION, 1) >= 5
        return (width, height) if turned else (height, width), picture.mode in (*GREY, *GREY_16)


def read_picture(path: Path, channels: int, size: Size) -> NDArray[np.uint8]:
    """A picture, ``[channels, height, width]``, turned as its EXIF says, and resized (bilinear) where it must be.

    Of 16 bits the upper 8 are kept; grey is repeated for three channels; colours of a palette are looked up;
    transparency is left out; of several pictures in a file the first one is taken.

    :param channels: 1, for grey ones only, or 3.
    """
    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in GREY_16:
            upright = Image.fromarray((np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8))
        pixels = upright.convert("L" if channels == 1 else "RGB")
        if (pixels.height, pixels.width) != size:
            pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        found = np.array(pixels)
    return found[None] if channels == 1 else np.ascontiguousarray(np.moveaxis(found, 2, 0))


def read_classes(path: Path, classes: int | None) -> NDArray[np.int16]:
    """A mask of classes, ``[height, width]``, -1 where it is 255.

    :param classes: How many there are; any up to 254 if that is not known.
    """
    values = _mask(path)
    found = values.astype(np.int16)
    found[values == MISSING_CLASS] = -1
    if classes is not None:
        rule = f"0 to {classes - 1}, or {MISSING_CLASS} where the class is missing"
        refuse_pixels(path, found, found >= classes, rule)
    return found


def read_answers(path: Path) -> NDArray[np.int8]:
    """A mask of yes (255) and no (0), ``[height, width]``, 1 and 0."""
    values = _mask(path)
    refuse_pixels(path, values, (values != 0) & (values != 255), "0 or 255")
    return (values == 255).astype(np.int8)


def read_depth(path: Path, scale: float) -> NDArray[np.float32]:
    """A map of distances, ``[height, width]``, 0 where missing: a picture of 16 bits, or an array in a ``.npy`` file.

    :param scale: What its numbers are multiplied by.
    """
    if path.suffix == ".npy":
        values = read_array(path, "[height, width]", lambda shape: len(shape) == 2)
    else:
        with _opened(path) as picture:
            if picture.mode not in (*GREY_16, "I"):
                raise DatasetError(f"{path}: must be of one channel of 16 bits, but its mode is {picture.mode}.")
            values = np.array(ImageOps.exif_transpose(picture))
    found = values.astype(np.float32) * np.float32(scale)
    rule = "finite and at least 0, which is where the depth is missing"
    refuse_pixels(path, found, ~(found >= 0) | np.isinf(found), rule)
    return found


def read_normals(path: Path) -> NDArray[np.float32]:
    """A map of vectors, ``[3, height, width]``, 0 0 0 where missing; an array, its channels first or last."""
    layout = "[3, height, width] or [height, width, 3]"
    values = read_array(path, layout, lambda shape: len(shape) == 3 and 3 in shape[::2])
    found = np.array(values if values.shape[0] == 3 else np.moveaxis(values, 2, 0), np.float32)
    refuse_pixels(path, found, ~np.isfinite(found), "finite, 0 0 0 where the normal is missing")
    return found


def resized(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """A map in another size: each pixel has what the nearest one had.

    :param values: ``[..., height, width]``
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, values.shape[-2:], strict=True)
    )
    return values[..., rows[:, None], columns]


def _mask(path: Path) -> NDArray[np.uint8]:
    with _opened(path) as picture:
        if picture.mode not in MASK:
            raise DatasetError(f"{path}: must be a mask of one channel of 8 bits, but its mode is {picture.mode}.")
        upright = ImageOps.exif_transpose(picture)
        return np.array(upright.convert("L") if upright.mode == "1" else upright, np.uint8)


def read_array(path: Path, layout: str, fits: Callable[[tuple[int, ...]], bool]) -> NDArray[Any]:
    """An array of numbers in a ``.npy`` file; its shape is looked at before it is read.

    :param layout: What its shape must be, for messages.
    :param fits: Whether a shape is that.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is no array of numbers, or is cut off"
        raise DatasetError(f"{path}: cannot be read: {reason}.") from error
    if values.dtype.kind not in "iuf" or not fits(values.shape):
        raise DatasetError(f"{path}: must hold numbers, {layout}, but got {values.dtype} {list(values.shape)}.")
    return values


def refuse_pixels(path: Path, values: NDArray[Any], wrong: NDArray[np.bool_], rule: str) -> None:
    """Refuse a map in which a pixel is wrong.

    :param rule: What pixels must be, as the rest of the sentence "must be ...".
    """
    if wrong.any():
        place = tuple(int(number) for number in np.argwhere(wrong)[0])
        raise DatasetError(f"{path}: pixels must be {rule}, but got {values[place]:g} at {list(place)}.")
