"""Changes to pictures: other sizes in the header, other modes and formats, odd EXIF data."""

import io
import struct
import zlib
from collections.abc import Callable
from random import Random

from PIL import Image

SIZES = (0, 1, 2, 65_536, 10**6, 2**31 - 1, 2**32 - 1)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I", "I;16", "F", "YCbCr", "HSV")
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "TGA", "ICO", "PDF", "EPS")
ORIENTATION, UP = 0x0112, (0, 1, 3, 6, 8, 9, 255, 65_535)
"""Tag of EXIF for which side is up, and what is said there: 1 to 8 are valid."""
TEXTS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(w) (w) file\n%%EOF\n",
    b"P5\n12 12\n65535\n" + b"\0" * 288,
    b"P6 99999999 99999999 255\n",
    b"P1\n12 12\n" + b"0 1 " * 72,
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"#define im_width 12\n#define im_height 12\nstatic char im_bits[] = {\n0x00};\n",
    b"GIF89a",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"",
)


def changed_picture(data: bytes, other: bytes, random: Random) -> bytes:
    """A picture that says something else of itself."""
    ways = (_sized, _sized, _turned, _turned, _as_text, _converted, _converted, _chunk)
    change: Callable[[bytes, Random], bytes] = random.choice(ways)
    return change(data, random)


def _sized(data: bytes, random: Random) -> bytes:
    """A PNG with another size in its header, with a check sum that fits; others with changed bytes."""
    if data[12:16] != b"IHDR":
        place = random.randrange(min(len(data), 400))
        return data[:place] + random.randbytes(4) + data[place + 4 :]
    header = bytearray(data[16:29])
    if random.random() < 0.7:
        struct.pack_into(">I", header, random.choice((0, 4)), random.choice(SIZES))
    else:
        header[random.randrange(8, 13)] = random.randrange(256)  # depth, colours, compression, filter, interlacing
    return data[:16] + bytes(header) + _sum(b"IHDR" + bytes(header)) + data[33:]


def _sum(chunk: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(chunk))


def _chunk(data: bytes, random: Random) -> bytes:
    """A PNG with a chunk more, which is compressed a thousand times or says nonsense."""
    if data[12:16] != b"IHDR":
        return data + random.randbytes(100)
    content = random.choice((b"key\0\0" + zlib.compress(b"x" * 10**7), b"\0", b"", random.randbytes(13)))
    name = random.choice((b"zTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE", b"acTL", b"gAMA", b"iTXt", b"IDAT"))
    return data[:33] + struct.pack(">I", len(content)) + name + content + _sum(name + content) + data[33:]


def _turned(data: bytes, random: Random) -> bytes:
    """With EXIF data that says which side is up, in a number or in another type of value."""
    picture = Image.open(io.BytesIO(data))
    kind = random.choice((3, 3, 3, 1, 2, 4, 5, 11, 13, 99))
    up = struct.pack("<HHIHH", ORIENTATION, kind, random.choice((1, 1, 1, 0, 4, 2**31)), random.choice(UP), 0)
    said = struct.pack("<HHI4s", 0x010E, 2, 4, b"\x1b[1m")
    raw = bytearray(b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + said + up + b"\0" * 4)
    if random.random() < 0.3:
        raw[random.randrange(6, len(raw))] ^= 1 << random.randrange(8)
    written = io.BytesIO()
    picture.save(written, "JPEG" if picture.mode in ("L", "RGB") and random.random() < 0.5 else "PNG", exif=bytes(raw))
    return written.getvalue()


def _as_text(data: bytes, random: Random) -> bytes:
    return random.choice(TEXTS)


def _converted(data: bytes, random: Random) -> bytes:
    """In another mode, size or format."""
    picture: Image.Image = Image.open(io.BytesIO(data))
    if picture.mode.startswith("I"):
        picture = picture.convert("I").convert("L")
    mode, kind = random.choice(MODES), random.choice(FORMATS)
    size = random.choice((picture.size, picture.size, (1, 1), (12, 13), (1, 3_000)))
    written = io.BytesIO()
    try:
        picture.convert(mode).resize(size).save(written, kind)
    except (ValueError, OSError, KeyError):  # not every format holds every mode
        picture.resize(size).save(written, "PNG")
    return written.getvalue()
