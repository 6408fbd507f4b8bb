"""Early stopping with several objectives."""

import itertools
import math
import random

import numpy as np
import pytest

from mtl_search.errors import FieldError
from mtl_search.metrics.pareto import Direction, best_first, front_mask
from mtl_search.searching.early_stopping import SuccessiveHalving

DIRECTIONS: list[Direction] = ["maximize", "minimize"]


def made(epochs: int = 9, grace: int = 1, factor: float = 3) -> SuccessiveHalving:
    return SuccessiveHalving(DIRECTIONS, epochs, grace, factor)


def decide(scheduler: SuccessiveHalving, trial: int, epoch: int, accuracy: float, cost: float) -> bool:
    scheduler.record(trial, epoch, [accuracy, cost])
    return scheduler.goes_on(trial, epoch)


@pytest.mark.parametrize(
    ("epochs", "grace", "factor", "rungs"),
    [
        (9, 1, 3, (1, 3)),
        (10, 1, 3, (1, 3, 9)),
        (6, 2, 2, (2, 4)),
        (5, 5, 3, ()),
        (1, 1, 3, ()),
        (6, 1, 1.5, (1, 2, 3, 5)),
    ],
)
def test_rungs_grow_by_the_factor_below_the_budget(
    epochs: int, grace: int, factor: float, rungs: tuple[int, ...]
) -> None:
    assert made(epochs, grace, factor).rungs == rungs


def test_between_rungs_every_trial_goes_on() -> None:
    scheduler = made()
    for trial in range(20):
        assert decide(scheduler, trial, 2, 0.1, 1e6)


def test_the_first_trial_at_a_rung_goes_on() -> None:
    assert decide(made(), 0, 1, 0.1, 1e6)


def test_what_comes_later_changes_no_decision() -> None:
    scheduler, rng = made(), random.Random(0)
    decided = [decide(scheduler, trial, 1, rng.random(), rng.random()) for trial in range(40)]
    assert [scheduler.goes_on(trial, 1) for trial in range(40)] == decided
    assert 1 < sum(decided) < 39


def test_a_dominated_trial_is_stopped_and_a_dominating_one_is_not() -> None:
    scheduler = made()
    for trial in range(6):
        decide(scheduler, trial, 1, 0.5 + trial / 100, 100 + trial)
    assert not decide(scheduler, 6, 1, 0.4, 200)
    assert decide(scheduler, 7, 1, 0.9, 50)


def test_a_small_network_is_not_stopped_for_being_less_accurate() -> None:
    """With accuracy alone it would be the last of all."""
    scheduler = made(factor=2)
    for trial in range(5):
        decide(scheduler, trial, 1, 0.8 + trial / 100, 1000 + trial)
    assert decide(scheduler, 5, 1, 0.3, 10)


def test_one_in_factor_goes_on_of_many() -> None:
    rng = random.Random(0)
    scheduler = made(factor=3)
    on = sum(decide(scheduler, trial, 1, rng.random(), rng.random()) for trial in range(600))
    assert on / 600 == pytest.approx(1 / 3, abs=0.08)


def test_rungs_are_apart() -> None:
    scheduler = made()
    for trial in range(9):
        decide(scheduler, trial, 1, 0.9, 10)
    assert decide(scheduler, 9, 3, 0.1, 1000)


def test_a_trial_that_comes_to_a_rung_again_is_counted_once() -> None:
    scheduler, again = made(), made()
    for trial in range(7):
        decide(scheduler, trial, 1, 0.5 + trial / 100, 100)
        for _ in range(2):
            decide(again, trial, 1, 0.5 + trial / 100, 100)
    assert [scheduler.goes_on(trial, 1) for trial in range(7)] == [again.goes_on(trial, 1) for trial in range(7)]


@pytest.mark.parametrize(("grace", "factor", "field"), [(0, 3, "grace"), (1, 1, "factor")])
def test_settings_that_make_no_sense_are_refused(grace: int, factor: float, field: str) -> None:
    with pytest.raises(FieldError, match=f"`{field}` must be"):
        made(9, grace, factor)


# The order of merit


def ranks_by_definition(losses: list[list[float]]) -> list[int]:
    """Peel off one front after the other."""
    left, ranks, rank = list(range(len(losses))), [0] * len(losses), 0
    while left:
        front = [
            one
            for one in left
            if not any(
                all(a <= b for a, b in zip(losses[other], losses[one], strict=True)) and losses[other] != losses[one]
                for other in left
            )
        ]
        for one in front:
            ranks[one] = rank
        left = [one for one in left if one not in front]
        rank += 1
    return ranks


def crowding_by_definition(losses: list[list[float]], one: int, members: list[int]) -> float:
    """Deb et al. (2002), section III B, for points that differ in every objective."""
    total = 0.0
    for objective in range(len(losses[0])):
        values = sorted(losses[member][objective] for member in members)
        place = values.index(losses[one][objective])
        if place in (0, len(values) - 1):
            return math.inf
        total += (values[place + 1] - values[place - 1]) / (values[-1] - values[0])
    return total


@pytest.mark.parametrize("seed", range(20))
def test_best_first_is_rank_then_spread(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(30, 2))
    losses = [[-first, second] for first, second in points.tolist()]
    ranks = ranks_by_definition(losses)
    order = best_first(points, DIRECTIONS)
    assert sorted(order) == list(range(30))
    keys = []
    for one in order:
        members = [other for other in range(30) if ranks[other] == ranks[one]]
        keys.append((ranks[one], -crowding_by_definition(losses, one, members)))
    assert [rank for rank, _ in keys] == sorted(rank for rank, _ in keys)
    for first, second in itertools.pairwise(keys):
        assert first[0] < second[0] or first[1] <= second[1] + 1e-12


def test_the_front_comes_first_and_equal_points_in_their_order() -> None:
    points = [[0.5, 10.0], [0.9, 100.0], [0.5, 10.0], [0.2, 50.0], [0.7, 40.0]]
    order = best_first(points, DIRECTIONS)
    front = front_mask(points, DIRECTIONS)
    assert set(order[: front.sum()]) == set(np.flatnonzero(front))
    assert order.index(0) < order.index(2)
    assert order[-1] == 3


def test_nothing_is_ordered_to_nothing() -> None:
    assert best_first([], DIRECTIONS) == []
