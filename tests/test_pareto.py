import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mtl_search.errors import FieldError
from mtl_search.metrics.pareto import Direction, direction_of, front_mask, hypervolume, knee

Points = NDArray[np.float64]

DIRECTIONS: list[tuple[Direction, ...]] = [
    ("maximize", "minimize"),
    ("minimize", "minimize"),
    ("maximize", "maximize", "minimize"),
    ("minimize", "maximize", "minimize"),
]


def drawn(seed: int, directions: Sequence[Direction], size: int = 30) -> Points:
    """Random points on a coarse grid, so that values and whole points repeat."""
    return np.random.default_rng(seed).integers(1, 9, size=(size, len(directions))).astype(float)


def losses(points: Points, directions: Sequence[Direction]) -> Points:
    return points * [1 if direction == "minimize" else -1 for direction in directions]


def front_by_definition(points: Points, directions: Sequence[Direction]) -> list[bool]:
    values = losses(points, directions)
    return [not any((other <= one).all() and (other < one).any() for other in values) for one in values]


def volume_by_inclusion_exclusion(points: Points, reference: Points, directions: Sequence[Direction]) -> float:
    values, worst = losses(points, directions), losses(reference, directions)
    total = 0.0
    for count in range(1, len(values) + 1):
        for subset in itertools.combinations(values, count):
            sides = np.maximum(worst - np.max(subset, axis=0), 0)
            total -= (-1) ** count * float(np.prod(sides))
    return total


def knee_by_definition(points: Points) -> int:
    """Of (quality to maximise, cost to minimise): the front's point with the smallest scaled sum of losses."""
    front = [index for index, on in enumerate(front_by_definition(points, ("maximize", "minimize"))) if on]
    columns = [[-points[index, 0] for index in front], [points[index, 1] for index in front]]
    sums = [0.0] * len(front)
    for column in columns:
        low, high = min(column), max(column)
        scaled = [(value - low) / (high - low) if high > low else 0.0 for value in column]
        sums = [total + value for total, value in zip(sums, scaled, strict=True)]
    return front[sums.index(min(sums))]


@pytest.mark.parametrize("directions", DIRECTIONS, ids=" ".join)
def test_front_is_what_the_definition_says(directions: tuple[Direction, ...]) -> None:
    for seed in range(40):
        points = drawn(seed, directions)
        expected = front_by_definition(points, directions)
        assert any(expected)
        assert not all(expected)
        assert front_mask(points, directions).tolist() == expected


@pytest.mark.parametrize("directions", DIRECTIONS, ids=" ".join)
def test_hypervolume_is_the_volume_of_the_union(directions: tuple[Direction, ...]) -> None:
    reference = np.array([10.0 if direction == "minimize" else 0.0 for direction in directions])
    for seed in range(12):
        points = drawn(seed, directions, size=7)
        expected = volume_by_inclusion_exclusion(points, reference, directions)
        assert expected > 0
        assert hypervolume(points, reference, directions) == pytest.approx(expected)


def test_hypervolume_leaves_out_what_is_worse_than_the_reference() -> None:
    directions: tuple[Direction, ...] = ("maximize", "minimize")
    for seed in range(12):
        points, reference = drawn(seed, directions, size=7), np.array([4.0, 6.0])
        expected = volume_by_inclusion_exclusion(points, reference, directions)
        assert hypervolume(points, reference, directions) == pytest.approx(expected)
    assert hypervolume([[1.0, 9.0]], [4.0, 6.0], directions) == 0


@pytest.mark.parametrize(
    ("points", "reference", "directions", "volume"),
    [
        ([[0.9, 100.0]], [0.5, 200.0], ("maximize", "minimize"), 40.0),
        ([[0.9, 100.0], [0.7, 50.0]], [0.5, 200.0], ("maximize", "minimize"), 50.0),
        ([[1, 1, 1], [2, 2, 2]], [3, 3, 3], ("minimize", "minimize", "minimize"), 8.0),
        ([[1.0], [2.0]], [0.0], ("maximize",), 2.0),
    ],
)
def test_hypervolume_is_pinned(
    points: list[list[float]], reference: list[float], directions: tuple[Direction, ...], volume: float
) -> None:
    assert hypervolume(points, reference, directions) == pytest.approx(volume)


def test_equal_points_are_all_on_the_front() -> None:
    points = [[1.0, 2.0], [1.0, 2.0], [0.0, 3.0], [2.0, 1.0], [2.0, 1.0]]
    assert front_mask(points, ["minimize", "minimize"]).tolist() == [True, True, True, True, True]
    assert front_mask(points, ["maximize", "minimize"]).tolist() == [False, False, False, True, True]
    assert hypervolume(points[:2], [3.0, 3.0], ["minimize", "minimize"]) == hypervolume(
        points[:1], [3.0, 3.0], ["minimize", "minimize"]
    )


def test_no_points() -> None:
    assert front_mask([], ["maximize", "minimize"]).tolist() == []
    assert hypervolume([], [0.0, 1.0], ["maximize", "minimize"]) == 0
    with pytest.raises(FieldError, match=r"`points` must hold at least one point, but got \[\]"):
        knee([], ["maximize", "minimize"])


def test_knee_is_what_the_definition_says() -> None:
    found = set()
    for seed in range(60):
        points = np.random.default_rng(seed).random((15, 2)) * [1, 1000] + [0, 1]
        assert knee(points, ["maximize", "minimize"]) == knee_by_definition(points)
        found.add(knee(points, ["maximize", "minimize"]))
    assert len(found) > 5


def test_knee_of_a_bent_front_is_the_bend() -> None:
    points = [[0.5, 1e3], [0.9, 1e4], [0.91, 1e5], [0.1, 1e5]]
    assert knee(points, ["maximize", "minimize"]) == 1
    assert knee([[0.5, 10.0]], ["maximize", "minimize"]) == 0


def test_inputs_are_left_as_they_are() -> None:
    points = drawn(0, ("maximize", "minimize"))
    before = points.copy()
    knee(points, ["maximize", "minimize"])
    hypervolume(points, [0.0, 9.0], ["maximize", "minimize"])
    front_mask(points, ["maximize", "minimize"])
    assert (points == before).all()


def volume(points: object, directions: list[Direction]) -> float:
    return hypervolume(points, [0.0, 9.0], directions)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [front_mask, knee, volume], ids=["front_mask", "knee", "hypervolume"])
@pytest.mark.parametrize(
    ("points", "directions", "message"),
    [
        ([[1, 2], [math.nan, 3]], ["maximize", "minimize"], r"`points` must be finite, but got \[nan, 3\.0\]"),
        ([[1, math.inf]], ["maximize", "minimize"], r"`points` must be finite, but got \[1\.0, inf\]"),
        ([[1, 2, 3]], ["maximize", "minimize"], r"`points` must have shape \[points, 2\], but got \(1, 3\)"),
        ([[[1, 2]]], ["maximize", "minimize"], r"`points` must have shape \[points, 2\], but got \(1, 1, 2\)"),
        ([[1, 2]], ["maximize", "min"], r"`directions` must hold `maximize` or `minimize`, but got 'min'"),
    ],
)
def test_wrong_points_are_refused(
    function: Callable[..., object], points: object, directions: list[str], message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        function(points, directions)


def test_reference_point_must_be_finite() -> None:
    with pytest.raises(FieldError, match="must be finite"):
        hypervolume([[1.0, 2.0]], [math.nan, 9.0], ["maximize", "minimize"])


@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("accuracy", "maximize"),
        ("left/accuracy", "maximize"),
        ("left/loss", "minimize"),
        ("learnable_parameters", "minimize"),
        ("fixed_parameters", "minimize"),
        ("total_parameters", "minimize"),
        ("macs", "minimize"),
    ],
)
def test_direction_of_objectives(objective: str, direction: Direction) -> None:
    assert direction_of(objective) == direction
