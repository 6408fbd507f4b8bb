"""MGDA: its step is the shortest convex combination, by the conditions that only the shortest one meets."""

import pytest
import torch
from torch import Tensor

from mtl_search.balancing import make_balancing
from mtl_search.balancing.mgda import MGDA, shortest

KINDS = ["plain", "unequal", "twice", "parallel", "nearly equal", "opposed", "one of zeros", "apart by a little"]


def made(kind: str, tasks: int, values: int, seed: int) -> Tensor:
    """Gradients ``[tasks, values]`` that make the problem hard: singular, or of unequal lengths."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(tasks, values, generator=rng, dtype=torch.float64)
    lengths = 10 ** (6 * torch.rand(tasks, 1, generator=rng, dtype=torch.float64) - 3)
    half = tasks // 2
    match kind:
        case "unequal":
            return lengths * drawn
        case "twice":
            return torch.cat([drawn[:half], drawn[:half]])
        case "parallel":
            return lengths * drawn[:1]
        case "nearly equal":
            return drawn[:1] + 1e-9 * drawn
        case "opposed":
            return torch.cat([drawn[:half], -2 * drawn[:half]])
        case "one of zeros":
            return torch.cat([torch.zeros(1, values, dtype=torch.float64), drawn[1:]])
        case "apart by a little":
            return lengths * (drawn + 3)
    return drawn


def step_of(jacobian: Tensor) -> Tensor:
    """The step, divided by the number of tasks."""
    balancing = make_balancing("mgda", {})
    assert isinstance(balancing, MGDA)
    return balancing.aggregate(jacobian) / len(jacobian)


def assert_shortest(jacobian: Tensor, step: Tensor) -> None:
    """Every gradient's product with the shortest point of their convex hull is at least its square."""
    short = (jacobian @ step - step @ step) / (jacobian.norm(dim=1).clamp(min=1e-300) * jacobian.norm(dim=1).max())
    assert float(short.min()) > -1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tasks", "values"), [(2, 3), (8, 20), (8, 5), (40, 60), (40, 10)])
def test_no_gradient_has_a_smaller_product_with_the_step_than_it_has_itself(kind: str, tasks: int, values: int) -> None:
    for seed in range(3):
        jacobian = made(kind, tasks, values, seed)
        products = jacobian @ jacobian.T
        weights = shortest(products / products.trace())
        assert bool((weights >= 0).all())
        assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
        assert_shortest(jacobian, step_of(jacobian))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_exact_where_all_are_short_but_one(seed: int) -> None:
    """The conditions in the measure of the short ones: their lengths, and that of the step."""
    jacobian = made("apart by a little", 8, 30, seed)
    step = step_of(jacobian)
    gaps = (jacobian @ step - step @ step) / (jacobian.norm(dim=1) * step.norm())
    assert float(gaps.min()) > -1e-9


def test_frank_wolfe_is_not_enough_for_eight_tasks_of_unequal_lengths() -> None:
    """Its step is several times too long where it ends by the numbers of Sener & Koltun's code, 250 or 1e-5."""
    jacobian = made("unequal", 8, 30, seed=4)
    weights = torch.full((8,), 1 / 8, dtype=torch.float64)
    for _ in range(250):
        step = weights @ jacobian
        best = (jacobian @ step).argmin()
        across = step - jacobian[best]
        share = (across @ step / across.square().sum()).clamp(0, 1)
        if share < 1e-5:
            break
        weights = (1 - share) * weights
        weights[best] += share
    assert float((weights @ jacobian).norm() / step_of(jacobian).norm()) > 2


def test_one_task_and_equal_tasks_keep_their_gradient() -> None:
    gradient = torch.tensor([3.0, -4.0])
    assert torch.equal(step_of(gradient[None]), gradient)
    torch.testing.assert_close(step_of(gradient.repeat(5, 1)), gradient)


def test_a_gradient_of_zeros_stops_what_is_shared() -> None:
    assert not step_of(torch.tensor([[0.0, 0.0], [3.0, -4.0]])).any()
