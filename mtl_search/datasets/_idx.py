"""Fashion-MNIST's files: found, downloaded where allowed, checked, read (Xiao et al., arXiv 1708.07747)."""

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._pairs import Labelled
from mtl_search.errors import DatasetError

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""The four files, unpacked, and their checksums."""

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SOURCE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
TIMEOUT_SECONDS = 30
"""For the server to say something: a slow network takes some seconds, one that says nothing for longer is none."""


def fashion_mnist(root: str | None) -> tuple[Labelled, Labelled]:
    """The 60,000 training and 10,000 test pictures.

    Looked for in ``root``, then where Debian's package ``dataset-fashion-mnist`` puts them, then in the cache of
    earlier downloads; downloaded into that cache otherwise, with a checked SHA-256.

    :param root: Folder with the four IDX files, packed (``.gz``) or not; ``None`` to look elsewhere at once.
    :raises DatasetError: If the files are nowhere to be found; the message says all three ways to provide them.
    """
    folder = _find(root)
    parts = []
    for part in ("train", "t10k"):
        pictures = _read_idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
        classes = _read_idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
        if pictures.shape[1:] != (28, 28):
            raise DatasetError(f"{folder}: {part} must have pictures of 28x28, but got {pictures.shape[1:]}.")
        if len(pictures) != len(classes):
            raise DatasetError(f"{folder}: {part} has {len(pictures)} pictures, but {len(classes)} labels.")
        parts.append((pictures, classes.astype(np.int64)))
    return parts[0], parts[1]


def _find(root: str | None) -> Path:
    if root is not None:
        if not _has_all(Path(root)):
            raise DatasetError(f"`dataset.root` must hold the four Fashion-MNIST files, but {_missing(Path(root))}.")
        return Path(root)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtl_search" / "fashion-mnist"
    for folder in (DEBIAN_FOLDER, cache):
        if _has_all(folder):
            return folder
    _download(cache)
    return cache


def _download(cache: Path) -> None:
    for name, checksum in SHA256.items():
        try:
            with urllib.request.urlopen(f"{SOURCE}/{name}.gz", timeout=TIMEOUT_SECONDS) as answer:
                data: bytes = answer.read()
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = getattr(error, "reason", None) or error
            raise DatasetError(_three_ways(f"the download failed ({reason})")) from error
        if not _has_checksum(data, checksum):
            raise DatasetError(_three_ways(f"the downloaded {name}.gz does not have the expected SHA-256"))
        try:
            cache.mkdir(parents=True, exist_ok=True)
            temporary = cache / f".{name}.{os.getpid()}.tmp"
            temporary.write_bytes(data)
            temporary.replace(cache / f"{name}.gz")
        except OSError as error:
            raise DatasetError(_three_ways(f"the cache {cache} cannot be written ({error.strerror})")) from error


def _has_checksum(data: bytes, checksum: str) -> bool:
    try:
        return hashlib.sha256(_unpacked(data)).hexdigest() == checksum
    except (OSError, EOFError, zlib.error):
        return False


def _three_ways(what_happened: str) -> str:
    return (
        f"Fashion-MNIST was not found, and {what_happened}. Three ways to provide it: "
        f"(1) put its four files ({', '.join(SHA256)}) into a folder and set `dataset.root` to it; "
        f"(2) on Debian or Ubuntu: `apt install dataset-fashion-mnist`; "
        f"(3) run once with internet access, and it is downloaded from {SOURCE}."
    )


def _has_all(folder: Path) -> bool:
    return all(_path(folder, name) is not None for name in SHA256)


def _missing(folder: Path) -> str:
    missing = [name for name in SHA256 if _path(folder, name) is None]
    return f"{folder} has no {missing[0]}" if folder.is_dir() else f"there is no folder {folder}"


def _path(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.gz", folder / name)
    return next((path for path in candidates if path.is_file()), None)


def _read_idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    path = _path(folder, name)
    assert path is not None
    try:
        data = _unpacked(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read: {error}.") from error
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, 8, dimensions]):
        raise DatasetError(f"{path}: is no IDX file of unsigned bytes with {dimensions} dimensions.")
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4)
    if len(data) - header != int(np.prod(shape, dtype=np.int64)):
        raise DatasetError(f"{path}: holds {len(data) - header} values, but its header says {shape.tolist()}.")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _unpacked(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
