"""Changes to files of arrays: npy, npz and safetensors."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import nasty
import numpy as np
from numpy.typing import NDArray

HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (24, 12, 12, 3)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (24,)}",
    "{'descr': '|V1000000', 'fortran_order': False, 'shape': (24,)}",
    "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (24,)}",
    "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': ()}",
    "{'descr': '<f4', 'shape': (24,)}",
    "__import__('os').system('true')",
    "[" * nasty.DEEP,
    "(" * 60_000,
    "",
)


class Pickled:
    """Runs the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, ("fuzz_canary",)


def changed_npy(data: bytes, other: bytes, random: Random) -> bytes:
    """An array of another type or shape, or with another header."""
    if random.random() < 0.3:
        header = random.choice(HEADERS).encode() + b"\n"
        version = random.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
        size = struct.pack("<H" if version[0] == 1 else "<I", len(header) & 0xFFFF)
        return b"\x93NUMPY" + version + size + header + data[80:]
    array = random.choice(CHANGES)(np.load(io.BytesIO(data)), random)
    written = io.BytesIO()
    np.save(written, array, allow_pickle=True)
    return written.getvalue()


def changed_npz(data: bytes, other: bytes, random: Random) -> bytes:
    """An archive one of whose arrays is changed, or is there twice, or under another name."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = random.choice(list(members))
    way = random.choice(("array", "array", "array", "name", "remove", "swap"))
    if way == "array":
        members[chosen] = changed_npy(members[chosen], other, random)
    elif way == "name":
        members[random.choice(("../../escaped.npy", "/escaped.npy", "a", "\x1b.npy", "x.txt"))] = members.pop(chosen)
    elif way == "remove":
        del members[chosen]
    else:
        members[chosen] = members[random.choice(list(members))]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return written.getvalue()


def _filled(*values: float) -> Callable[[NDArray[Any], Random], NDArray[Any]]:
    """Makes some values of an array others."""

    def changed(array: NDArray[Any], random: Random) -> NDArray[Any]:
        array = array.astype(np.float64)
        array[np.random.default_rng(random.randrange(2**32)).random(array.shape) < random.choice((0.01, 0.5, 1))] = (
            random.choice(values)
        )
        return array

    return changed


def _typed(*kinds: str) -> Callable[[NDArray[Any], Random], NDArray[Any]]:
    def changed(array: NDArray[Any], random: Random) -> NDArray[Any]:
        return np.nan_to_num(array).astype(random.choice(kinds))

    return changed


def _shaped(array: NDArray[Any], random: Random) -> NDArray[Any]:
    shapes = (array[:0], array[:1], array[..., None], array[None], array.reshape(-1), array.sum(), array.T, array[::2])
    return np.asarray(random.choice(shapes))


def _objects(array: NDArray[Any], random: Random) -> NDArray[Any]:
    return np.array([Pickled()] * len(array), dtype=object)


CHANGES: tuple[Callable[[NDArray[Any], Random], NDArray[Any]], ...] = (
    *([_filled(np.nan, np.inf, -np.inf, -0.0, -1, 1e308, 1e-320, 256, 2**31, 2**53)] * 3),
    *([_typed("i1", "u8", "f2", ">f4", "c8", "U5", "S3", "?", "M8[s]", "m8[s]", "f16", ">i8")] * 2),
    *(_shaped, _shaped, _objects),
)


def changed_safetensors(data: bytes, other: bytes, random: Random) -> bytes:
    """Another header before the same values."""
    length = struct.unpack("<Q", data[:8])[0]
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    name = random.choice(list(header))
    way = random.choice(("length", "remove", "rename", "value", "metadata"))
    if way == "remove":
        del header[name]
    elif way == "rename":
        header[random.choice(nasty.TEXTS)] = header.pop(name)
    elif way == "value":
        header[name][random.choice(list(header[name]))] = "MARK"
    elif way == "metadata":
        header["__metadata__"] = {"MARK": "MARK"}
    text = json.dumps(header).replace('"MARK"', random.choice(nasty.JSON)).encode()
    told = random.choice((0, 2**63, 2**64 - 1, len(data), 10**8)) if way == "length" else len(text)
    return struct.pack("<Q", told) + text + values
