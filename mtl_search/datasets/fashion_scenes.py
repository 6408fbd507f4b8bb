"""Rooms with garments in them, rendered with exact labels: a dense benchmark that needs no download."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtl_search.datasets import Dataset, DatasetSource, Split, make_dataset
from mtl_search.datasets._idx import fashion_mnist
from mtl_search.datasets._pairs import Labelled, disjoint
from mtl_search.datasets._photographs import PHOTOGRAPHS, textures
from mtl_search.datasets._rooms import FIRST_ITEM, ITEMS, Rooms, View, draw_rooms, look
from mtl_search.datasets._silhouettes import bulge, filled
from mtl_search.tasks import Depth, Edges, Normals, Segmentation

Array = NDArray[np.float32]

WALL, FLOOR = 0, 1
GROUPS = {"top": (0, 2, 4, 6), "trousers": (1,), "dress": (3,), "shoe": (5, 7, 9), "bag": (8,)}
"""Classes of items and the classes of Fashion-MNIST that they are made of, in the order of the labels from 2 on."""
CLASSES = ("wall", "floor", *GROUPS)
CLASS_OF_GARMENT = np.array([2 + next(n for n, of in enumerate(GROUPS.values()) if g in of) for g in range(10)])
MOST = 100_000
"""Scenes of a split, which are rendered and held in memory: 30 of them in a second on one core."""
EDGE_WEIGHT = 0.85
"""Of an edge in the loss, against 1 less this elsewhere: of these small images more pixels are edges than of
photographs, for which the task has 0.95."""
AT_ONCE = 64
"""Scenes that are rendered at a time: at 64 x 64 pixels the arrays of a part take some tens of MB."""


@dataclass(frozen=True)
class FashionScenes(DatasetSource):
    """Two to four garments, as large as furniture, stand in the corner of a room; RGB, four dense tasks.

    Outlines and patterns are Fashion-MNIST's, the textures of floor, walls and garments photographs that scikit-image
    carries (``pip install -c constraints.txt -e '.[datasets]'``). Every garment is a plane of its own, turned and
    leaning, from which it bulges; nearer ones hide farther ones. Walls stand at a right angle, turned by lot. A light
    from a side that is drawn for each scene shades everything.

    Labels are computed from the geometry, not from the image, and no pixel lacks one:

    - ``segmentation``: wall, floor, top, trousers, dress, shoe, bag.
    - ``depth``: metres along the optical axis.
    - ``normals``: x right, y up, z towards the camera.
    - ``edges``: pixels with a pixel of another surface beside, above or below them. Surfaces are the floor, either wall
      and each garment.

    Splits have neither a garment nor a photograph in common: garments are divided as in ``multi_fashion``. The scenes
    of a split do not depend on how many the others have.

    :param root: Folder with Fashion-MNIST's four IDX files; without it they are looked for where Debian's package puts
        them, then downloaded.
    :param side: Pixels of an image's side; 64 show what a garment is, and train in minutes on a processor.
    :param train: Number of training scenes; 3,500 of all splits are rendered in two minutes.
    :param val: Number of validation scenes.
    :param test: Number of test scenes.
    :param seed: Seed of the division of the garments and of the scenes.
    """

    name = "fashion_scenes"
    root: str | None = None
    side: Annotated[int, Field(ge=16, le=512)] = 64
    train: Annotated[int, Field(ge=1, le=MOST)] = 2_000
    val: Annotated[int, Field(ge=1, le=MOST)] = 500
    test: Annotated[int, Field(ge=1, le=MOST)] = 1_000
    seed: Annotated[int, Field(ge=0)] = 0

    def load(self) -> Dataset:
        photographs = {split: textures(self.name, names, 2 * self.side) for split, names in PHOTOGRAPHS.items()}
        training, test = fashion_mnist(self.root)
        for_val = len(training[0]) // 6  # 10,000 of 60,000
        parts = disjoint(training, {"train": len(training[0]) - for_val, "val": for_val}, self.seed)
        garments = {**parts, "test": test}
        sizes = {"train": self.train, "val": self.val, "test": self.test}
        splits = {
            split: _scenes(garments[split], photographs[split], size, self.side, np.random.default_rng([self.seed, n]))
            for n, (split, size) in enumerate(sizes.items())
        }
        tasks = (
            Segmentation("segmentation", len(CLASSES), names=CLASSES),
            Depth("depth"),
            Normals("normals"),
            Edges("edges", positive_weight=EDGE_WEIGHT),
        )
        return make_dataset(self.name, tasks, splits)


def _scenes(garments: Labelled, photographs: Array, count: int, side: int, rng: np.random.Generator) -> Split:
    chosen = _garments(garments[1], count * ITEMS, rng)
    pieces = (chosen[start : start + AT_ONCE * ITEMS] for start in range(0, len(chosen), AT_ONCE * ITEMS))
    parts = [_part((garments[0][piece], garments[1][piece]), photographs, side, rng) for piece in pieces]
    inputs = np.concatenate([images for images, _ in parts])
    return Split(inputs, {name: np.concatenate([targets[name] for _, targets in parts]) for name in parts[0][1]})


def _part(
    garments: Labelled, photographs: Array, side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """Images and targets of the scenes that some garments are enough for, in their order."""
    pictures, count = garments[0], len(garments[0]) // ITEMS
    bodies = filled(pictures)
    rooms = draw_rooms(count, rng)
    of_rooms = (count, ITEMS, *pictures.shape[1:])
    outlines, bulges = bodies.astype(np.float32).reshape(of_rooms), bulge(bodies).reshape(of_rooms)
    view = look(rooms, outlines, bulges, (pictures / np.float32(255)).reshape(of_rooms), side)
    images = _images(view, rooms, photographs, rng)
    room_classes = np.tile([FLOOR, WALL, WALL], (count, 1))
    classes = np.concatenate([room_classes, CLASS_OF_GARMENT[garments[1]].reshape(count, ITEMS)], axis=1)
    targets: dict[str, NDArray[Any]] = {
        "segmentation": _of_surface(classes, view).astype(np.uint8),
        "depth": view.depth,
        "normals": view.normal,
        "edges": edges_of(view.surface),
    }
    return images, targets


def _garments(classes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Numbers of garments drawn at random, those of every group of classes with the same chance."""
    groups, group_of = np.unique(CLASS_OF_GARMENT[classes], return_inverse=True)
    in_order, sizes = group_of.argsort(kind="stable"), np.bincount(group_of)
    drawn = rng.integers(len(groups), size=count)
    return in_order[(sizes.cumsum() - sizes)[drawn] + rng.integers(sizes[drawn])]


def _of_surface(values: NDArray[Any], view: View) -> NDArray[Any]:
    """What surfaces have, ``[rooms, surfaces]``, at every pixel, ``[rooms, side, side]``."""
    return np.take_along_axis(values, view.surface.reshape(len(values), -1), axis=1).reshape(view.surface.shape)


def edges_of(surface: NDArray[np.intp]) -> NDArray[np.uint8]:
    """1 where a pixel beside, above or below is of another surface, ``[rooms, side, side]``."""
    edges = np.zeros(surface.shape, dtype=np.uint8)
    across, down = surface[:, :, 1:] != surface[:, :, :-1], surface[:, 1:] != surface[:, :-1]
    edges[:, :, 1:] |= across
    edges[:, :, :-1] |= across
    edges[:, 1:] |= down
    edges[:, :-1] |= down
    return edges


def _images(view: View, rooms: Rooms, photographs: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colours, ``[rooms, 3, side, side]``: of the surface's texture and tint, in the room's light, with some noise.

    The numbers are ours, chosen by eye: textures span 1.5 to 4 m, show to 30 % at least, tints keep 40 % of each
    colour, the pattern of an item takes 60 % of its light at most, and the noise is that of a good camera, 2 % of
    white.
    """
    count, surfaces = len(view.surface), FIRST_ITEM + ITEMS
    photograph = rng.integers(len(photographs), size=(count, surfaces))
    photograph[:, 2] = photograph[:, 1]
    span = rng.uniform(1.5, 4, (count, surfaces)).astype(np.float32)
    weight = rng.uniform(0.3, 1, (count, surfaces)).astype(np.float32)
    tint = rng.uniform(0.4, 1, (count, surfaces, 3)).astype(np.float32)
    span[:, 2], weight[:, 2], tint[:, 2] = span[:, 1], weight[:, 1], tint[:, 1]

    texture = photographs[
        (_of_surface(photograph, view), *_places(view, _of_surface(span, view), photographs.shape[1]))
    ]
    share = _of_surface(weight, view)[..., None]
    colour = np.stack([_of_surface(tint[..., channel], view) for channel in range(3)], axis=-1)
    colour = colour * (1 - share + share * texture) * (0.4 + 0.6 * np.clip(view.pattern, 0, 1))[..., None]
    colour *= _shading(view, rooms, rng)[..., None]
    colour += rng.normal(0, 0.02, colour.shape).astype(np.float32)
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8).transpose(0, 3, 1, 2)


def _places(view: View, span: Array, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the texture at every pixel; a photograph spans some metres, then comes its mirror image.

    The floor is read from above, walls along themselves, items from the front.
    """
    x, y, z = view.point.transpose(1, 0, 2, 3) / span
    floor, item = view.surface == 0, view.surface >= FIRST_ITEM
    along = np.where(item | floor, x, np.where(view.surface == 1, x, -x))
    return _mirrored(np.where(floor, z, y), size), _mirrored(np.where(floor | item, x, along + z), size)


def _mirrored(place: Array, size: int) -> NDArray[np.intp]:
    fraction = np.abs((place + 1) % 2 - 1)
    return np.minimum((fraction * size).astype(np.intp), size - 1)


def _shading(view: View, rooms: Rooms, rng: np.random.Generator) -> Array:
    """Light that falls on every pixel: from all around, from a lamp, and less of both on the floor near a foot.

    By eye, too: the lamp hangs before and above the corner, so that no surface is lit by what is around alone (0.5); at
    a foot 60 % of the light is gone, a quarter of a metre away a third of it.
    """
    count = len(view.surface)
    lamp = rng.uniform((-0.8, 0.2, 0.3), (0.8, 1, 1), (count, 3)).astype(np.float32)
    lamp /= np.linalg.norm(lamp, axis=1, keepdims=True)
    light = 0.5 + 0.9 * np.maximum(np.einsum("nahw,na->nhw", view.normal, lamp), 0)
    for item in range(ITEMS):
        apart = view.point[:, [0, 2]] - rooms.feet[:, item, [0, 2], None, None]
        shadow = 0.6 * np.exp(-(apart**2).sum(axis=1) / (2 * 0.25**2))
        light *= 1 - np.where((view.surface == 0) & rooms.present[:, item, None, None], shadow, 0)
    return light
