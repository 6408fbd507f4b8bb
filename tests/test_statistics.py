import pytest
from scipy import stats

from mtl_search.errors import FieldError
from mtl_search.metrics.intervals import (
    chance_share,
    deviations_to_each_side,
    explained_share,
    interval,
    paired_difference,
)

FIRST = [0.871, 0.864, 0.869, 0.858]
SECOND = [0.862, 0.861, 0.871, 0.85]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_interval_is_that_of_a_t_test(count: int) -> None:
    values = FIRST[:count]
    found = interval(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.mean == pytest.approx(sum(values) / count)
    assert found.count == count


@pytest.mark.parametrize("count", [2, 3, 4])
def test_paired_difference_is_that_of_a_paired_t_test(count: int) -> None:
    found = paired_difference(FIRST[:count], SECOND[:count])
    expected = stats.ttest_rel(FIRST[:count], SECOND[:count]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_one_value_has_no_interval() -> None:
    found = interval([0.5])
    assert (found.mean, found.low, found.high, found.count) == (0.5, None, None, 1)
    assert not found.excludes_zero


@pytest.mark.parametrize(
    ("values", "excludes"), [([1.0, 1.1, 0.9], True), ([-1.0, -1.1, -0.9], True), ([1.0, -1.1, 0.9], False)]
)
def test_an_interval_on_one_side_excludes_zero(values: list[float], excludes: bool) -> None:
    assert interval(values).excludes_zero is excludes


def test_scaling_changes_the_unit() -> None:
    found, direct = interval(FIRST).scaled(100), interval([100 * value for value in FIRST])
    assert (found.mean, found.low, found.high) == pytest.approx((direct.mean, direct.low, direct.high))


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
