"""Garments of Fashion-MNIST as bodies: outline, bulge and pattern, as smooth functions that have exact derivatives.

A picture is the coefficients of a uniform cubic B-spline, so that it can be read between its pixels, and so can its
slope. On a grid of rows and columns that is two products of matrices.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

THRESHOLD = 16
"""Grey level from which a pixel is part of the garment: of 255, above the noise around it and below dark cloth."""
SWELLING = 24
"""Steps of diffusion that make the bulge: nearly as many as the pixels of a picture's side, so that the outline is felt
in the middle."""


def filled(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels of the garments and of the holes in them, ``[samples, side, side]``.

    What is no garment is what can be reached from the border without crossing one.
    """
    empty = pictures < THRESHOLD
    outside = np.zeros_like(empty)
    outside[:, [0, -1]], outside[:, :, [0, -1]] = empty[:, [0, -1]], empty[:, :, [0, -1]]
    while True:
        grown = outside.copy()
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown[:, :, 1:] |= outside[:, :, :-1]
        grown[:, :, :-1] |= outside[:, :, 1:]
        grown &= empty
        if (grown == outside).all():
            return ~outside
        outside = grown


def bulge(bodies: NDArray[np.bool_]) -> Array:
    """How far a body swells out of its plane, 0 outside to 1 at its fullest, ``[samples, side, side]``.

    As a membrane under pressure that is held at the outline, on its way to rest: steps of diffusion and growth.
    """
    inside = bodies.astype(np.float32)
    height = np.zeros_like(inside)
    for _ in range(SWELLING):
        wide = np.pad(height, ((0, 0), (1, 1), (1, 1)))
        around = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
        height = np.multiply(inside, around / 4 + 1)
    return height / np.maximum(height.max(axis=(1, 2), keepdims=True), 1)


def spline_basis(positions: Array, size: int) -> tuple[Array, Array]:
    """Values and slopes at some positions of the cubic B-splines that stand at 0 to ``size - 1``.

    :param positions: ``[..., positions]``; beyond the last spline all are 0.
    :returns: Twice ``[..., positions, size]``.
    """
    distance = positions[..., None] - np.arange(size, dtype=np.float32)
    wide, narrow = (np.maximum(reach - np.abs(distance), 0) for reach in (2, 1))
    value = (wide**3 - 4 * narrow**3) / 6
    slope = np.sign(distance) * (4 * narrow**2 - wide**2) / 2
    return value, slope
