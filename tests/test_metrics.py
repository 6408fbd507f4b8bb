from collections.abc import Callable, Sequence

import pytest

from mtl_search.errors import FieldError
from mtl_search.metrics.relative_gain import delta_m, delta_m_bounds, delta_m_by_task, delta_m_flat

SINGLE_TASK = (43.37, 52.24, 22.40)
"""Segmentation (higher is better), depth and normals (lower is better) of the single-task networks on NYUv2."""


@pytest.mark.parametrize(
    ("scores", "percent"),
    [((44.64, 43.32, 24.48), 3.57), ((45.14, 43.06, 24.17), 4.58), ((47.17, 40.97, 23.68), 8.21)],
)
def test_published_rows(scores: Sequence[float], percent: float) -> None:
    assert delta_m(scores, SINGLE_TASK, [True, False, False]) == pytest.approx(percent, abs=0.005)


def test_the_reference_itself_gains_nothing() -> None:
    assert delta_m(SINGLE_TASK, SINGLE_TASK, [True, False, False]) == 0


def test_better_is_positive_in_both_directions() -> None:
    assert delta_m([0.9], [0.6], [True]) == pytest.approx(50)
    assert delta_m([0.3], [0.6], [False]) == pytest.approx(50)
    assert delta_m([0.9, 0.3], [0.6, 0.6], [True, True]) == pytest.approx(0)


@pytest.mark.parametrize(
    ("names", "reference", "ends"),
    [
        (["left/accuracy", "right/accuracy"], [0.8, 0.5], (-100, (25 + 100) / 2)),
        (["left/rmse", "right/mae"], [0.8, 0.5], (None, 100)),
        (["left/accuracy", "right/rmse"], [0.8, 0.5], (None, (25 + 100) / 2)),
        (["left/accuracy", "right/loss"], [0.8, 0.5], (None, None)),
    ],
)
def test_gains_end_at_perfect_scores(
    names: list[str], reference: list[float], ends: tuple[float | None, float | None]
) -> None:
    assert delta_m_bounds(names, reference) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("scores", "reference", "higher", "message"),
    [
        ([1.0], [1.0, 2.0], [True, True], r"`scores` must have a reference .* but got \(1, 2, 2\)"),
        ([1.0, 2.0], [1.0, 2.0], [True], r"`scores` must have a reference .* but got \(2, 2, 1\)"),
        ([], [], [], r"`scores` .* but got \(0, 0, 0\)"),
        ([float("nan")], [1.0], [True], r"`scores` must be finite, but got \[nan\]"),
        ([1.0], [float("inf")], [True], r"`reference` must be finite, but got \[inf\]"),
        ([1.0, 1.0], [1.0, 0.0], [True, False], r"`reference` must not hold 0.*\[1\.0, 0\.0\]"),
    ],
)
def test_wrong_scores_are_refused(
    scores: list[float], reference: list[float], higher: list[bool], message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        delta_m(scores, reference, higher)


def test_the_named_variants_differ_where_tasks_have_several_metrics() -> None:
    """One task gains 10 % in its only metric, the other 30 % and loses 10 % in its two."""
    scores, reference, higher = [[1.1], [1.3, 1.1]], [[1.0], [1.0, 1.0]], [[True], [True, False]]
    assert delta_m_by_task(scores, reference, higher) == pytest.approx((10 + (30 - 10) / 2) / 2)
    assert delta_m_flat(scores, reference, higher) == pytest.approx((10 + 30 - 10) / 3)
    assert delta_m_by_task([[1.1], [1.3]], [[1.0], [1.0]], [[True], [True]]) == pytest.approx(20)


@pytest.mark.parametrize("variant", [delta_m_by_task, delta_m_flat])
def test_the_named_variants_want_a_reference_for_every_metric(variant: Callable[..., float]) -> None:
    with pytest.raises(FieldError, match="every metric of every task"):
        variant([[1.0, 2.0]], [[1.0]], [[True, True]])
    with pytest.raises(FieldError, match="every metric of every task"):
        variant([], [], [])
