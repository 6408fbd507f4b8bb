import dataclasses
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from numpy.typing import NDArray

from made_garments import made_garments, write_garments
from mtl_search.datasets import Dataset, _packages, dataset_source, load_dataset
from mtl_search.datasets._photographs import PHOTOGRAPHS, textures
from mtl_search.datasets._rooms import FAR, FIRST_ITEM, ITEMS, VIEW, Rooms, View, draw_rooms, look, rays
from mtl_search.datasets._silhouettes import bulge, filled, spline_basis
from mtl_search.datasets.fashion_scenes import CLASS_OF_GARMENT, edges_of
from mtl_search.errors import DatasetError
from mtl_search.evaluation import evaluate
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.settings import Training

SIZES = {"train": 40, "val": 12, "test": 12}
Maps = NDArray[np.floating]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_garments(tmp_path_factory.mktemp("garments") / "files", test_classes=(8,)))


@pytest.fixture(scope="module")
def dataset(root: str) -> Dataset:
    return small(root)


def small(root: str, **options: int) -> Dataset:
    return load_dataset("fashion_scenes", root=root, **{**SIZES, **options})


def seen(side: int, count: int = 6, **changed: NDArray[np.bool_]) -> tuple[Rooms, View]:
    """Some furnished rooms, always the same ones, and what the camera sees of them."""
    rooms = dataclasses.replace(draw_rooms(count, np.random.default_rng(1)), **changed)
    pictures = made_garments(count * ITEMS, np.random.default_rng(2))
    bodies = filled(pictures)
    parts = (bodies.astype(np.float32), bulge(bodies), pictures / np.float32(255))
    return rooms, look(rooms, *(part.reshape(count, ITEMS, 28, 28) for part in parts), side)


def normals_of_depth(depth: Maps) -> Maps:
    """By definition: the cross product of the differences between the points beside each pixel, ``[..., 3, h, w]``."""
    u, v = rays(depth.shape[-1])
    x, y, z = u * depth, -v * depth, -depth
    points = np.stack([x, y, z]).astype(np.float64)
    across, down = np.zeros_like(points), np.zeros_like(points)
    across[..., 1:-1] = points[..., 2:] - points[..., :-2]
    down[..., 1:-1, :] = points[..., :-2, :] - points[..., 2:, :]
    normals = np.cross(across, down, axis=0)
    return normals / np.maximum(np.linalg.norm(normals, axis=0), 1e-12)


def angles(view: View) -> Maps:
    """Degrees between the normals and those that the depth has."""
    cosines = (np.moveaxis(view.normal, 1, 0) * normals_of_depth(view.depth)).sum(axis=0)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def interior(surface: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Pixels of which the ones beside, above and below are of the same surface."""
    inside = edges_of(surface) == 0
    inside[:, [0, -1]], inside[:, :, [0, -1]] = False, False
    return inside


# --- What is made ------------------------------------------------------------------------------------------------


def test_shapes_and_types(dataset: Dataset) -> None:
    assert (dataset.name, dataset.input_shape) == ("fashion_scenes", (3, 64, 64))
    assert [(task.name, task.kind, task.outputs) for task in dataset.tasks] == [
        ("segmentation", "segmentation", 7),
        ("depth", "depth", 1),
        ("normals", "normals", 3),
        ("edges", "edges", 1),
    ]
    for name, split in dataset.splits.items():
        count = SIZES[name]
        assert (split.inputs.shape, split.inputs.dtype) == ((count, 3, 64, 64), np.uint8)
        found = {task: (targets.shape, targets.dtype) for task, targets in split.targets.items()}
        assert found == {
            "segmentation": ((count, 64, 64), np.uint8),
            "depth": ((count, 64, 64), np.float32),
            "normals": ((count, 3, 64, 64), np.float32),
            "edges": ((count, 64, 64), np.uint8),
        }


def test_no_label_is_missing(dataset: Dataset) -> None:
    for split in dataset.splits.values():
        for task in dataset.tasks:
            assert task.known(split.targets[task.name]).all()


def test_items_are_large_and_of_all_classes(dataset: Dataset) -> None:
    classes = dataset.splits["train"].targets["segmentation"]
    of_items = (classes >= 2).mean(axis=(1, 2))
    assert of_items.mean() > 0.15
    assert of_items.min() > 0.01
    assert set(np.unique(classes)) == set(range(7))


def test_depths_are_those_of_a_room(dataset: Dataset) -> None:
    depth = dataset.splits["train"].targets["depth"]
    assert depth.min() > 0.3
    assert depth.max() < 6


def test_normals_face_the_camera_and_have_length_one(dataset: Dataset) -> None:
    normals = dataset.splits["train"].targets["normals"]
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-5)
    u, v = rays(64)
    assert (normals[:, 2] - u * normals[:, 0] + v * normals[:, 1]).min() > 0


def test_images_show_what_the_labels_say(dataset: Dataset) -> None:
    """Images are of the scene: neighbouring pixels are alike within a surface, more than across an edge."""
    split = dataset.splits["train"]
    grey = split.inputs.mean(axis=1)
    step = np.abs(np.diff(grey, axis=2))
    across = np.diff(split.targets["segmentation"].astype(int), axis=2) != 0
    assert step[across].mean() > 1.5 * step[~across].mean()


def test_test_scenes_have_test_garments_only(dataset: Dataset) -> None:
    """The files' test garments are bags."""
    assert set(np.unique(dataset.splits["test"].targets["segmentation"])) == {0, 1, CLASS_OF_GARMENT[8]}


def test_photographs_of_the_splits_are_disjoint() -> None:
    names = [name for of_split in PHOTOGRAPHS.values() for name in of_split]
    assert len(set(names)) == len(names)
    for of_split in PHOTOGRAPHS.values():
        assert len(of_split) >= 4
        read = textures("fashion_scenes", of_split, 32)
        assert read.shape == (len(of_split), 32, 32, 3)
        assert (read.std(axis=(1, 2, 3)) > 0.05).all()


def test_same_options_make_the_same_data(dataset: Dataset, root: str) -> None:
    again, other = small(root), small(root, seed=1)
    for name, split in dataset.splits.items():
        assert (split.inputs == again.splits[name].inputs).all()
        assert (split.inputs != other.splits[name].inputs).any()
        for task, targets in split.targets.items():
            assert (targets == again.splits[name].targets[task]).all()


def test_a_split_does_not_depend_on_the_size_of_another(dataset: Dataset, root: str) -> None:
    fewer = small(root, train=30)
    for name in ("val", "test"):
        assert (fewer.splits[name].inputs == dataset.splits[name].inputs).all()


def test_scenes_are_made_in_any_number_and_size(root: str) -> None:
    dataset = small(root, side=20, train=131)
    assert dataset.splits["train"].inputs.shape == (131, 3, 20, 20)
    assert len({image.tobytes() for image in dataset.splits["train"].inputs}) == 131


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"side": 8}, ["`dataset.side`", "greater than or equal to 16", "but got 8"]),
        ({"sides": 64}, ["`dataset.sides` is no option of `fashion_scenes`", "Did you mean `side`?"]),
        ({"val": 0}, ["`dataset.val`", "greater than or equal to 1"]),
    ],
)
def test_wrong_options_are_refused(options: Mapping[str, object], fragments: list[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        dataset_source("fashion_scenes", options)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_missing_scikit_image_is_named_with_its_command(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_packages, "distribution", none)
    with pytest.raises(DatasetError, match=r"fashion_scenes.*scikit-image.*pip install -c constraints\.txt scikit-im"):
        small(root)


@pytest.mark.slow
def test_every_task_is_learned_from_the_images(root: str) -> None:
    """Better than the best constant prediction, within seconds."""
    dataset = small(root, side=16, train=400, val=60)
    backbone = Backbone((Stage(16), Stage(32, stride=2)), stem=16)
    architecture = Architecture(backbone, (LayerChoice("conv", 1.0),) * 2)
    training = Training(epochs=4, batch_size=16, learning_rate=0.02)
    scores = evaluate(architecture, dataset.without("test"), training).scores
    segmentation, depth, normals, _ = dataset.tasks
    assert scores["segmentation/pixel_accuracy"] > 1.2 * constant_accuracy(dataset, segmentation.name)
    assert scores["depth/abs_error"] < 0.85 * depth.constant_error
    assert scores["normals/mean_angle"] < 0.85 * normals.constant_error
    share = dataset.splits["val"].targets["edges"].mean()
    assert scores["edges/ods_f_score"] > 1.2 * 2 * share / (1 + share)  # that of yes everywhere


def constant_accuracy(dataset: Dataset, task: str) -> float:
    """Of the most frequent class, everywhere."""
    targets = dataset.splits["val"].targets[task]
    return float(np.bincount(targets.ravel()).max() / targets.size)


# --- Labels, each against its definition -------------------------------------------------------------------------


def test_normals_of_floor_and_walls_are_those_of_their_depth() -> None:
    _, view = seen(64)
    flat = interior(view.surface) & (view.surface < FIRST_ITEM)
    assert flat.sum() > 10_000
    assert angles(view)[flat].max() < 0.1


def test_normals_of_items_are_those_of_their_depth() -> None:
    """Differences between pixels approach the slope as the pixels become smaller, with the square of their size."""
    errors = []
    for side in (64, 128, 256):
        _, view = seen(side)
        items = interior(view.surface) & (view.surface >= FIRST_ITEM)
        assert items.sum() > side**2 / 2
        errors.append(angles(view)[items].mean())
    assert errors[0] < 2
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_items_are_bulged() -> None:
    rooms, view = seen(64)
    for item in range(ITEMS):
        there = (view.surface == FIRST_ITEM + item) & rooms.present[:, item, None, None]
        for normal, inside in zip(np.moveaxis(view.normal, 1, -1), there, strict=True):
            if inside.sum() > 100:
                assert np.linalg.norm(normal[inside].mean(axis=0)) < 0.995


def test_nearest_surface_is_seen() -> None:
    """The scene is, pixel by pixel, the nearest of those with one item each."""
    count = 6
    rooms, whole = seen(48, count)
    alone = []
    for item in range(ITEMS):
        only = rooms.present & (np.arange(ITEMS) == item)
        alone.append(seen(48, count, present=only)[1])
    depths = np.stack([view.depth for view in alone])
    nearest = depths.argmin(axis=0)[None]
    assert (whole.depth == depths.min(axis=0)).all()
    surfaces = np.take_along_axis(np.stack([view.surface for view in alone]), nearest, axis=0)[0]
    assert (whole.surface == surfaces).all()
    assert len(np.unique(whole.surface)) == FIRST_ITEM + ITEMS
    hidden = [(view.surface >= FIRST_ITEM) & (whole.surface != view.surface) for view in alone]
    assert np.any(hidden)
    assert whole.depth.max() < FAR


def test_points_lie_on_floor_and_walls() -> None:
    rooms, view = seen(48)
    for number in range(FIRST_ITEM):
        distance = np.einsum("nahw,na->nhw", view.point, rooms.normals[:, number])
        there = view.surface == number
        assert there.any()
        off = distance - rooms.distances[:, number, None, None]
        assert off[there] == pytest.approx(0, abs=1e-4)
        assert off.max() < 1e-3  # nothing is behind


def test_points_are_where_the_camera_looks() -> None:
    """Turned back by the pitch, a point over its depth is the pixel's ray."""
    rooms, view = seen(48)
    u, v = rays(48)
    assert u[0, [0, -1]] == pytest.approx([-VIEW * 47 / 48, VIEW * 47 / 48])
    x, y, z = np.moveaxis(view.point, 1, 0)
    pitch = rooms.pitch[:, None, None]
    ahead, down = np.cos(pitch) * z - np.sin(pitch) * y, -np.cos(pitch) * y - np.sin(pitch) * z
    assert ahead == pytest.approx(view.depth, rel=1e-5)
    assert x / ahead == pytest.approx(np.broadcast_to(u, x.shape), abs=1e-5)
    assert down / ahead == pytest.approx(np.broadcast_to(v, x.shape), abs=1e-5)


def test_edges_are_the_borders_of_surfaces() -> None:
    _, view = seen(24)
    edges = edges_of(view.surface)
    for room, surface in enumerate(view.surface):
        for row, column in np.ndindex(surface.shape):
            beside = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            inside = [place for place in beside if min(place) >= 0 and max(place) < len(surface)]
            assert edges[room, row, column] == any(surface[place] != surface[row, column] for place in inside)


def test_classes_change_at_edges_only(dataset: Dataset) -> None:
    targets = dataset.splits["val"].targets
    borders = edges_of(targets["segmentation"].astype(np.intp))
    assert borders.any()
    assert (targets["edges"] >= borders).all()


# --- Silhouettes -------------------------------------------------------------------------------------------------


def test_holes_are_filled_and_bays_are_not() -> None:
    ring, bay = np.zeros((2, 9, 9), np.uint8)
    ring[2:7, 2:7], ring[3:6, 3:6] = 200, 0
    bay[2:7, 2:7], bay[3:7, 3:6] = 200, 0
    closed, opened = filled(np.stack([ring, bay]))
    assert closed.sum() == 25
    assert (opened == (bay > 0)).all()


def test_bodies_are_fullest_inside() -> None:
    bodies = filled(made_garments(5, np.random.default_rng(0)))
    height = bulge(bodies)
    assert (height[~bodies] == 0).all()
    assert (height[bodies] > 0).all()
    assert height.max(axis=(1, 2)) == pytest.approx(1)
    assert (height[:, 12:16, 12:16].min(axis=(1, 2)) > 0.9).all()


def test_splines_add_up_to_one_and_have_their_slopes() -> None:
    places = np.linspace(1, 8, 57)
    value, slope = spline_basis(places, 10)
    assert value.sum(axis=1) == pytest.approx(1)
    above, below = spline_basis(places + 1e-5, 10)[0], spline_basis(places - 1e-5, 10)[0]
    assert slope == pytest.approx((above - below) / 2e-5, abs=1e-4)
    assert value @ np.arange(10) == pytest.approx(places)
