"""Each balancing does what its paper says: values by hand, by an independent computation, or by what defines them."""

import functools
import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from made_networks import made_architecture, single_threaded
from mtl_search.balancing import GradientBalancing, LossBalancing, make_balancing
from mtl_search.cli.listing import listing
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import DivergedError, UserError
from mtl_search.internal.registry import BALANCINGS
from mtl_search.networks.network import build_model
from mtl_search.spaces.settings import BalancingSettings, Training
from mtl_search.training.trainer import Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

ROOT2, ROOT5 = math.sqrt(2), math.sqrt(5)
TWO = torch.tensor([[2.0, 0.0], [-1.0, 1.0]])
"""Two gradients that oppose each other: products 4, -2 and 2."""
THREE = torch.tensor([[3.0, 0.0, 1.0, 0.0], [-2.0, 1.0, 0.0, 1.0], [0.5, -1.0, -1.0, 1.0]])

BY_HAND = {
    # (2, 0) + (-1, 1) 2/2 and (-1, 1) + (2, 0) 2/4
    "pcgrad": (1, 2),
    # what PCGrad projects two gradients to is where none gets worse
    "upgrad": (1, 2),
    # shortest (2a - b, b) with a + b = 1: a = 0.4; twice that
    "mgda": (0.4, 1.2),
    # a (2, 0) + b (-1, 1) with equal projections onto (1, 0) and (-1, 1) / sqrt 2: a = sqrt 2 - 1; twice that
    "imtl_g": (6 * ROOT2 - 8, 4 - 2 * ROOT2),
    # 4 a - 2 b = 1 / a and 2 b - 2 a = 1 / b: b = sqrt 2 a, a = 1 / sqrt(4 - 2 sqrt 2); times sqrt of |G| = sqrt 28
    "nash_mtl": tuple(28**0.25 / math.sqrt(4 - 2 * ROOT2) * value for value in (2 - ROOT2, ROOT2)),
    # rows of the orthogonal factor ((3, 1), (-1, 3)) / sqrt 10, added, times the least singular value sqrt(3 - sqrt 5)
    "aligned_mtl": tuple(math.sqrt((3 - ROOT5) / 10) * value for value in (2, 4)),
}

GRAMIAN = ["pcgrad", "cagrad", "mgda", "nash_mtl", "imtl_g", "upgrad", "aligned_mtl"]

WITHOUT = """
import importlib.abc, sys
from pathlib import Path

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {libraries!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from mtl_search.balancing import make_balancing
from mtl_search.errors import UserError
from mtl_search.cli.listing import listing
from mtl_search.internal.registry import BALANCINGS

assert set(listing("balancings")) == set(BALANCINGS.names())
for name in BALANCINGS.names():
    try:
        make_balancing(name, {{"weights": {{}}}} if name == "fixed" else {{}})
    except UserError as error:
        print(error)
"""


@functools.cache
def digits() -> Dataset:
    return load_dataset("multi_mnist", train=200, val=10, test=10)


def started(name: str, tasks: int = 2, seed: int = 0, **options: Any) -> Any:
    balancing = make_balancing(name, options)
    balancing.start(["left", "right", "middle"][:tasks], [Parameter(torch.zeros(1))], seed)
    return balancing


def aggregated(name: str, jacobian: Tensor, **options: Any) -> Tensor:
    balancing = started(name, len(jacobian), **options)
    assert isinstance(balancing, GradientBalancing)
    return balancing.aggregate(jacobian)


def weights_of(balancing: LossBalancing, tasks: int = 2) -> list[float]:
    losses = torch.ones(tasks, requires_grad=True)
    (weights,) = torch.autograd.grad(balancing.combine(losses), losses)
    return weights.tolist()


def unit(jacobian: Tensor) -> Tensor:
    return jacobian / jacobian.norm(dim=1, keepdim=True)


def mgda_by_search() -> Tensor:
    """The shortest convex combination of three gradients, on a grid, and on a finer one around the best."""
    best, width = torch.full((2,), 1 / 3), 1.0
    for _ in range(6):
        line = torch.linspace(-width, width, 41)
        first, second = (best[:, None, None] + torch.stack(torch.meshgrid(line, line, indexing="ij"))).flatten(1)
        weights = torch.stack([first, second, 1 - first - second])
        allowed = weights[:, (weights >= 0).all(dim=0)].T
        best, width = allowed[(allowed @ THREE).norm(dim=1).argmin()][:2], width / 8
    return 3 * torch.stack([best[0], best[1], 1 - best.sum()]) @ THREE


def imtl_g_by_equations() -> Tensor:
    """Weights that add up to 1, from the two equations of equal projections."""
    differences = unit(THREE)[0] - unit(THREE)[1:]
    system = torch.cat([THREE @ differences.T, torch.ones(3, 1)], dim=1).T
    return 3 * torch.linalg.solve(system, torch.tensor([0.0, 0.0, 1.0])) @ THREE


def upgrad_by_active_sets() -> Tensor:
    """Each gradient's nearest point where all products are at least 0, among those with some of them 0."""
    return torch.stack([nearest_without_conflict(gradient) for gradient in THREE.double()]).sum(dim=0).float()


def nearest_without_conflict(gradient: Tensor) -> Tensor:
    rows, found = THREE.double(), []
    for size in range(4):
        for active in itertools.combinations(range(3), size):
            chosen = rows[list(active)]
            point = gradient - chosen.T @ torch.linalg.pinv(chosen.T) @ gradient if active else gradient
            if bool((rows @ point > -1e-9).all()):
                found.append(point)
    return min(found, key=lambda point: float((point - gradient).norm()))


def nash_by_newton() -> Tensor:
    """The minimum of ``w G w / 2 - sum(log w)``, where ``G w = 1 / w``."""
    gramian = (THREE @ THREE.T).double()
    gramian, weights = gramian / gramian.norm(), torch.ones(3, dtype=torch.float64)
    for _ in range(100):
        hessian = gramian + (weights**-2).diag()
        step = torch.linalg.solve(hessian, gramian @ weights - 1 / weights)
        weights = weights - step / (1 + (step @ hessian @ step).sqrt())
    torch.testing.assert_close(gramian @ weights, 1 / weights)
    return weights.float() @ THREE


def aligned_mtl_by_decomposition() -> Tensor:
    left, values, right = torch.linalg.svd(THREE, full_matrices=False)
    return (values[-1] * left @ right).sum(dim=0)


BY_ANOTHER_WAY: dict[str, Callable[[], Tensor]] = {
    "mgda": mgda_by_search,
    "imtl_g": imtl_g_by_equations,
    "upgrad": upgrad_by_active_sets,
    "nash_mtl": nash_by_newton,
    "aligned_mtl": aligned_mtl_by_decomposition,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_gradients_by_hand(name: str) -> None:
    torch.testing.assert_close(
        aggregated(name, TWO), torch.tensor(BY_HAND[name], dtype=torch.float32), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", BY_ANOTHER_WAY)
def test_three_gradients_another_way(name: str) -> None:
    torch.testing.assert_close(aggregated(name, THREE), BY_ANOTHER_WAY[name](), rtol=5e-3, atol=2e-3)


def test_pcgrad_projects_in_an_order_drawn_for_each_gradient() -> None:
    """Three gradients, each freed of the other two in one order or the other."""
    results = []
    for orders in itertools.product([1, -1], repeat=3):
        total = torch.zeros(4)
        for task, order in enumerate(orders):
            freed = THREE[task]
            for other in [number for number in range(3) if number != task][::order]:
                freed = freed - min(float(freed @ THREE[other]), 0) / float(THREE[other].square().sum()) * THREE[other]
            total = total + freed
        results.append(total)
    balancing = started("pcgrad", 3)
    seen = set()
    for _ in range(100):
        made = balancing.aggregate(THREE)
        near = [number for number, result in enumerate(results) if bool((made - result).norm() < 1e-4)]
        assert near, f"{made} comes of no order"
        seen.add(near[0])
    distinct = {tuple(round(float(value), 3) for value in result) for result in results}
    assert len(seen) == len(distinct) > 1


@pytest.mark.parametrize("jacobian", [TWO, THREE], ids=["two", "three"])
def test_cagrad_maximises_the_least_gain_around_the_mean(jacobian: Tensor) -> None:
    """No direction at the same distance of the mean gradient gains more for the task that gains least."""
    tasks, c = len(jacobian), 0.5
    mean = jacobian.mean(dim=0)
    step = aggregated("cagrad", jacobian, c=c) * (1 + c) / tasks
    assert float((step - mean).norm()) == pytest.approx(c * float(mean.norm()), rel=1e-3)
    directions = unit(torch.randn(200_000, jacobian.shape[1], generator=torch.Generator().manual_seed(0)))
    others = (mean + c * mean.norm() * directions) @ jacobian.T
    least = float((jacobian @ step).min())
    assert float(others.min(dim=1).values.max()) == pytest.approx(least, rel=0.02)
    assert float(others.min(dim=1).values.max()) <= least + 1e-3


def test_cagrad_without_a_radius_is_no_balancing() -> None:
    torch.testing.assert_close(aggregated("cagrad", THREE, c=0), THREE.sum(dim=0), rtol=1e-4, atol=1e-4)


def test_graddrop_keeps_one_sign_as_often_as_it_is_pure() -> None:
    balancing = started("graddrop")
    drawn = torch.stack([balancing.aggregate(TWO.repeat(1, 500)) for _ in range(4)]).view(-1, 2)
    assert sorted(drawn[:, 0].unique().tolist()) == [-1, 2]
    assert drawn[:, 1].unique().tolist() == [1]
    assert float((drawn[:, 0] == 2).float().mean()) == pytest.approx(2 / 3, abs=0.04)  # (1 + (2 - 1) / (2 + 1)) / 2


def test_graddrop_lets_a_part_leak() -> None:
    torch.testing.assert_close(aggregated("graddrop", THREE, leak=1), THREE.sum(dim=0))
    half, none = aggregated("graddrop", THREE, leak=0.5), aggregated("graddrop", THREE)
    torch.testing.assert_close(half, (THREE.sum(dim=0) + none) / 2)


@pytest.mark.parametrize("scale", ["median", "rmse"])
def test_aligned_mtl_has_other_scales(scale: str) -> None:
    """The median of three squared lengths is the second; the rest is the same."""
    values = torch.linalg.svdvals(THREE)
    expected = values[1] if scale == "median" else values.square().mean().sqrt()
    made, least = aggregated("aligned_mtl", THREE, scale=scale), aggregated("aligned_mtl", THREE)
    torch.testing.assert_close(made, least * expected / values[-1], rtol=1e-4, atol=1e-4)


def test_nash_mtl_limits_the_step_where_asked_to() -> None:
    free, limited = aggregated("nash_mtl", THREE), aggregated("nash_mtl", THREE, max_norm=0.5)
    torch.testing.assert_close(limited, 0.5 * free / free.norm())
    torch.testing.assert_close(aggregated("nash_mtl", THREE, max_norm=100), free)


@pytest.mark.parametrize("name", GRAMIAN)
@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_the_size_of_all_gradients_changes_the_size_of_the_step_only(name: str, size: float) -> None:
    torch.testing.assert_close(aggregated(name, size * THREE) / size, aggregated(name, THREE), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GRAMIAN)
@pytest.mark.parametrize("tasks", [2, 3])
def test_noise_of_float32_does_not_make_equal_gradients_differ(name: str, tasks: int) -> None:
    rng = torch.Generator().manual_seed(0)
    gradient = torch.randn(1, 1000, generator=rng)
    jacobian = gradient * (1 + 1e-7 * torch.randn(tasks, 1000, generator=rng))
    torch.testing.assert_close(aggregated(name, jacobian), tasks * gradient[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*GRAMIAN, "graddrop"])
def test_extreme_gradients_give_a_finite_step_and_no_warning(name: str) -> None:
    rng = torch.Generator().manual_seed(0)
    plain = torch.randn(3, 30, generator=rng)
    opposed = torch.stack([plain[0], -plain[0], plain[2]])
    sizes = torch.tensor([[1e-4], [1.0], [1e4]])
    silent = plain * torch.tensor([[0.0], [1.0], [1.0]])
    almost = opposed + 1e-4 * torch.randn(3, 30, generator=rng)
    balancing = started(name, 3)
    for jacobian in (plain, opposed, opposed * sizes, plain * sizes, silent, almost, plain):
        made = balancing.aggregate(jacobian)
        assert made.isfinite().all()
        assert made.norm() < 10 * jacobian.norm()
    assert not balancing.aggregate(torch.zeros(3, 30)).any()


def test_a_row_that_is_shared_later_is_balanced_then() -> None:
    """In the first step one task's way to the second row is behind a ReLU; in the second step it has come through."""
    weight = Parameter(torch.tensor([[1.0, 0.5], [2.0, -1.0]]))
    balancing = make_balancing("mgda", {})
    balancing.start(["a", "b"], [weight], 0)
    jacobian = torch.tensor([[2.0, 0.0, 0.0, 1.0], [-1.0, 1.0, -3.0, 0.5]])
    for opened in (0.0, 1.0):
        used = jacobian * torch.tensor([[1, 1, opened, opened], [1, 1, 1, 1]])
        weight.grad = None
        balancing.backward(used @ weight.flatten())
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad.flatten(), aggregated("mgda", jacobian))


def test_fixed_weights_are_as_given_and_1_elsewhere() -> None:
    assert weights_of(started("fixed", 3, weights={"right": 0.25}), 3) == [1, 0.25, 1]


def test_uncertainty_learns_the_variances() -> None:
    """Where the gradient of ``exp(-s) * loss + s / 2`` is zero, the weight is 1 / (2 loss)."""
    balancing = started("uncertainty")
    assert weights_of(balancing) == [1, 1]
    (learned,) = balancing.parameters()
    losses = torch.tensor([3.0, 0.2])
    for _ in range(400):
        (gradient,) = torch.autograd.grad(balancing.combine(losses), learned)
        with torch.no_grad():
            learned -= 0.2 * gradient
    assert weights_of(balancing) == pytest.approx([1 / 6, 2.5], rel=1e-3)
    minimum = sum(0.5 + math.log(2 * loss) / 2 for loss in losses.tolist())
    assert float(balancing.combine(losses).detach()) == pytest.approx(minimum, rel=1e-4)


def test_the_optimiser_learns_the_variances_without_decay() -> None:
    dataset = digits()
    model = build_model(made_architecture(), dataset.tasks, dataset.input_shape, 0)
    settings = Training(epochs=1, batch_size=50, balancing=BalancingSettings(name="uncertainty"))
    trainer = Trainer(model, dataset.tasks, dataset, settings, 0)
    (learned,) = trainer.balancing.parameters()
    (group,) = [one for one in trainer.optimiser.param_groups if any(each is learned for each in one["params"])]
    assert group["weight_decay"] == 0
    list(trainer.epochs())
    assert bool(learned.ne(0).all())


def test_dwa_weighs_by_how_the_losses_fell() -> None:
    balancing = started("dwa", temperature=0.5)
    assert weights_of(balancing) == [1, 1]
    balancing.end_epoch(torch.tensor([4.0, 2.0]))
    assert weights_of(balancing) == [1, 1]
    balancing.end_epoch(torch.tensor([1.0, 1.0]))
    first, second = math.exp(0.25 / 0.5), math.exp(0.5 / 0.5)
    assert weights_of(balancing) == pytest.approx([2 * first / (first + second), 2 * second / (first + second)])
    balancing.end_epoch(torch.tensor([0.0, 1.0]))
    balancing.end_epoch(torch.tensor([0.0, 1.0]))
    assert sum(weights_of(balancing)) == pytest.approx(2)


def test_dwa_has_the_temperature_of_the_paper() -> None:
    balancing = started("dwa")
    for losses in ([1.0, 1.0], [0.5, 1.0]):
        balancing.end_epoch(torch.tensor(losses))
    assert weights_of(balancing)[0] == pytest.approx(2 / (1 + math.exp(0.25)))


def test_random_weights_are_a_softmax_of_normal_draws() -> None:
    balancing = started("random", 3)
    drawn = torch.tensor([weights_of(balancing, 3) for _ in range(3000)])
    assert torch.allclose(drawn.sum(dim=1), torch.tensor(3.0))
    logarithms = drawn.log()
    differences = logarithms[:, 0] - logarithms[:, 1]  # of two standard normal draws: variance 2
    assert float(differences.mean()) == pytest.approx(0, abs=0.1)
    assert float(differences.var()) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cagrad", {"c": 1.5}, r"`balancing\.c` must be less than 1, but got 1\.5"),
        ("cagrad", {"d": 0.5}, r"`balancing\.d` is no option of `cagrad`"),
        ("mgda", {"c": 0.5}, r"`balancing\.c` is no option of `mgda`\. It has none"),
        ("fixed", {}, r"`balancing\.weights` is missing"),
        ("fixed", {"weights": {"left": -1}}, r"`balancing\.weights\.left` must be greater than or equal to 0"),
        ("dwa", {"temperature": 0}, r"`balancing\.temperature` must be greater than 0"),
        ("graddrop", {"leak": 2}, r"`balancing\.leak` must be less than or equal to 1"),
        ("aligned_mtl", {"scale": "max"}, r"`balancing\.scale` must be 'min', 'median' or 'rmse'"),
        ("pcgrat", {}, r"there is no balancing `pcgrat`\. Did you mean `pcgrad`\?"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_balancing(name, options)


def test_weights_for_an_unknown_task_are_refused() -> None:
    with pytest.raises(UserError, match=r"there is no task `lefd`\. Did you mean `left`"):
        started("fixed", weights={"lefd": 2})


@pytest.mark.parametrize("name", ["cagrad", "upgrad", "nash_mtl", "aligned_mtl"])
def test_a_training_that_diverges_says_so(name: str) -> None:
    dataset = digits()
    model = build_model(made_architecture(), dataset.tasks, dataset.input_shape, 0)
    settings = Training(epochs=1, batch_size=20, learning_rate=1e6, balancing=BalancingSettings(name=name))
    with pytest.raises(DivergedError, match=r"not finite at step \d+"):
        list(Trainer(model, dataset.tasks, dataset, settings, 0).epochs())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("libraries", "needing"),
    [
        (["torchjd"], ["aligned_mtl", "cagrad", "graddrop", "imtl_g", "pcgrad", "upgrad"]),
        (["cvxpy", "quadprog"], ["cagrad", "upgrad"]),
    ],
)
def test_what_is_not_installed_is_told_at_once_and_stops_nothing_else(libraries: list[str], needing: list[str]) -> None:
    code = WITHOUT.format(libraries=libraries)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    expected = [f"balancing `{name}` needs TorchJD: pip install 'mtl-search[balancing]'." for name in needing]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected


def test_each_is_listed_with_a_line() -> None:
    found = listing("balancings")
    assert list(found) == BALANCINGS.names()
    assert all(line.endswith(".") and len(line) < 120 for line in found.values())
