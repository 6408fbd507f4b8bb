"""What holds for everything that is registered as a balancing."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from made_networks import SHAPE, made_architecture, made_inputs, made_tasks, single_threaded
from mtl_search.balancing import Balancing, GradientBalancing, LossBalancing, make_balancing
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.internal.gradients import task_gradients
from mtl_search.internal.registry import BALANCINGS
from mtl_search.networks.network import MultiTaskNetwork, build_model
from mtl_search.networks.paths import PathNetwork
from mtl_search.spaces.settings import BalancingSettings, Training
from mtl_search.training.trainer import Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

OPTIONS: Mapping[str, Mapping[str, Any]] = {"fixed": {"weights": {"a": 3.0}}, "dwa": {"temperature": 0.1}}
"""For those that are nothing without, or not to be seen in a few steps."""

NAMES = BALANCINGS.names()
GRADIENT = [name for name in NAMES if issubclass(BALANCINGS.get(name), GradientBalancing)]
OWN_SCALE = {"fixed"}
"""Those whose weights need not add up to the number of tasks."""
DRAWING = {"random", "pcgrad", "graddrop"}

every_balancing = pytest.mark.parametrize("name", NAMES)
every_gradient_balancing = pytest.mark.parametrize("name", GRADIENT)


class Made(nn.Module):
    """A trunk, a head for each of some tasks that disagree about the trunk, and losses of very different size."""

    def __init__(self, tasks: int = 3, same: bool = False) -> None:
        super().__init__()
        lot = torch.Generator().manual_seed(0)
        self.trunk = nn.Parameter(torch.randn(6, 5, generator=lot))
        self.heads = nn.ParameterList(torch.randn(6, generator=lot) for _ in range(tasks))
        self.inputs = torch.randn(20, 5, generator=lot)
        self.targets = torch.randn(tasks, 20, generator=lot)
        self.sizes = torch.tensor([1.0, 4.0, 0.3])[:tasks]
        if same:
            self.sizes[:], self.targets[:] = 1, self.targets[0]
            self.heads = nn.ParameterList(self.heads[0].detach().clone() for _ in range(tasks))

    def losses(self) -> Tensor:
        features = torch.tanh(self.inputs @ self.trunk.T)
        errors = torch.stack([features @ head for head in self.heads]) - self.targets
        return self.sizes * errors.square().mean(dim=1)


class Alone(nn.Module):
    """Tasks that share nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ParameterList(torch.full((3,), float(number)) for number in (1, 2))

    def losses(self) -> Tensor:
        return torch.stack([one.square().sum() for one in self.own])


def made(name: str) -> Balancing:
    return make_balancing(name, OPTIONS.get(name, {}))


def started(name: str, model: Made | Alone, seed: int = 0) -> Balancing:
    balancing = made(name)
    balancing.start(list("abc")[: len(model.losses())], list(model.parameters()), seed)
    return balancing


def steps(balancing: Balancing, model: Made | Alone, count: int = 6) -> None:
    """Plain gradient descent, of the network and of what is learned besides; every step is an epoch."""
    learned = [*model.parameters(), *balancing.parameters()]
    for _ in range(count):
        backward(balancing, model)
        with torch.no_grad():
            for parameter in learned:
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad
        balancing.end_epoch(model.losses().detach())


def backward(balancing: Balancing, model: Made | Alone) -> None:
    for parameter in [*model.parameters(), *balancing.parameters()]:
        parameter.grad = None
    balancing.backward(model.losses())


def gradient_of(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@functools.cache
def trained_trunk(name: str, seed: int = 0) -> Tensor:
    model = Made()
    steps(started(name, model, seed), model)
    return model.trunk.detach()


def network(kind: str) -> PathNetwork | MultiTaskNetwork:
    """Hard sharing; or ETR-NLP, in which the tasks' own weights lie stacked in one parameter."""
    architecture = made_architecture("linear", 0.5)
    if kind == "hard_sharing":
        return PathNetwork(architecture.backbone, [(0, 0), (0, 0)], made_tasks(2), SHAPE)
    return build_model(architecture, made_tasks(2), SHAPE, 0)


def losses_of(model: nn.Module, sizes: tuple[float, float] = (1, 1)) -> Tensor:
    outputs = model(made_inputs(torch.float32))
    return torch.stack([size * output.square().mean() for size, output in zip(sizes, outputs.values(), strict=True)])


@functools.cache
def digits() -> Dataset:
    return load_dataset("multi_mnist", train=400, val=10, test=10)


def test_all_are_here() -> None:
    by_hand = {"equal", "fixed", "uncertainty", "dwa", "random"}
    by_torchjd = {"pcgrad", "cagrad", "mgda", "nash_mtl", "imtl_g", "graddrop", "upgrad", "aligned_mtl"}
    assert by_hand | by_torchjd <= set(NAMES)
    assert by_torchjd <= set(GRADIENT)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
def test_no_two_train_alike(one: str, other: str) -> None:
    first, second = trained_trunk(one), trained_trunk(other)
    assert float((first - second).norm() / first.norm()) > 1e-3


@every_balancing
def test_same_seed_same_result(name: str) -> None:
    """Whatever the global generator holds; and that is left alone."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trained_trunk.__wrapped__(name)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(trained_trunk.__wrapped__(name), first)
    assert torch.equal(trained_trunk(name, 1), first) == (name not in DRAWING)


@every_balancing
def test_a_new_start_forgets_the_last_training(name: str) -> None:
    model, again = Made(), Made()
    balancing = started(name, model)
    steps(balancing, model)
    balancing.start(list("abc"), list(again.parameters()), 0)
    steps(balancing, again)
    assert torch.equal(model.trunk, again.trunk)


@every_balancing
def test_what_a_task_has_for_itself_gets_its_own_gradient(name: str) -> None:
    """Times its weight, where losses are weighed."""
    model = Made()
    balancing, twin = started(name, model), started(name, twin_model := Made())
    steps(balancing, model)
    steps(twin, twin_model)
    own = [of_task[1 + task] for task, of_task in enumerate(task_gradients(model.losses(), list(model.parameters())))]
    weights = torch.ones(3)
    if isinstance(twin, LossBalancing):
        losses = model.losses().detach().requires_grad_()
        (weights,) = torch.autograd.grad(twin.combine(losses), losses)
    backward(balancing, model)
    for weight, head, gradient in zip(weights, model.heads, own, strict=True):
        torch.testing.assert_close(gradient_of(head), weight * gradient)


@every_balancing
@pytest.mark.parametrize("tasks", [2, 3])
def test_tasks_that_agree_take_the_step_without_balancing(name: str, tasks: int) -> None:
    model = Made(tasks, same=True)
    backward(started("equal", model), model)
    expected = gradient_of(model.trunk)
    backward(started(name, model), model)
    difference = float((gradient_of(model.trunk) - expected).norm() / expected.norm())
    assert (difference < 1e-4) == (name not in OWN_SCALE)


@every_balancing
def test_a_single_task_and_tasks_that_share_nothing(name: str) -> None:
    single, alone = Made(1), Alone()
    for model in (single, alone):
        weights = torch.ones(2)
        balancing = started(name, model)
        backward(balancing, model)
        if isinstance(balancing, LossBalancing):
            losses = model.losses().detach().requires_grad_()
            (weights,) = torch.autograd.grad(started(name, model).combine(losses), losses)
        expected = torch.autograd.grad(
            (weights[: len(model.losses())] * model.losses()).sum(), list(model.parameters())
        )
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(gradient_of(parameter), gradient)


def without_last(model: Made) -> tuple[Tensor, Tensor]:
    """The losses where the last task has no target, and which tasks are present."""
    present = torch.tensor([True, True, False])
    return torch.where(present, model.losses(), 0), present


def descend(model: Made, balancing: Balancing) -> None:
    """One step along the gradients that were written."""
    with torch.no_grad():
        for parameter in [*model.parameters(), *balancing.parameters()]:
            if parameter.grad is not None:
                parameter -= 0.05 * parameter.grad
                parameter.grad = None


@every_balancing
def test_an_absent_task_changes_nothing_for_the_others(name: str) -> None:
    """The steps are those of the others alone; what belongs to it does not move."""
    model, twin = Made(), Made()
    balancing, alone = started(name, model), made(name)
    alone.start(["a", "b"], list(twin.parameters()), 0)
    for _ in range(1 if name == "random" else 5):  # a draw for three tasks takes more of the generator than one for two
        losses, present = without_last(model)
        balancing.backward(losses, present)
        alone.backward(twin.losses()[:2])
        descend(model, balancing)
        descend(twin, alone)
        balancing.end_epoch(model.losses().detach().where(present, 0), present)
        alone.end_epoch(twin.losses()[:2].detach())
    torch.testing.assert_close(model.trunk, twin.trunk)
    assert not torch.equal(model.trunk, Made().trunk)
    for head, other, first in zip(model.heads, twin.heads, Made().heads, strict=True):
        torch.testing.assert_close(head, other)
        assert torch.equal(head, first) == (head is model.heads[2])
    for own, others in zip(balancing.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(own[:2], others)
        assert not own[2]


@every_balancing
def test_an_absent_task_comes_back(name: str) -> None:
    model = Made()
    balancing = started(name, model)
    for _ in range(3):
        losses, present = without_last(model)
        balancing.backward(losses, present)
        descend(model, balancing)
        balancing.end_epoch(losses.detach(), present)
    steps(balancing, model, 3)
    assert model.trunk.isfinite().all()
    assert not torch.equal(model.heads[2], Made().heads[2])


@every_balancing
@pytest.mark.parametrize("there", [0, 1])
def test_a_step_with_one_task_or_none(name: str, there: int) -> None:
    model, twin = Made(), Made()
    present = torch.arange(3) < there
    started(name, model).backward(torch.where(present, model.losses(), 0), present)
    if there:
        alone = made(name)
        alone.start(["a"], list(twin.parameters()), 0)
        alone.backward(twin.losses()[:1])
        torch.testing.assert_close(gradient_of(model.trunk), gradient_of(twin.trunk))
        assert gradient_of(model.trunk).any()
    else:
        assert not any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


@every_balancing
def test_to_say_that_all_are_present_is_to_say_nothing(name: str) -> None:
    first, second = Made(), Made()
    for model, present in ((first, None), (second, torch.ones(3, dtype=torch.bool))):
        balancing = started(name, model)
        for _ in range(3):
            balancing.backward(model.losses(), present)
            descend(model, balancing)
            balancing.end_epoch(model.losses().detach(), present)
    torch.testing.assert_close(first.trunk, second.trunk, rtol=1e-6, atol=1e-7)


@every_balancing
def test_backward_passes_are_counted(name: str) -> None:
    assert started(name, Made()).passes == (3 if name in GRADIENT else 1)


@every_balancing
@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_what_is_not_finite_stays_so_and_stops_nothing(name: str, factor: float) -> None:
    """So that the training ends as diverged, with its step, and not with an error from a solver."""
    model = Made()
    balancing = started(name, model)
    model.sizes = model.sizes * torch.tensor([1, factor, 1])
    backward(balancing, model)
    assert not gradient_of(model.trunk).isfinite().all()


@every_balancing
@pytest.mark.parametrize("kind", ["hard_sharing", "etr_nlp"])
def test_real_networks_train(name: str, kind: str) -> None:
    dataset = digits()
    architecture = made_architecture("linear", 0.5, strides=(2, 2), widths=(8, 8))
    weights = {"balancing": BalancingSettings(name=name, **({"weights": {"left": 3.0}} if name == "fixed" else {}))}
    model: nn.Module = build_model(architecture, dataset.tasks, dataset.input_shape, 0)
    if kind == "hard_sharing":
        model = PathNetwork(architecture.backbone, [(0, 0), (0, 0)], dataset.tasks, dataset.input_shape)
    training = Training(epochs=4, batch_size=50, learning_rate=2e-2, **weights)
    losses = [epoch.loss for epoch in Trainer(model, dataset.tasks, dataset, training, 0).epochs()]
    assert torch.tensor(losses).isfinite().all()
    assert losses[-1] < 0.97 * losses[0]
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@every_gradient_balancing
def test_rows_of_one_task_are_left_to_it_where_weights_lie_stacked(name: str) -> None:
    model = network("etr_nlp")
    parameters = list(model.parameters())
    each = task_gradients(losses_of(model), parameters)
    steps_taken = []
    for size in (1.0, 1024.0):
        balancing = made(name)
        balancing.start(["a", "b"], parameters, 0)
        balancing.backward(losses_of(model, (1.0, size)))
        steps_taken.append([gradient_of(parameter).clone() for parameter in parameters])
    stacked = 0
    for first, second, taken, changed in zip(*each, *steps_taken, strict=True):
        of_first, of_second = (
            gradient.flatten(1).any(dim=1) if gradient.ndim > 1 else gradient != 0 for gradient in (first, second)
        )
        only_first, only_second = of_first & ~of_second, of_second & ~of_first
        assert torch.equal(taken[only_first], first[only_first])
        assert torch.equal(changed[only_first], first[only_first])
        torch.testing.assert_close(changed[only_second], 1024 * second[only_second])
        stacked += bool(only_first.any()) and bool(only_second.any())
    assert stacked, "no parameter holds rows of both tasks"


@every_gradient_balancing
@pytest.mark.parametrize("kind", ["hard_sharing", "etr_nlp"])
def test_what_is_shared_gets_the_balanced_gradient(name: str, kind: str) -> None:
    """The step at the shared rows is what the algorithm makes of the Jacobian there."""
    model = network(kind)
    parameters = list(model.parameters())
    first, second = task_gradients(losses_of(model), parameters)
    shared = [
        a.flatten(1).any(dim=1) & b.flatten(1).any(dim=1) if a.ndim > 1 else (a != 0) & (b != 0)
        for a, b in zip(first, second, strict=True)
    ]
    jacobian = torch.stack(
        [torch.cat([one[rows].flatten() for one, rows in zip(of, shared, strict=True)]) for of in (first, second)]
    )
    balancing, twin = made(name), made(name)
    assert isinstance(twin, GradientBalancing)
    balancing.start(["a", "b"], parameters, 0)
    twin.start(["a", "b"], parameters, 0)
    balancing.backward(losses_of(model))
    taken = torch.cat([gradient_of(one)[rows].flatten() for one, rows in zip(parameters, shared, strict=True)])
    assert len(taken) > 100
    torch.testing.assert_close(taken, twin.aggregate(jacobian))
