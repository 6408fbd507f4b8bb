"""Pictures in files, as arrays. The only home of Pillow.

A message says what is wrong with a file; where the file was named is for the caller to say.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PLANAR_CONFIGURATION, TiffImageFile

from mtl_search.errors import MOST, DatasetError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Pillow's names of the formats that are read, PGM and PBM as ``PPM``. It knows thirty more, programs among them."""
LFS = b"version https://"
"""How a file begins that Git LFS keeps in the place of another."""
GREY = ("1", "L", "LA", "La")
GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes of one number of 16 bits; ``I`` has room for 32, and what needs it is refused when it is read."""
COLOUR = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Modes of Pillow that pictures may have."""
NATIVE = "B" if sys.byteorder == "big" else "L"
OTHER_HALF = {
    f"{bands};16{order}": f"{bands};16{'L' if (order if order != 'N' else NATIVE) == 'B' else 'B'}"
    for bands in ("RGB", "RGBA", "RGBX")
    for order in ("B", "L", "N")
}
"""How Pillow unpacks colours of 16 bits, of which it keeps the upper 8 -> how it would keep the lower 8."""
GREY_AND_ALPHA_16 = "LA;16B"
"""How it unpacks grey and alpha of 16 bits."""
LARGEST = {"L;2": 3, "L;4": 15}
"""How Pillow unpacks grey of 2 and of 4 bits -> the largest number, which it makes 255."""
ORIENTATION, LYING = 0x0112, 5
"""The tag of EXIF that says how a picture is to be turned, and its number from which on height and width change
places."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation -> what makes the picture upright."""

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong with a file is said once, by an error of ours

Picture = ImageFile.ImageFile
Size = tuple[int, int]
"""Height and width."""


class Header(NamedTuple):
    """What is known of a picture before its pixels are read.

    :param size: Height and width as it is to be looked at.
    :param grey: Whether it is grey.
    :param bits: Bits of each number in the file: 16, or 8 if they are no more.
    """

    size: Size
    grey: bool
    bits: int


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """A picture, its pixels not read yet.

    :raises DatasetError: If the file is no picture, is damaged or has too many pixels, also where the pixels are read.
    """
    refuse_special(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                yield picture
    except DatasetError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise DatasetError(f"{path}: must have at most {limit} pixels, for it may be a decompression bomb.") from error
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path}: {_what_it_is(path)}.") from error
    except Exception as error:  # Pillow meets damage with errors of any kind, from KeyError to ZeroDivisionError
        reason = str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__
        raise DatasetError(f"{path}: cannot be read: {' '.join(reason.split())[:MOST]}.") from error


def _what_it_is(path: Path) -> str:
    """The rest of a message about a file that is no picture."""
    with path.open("rb") as file:
        start = file.read(len(LFS))
    if not start:
        return "is empty, and no picture"
    if start == LFS:
        return "is what Git LFS keeps in the place of a file: `git lfs pull` fetches the picture itself"
    return "is no picture that can be read, which PNG, JPEG, TIFF, BMP, GIF, WebP, PGM and PPM can"


def refuse_special(path: Path) -> None:
    """Refuse what is no file before it is opened: a pipe would wait for ever."""
    if not path.is_file():
        raise DatasetError(f"{path}: must be a file, but {'is none' if path.exists() else 'there is none'}.")


def picture_header(path: Path) -> Header:
    """What is known of a picture before its pixels are read.

    :raises DatasetError: If it cannot be read, or has pixels of a sort that is not known.
    """
    with opened(path) as picture:
        if picture.mode not in (*GREY, *GREY_16, *COLOUR):
            raise DatasetError(f"{path}: must be grey or coloured, of 8 or 16 bits, but its mode is {picture.mode}.")
        bits, grey = _bits(picture, path), _is_grey(picture)
        (width, height), turned = picture.size, _orientation(picture) >= LYING
        return Header((width, height) if turned else (height, width), grey, bits)


def _is_grey(picture: Picture) -> bool:
    return picture.mode in (*GREY, *GREY_16) or _unpacking(picture) == GREY_AND_ALPHA_16


def _bits(picture: Picture, path: Path) -> int:
    """8 or 16.

    :raises DatasetError: If Pillow keeps 8 of 16 bits and there is no way to the others.
    """
    if picture.mode in GREY_16:
        return 16
    if isinstance(picture, TiffImageFile):
        deep = max(picture.tag_v2.get(BITSPERSAMPLE, (1,))) > 8
        apart = picture.tag_v2.get(PLANAR_CONFIGURATION) == 2  # which Pillow takes for 8 bits
    else:
        deep, apart = ";16" in _unpacking(picture).partition("BGR")[0] or _largest(picture) > 255, False
    if deep and (apart or _unpacking(picture) not in (*OTHER_HALF, GREY_AND_ALPHA_16)):
        raise DatasetError(f"{path}: has colours of 16 bits that cannot be read whole: save it as PNG.")
    return 16 if deep else 8


def _unpacking(picture: Picture) -> str:
    """What Pillow calls the layout of the numbers in the file; empty where there is one layout only."""
    args = picture.tile[0].args if picture.tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _largest(picture: Picture) -> int:
    """The number in the file that is white: PGM and PPM say it, grey of 2 and 4 bits has a small one.

    It is to be asked before the pixels are read.
    """
    args = picture.tile[0].args if picture.tile else ""
    if picture.format == "PPM" and isinstance(args, tuple) and isinstance(args[-1], int):
        return args[-1]
    return LARGEST.get(_unpacking(picture).rstrip("IR"), _white(picture))


def _white(picture: Picture) -> int:
    """The number that Pillow makes white."""
    return 1 if picture.mode == "1" else 65535 if picture.mode in GREY_16 else 255


@contextmanager
def _silenced() -> Iterator[None]:
    """Without what libtiff writes to standard error: Pillow raises an error where it matters."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _orientation(picture: Picture) -> int:
    """1 to 8, as EXIF says it; 1, upright as it is stored, where that says anything else, or is damaged."""
    if isinstance(picture, TiffImageFile):
        return 1  # Pillow turns those itself
    if picture.format == "PNG" and "exif" not in picture.info:
        picture.load()  # EXIF may come behind the pixels
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of any kind, as above: a damaged block says nothing
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def upright(picture: Picture) -> Image.Image:
    """The picture, its pixels read, with the right side up."""
    with _silenced() if isinstance(picture, TiffImageFile) else nullcontext():
        orientation = _orientation(picture)
        picture.load()
    return picture.transpose(TURNS[orientation]) if orientation in TURNS else picture


def read_picture(path: Path, channels: int, size: Size, bits: int = 8) -> NDArray[Any]:
    """A picture, ``[channels, height, width]``, turned as its EXIF says, and resized (bilinear) where it must be.

    Grey is repeated for three channels; colours of a palette are looked up; transparency is left out; of several
    pictures in a file the first one is taken.

    :param channels: 1, for grey ones only, or 3.
    :param bits: Bits of the numbers that are wanted: 8, which are the upper ones of 16; or 16, as they are in the file,
        and of a picture of 8 such that its white is the white of 16.
    """
    with opened(path) as picture:
        if _bits(picture, path) == 16:
            bands = _bands_of_16(picture, path)
            bands = bands if bits == 16 else [(band >> 8).astype(np.uint8) for band in bands]
        else:
            bands = _bands_of_8(upright(picture), channels)
            bands = bands if bits == 8 else [band.astype(np.uint16) * 257 for band in bands]  # 255 to 65,535
    found = np.stack([_resized(band, size) for band in bands])
    return np.repeat(found, channels // len(found), axis=0)


def _bands_of_8(picture: Image.Image, channels: int) -> list[NDArray[Any]]:
    """Of a picture of 8 bits, each ``[height, width]``."""
    mode = "L" if channels == 1 else "RGB"
    pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    return [pixels] if channels == 1 else [pixels[..., band] for band in range(3)]


def _bands_of_16(picture: Picture, path: Path) -> list[NDArray[Any]]:
    """The numbers of a picture of 16 bits as they are in the file, each ``[height, width]``; of grey there is one."""
    if picture.mode in GREY_16:
        return [numbers(picture, path).astype(np.uint16)]
    unpacked = _unpacking(picture)
    if unpacked == GREY_AND_ALPHA_16:
        # Of four numbers of 8 bits the first two are the halves of the grey one.
        upper, lower, *_ = np.moveaxis(np.asarray(upright(_unpacked(picture, "RGBA"))), 2, 0)
        return [upper * np.uint16(256) + lower]
    uppers = np.asarray(upright(picture))
    with opened(path) as again:
        lowers = np.asarray(upright(_unpacked(again, OTHER_HALF[unpacked])))
    return [uppers[..., band] * np.uint16(256) + lowers[..., band] for band in range(3)]


def _unpacked(picture: Picture, layout: str) -> Picture:
    """A picture whose numbers will be taken for those of another layout."""
    picture.tile = [
        part._replace(args=(layout, *part.args[1:]) if isinstance(part.args, tuple) else layout)
        for part in picture.tile
    ]
    return picture


def numbers(picture: Picture, path: Path) -> NDArray[np.int64]:
    """The numbers of a picture of one channel as they are in the file, ``[height, width]``; of one bit 0 and 1."""
    largest, white = _largest(picture), _white(picture)
    if picture.tile and picture.tile[0].codec_name == "ppm":
        found = _of_pgm(picture, path, largest)
    else:
        found = np.asarray(upright(picture)).astype(np.int64)
        found = found if largest == white else (found * largest + white // 2) // white
    refuse_pixels(path, found, (found < 0) | (found > largest), f"0 to {largest}")
    return found


def _of_pgm(picture: Picture, path: Path, largest: int) -> NDArray[np.int64]:
    """The numbers of a PGM file, which Pillow reads one after the other where white is none of its own numbers."""
    width, height = picture.size
    kind = np.dtype(">u2" if largest > 255 else "u1")
    found = np.fromfile(path, kind, width * height, offset=picture.tile[0].offset)
    if len(found) < width * height:
        raise DatasetError(f"{path}: cannot be read: it is truncated.")
    return found.reshape(height, width).astype(np.int64)


def _resized(band: NDArray[Any], size: Size) -> NDArray[Any]:
    """Bilinear, ``[height, width]``."""
    if band.shape == size:
        return band
    wide = (size[1], size[0])
    if band.dtype == np.uint8:
        return np.asarray(Image.fromarray(band).resize(wide, Image.Resampling.BILINEAR))
    found = Image.fromarray(band.astype(np.float32)).resize(wide, Image.Resampling.BILINEAR)
    return np.rint(np.asarray(found)).astype(band.dtype)


def refuse_pixels(path: Path, values: NDArray[Any], wrong: NDArray[np.bool_], rule: str) -> None:
    """Refuse a map in which a pixel is wrong.

    :param rule: What pixels must be, as the rest of the sentence "must be ...".
    """
    if wrong.any():
        place = tuple(int(number) for number in np.argwhere(wrong)[0])
        raise DatasetError(f"{path}: pixels must be {rule}, but got {values[place]:g} at {list(place)}.")


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a grey picture, ``[height, width]``, as a PNG file."""
    Image.fromarray(pixels).save(path, "PNG")
