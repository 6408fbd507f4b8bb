"""Fashion-MNIST's four files with a few made garments."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 28


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def made_garments(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Ellipses of many shapes, brighter in the middle."""
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    tall, wide = rng.uniform(0.5, 0.95, (2, count, 1, 1))
    distance = (down / tall) ** 2 + (across / wide) ** 2
    return np.where(distance < 1, 255 - 150 * distance, 0).astype(np.uint8)


def write_garments(folder: Path, test_classes: tuple[int, ...] = tuple(range(10))) -> Path:
    """60 garments for training and validation, of all classes, and 40 for the test."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, size, classes in (("train", 60, range(10)), ("t10k", 40, test_classes)):
        labels = np.resize(np.array(classes, dtype=np.uint8), size)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(made_garments(size, rng)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return folder
