"""What holds for everything that is registered as a balancing."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from made_networks import single_threaded
from mtl_search.balancing import GradientBalancing
from mtl_search.internal.registry import BALANCINGS
from mtl_search.testing import check_balancing
from mtl_search.testing._balanced import BalancingCase

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

OPTIONS: Mapping[str, Mapping[str, Any]] = {"fixed": {"weights": {"a": 3.0}}, "dwa": {"temperature": 0.1}}
"""For those that are nothing without, or not to be seen in a few steps."""

NAMES = BALANCINGS.names()
GRADIENT = [name for name in NAMES if issubclass(BALANCINGS.get(name), GradientBalancing)]
OWN_SCALE = {"fixed"}
"""Those whose weights need not add up to the number of tasks."""
DRAWING = {"random", "pcgrad", "graddrop"}

every_balancing = pytest.mark.parametrize("name", NAMES)


@every_balancing
@pytest.mark.thin(3)
def test_the_contract(name: str) -> None:
    check_balancing(BALANCINGS.get(name), OPTIONS.get(name), own_scale=name in OWN_SCALE)


@functools.cache
def trained(name: str, seed: int = 0) -> Tensor:
    """What tasks share after a few steps."""
    return BalancingCase(name, OPTIONS.get(name, {})).trained(seed)


def test_all_are_here() -> None:
    by_losses = {"equal", "fixed", "uncertainty", "dwa", "random"}
    by_gradients = {"pcgrad", "cagrad", "mgda", "nash_mtl", "imtl_g", "graddrop", "upgrad", "aligned_mtl"}
    assert by_losses | by_gradients <= set(NAMES)
    assert by_gradients <= set(GRADIENT)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
def test_no_two_train_alike(one: str, other: str) -> None:
    first, second = trained(one), trained(other)
    assert float((first - second).norm() / first.norm()) > 1e-3


@every_balancing
def test_those_that_draw_depend_on_the_seed(name: str) -> None:
    assert torch.equal(trained(name, 1), trained(name)) == (name not in DRAWING)


def test_weights_given_by_hand_have_a_scale_of_their_own() -> None:
    with pytest.raises(AssertionError, match="Tasks that agree take the step"):
        check_balancing(BALANCINGS.get("fixed"), OPTIONS["fixed"])
