"""Photographs that scikit-image carries in its package, as textures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._packages import packaged
from mtl_search.datasets._pictures import picture_header, read_picture

PHOTOGRAPHS = {
    "train": (
        "brick.png",
        "astronaut.png",
        "gravel.png",
        "chelsea.png",
        "coins.png",
        "hubble_deep_field.jpg",
        "motorcycle_left.png",
        "page.png",
    ),
    "val": ("grass.png", "coffee.png", "cell.png", "retina.jpg"),
    "test": ("camera.png", "ihc.png", "moon.png", "rocket.jpg"),
}
"""Split -> its photographs; each has fine and coarse ones, grey and coloured ones."""
MIDDLE = 0.7
"""Side of the square in the middle, of the shorter side of the photograph: it lies within a round one, too."""
CONTRAST = 0.2
"""Standard deviation of a texture, of a range of 1: all are as strong, and hardly any is cut off at an end."""


def textures(dataset: str, names: Sequence[str], side: int) -> NDArray[np.float32]:
    """The middle squares of photographs, ``[photographs, side, side, 3]``, all of a mean of 0.5 and the same contrast.

    :param dataset: Name of the dataset that needs the photographs, for messages.
    :raises DatasetError: If scikit-image is not installed, or one of its files cannot be read.
    """
    return np.stack([_texture(dataset, name, side) for name in names])


def _texture(dataset: str, name: str, side: int) -> NDArray[np.float32]:
    path = packaged(dataset, "scikit-image", f"skimage/data/{name}")
    height, width = picture_header(path).size
    scale = side / (MIDDLE * min(height, width))
    size = max(side, round(scale * height)), max(side, round(scale * width))
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    square = read_picture(path, 3, size)[:, top : top + side, left : left + side].transpose(1, 2, 0)
    values = square.astype(np.float32)
    return np.clip(0.5 + CONTRAST * (values - values.mean()) / values.std(), 0, 1)
