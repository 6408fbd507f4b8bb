"""CoNAL: its rule for conflicts, the steps of its search, and what it finds for tasks made opposed or equal."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from made_networks import single_threaded
from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.errors import UserError
from mtl_search.internal.gradients import task_gradients
from mtl_search.methods import MethodContext, TrainedModel, make_method
from mtl_search.methods._bilevel import BilevelSearch
from mtl_search.methods._conflicts import resolve_conflicts
from mtl_search.methods._search_log import SearchLog
from mtl_search.methods.conal import CoNAL
from mtl_search.networks.paths import Path
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Classification
from mtl_search.training.held_out import divided
from mtl_search.training.trainer import Epoch

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

OPPOSED = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, 1.0], [3.0, 1.0]], dtype=torch.float64)
"""Tasks 0 and 1 conflict, and 1 and 3; 2 agrees with all."""
AGREED = torch.tensor([[1.0, 2.0], [2.0, 0.0], [3.0, 1.0]], dtype=torch.float64)


def made_dataset(kind: str, seed: int, samples: int = 640, tasks: int = 2) -> Dataset:
    """Images of one pixel and two channels. Equal tasks all tell the sign of one channel, opposed ones take turns."""
    rng = np.random.default_rng(seed)
    inputs = rng.integers(0, 256, size=(samples, 2, 1, 1), dtype=np.uint8)
    signs = (inputs.reshape(samples, 2) > 127).astype(np.int64)
    names = "abcde"[:tasks]
    targets = {name: signs[:, number % 2 if kind == "opposed" else 0] for number, name in enumerate(names)}
    return make_dataset("made", tuple(Classification(name, 2) for name in names), {"train": Split(inputs, targets)})


def made_problem(
    kind: str = "opposed", seed: int = 0, *, tasks: int = 2, widths: tuple[int, ...] = (3, 4), **training: Any
) -> MethodContext:
    settings = Training(batch_size=32, learning_rate=1e-2, device="cpu", **training)
    return MethodContext(
        Backbone(tuple(Stage(width) for width in widths)), made_dataset(kind, seed, tasks=tasks), settings, seed
    )


def made_search(problem: MethodContext, epochs: int = 1, **options: Any) -> BilevelSearch:
    """A search in float64, moved off its start, where heads are zero and private modules are copies of the trunk."""
    method = CoNAL(**options)
    model = method.build(problem)
    rng = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if not name.startswith("alpha."):
            parameter.data += 0.5 * torch.randn(parameter.shape, generator=rng)
    return method.search(problem, model.double(), epochs)


def made_losses(search: BilevelSearch) -> Tensor:
    inputs, targets = search.data.batch(slice(0, 32))
    return search.losses(inputs.double(), targets)


def found_by(problem: MethodContext, **options: Any) -> tuple[list[Path], SearchLog]:
    """The outcome of a search, without the training after it."""
    method, log = CoNAL(**options), SearchLog([shape.name for shape in problem.shapes])
    steps = method._find(problem, log)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, log


def run(method: CoNAL, problem: MethodContext) -> tuple[list[Epoch], TrainedModel]:
    epochs, steps = [], method.train(problem)
    while True:
        try:
            epochs.append(next(steps))
        except StopIteration as end:
            return epochs, end.value


def trunk_of(search: BilevelSearch) -> list[list[torch.nn.Parameter]]:
    return [list(search.network.module(place).parameters()) for place in search.trunk.shared]


def is_zero(parameters: list[torch.nn.Parameter]) -> bool:
    return all(parameter.grad is not None and not bool(parameter.grad.any()) for parameter in parameters)


@pytest.mark.parametrize(
    ("gradients", "conflict", "expected"),
    [
        (OPPOSED[:1], "module", [1.0, 0.0]),
        (OPPOSED[:2], "module", [0.0, 0.0]),
        (OPPOSED, "module", [0.0, 0.0]),
        (AGREED, "module", [2.0, 1.0]),
        (OPPOSED[[0, 2]], "module", [0.5, 0.5]),
        (OPPOSED[:1], "pair", [1.0, 0.0]),
        (OPPOSED[:2], "pair", [0.0, 0.0]),
        (OPPOSED, "pair", [0.0, 0.25]),
        (AGREED, "pair", [2.0, 1.0]),
        (OPPOSED, "none", [0.75, 0.75]),
    ],
)
def test_conflicts_are_resolved_by_their_definition(gradients: Tensor, conflict: Any, expected: list[float]) -> None:
    assert torch.allclose(resolve_conflicts(gradients, conflict), torch.tensor(expected, dtype=torch.float64))


def test_tasks_at_right_angles_do_not_conflict() -> None:
    assert resolve_conflicts(torch.eye(2)).tolist() == [0.5, 0.5]


def test_what_belongs_to_one_task_gets_exactly_its_gradient() -> None:
    search = made_search(made_problem(), clip=None)
    search.backward(made_losses(search))
    written = [[parameter.grad for parameter in own] for own in search.trunk.specific]
    for task, own in enumerate(search.trunk.specific):
        alone = task_gradients(made_losses(search)[task : task + 1], own)[0]
        assert sum(bool(gradient.any()) for gradient in alone) == len(own)
        for gradient, expected in zip(written[task], alone, strict=True):
            assert gradient is not None
            assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["opposed", "equal"])
def test_the_trunk_gets_the_resolved_gradient_of_each_module(kind: str) -> None:
    search = made_search(made_problem(kind), clip=None)
    trunk = trunk_of(search)
    search.backward(made_losses(search))
    written = [torch.cat([parameter.grad.flatten() for parameter in module]) for module in trunk]
    for module, gradient in zip(trunk, written, strict=True):
        rows = task_gradients(made_losses(search), module)
        jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
        assert torch.allclose(gradient, 2 * resolve_conflicts(jacobian), rtol=1e-10, atol=1e-14)


def test_without_conflicts_the_step_is_that_of_plain_training() -> None:
    search = made_search(made_problem(), conflict="none", clip=None)
    made_losses(search).sum().backward()
    plain = [parameter.grad.clone() for parameter in search.parameters]
    search.optimiser.zero_grad(set_to_none=True)
    search.backward(made_losses(search))
    assert all(torch.equal(p.grad, expected) for p, expected in zip(search.parameters, plain, strict=True))


def test_the_gradient_is_clipped() -> None:
    search = made_search(made_problem(), clip=1e-3)
    search.backward(made_losses(search))
    assert float(torch.stack([p.grad.norm() for p in search.parameters]).norm()) == pytest.approx(1e-3, rel=1e-2)


def opposed_at_the_first_module(search: BilevelSearch) -> Tensor:
    """Losses that conflict at the first module of the trunk and agree at the second."""
    first, second = (sum((p**2).sum() for p in module) for module in trunk_of(search))
    own = [sum((p**2).sum() for p in own) for own in search.trunk.specific]
    return torch.stack([first + second + own[0], second - first + own[1]])


@pytest.mark.parametrize("carry", [False, True])
def test_a_conflict_is_carried_to_deeper_modules_if_asked(carry: bool) -> None:
    search = made_search(made_problem(), carry=carry, clip=None)
    search.backward(opposed_at_the_first_module(search))
    first, second = trunk_of(search)
    assert is_zero(first)
    assert is_zero(second) is carry


@pytest.mark.parametrize("on_conflict", ["zero", "skip"])
def test_only_a_skipped_module_stays_as_it_is(on_conflict: str) -> None:
    """Weight decay moves what has a gradient of zeros."""
    search = made_search(made_problem(weight_decay=0.3), on_conflict=on_conflict)
    first, second = trunk_of(search)
    before = [[parameter.detach().clone() for parameter in module] for module in (first, second)]
    search.backward(opposed_at_the_first_module(search))
    search.optimiser.step()
    same = [torch.equal(parameter, old) for parameter, old in zip(first, before[0], strict=True)]
    assert all(same) is (on_conflict == "skip")
    assert not torch.equal(second[0], before[1][0])


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel"])
def test_the_step_of_alpha_is_the_gradient_through_the_whole_network(relaxation: str) -> None:
    """Features are not differentiated for it; the gradient of the full graph is the same."""
    problem = made_problem()
    searches = [made_search(problem, relaxation=relaxation) for _ in range(2)]
    inputs, targets = searches[0].held_out.batch(slice(0, 32))
    searches[0].step_alpha(inputs.double(), targets)
    alpha = [strength.detach().clone().fill_(1).requires_grad_() for strength in searches[1].network.alpha]
    outputs = searches[1].network(inputs.double(), shares=searches[1].shares(alpha))
    expected = torch.autograd.grad(searches[1].losses_of(outputs, targets).sum(), alpha)
    for strength, gradient in zip(searches[0].network.alpha, expected, strict=True):
        assert bool(gradient.any())
        assert strength.grad is not None
        assert torch.allclose(strength.grad, gradient, rtol=1e-8, atol=1e-12)


def test_alpha_does_not_move_in_the_step_of_the_weights() -> None:
    search = made_search(made_problem())
    search.backward(made_losses(search))
    search.optimiser.step()
    assert all(strength.tolist() == [1.0] * 3 for strength in search.network.alpha)


def test_gumbel_reads_one_candidate_at_a_time() -> None:
    search = made_search(made_problem(), relaxation="gumbel")
    drawn = [share.tolist() for _ in range(20) for share in search.shares(list(search.network.alpha))]
    assert all(sorted(share) == pytest.approx([0, 0, 1]) for share in drawn)
    assert len({share.index(max(share)) for share in drawn}) == 3


def test_held_out_samples_are_drawn_from_the_training_samples_by_seed() -> None:
    dataset = made_dataset("opposed", 0, samples=100)
    one, again, other = (divided(dataset, 0.2, seed) for seed in (0, 0, 1))
    assert (len(one.splits["train"]), len(one.splits["val"])) == (80, 20)
    assert np.array_equal(one.splits["val"].inputs, again.splits["val"].inputs)
    assert not np.array_equal(one.splits["val"].inputs, other.splits["val"].inputs)
    together = one.splits["train"] + one.splits["val"]
    assert np.array_equal(np.sort(together.inputs, axis=None), np.sort(dataset.splits["train"].inputs, axis=None))


def test_macs_are_those_of_the_passes() -> None:
    """Nine taps at the one pixel. A task's second private module runs for two branch points, the first for one."""
    problem = made_problem()
    first, second, head = 9 * 2 * 3, 9 * 3 * 4, 4 * 2
    trunk, private, heads = first + second, 2 * (first + 2 * second), 2 * head
    forward = trunk + private + heads
    by_task = 2 * trunk + private + heads
    assert made_search(problem).macs_per_sample == forward + 2 * by_task + forward + heads
    assert made_search(problem, conflict="none").macs_per_sample == 3 * forward + forward + heads


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.thin(3)
def test_opposed_tasks_end_apart_at_once(seed: int) -> None:
    """The first module has one channel, which cannot serve both."""
    paths, log = found_by(made_problem("opposed", seed, widths=(1, 4), epochs=9), alpha_rate=0.02)
    assert paths[0][0] != paths[1][0]
    assert max(epoch["layer 0"] for epoch in log.conflicts[4:]) > 0.5
    assert log.conflicts[:4] == [{}] * 4


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.thin(3)
def test_equal_tasks_end_fully_shared(seed: int) -> None:
    paths, log = found_by(made_problem("equal", seed, widths=(1, 4), epochs=9), alpha_rate=0.02)
    assert paths == [(0, 0), (0, 0)]
    assert all(rate == 0 for epoch in log.conflicts for rate in epoch.values())


@pytest.mark.slow
def test_equal_tasks_end_fully_shared_however_long_the_search() -> None:
    """Alpha alone drifts: with this seed it would have the tasks leave."""
    problem = made_problem("equal", seed=1, widths=(1, 4), epochs=27)
    shared, _ = found_by(problem, alpha_rate=0.02)
    assert shared == [(0, 0), (0, 0)]
    alone, _ = found_by(problem, alpha_rate=0.02, least_conflict=0)
    assert alone != shared


def test_tasks_leave_for_modules_of_conflict_only() -> None:
    method = CoNAL(least_conflict=0.1)
    assert [method._with_reason(place, [0.5, 0.0, 0.2, 0.05]) for place in range(5)] == [0, 2, 2, 4, 4]
    assert CoNAL(least_conflict=0)._with_reason(1, [0.0, 0.0]) == 1


def test_sharing_wins_within_the_margin() -> None:
    shares = [0.5, 0.3, 0.2]
    assert [CoNAL(margin=margin)._choice(shares) for margin in (0, 0.3, 0.5, 0.7)] == [0, 0, 1, 2]
    assert CoNAL()._choice([0.4, 0.4, 0.2]) == 1


def test_a_run_searches_and_then_trains_what_it_found() -> None:
    problem = made_problem(epochs=2)
    epochs, finished = run(CoNAL(search_epochs=1), problem)
    assert [(epoch.phase, epoch.number) for epoch in epochs] == [("search", 1), ("training", 1), ("training", 2)]
    assert [epoch.samples for epoch in epochs] == [2 * 512, 640, 640]
    assert all(epoch.macs > 0 for epoch in epochs)
    details = json.loads(json.dumps(finished.details))
    assert details["places"] == ["layer 0", "layer 1"]
    assert [[len(share) for share in of_epoch] for of_epoch in details["alpha"]] == [[3, 3]]
    assert len(details["conflicts"]) == 1
    assert set(details["conflicts"][0]) == {"layer 0", "layer 1"}
    assert {name: list(path) for name, path in finished.model.paths.items()} == details["paths"]
    for name, path in details["paths"].items():
        assert details["branch_points"][name] == path.count(0)


def test_alpha_waits_while_the_trunk_learns_as_under_hard_sharing() -> None:
    epochs, finished = run(CoNAL(search_epochs=5, alpha_rate=0.02), made_problem(widths=(1, 4), epochs=1))
    samples = [epoch.samples for epoch in epochs if epoch.phase == "search"]
    assert samples == [512, 512, 1024, 1024, 1024]
    details = finished.details
    assert [len(rates) for rates in details["conflicts"]] == [0, 0, 2, 2, 2]
    assert details["frozen"][:2] == [0, 0]
    assert all(0.25 < frozen <= 1 for frozen in details["frozen"][2:])
    assert details["margins"][:2] == [[0, 0], [0, 0]]
    first, *_, last = details["margins"][2:]
    assert all(0 < early < late for early, late in zip(first, last, strict=True))
    assert details["margin"] == last


def test_the_gradient_of_the_trunk_is_the_sum_while_alpha_waits() -> None:
    problem, method = made_problem(), CoNAL(clip=None)
    search = method.search(problem, method.build(problem), 2, waits=1)
    (first, _), sizes = trunk_of(search), torch.tensor([1.0, 3.0])
    search.backward(sizes * opposed_at_the_first_module(search))
    written = [parameter.grad for parameter in first]
    expected = torch.autograd.grad((sizes * opposed_at_the_first_module(search)).sum(), first)
    assert not is_zero(first)
    assert all(torch.equal(one, other) for one, other in zip(written, expected, strict=True) if one is not None)


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "epochs", "stages"), [(4, 6, 0), (5, 6, 3), (5, 3, 3), (5, 2, 0)])
def test_more_than_four_tasks_are_searched_progressively_where_epochs_allow(
    tasks: int, epochs: int, stages: int
) -> None:
    problem = made_problem("opposed", tasks=tasks, widths=(1, 1, 1), epochs=1)
    _, finished = run(CoNAL(search_epochs=epochs, least_conflict=0), problem)
    assert bool(finished.details["stages"]) is bool(stages)
    if stages:
        waits = min(epochs // 2, epochs - 3)
        assert sum(stage["epochs"] for stage in finished.details["stages"]) <= epochs
        assert finished.details["stages"][0]["epochs"] == waits + (epochs - waits) // 3
        assert finished.details["conflicts"][:waits] == [{}] * waits
        assert finished.details["conflicts"][waits]


def test_the_progressive_search_has_two_branches_and_makes_subgroups() -> None:
    problem = made_problem(tasks=4, widths=(1, 3, 4), epochs=3)
    epochs, finished = run(CoNAL(progressive=True, search_epochs=6, alpha_rate=0.05), problem)
    assert [epoch.number for epoch in epochs if epoch.phase == "search"][-1] <= 6
    details = json.loads(json.dumps(finished.details))
    assert all(len(share) <= 2 for of_epoch in details["alpha"] for share in of_epoch)
    assert [stage["place"] for stage in details["stages"]] == ["layer 2", "layer 1", "layer 0"][
        : len(details["stages"])
    ]
    stayed = [name for stage in details["stages"] for name in stage["stayed"]]
    assert len(stayed) == len(set(stayed))
    for stage in details["stages"]:
        assert len({tuple(details["paths"][name]) for name in stage["stayed"]}) <= 1
    alone = [tuple(path) for name, path in details["paths"].items() if name not in stayed]
    assert len(alone) == len(set(alone))


def test_a_progressive_search_needs_an_epoch_for_each_place() -> None:
    with pytest.raises(UserError, match="at least the 2 modules"):
        run(CoNAL(progressive=True, search_epochs=1), made_problem())


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UserError, match=r"options\.validation"):
        make_method("conal", {"validation": 1.0})
