from collections.abc import Sequence

import pytest

from mtl_search.errors import FieldError
from mtl_search.metrics import delta_m

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
