from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from mtl_search.errors import FieldError
from mtl_search.metrics.holm import holm
from mtl_search.metrics.intervals import (
    chance_share,
    deviations_to_each_side,
    explained_share,
    interval,
    paired_difference,
)

FIRST = [0.871, 0.864, 0.869, 0.858]
SECOND = [0.862, 0.861, 0.871, 0.85]


@pytest.mark.parametrize("count", [3, 4])
def test_interval_is_that_of_a_t_test(count: int) -> None:
    values = FIRST[:count]
    found = interval(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.mean == pytest.approx(sum(values) / count)
    assert found.count == count


@pytest.mark.parametrize("count", [3, 4])
def test_paired_difference_is_that_of_a_paired_t_test(count: int) -> None:
    found = paired_difference(FIRST[:count], SECOND[:count])
    test = stats.ttest_rel(FIRST[:count], SECOND[:count])
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize(("values", "spread"), [([0.5], None), ([0.4, 0.6], 0.02**0.5)])
def test_fewer_than_three_values_have_no_interval(values: list[float], spread: float | None) -> None:
    found = interval(values)
    assert (found.low, found.high, found.count, found.p_value) == (None, None, len(values), None)
    assert (found.mean, found.spread) == pytest.approx((0.5, spread))
    assert not found.excludes_zero
    assert found.count_to_decide is None


@pytest.mark.parametrize(
    ("values", "bounds", "ends"),
    [
        ([0.9, 0.99, 0.96], (0.0, 1.0), (0.836, 1.0)),
        ([0.1, 0.01, 0.04], (0.0, 1.0), (0.0, 0.164)),
        ([0.1, 0.01, 0.04], (None, 1.0), (-0.064, 0.164)),
        ([1.0, 1.0, 1.0], (0.0, 1.0), (1.0, 1.0)),
    ],
)
def test_no_interval_reaches_beyond_what_is_possible(
    values: list[float], bounds: tuple[float | None, float | None], ends: tuple[float, float]
) -> None:
    found = interval(values, bounds)
    assert (found.low, found.high) == pytest.approx(ends, abs=1e-3)


def test_equal_differences_leave_nothing_to_chance() -> None:
    assert interval([0.5, 0.5, 0.5]).p_value == 0
    assert interval([0.0, 0.0, 0.0]).p_value == 1


@pytest.mark.parametrize(("mean", "count"), [(1.0, 7), (0.3, 46), (0.2, 99), (0.19, None), (0.0, None)])
def test_how_many_values_would_decide(mean: float, count: int | None) -> None:
    found = interval([mean - 1, mean, mean + 1])
    assert found.spread == pytest.approx(1)
    assert found.count_to_decide == count
    if count:
        reaches = [stats.t.ppf(0.975, n - 1) / n**0.5 for n in (count - 1, count)]
        assert reaches[0] > mean > reaches[1]


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_seldom_wrong_about_any_where_nothing_differs() -> None:
    p_values = np.random.default_rng(0).random((4000, 8))
    plain = np.mean([min(row) < 0.05 for row in p_values])
    corrected = np.mean([min(holm(row)) < 0.05 for row in p_values])
    assert plain == pytest.approx(1 - 0.95**8, abs=0.02)
    assert corrected == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(
    ("values", "excludes"), [([1.0, 1.1, 0.9], True), ([-1.0, -1.1, -0.9], True), ([1.0, -1.1, 0.9], False)]
)
def test_an_interval_on_one_side_excludes_zero(values: list[float], excludes: bool) -> None:
    assert interval(values).excludes_zero is excludes


def test_scaling_changes_the_unit() -> None:
    found, direct = interval(FIRST).scaled(100), interval([100 * value for value in FIRST])
    assert astuple(found) == pytest.approx(astuple(direct))


def test_width_with_three_values() -> None:
    assert deviations_to_each_side(3) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(FieldError, match="`values`"):
        interval(values)


def test_pairs_must_match() -> None:
    with pytest.raises(FieldError, match="`second` must hold 4 values"):
        paired_difference(FIRST, SECOND[:3])


def test_explained_share_is_the_adjusted_one() -> None:
    groups = [[1.0, 2.0, 3.0], [4.0, 6.0], [1.5, 2.5, 2.0, 4.0]]
    f = stats.f_oneway(*groups).statistic
    between, within = 2, 6
    expected = (f - 1) * between / (f * between + within)  # epsilon squared, from F and its degrees of freedom
    assert explained_share(groups) == pytest.approx(expected, rel=1e-9)


def test_explained_share_of_what_groups_decide_is_one() -> None:
    assert explained_share([[1.0, 1.0], [2.0, 2.0]]) == 1.0


@pytest.mark.parametrize("groups", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [1.0]]])
def test_explained_share_is_unknown_without_spread_or_groups(groups: list[list[float]]) -> None:
    assert explained_share(groups) is None


def test_chance_reaches_less_than_what_groups_decide_and_more_than_noise() -> None:
    decided = [[1.0, 1.1, 0.9, 1.05], [2.0, 2.1, 1.9, 2.05], [3.0, 3.1, 2.9, 3.05]]
    chance = chance_share(decided)
    assert chance == chance_share(decided), "the lots are the same each time"
    assert chance is not None
    assert 0 < chance < (explained_share(decided) or 0)
    assert chance_share([[1.0, 2.0, 3.0], [1.5, 2.0, 2.5]]) > (explained_share([[1.0, 2.0, 3.0], [1.5, 2.0, 2.5]]) or 0)
    assert chance_share([[1.0], [2.0]]) is None
