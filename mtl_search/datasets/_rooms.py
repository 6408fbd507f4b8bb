"""Rooms with items in them: where everything stands, and what a camera sees of it, pixel by pixel.

A pinhole camera stands in the origin, tilted downwards. In the world x points right, y up and z ahead, level; lengths
are in metres. A pixel looks along ``(u, v, 1)``: u to the right, v downwards, 1 along the optical axis, on which depths
are measured. A surface is its depth as a function of u and v together with its slopes, so that normals are exact: that
of ``z (u, v, 1)`` is ``(z_u, -z_v, z + u z_u + v z_v)``, with x right, y up and z towards the camera.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._silhouettes import spline_basis

Array = NDArray[np.float32]

VIEW = 0.55
"""Tangent of half of the angle of view: 58 degrees, as of a camera that pictures rooms (ours, as all sizes here)."""
ITEMS = 4
"""Most items of a room: with more each would be a few pixels of 64."""
FLOOR, LEFT_WALL, RIGHT_WALL, FIRST_ITEM = range(4)
"""Numbers of the surfaces of a room; items follow one another."""
FAR = np.float32(1e3)
"""Metres: the depth where a surface is not, farther than any wall."""


@dataclass(frozen=True)
class Rooms:
    """Where everything stands in some rooms. Metres and radians, float32.

    :param pitch: Angle by which the camera is tilted downwards, ``[rooms]``.
    :param normals: Unit normals of floor, left and right wall, out of the room, ``[rooms, 3, 3]``.
    :param distances: Distances of floor and walls from the camera, ``[rooms, 3]``.
    :param feet: Points on which the items stand, ``[rooms, items, 3]``.
    :param facings: Normals of the planes that items are bulged out of, ``[rooms, items, 3]``.
    :param sizes: Side of an item's picture, ``[rooms, items]``.
    :param bulges: Length by which an item swells at its fullest, ``[rooms, items]``.
    :param mirrored: 1 or -1: whether an item's picture is mirrored, ``[rooms, items]``.
    :param present: Whether an item is in the room, ``[rooms, items]``.
    """

    pitch: Array
    normals: Array
    distances: Array
    feet: Array
    facings: Array
    sizes: Array
    bulges: Array
    mirrored: Array
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """What the camera sees of rooms at each pixel, ``[rooms, side, side]``.

    :param surface: Number of the surface.
    :param depth: Along the optical axis, in metres.
    :param normal: ``[rooms, 3, side, side]``, x right, y up, z towards the camera; of length 1.
    :param point: Place in the world, ``[rooms, 3, side, side]``.
    :param pattern: Grey level of the item's picture there, 0 to 1; 1 of floor and walls.
    """

    surface: NDArray[np.intp]
    depth: Array
    normal: Array
    point: Array
    pattern: Array


def draw_rooms(count: int, rng: np.random.Generator) -> Rooms:
    """Furnish rooms at random: two walls at a right angle, and two to four items between them and the camera."""

    def between(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, (count, *shape)).astype(np.float32)

    # as in a furnished room: eyes at 1.1 to 1.6 m, walls at 2.2 to 3.8 m, the corner in sight, items half way to them
    turn, height = between(0.1, np.pi / 2 - 0.1), between(1.1, 1.6)
    zero, one = np.zeros_like(turn), np.ones_like(turn)
    left = [-np.sin(turn), zero, np.cos(turn)]
    right = [np.cos(turn), zero, np.sin(turn)]
    normals = np.stack([np.stack(axes, axis=1) for axes in ([zero, -one, zero], left, right)], axis=1)
    distances = np.concatenate([height[:, None], between(2.2, 3.8, 2)], axis=1)

    place = (np.arange(ITEMS, dtype=np.float32) + between(0, 1, ITEMS)) / ITEMS
    # each item in a part of the view of its own, none cut off by more than half at its edge
    ahead = np.stack([VIEW * (1.9 * place - 0.95), 0 * place, 1 + 0 * place], axis=2)
    to_walls = distances[:, None, 1:] / np.maximum(ahead @ normals[:, 1:].transpose(0, 2, 1), 1e-3)  # parallel: far
    feet = ahead * (to_walls.min(axis=2) * between(0.5, 0.9, ITEMS))[..., None]
    feet[..., 1] = -height[:, None]
    # turned by a third of a right angle and leaning by an eighth at most, so that their patterns can be read
    yaw, lean = between(-0.6, 0.6, ITEMS), between(-0.2, 0.2, ITEMS)
    facings = np.stack([np.sin(yaw) * np.cos(lean), np.sin(lean), np.cos(yaw) * np.cos(lean)], axis=2)
    sizes = between(1.0, 1.6, ITEMS)
    present = rng.random((count, ITEMS)).argsort(axis=1) < rng.integers(2, ITEMS + 1, (count, 1))
    mirrored = rng.choice(np.array([-1, 1], dtype=np.float32), (count, ITEMS))
    return Rooms(
        pitch=between(0.1, 0.3),
        normals=normals,
        distances=distances,
        feet=feet,
        facings=facings,
        sizes=sizes,
        bulges=between(0.1, 0.3, ITEMS) * sizes,
        mirrored=mirrored,
        present=present,
    )


def axes(pitch: Array) -> Array:
    """Right, down and ahead of tilted cameras, in the world, ``[rooms, 3, 3]``."""
    zero, one = np.zeros_like(pitch), np.ones_like(pitch)
    down = [zero, -np.cos(pitch), -np.sin(pitch)]
    ahead = [zero, -np.sin(pitch), np.cos(pitch)]
    return np.stack([np.stack(axis, axis=1) for axis in ([one, zero, zero], down, ahead)], axis=1)


def look(rooms: Rooms, bodies: Array, bulges: Array, patterns: Array, side: int) -> View:
    """What the camera sees: at each pixel the surface that is nearest.

    :param bodies: Outlines of the items, ``[rooms, items, rows, columns]``: the body is where they are above 1/2.
    :param bulges: Shapes of the swelling of the items, 0 to 1, in the layout of ``bodies``.
    :param patterns: Grey levels, 0 to 1, as the bodies.
    :param side: Pixels of the image's side.
    """
    u, v = rays(side)
    camera = axes(rooms.pitch)
    room = _planes(rooms.normals, rooms.distances, camera, u, v)
    items, pattern = _items(rooms, camera, bodies, bulges, patterns, u, v)
    depths, slopes_u, slopes_v = (np.concatenate(pair, axis=1) for pair in zip(room, items, strict=True))
    surface = depths.argmin(axis=1)
    z, z_u, z_v = (np.take_along_axis(maps, surface[:, None], axis=1)[:, 0] for maps in (depths, slopes_u, slopes_v))
    normal = np.stack([z_u, -z_v, z + u * z_u + v * z_v], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    seen = np.stack([z * u, z * v, z], axis=1)
    point = np.einsum("nahw,nai->nihw", seen, camera)
    patterned = np.concatenate([np.ones_like(room[0]), pattern], axis=1)
    return View(surface, z, normal, point, np.take_along_axis(patterned, surface[:, None], axis=1)[:, 0])


def rays(side: int) -> tuple[Array, Array]:
    """Where the pixels look, u ``[1, side]`` and v ``[side, 1]``: through their middles."""
    middles = (VIEW * ((2 * np.arange(side) + 1) / side - 1)).astype(np.float32)
    return middles[None, :], middles[:, None]


def _planes(normals: Array, distances: Array, camera: Array, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Depth and slopes of planes, ``[rooms, planes, side, side]``: on ``n p = d`` 1 / depth is linear in u and v."""
    factors = np.einsum("nki,nai->ank", normals, camera) / distances
    of_u, of_v, constant = factors[..., None, None]
    nearness = of_u * u + of_v * v + constant
    depth = np.where(nearness > 1 / FAR, 1 / np.maximum(nearness, 1 / FAR), FAR)
    return depth, -of_u * depth**2, -of_v * depth**2


def _items(
    rooms: Rooms, camera: Array, bodies: Array, bulges: Array, patterns: Array, u: Array, v: Array
) -> tuple[tuple[Array, Array, Array], Array]:
    """Depth and slopes of items, far away where an item is not, and their patterns, ``[rooms, items, side, side]``.

    A picture stands upright in the image, its lowest row at the item's foot, as large as it is at the foot's depth.
    """
    foot_u, foot_v, foot_z = np.einsum("nki,nai->ank", rooms.feet, camera)
    pixel = rooms.sizes / bodies.shape[-1] / foot_z
    across, down = 1 / (pixel * rooms.mirrored), 1 / pixel
    lowest = _lowest_rows(bodies)
    columns = (u - (foot_u / foot_z)[..., None]) * across[..., None] + (bodies.shape[-1] - 1) / 2
    rows = (v[:, 0] - (foot_v / foot_z)[..., None]) * down[..., None] + lowest[..., None]
    in_columns, columns_slope = spline_basis(columns, bodies.shape[-1])
    in_rows, rows_slope = spline_basis(rows, bodies.shape[-2])

    def read(coefficients: Array, by_rows: Array, by_columns: Array) -> Array:
        return np.matmul(np.matmul(by_rows, coefficients), by_columns.swapaxes(-1, -2))

    swell = rooms.bulges[..., None, None]
    plane, plane_u, plane_v = _planes(rooms.facings, np.einsum("nki,nki->nk", rooms.facings, rooms.feet), camera, u, v)
    depth = plane - swell * read(bulges, in_rows, in_columns)
    slope_u = plane_u - swell * across[..., None, None] * read(bulges, in_rows, columns_slope)
    slope_v = plane_v - swell * down[..., None, None] * read(bulges, rows_slope, in_columns)
    there = (read(bodies, in_rows, in_columns) > 0.5) & rooms.present[..., None, None]
    return (np.where(there, depth, FAR), slope_u, slope_v), read(patterns, in_rows, in_columns)


def _lowest_rows(bodies: Array) -> Array:
    """The last row that an outline reaches, ``[rooms, items]``."""
    empty_below = (bodies.max(axis=-1)[..., ::-1] > 0.5).argmax(axis=-1)
    return (bodies.shape[-2] - 1 - empty_below).astype(np.float32)
