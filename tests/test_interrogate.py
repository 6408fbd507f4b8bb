"""InterroGate: what holds by construction of its gates, its pruning and its penalty."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from made_networks import SHAPE, made_architecture, made_inputs, made_tasks, single_threaded
from made_problems import TRAINING, made_problem, solve
from mtl_search import cost
from mtl_search.datasets import Split, make_dataset
from mtl_search.errors import FieldError, UserError
from mtl_search.methods import MethodContext, make_method
from mtl_search.methods.interrogate import INITIALISATION, GatedTrainer, Interrogate, module_macs, prune
from mtl_search.methods.single_task import SingleTask
from mtl_search.networks.gated import GatedNetwork, Gates, open_gates
from mtl_search.networks.paths import PathNetwork
from mtl_search.networks.pruned import PrunedNetwork, kept_channels
from mtl_search.spaces.backbone import Backbone, Kind

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

EXACT = 1e-9

backbones = pytest.mark.parametrize(("kind", "stem"), [("plain", 0), ("plain", 5), ("residual", 0), ("residual", 5)])
counts = pytest.mark.parametrize("count", [1, 2, 3])


@pytest.fixture
def problem() -> MethodContext:
    """Tasks ``a`` and ``b``; a stem, two modules and one that strides."""
    return made_problem()


def short_backbone(kind: Kind, stem: int) -> Backbone:
    """Three modules, the second of them with an identity for a skip where they are residual; perhaps a stem."""
    return made_architecture(widths=(6, 6, 8), strides=(2, 1, 2), kind=kind, stem=stem, head_pool=2).backbone


def generic(model: nn.Module) -> nn.Module:
    """The network in evaluation mode, none of its values special: offsets, scales and statistics drawn by lot."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.startswith("gates") and value.ndim < 3:
                value.add_(0.3 * torch.rand(value.shape, generator=rng))
    return model.to(torch.float64).eval()


def gated(backbone: Backbone, count: int, share: float | Sequence[float], seed: int = 0) -> GatedNetwork:
    """A network of which every gate is open with a chance, one for all places or one for each."""
    model = GatedNetwork(backbone, made_tasks(count), SHAPE, seed)
    generic(model)
    rng = torch.Generator().manual_seed(seed)
    shares = [share] * len(model.gates) if isinstance(share, int | float) else share
    with torch.no_grad():
        for alpha, chance in zip(model.gates, shares, strict=True):
            alpha.copy_(torch.where(torch.rand(alpha.shape, generator=rng) < chance, 1.0, -1.0))
    return model


def path_network(backbone: Backbone, count: int, number: int | None) -> PathNetwork:
    """Every task by the modules of one number, or by its own where that is ``None``."""
    places = len(GatedNetwork(backbone, made_tasks(count), SHAPE).shapes)
    paths = [(task if number is None else number,) * places for task in range(count)]
    return PathNetwork(backbone, paths, made_tasks(count), SHAPE).to(torch.float64).eval()


@torch.no_grad()
def assert_same_outputs(
    one: nn.Module, other: nn.Module, only: Sequence[str] | None = None, limit: float = EXACT
) -> None:
    x = made_inputs(next(one.parameters()).dtype)
    got, expected = one(x, only), other(x, only)
    assert list(got) == list(expected)
    for task, output in expected.items():
        assert float(output.abs().max()) > 0.01
        torch.testing.assert_close(got[task], output, atol=limit, rtol=limit)


def assert_same_cost(one: nn.Module, other: nn.Module) -> None:
    assert cost.measure(one, SHAPE) == cost.measure(other, SHAPE)


def macs_by_formula(backbone: Backbone, gates: Gates, tasks: Sequence[Any]) -> int:
    """MACs of the convolutions whose outputs are read, and of the heads, counted place by place."""
    shapes = GatedNetwork(backbone, tasks, SHAPE).shapes
    _, height, width = SHAPE
    total = 0
    for shape, kept in zip(shapes, kept_channels(gates), strict=True):
        height, width = -(-height // shape.stride), -(-width // shape.stride)
        for made in (*map(len, kept.specific), len(kept.shared)):
            if made and shape.residual:
                total += height * width * 9 * (shape.inputs * shape.outputs + shape.outputs * made)
                projected = shape.stride != 1 or shape.inputs != shape.outputs
                total += height * width * shape.inputs * made * projected
            elif made:
                total += height * width * 9 * shape.inputs * made
    return total + sum(task.outputs for task in tasks) * shapes[-1].outputs * backbone.head_pool**2


@backbones
@counts
@pytest.mark.thin(3)
def test_all_gates_closed_is_hard_sharing(kind: Kind, stem: int, count: int) -> None:
    backbone = short_backbone(kind, stem)
    model = gated(backbone, count, share=0)
    hard = path_network(backbone, count, number=0)
    state = model.state_dict()
    shared = {name.replace("shared.", "", 1): value for name, value in state.items() if name.startswith("shared.")}
    shared = {f"places.{name[0]}.0{name[1:]}": value for name, value in shared.items()}
    heads = {name: value for name, value in state.items() if name.startswith("heads.")}
    hard.load_state_dict({**shared, **heads})
    pruned = prune(model)
    assert_same_outputs(model, hard)
    assert_same_outputs(pruned, hard)
    assert_same_cost(pruned, hard)


@backbones
@counts
@pytest.mark.thin(3)
def test_all_gates_open_is_one_network_per_task(kind: Kind, stem: int, count: int) -> None:
    backbone = short_backbone(kind, stem)
    model = gated(backbone, count, share=1)
    single = path_network(backbone, count, number=None)
    single.load_state_dict({name: v for name, v in model.state_dict().items() if name.startswith(("places", "heads"))})
    pruned = prune(model)
    assert_same_outputs(model, single)
    assert_same_outputs(pruned, single)
    assert_same_cost(pruned, single)
    assert not list(pruned.shared.parameters())
    assert not list(pruned.mixing.parameters())


@backbones
@counts
@pytest.mark.parametrize("share", [0.15, 0.5, 0.85, "by place"])
@pytest.mark.thin(5)
def test_pruned_is_masked(kind: Kind, stem: int, count: int, share: float | str) -> None:
    backbone = short_backbone(kind, stem)
    chances = [0, 1, 0.5, 0.5, 1][-(3 + bool(stem)) :] if isinstance(share, str) else share
    model = gated(backbone, count, chances)
    pruned = prune(model)
    assert_same_outputs(pruned, model)
    assert_same_outputs(pruned, model, only=(model.tasks[-1].name,))
    assert cost.count_macs(pruned, SHAPE) == macs_by_formula(backbone, model.chosen(), model.tasks)


@backbones
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_one_task_alone_costs_no_more_than_all(kind: Kind, stem: int, share: float, problem: MethodContext) -> None:
    pruned = prune(gated(short_backbone(kind, stem), 2, share))
    targets = {task.name: np.arange(8) % task.classes for task in made_tasks(2)}
    pictures = make_dataset("made", made_tasks(2), {"train": Split(np.zeros((8, *SHAPE), np.uint8), targets)})
    mean = Interrogate().macs_of_one_task(pruned, replace(problem, dataset=pictures))
    whole = cost.count_macs(pruned, SHAPE)
    assert mean == round(whole / 2) if share == 1 else whole / 2 < mean < whole


@backbones
def test_pruned_is_rebuilt_from_plain_data(kind: Kind, stem: int) -> None:
    backbone = short_backbone(kind, stem)
    model = gated(backbone, 2, 0.5)
    pruned = prune(model)
    gates = json.loads(json.dumps(model.chosen()))
    rebuilt = PrunedNetwork(backbone, gates, model.tasks, SHAPE).to(torch.float64).eval()
    rebuilt.load_state_dict(pruned.state_dict())
    assert_same_outputs(rebuilt, pruned)
    assert not [name for name in pruned.state_dict() if "gate" in name or "alpha" in name]


def test_what_nobody_reads_is_not_kept() -> None:
    """Two tasks, three places of two channels; the second place is all open, so nothing reads the mix of the first."""
    first, second, third = kept_channels([[[1, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 0], [0, 1]]])
    assert (first.specific, sorted(first.shared)) == (((0,), ()), [0, 1])
    assert (second.specific, second.shared) == (((0, 1), (0, 1)), ())
    assert (third.specific, sorted(third.shared)) == (((0,), (1,)), [0, 1])
    assert (first.mixes, second.mixes, third.mixes) == (False, True, False)


def test_a_branch_that_only_the_mix_reads_is_kept() -> None:
    """The second task has a channel of its own at the first place, and at the second one reads shared features only."""
    first, _ = kept_channels([[[1, 1], [1, 0]], [[1, 1], [0, 0]]])
    assert (sorted(first.specific[0]), first.specific[1], first.shared, first.mixes) == ([0, 1], (0,), (1,), True)


def test_gates_are_hard_forward_and_soft_backward() -> None:
    alpha = torch.tensor([-3.0, -0.001, 0.0, 0.4, 6.0], requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, 4.0, 5.0])
    chosen = open_gates(alpha)
    assert chosen.tolist() == [0, 0, 1, 1, 1]
    (got,) = torch.autograd.grad((chosen * weights).sum(), alpha)
    (expected,) = torch.autograd.grad((alpha.sigmoid() * weights).sum(), alpha)
    torch.testing.assert_close(got, expected)


@backbones
@counts
def test_everything_learns(kind: Kind, stem: int, count: int) -> None:
    model = gated(short_backbone(kind, stem), count, 0.5).train()
    sum(output.square().sum() for output in model(made_inputs()).values()).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not idle or (count == 1 and all(name.startswith(("mixing", "shared.0")) for name in idle))


def penalty_gradients(method: Interrogate, problem: MethodContext, model: GatedNetwork) -> list[list[float]]:
    """For each task, the gradient of the penalty at its gates, place by place: the values that occur in it."""
    gates = list(model.gates)
    found = torch.autograd.grad(method.sparsity(problem).penalty(gates), gates)
    return [[float(gradient[task].abs().max()) for gradient in found] for task in range(len(model.tasks))]


def test_a_task_under_its_target_gets_no_sparsity_gradient(problem: MethodContext) -> None:
    method = Interrogate(target={"a": 0.6, "b": 0.4})
    under, above = penalty_gradients(method, problem, method.build(problem))
    assert not any(under)
    assert all(above)


def test_no_target_is_l1(problem: MethodContext) -> None:
    hinge, l1 = Interrogate(target=0.0, sparsity_weight=3.0), Interrogate(target=0.7, penalty="l1", sparsity_weight=3.0)
    gates = list(l1.build(problem).gates)
    share = torch.stack([(alpha >= 0).double().mean() for alpha in gates]).mean().float()
    for method in (hinge, l1):
        torch.testing.assert_close(method.sparsity(problem).penalty(gates), 3 * share)


def test_places_are_weighed_by_their_macs(problem: MethodContext) -> None:
    macs = module_macs(problem.shapes, problem.input_shape)
    assert macs == [9 * 1 * 4 * 100, 9 * 4 * 6 * 100, 9 * 6 * 6 * 100, 9 * 6 * 8 * 25]
    sparsity = Interrogate(weigh_by="macs").sparsity(problem)
    assert sparsity.weights == pytest.approx([one / sum(macs) for one in macs])
    first_open = [[[int(place == 0)] * shape.outputs] * 2 for place, shape in enumerate(problem.shapes)]
    assert sparsity.shares(first_open)["a"] == pytest.approx(macs[0] / sum(macs))
    assert Interrogate().sparsity(problem).shares(first_open)["a"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("balancing", ["equal", "pcgrad"])
def test_the_penalty_reaches_the_gates_only(problem: MethodContext, balancing: str) -> None:
    """With it and without, the gradients of everything but the gates are the same."""
    if balancing == "pcgrad":
        pytest.importorskip("torchjd")
    problem = problem.with_training(balancing=type(TRAINING.balancing)(name=balancing))
    found: list[dict[str, torch.Tensor]] = []
    for weight in (0.0, 5.0):
        method = Interrogate(target=0.0, sparsity_weight=weight)
        trainer = GatedTrainer(method.build(problem), problem, method.sparsity(problem), method.gate_rate)
        trainer.backward(trainer.losses(*trainer.data.batch(slice(0, 16))))
        found.append({name: p.grad for name, p in trainer.model.named_parameters() if p.grad is not None})
    without, with_penalty = found
    gates = list(trainer.model.gates)
    slopes = torch.autograd.grad(method.sparsity(problem).penalty(gates), gates)
    expected = {f"gates.{place}": slope for place, slope in enumerate(slopes)}
    for name, gradient in with_penalty.items():
        added = gradient - without[name]
        torch.testing.assert_close(added, expected.get(name, torch.zeros_like(added)), atol=1e-6, rtol=1e-4)


def test_gates_have_a_rate_of_their_own_and_no_decay(problem: MethodContext) -> None:
    method = Interrogate(gate_rate=7.0)
    model = method.build(problem)
    trainer = GatedTrainer(model, problem, method.sparsity(problem), method.gate_rate)
    own = {id(parameter) for parameter in (*model.gates, *model.mixing)}
    groups = [group for group in trainer.optimiser.param_groups if own & {id(p) for p in group["params"]}]
    assert len(groups) == 1
    assert {id(p) for p in groups[0]["params"]} == own
    assert groups[0]["weight_decay"] == 0
    assert groups[0]["max_lr"] == pytest.approx(7 * TRAINING.learning_rate)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_pruned_is_masked_when_really_trained(problem: MethodContext, kind: Kind) -> None:
    problem = replace(problem, backbone=short_backbone(kind, 5))
    method = Interrogate(gate_rate=1.0, target=0.4)
    model = method.build(problem)
    list(GatedTrainer(model, problem, method.sparsity(problem), method.gate_rate).epochs())
    assert 0 < sum(method.sparsity(problem).shares(model.chosen()).values()) < 2
    pruned = prune(model.eval())
    x = torch.randn(16, *problem.input_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for task, output in pruned(x).items():
            torch.testing.assert_close(output, model(x)[task], atol=1e-5, rtol=1e-5)


def test_it_trains_single_task_networks_first_where_none_are_given(problem: MethodContext) -> None:
    first, alone = solve(Interrogate(), problem), solve(SingleTask(), problem)
    second = solve(Interrogate(), replace(problem, given=alone.trained.model.state_dict()))
    assert [epoch.phase for epoch in first.epochs] == [INITIALISATION] * 2 + ["training"] * 2
    assert [epoch.loss for epoch in first.epochs] == [epoch.loss for epoch in (*alone.epochs, *second.epochs)]
    assert [epoch.phase for epoch in second.epochs] == ["training"] * 2
    assert second.trained.details == first.trained.details


@pytest.mark.parametrize(("epochs", "part", "first"), [(4, 0.5, 2), (5, 0.5, 2), (4, 0.9, 3), (2, 0.1, 1)])
@pytest.mark.thin(3)
def test_phases_may_share_one_budget(problem: MethodContext, epochs: int, part: float, first: int) -> None:
    problem = replace(problem.with_training(epochs=epochs), given={"unused": torch.zeros(1)})
    solved, alone = solve(Interrogate(initialisation=part), problem), solve(SingleTask(), problem)
    phases = [epoch.phase for epoch in solved.epochs]
    assert phases == [INITIALISATION] * first + ["training"] * (epochs - first)
    assert sum(epoch.samples for epoch in solved.epochs) == sum(epoch.samples for epoch in alone.epochs)
    assert (Interrogate(initialisation=part).starts_from, Interrogate().starts_from) == ("", "single_task")


def test_one_epoch_cannot_be_shared_by_two_phases(problem: MethodContext) -> None:
    with pytest.raises(UserError, match=r"`options\.initialisation` needs at least 2 epochs"):
        solve(Interrogate(initialisation=0.5), problem.with_training(epochs=1))


def test_the_penalty_is_on_open_gates_or_on_sigmoids(problem: MethodContext) -> None:
    """Gates just open everywhere: a share of 1, or of half; they are pushed alike."""
    gates = [torch.full((2, shape.outputs), 1e-3, requires_grad=True) for shape in problem.shapes]
    shares: tuple[tuple[Literal["gates", "sigmoids"], float], ...] = (("gates", 1.0), ("sigmoids", 0.50025))
    slopes = []
    for share_of, share in shares:
        method = Interrogate(target=0.4, share_of=share_of, sparsity_weight=2.0)
        penalty = method.sparsity(problem).penalty(gates)
        assert penalty.item() == pytest.approx(2 * (share - 0.4), rel=1e-5)
        slopes.append(torch.autograd.grad(penalty, gates))
    for hard, soft in zip(*slopes, strict=True):
        torch.testing.assert_close(hard, soft)


def test_what_it_tells_is_plain_and_right(problem: MethodContext) -> None:
    trained = solve(Interrogate(target={"b": 0.5, "a": 0.25}), problem).trained
    details = json.loads(json.dumps(trained.details))
    assert details == trained.details
    assert list(details["targets"].items()) == [("a", 0.25), ("b", 0.5)]
    layers = ["stem", "layer 0", "layer 1", "layer 2"]
    for task, shares in details["share"].items():
        assert list(shares) == layers
        assert details["mean_share"][task] == pytest.approx(sum(shares.values()) / 4)
        assert len(details["share_path"][task]) == 2
        assert details["share_path"][task][-1] == details["mean_share"][task]
    model = trained.model
    assert isinstance(model, PrunedNetwork)
    assert kept_channels([[details["gates"][task][layer] for task in "ab"] for layer in layers]) == model.kept
    assert list(details["shared_channels"].values()) == [len(kept.shared) for kept in model.kept]


def test_a_branch_starts_from_given_weights(problem: MethodContext) -> None:
    given = {name: value + 1 for name, value in SingleTask().build(problem).state_dict().items()}
    for start, matches in (("fresh", False), ("mean", True)):
        method = Interrogate(shared_start=start)
        model = method.build(problem)
        method.start(model, given)
        state = model.state_dict()
        assert all(torch.equal(state[name], value) for name, value in given.items())
        mean = (given["places.1.0.convolutions.0.weight"] + given["places.1.1.convolutions.0.weight"]) / 2
        assert torch.allclose(state["shared.1.convolutions.0.weight"], mean) == matches


def test_a_stronger_penalty_shares_more(problem: MethodContext) -> None:
    shares = []
    for target in (0.0, 1.0):
        method = Interrogate(target=target, gate_rate=100.0, sparsity_weight=30.0)
        shares.append(solve(method, problem).trained.details["mean_share"]["a"])
    assert shares[0] < 0.2 < 0.4 < shares[1]


def test_targets_must_be_those_of_the_tasks(problem: MethodContext) -> None:
    with pytest.raises(FieldError, match="`target` must be a number, or have one for each of a, b"):
        Interrogate(target={"a": 0.5}).build(problem)
    with pytest.raises(UserError, match=r"options\.target"):
        make_method("interrogate", {"target": 1.5})
