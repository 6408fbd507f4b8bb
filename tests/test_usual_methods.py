"""The usual methods one by one, and the networks they share: what is true of each by construction."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from made_networks import SHAPE, made_inputs, made_tasks, single_threaded, weighted_sum
from made_problems import made_backbone, made_dataset, made_problem, solve
from mtl_search import cost
from mtl_search.errors import UserError
from mtl_search.methods import MethodContext, make_method
from mtl_search.methods.cross_stitch import CrossStitch, Stitch
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.methods.learning_to_branch import LearningToBranch, likeliest_paths, ties
from mtl_search.methods.mtan import MTAN, Attention
from mtl_search.methods.recon import ConflictCounter, Recon, conflicting_pairs, worst
from mtl_search.methods.single_task import SingleTask
from mtl_search.networks.paths import Path, PathNetwork, stage_places
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.training.trainer import Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

both_kinds = pytest.mark.parametrize("kind", ["plain", "residual"])
with_and_without_stem = pytest.mark.parametrize("stem", [0, 4])

PLACES = 4
"""Of a made backbone with a stem: the stem, two layers of the first stage, one of the second."""


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """Every trainer that is made in the test."""
    found: list[Trainer] = []
    make = Trainer.__init__

    def made(trainer: Trainer, *args: object, **kwargs: object) -> None:
        make(trainer, *args, **kwargs)
        found.append(trainer)

    monkeypatch.setattr(Trainer, "__init__", made)
    return found


def inputs_for(problem: MethodContext) -> Tensor:
    return made_inputs(torch.float32, batch=12, shape=problem.input_shape)


def assert_same_outputs(one: nn.Module, other: nn.Module, problem: MethodContext) -> None:
    """In training mode, and then in evaluation mode with the statistics of that pass."""
    for training in (True, False):
        found, expected = (model.train(training)(inputs_for(problem)) for model in (one, other))
        assert list(found) == list(expected)
        for name, output in expected.items():
            torch.testing.assert_close(found[name], output)


def assert_same_state(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert list(one) == list(other)
    for name, value in other.items():
        assert torch.equal(one[name], value), name


def modules_at_places(model: PathNetwork) -> list[int]:
    return [len(place) for place in model.places]


def module_at(model: PathNetwork, place: int, number: int) -> nn.Module:
    of_place = model.places[place]
    assert isinstance(of_place, nn.ModuleDict)
    return of_place[str(number)]


def features_of_heads(model: PathNetwork, x: Tensor) -> list[Tensor]:
    """What the heads read in a forward pass."""
    read: list[Tensor] = []
    for head in model.heads:
        head.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    model(x)
    return read


def logits_for(parents: list[list[int]]) -> Tensor:
    """Logits, not all of one size, whose largest are at these parents."""
    tasks = len(parents[0])
    drawn = torch.rand(len(parents), tasks, tasks, generator=torch.Generator().manual_seed(0))
    return drawn.scatter_add(2, torch.tensor(parents)[:, :, None], torch.full((len(parents), tasks, 1), 2.0))


class Opposed(ConflictCounter):
    """The second task wants the opposite of the first."""

    sign = -1

    def losses(self, inputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        first = super().losses(inputs, targets)[0]
        return torch.stack([first, self.sign * first])


class Agreeing(Opposed):
    """Both tasks want the same."""

    sign = 1


# Ordinary networks


@both_kinds
@with_and_without_stem
@pytest.mark.parametrize("multiplier", [1.0, 1.5])
def test_hard_sharing_costs_what_convolutions_shared_by_all_cost(kind: Kind, stem: int, multiplier: float) -> None:
    backbone = Backbone((Stage(6, 2), Stage(8, 1, 2), Stage(8, 1, 3)), kind, stem, 1 + bool(stem), 2)
    problem = MethodContext(backbone, made_dataset(made_tasks(3), side=17), width_multiplier=multiplier)
    layers = (LayerChoice("conv", 1.0),) * backbone.layers
    expected = cost.estimate(Architecture(backbone, layers, multiplier), problem.tasks, problem.input_shape)
    assert cost.measure(HardSharing().build(problem), problem.input_shape) == expected


@both_kinds
def test_networks_for_single_tasks_cost_as_many_times_as_much(kind: Kind) -> None:
    together = made_problem(3, kind)
    alone = [MethodContext(together.backbone, made_dataset([task])) for task in together.tasks]
    each = [cost.measure(HardSharing().build(problem), problem.input_shape) for problem in alone]
    assert cost.measure(SingleTask().build(together), together.input_shape) == sum(each, cost.Cost())


@both_kinds
@pytest.mark.parametrize("task", [0, 1])
def test_single_tasks_trained_together_are_as_trained_alone(kind: Kind, task: int) -> None:
    problem = made_problem(2, kind)
    alone = MethodContext(problem.backbone, problem.dataset, problem.training)
    together = SingleTask().build(problem)
    single = PathNetwork(problem.backbone, [(task,) * PLACES], [problem.tasks[task]], problem.input_shape)
    single.heads[0].load_state_dict(together.heads[task].state_dict())
    only = Trainer(single, (problem.tasks[task],), alone.dataset, alone.training, problem.seed)
    for model in (problem.trainer(together), only):
        list(model.epochs())
    for place in range(PLACES):
        found, expected = module_at(together, place, task), module_at(single, place, task)
        assert_same_state(found.state_dict(), expected.state_dict())
    assert_same_state(together.heads[task].state_dict(), single.heads[0].state_dict())


@both_kinds
def test_a_shared_module_behind_separate_ones_has_statistics_for_each_way(kind: Kind) -> None:
    backbone, tasks = made_backbone(kind), made_tasks(2)
    paths: list[Path] = [(0, 0, 0, 0), (0, 1, 0, 0)]
    x = made_inputs(torch.float32)
    model = PathNetwork(backbone, paths, tasks, SHAPE)
    outputs = model(x)
    assert modules_at_places(model) == [1, 2, 1, 1]
    for number, (task, path) in enumerate(zip(tasks, paths, strict=True)):
        alone = PathNetwork(backbone, [path], [task], SHAPE)
        alone.heads[0].load_state_dict(model.heads[number].state_dict())
        torch.testing.assert_close(outputs[task.name], alone(x)[task.name])
        for place in (2, 3):
            expected = dict(module_at(alone, place, 0).named_buffers())
            for name, buffer in module_at(model, place, 0).named_buffers():
                torch.testing.assert_close(buffer.chunk(2)[number], expected[name])
    means = module_at(model, 2, 0).get_buffer("norms.0.running_mean").chunk(2)
    assert not torch.equal(*means)


@pytest.mark.parametrize(("stem", "expected"), [(0, [[0, 1], [2]]), (4, [[1, 2], [3]])])
def test_stages_are_found_behind_the_stem(stem: int, expected: list[list[int]]) -> None:
    assert [list(stage) for stage in stage_places(made_backbone(stem=stem))] == expected


# Cross-stitch


@both_kinds
@with_and_without_stem
def test_cross_stitch_by_the_identity_is_a_network_for_each_task(kind: Kind, stem: int) -> None:
    problem = made_problem(3, kind, stem)
    assert_same_outputs(CrossStitch(self_weight=1.0).build(problem), SingleTask().build(problem), problem)


def test_cross_stitch_with_equal_weights_gives_all_heads_the_same_features() -> None:
    problem = made_problem(3)
    for self_weight, same in ((1 / 3, True), (0.9, False)):
        read = features_of_heads(CrossStitch(self_weight=self_weight).build(problem), inputs_for(problem))
        assert len(read) == 3
        assert all(torch.allclose(features, read[0], atol=1e-6) for features in read) is same


def test_a_unit_mixes_by_its_matrix_channel_by_channel() -> None:
    unit = Stitch(tasks=3, weights=5, self_weight=0.8)
    assert torch.allclose(unit.weight.sum(dim=1), torch.ones(3, 5))
    assert torch.allclose(unit.weight[0, :, 0], torch.tensor([0.8, 0.1, 0.1]))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        unit.weight.copy_(torch.randn(3, 3, 5, generator=rng))
    features = torch.randn(3, 2, 5, 4, 4, generator=rng)
    expected = torch.einsum("tsc,sbchw->tbchw", unit.weight, features)
    for task in range(3):
        torch.testing.assert_close(unit(list(features), task), expected[task])


def test_units_stand_before_stages_and_heads_with_a_matrix_for_each_channel_or_one() -> None:
    problem = made_problem(2)
    channels = {"1": 4, "3": 6, "4": 8}
    model = CrossStitch().build(problem)
    assert {place: stitch.weight.shape for place, stitch in model.stitches.items()} == {
        place: (2, 2, count) for place, count in channels.items()
    }
    one = CrossStitch(per_channel=False).build(problem)
    assert {stitch.weight.shape for stitch in one.stitches.values()} == {(2, 2, 1)}
    assert list(model.matrices()) == ["layer 0", "layer 2", "heads"]
    assert list(CrossStitch().build(made_problem(2, stem=0)).matrices()) == ["layer 2", "heads"]


def test_matrices_have_a_rate_of_their_own_and_no_decay(trainers: list[Trainer]) -> None:
    model = solve(CrossStitch(rate=7.0), made_problem(schedule="cosine")).trained.model
    group = trainers[0].optimiser.param_groups[-1]
    stitched = [one for name, one in model.named_parameters() if "stitches" in name]
    assert {id(one) for one in group["params"]} == {id(one) for one in stitched}
    assert group["weight_decay"] == 0
    assert group["initial_lr"] == pytest.approx(7 * trainers[0].settings.learning_rate)
    with pytest.raises(UserError, match=r"`options\.self_weight` must be less than or equal to 1"):
        make_method("cross_stitch", {"self_weight": 2})


def test_a_loss_of_one_task_reaches_the_networks_of_the_others_through_the_mixing() -> None:
    problem = made_problem(2)
    for self_weight, reached in ((0.9, True), (1.0, False)):
        model = CrossStitch(self_weight=self_weight).build(problem)
        weighted_sum({"a": model(inputs_for(problem))["a"]}).backward()
        grad = next(module_at(model, 0, 1).parameters()).grad
        assert (grad is not None and bool(grad.any())) is reached


# MTAN


@both_kinds
@with_and_without_stem
def test_masks_lie_between_0_and_1_and_differ_by_task(kind: Kind, stem: int) -> None:
    problem = made_problem(2, kind, stem)
    model = MTAN().build(problem)
    masks: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda _, given, made: masks.append(made))
    with torch.no_grad():
        model(inputs_for(problem))
    assert [mask.shape[1] for mask in masks] == [6, 6, 8, 8]
    assert all(0 < float(mask.min()) < float(mask.max()) < 1 for mask in masks)
    assert not torch.allclose(masks[0], masks[1])
    assert not torch.allclose(masks[2], masks[3])


@both_kinds
@with_and_without_stem
def test_where_masks_are_saturated_mtan_is_its_trunk(kind: Kind, stem: int) -> None:
    problem = made_problem(2, kind, stem)
    model = MTAN().build(problem)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Attention):
                module.second_norm.weight.zero_()
                module.second_norm.bias.fill_(40.0)
    assert_same_outputs(model, HardSharing().build(problem), problem)


def test_a_mask_reads_what_its_task_attended_to_before() -> None:
    """Heads read the last stage only: a change of the first mask reaches them through the second one."""
    problem = made_problem(2)
    model = MTAN().build(problem).eval()
    before = model(inputs_for(problem))
    first = model.masks[0]
    assert isinstance(first, nn.ModuleList)
    with torch.no_grad():
        first[1].second_norm.bias.add_(1.0)  # type: ignore[union-attr, operator]
    after = model(inputs_for(problem))
    assert torch.equal(before["a"], after["a"])
    assert not torch.allclose(before["b"], after["b"])


# Learning to Branch


def test_the_likeliest_parents_make_the_paths() -> None:
    # Parents of the modules at places 1 and 2, then of the heads. Task 0: 2 <- 1 <- 0; task 1: 0 <- 0 <- 1;
    # task 2: 2 <- 1 <- 0. So the first and the last task share all; modules 1 at place 2 and 2 at place 1 are unused.
    logits = logits_for([[1, 0, 2], [0, 2, 1], [2, 0, 2]])
    assert likeliest_paths(logits) == [(0, 0, 0), (1, 1, 1), (0, 0, 0)]


def test_branches_join_towards_the_input() -> None:
    logits = logits_for([[2, 2, 0], [1, 0, 0], [0, 1, 2]])
    assert likeliest_paths(logits) == [(0, 0, 0), (0, 1, 1), (0, 1, 2)]
    assert likeliest_paths(torch.zeros(3, 3, 3)) == [(0, 0, 0)] * 3


@both_kinds
def test_unreachable_modules_are_dropped_and_the_rest_computes_the_same(kind: Kind) -> None:
    problem = made_problem(3, kind)
    network = LearningToBranch().build(problem)
    network(inputs_for(problem))
    with torch.no_grad():
        network.logits.copy_(logits_for([[0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 1, 1]]))
    paths = likeliest_paths(network.logits)
    assert paths == [(0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 1, 1)]
    tree = problem.path_network(paths)
    assert modules_at_places(tree) == [1, 1, 2, 2]
    tree.load_state_dict({name: value for name, value in network.state_dict().items() if name in tree.state_dict()})
    found, expected = (model.eval()(inputs_for(problem)) for model in (tree, network))
    for name, output in expected.items():
        torch.testing.assert_close(found[name], output)


def test_parents_are_drawn_with_their_probabilities() -> None:
    network = LearningToBranch().build(made_problem(2))
    network.temperature = 3.0
    with torch.no_grad():
        network.logits[0, 0] = torch.tensor([0.8, 0.2]).log()
    drawn = torch.stack([network._drawn().detach() for _ in range(3000)])
    assert torch.allclose(drawn.sum(dim=3), torch.ones(()))
    assert set(drawn.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    assert float(drawn[:, 0, 0, 0].mean()) == pytest.approx(0.8, abs=0.03)
    assert float(drawn[:, 1, 0, 0].mean()) == pytest.approx(0.5, abs=0.03)


def test_the_search_counts_all_modules_and_ends_at_the_last_temperature(trainers: list[Trainer]) -> None:
    problem = made_problem(2)
    method = LearningToBranch(search_epochs=3, first_temperature=4.0, last_temperature=0.25)
    solved = solve(method, problem)
    search, training = trainers
    assert (search.phase, search.settings.epochs) == ("search", 3)
    assert (training.phase, training.settings.epochs) == ("training", 2)
    assert [epoch.phase for epoch in solved.epochs] == ["search"] * 3 + ["training"] * 2
    assert getattr(search.model, "temperature") == pytest.approx(0.25)  # noqa: B009
    all_modules = cost.count_macs(SingleTask().build(problem), problem.input_shape)
    assert [epoch.macs for epoch in solved.epochs[:3]] == [3 * all_modules * 64] * 3
    probabilities = solved.trained.details["parent_probabilities"]
    assert len(probabilities) == 3
    assert list(probabilities[0]) == ["layer 0", "layer 1", "layer 2", "heads"]
    margins = solved.trained.details["parent_margins"]
    assert margins[-1]["heads"] == [pytest.approx(abs(a - b), abs=1e-4) for a, b in probabilities[-1]["heads"]]
    model = solved.trained.model
    assert isinstance(model, PathNetwork)
    assert solved.trained.details["paths"] == {name: list(path) for name, path in model.paths.items()}


def test_the_search_moves_logits_at_their_own_rate() -> None:
    """At a rate of almost none they stay where they start."""
    problem = made_problem(2)
    moved, still = (
        solve(LearningToBranch(rate=rate), problem).trained.details["parent_probabilities"][-1] for rate in (10, 1e-9)
    )
    assert still["heads"] == [[0.5, 0.5], [0.5, 0.5]]
    assert all(abs(row[0] - 0.5) > 1e-3 for row in moved["heads"])


def test_choices_on_ties_are_named_by_the_tasks_that_depend_on_them() -> None:
    problem = made_problem(3)
    logits = torch.zeros(3, 3, 3)
    logits[0, 1, 2] = 0.1  # layer 1, module 1 reads module 2
    logits[1, 0, 1] = 3.0  # layer 2, module 0 reads module 1
    logits[1, 2, 1] = 0.1
    logits[2, 0, 0] = logits[2, 1, 0] = 3.0  # two heads read module 0 of layer 2
    logits[2, 2, 2] = 0.1
    margins = {name: [0.01, 0.02, 0.03] for name in ("layer 1", "layer 2", "heads")}
    first, second, third = (task.name for task in problem.tasks)
    everyone = f"{first}, {second}, {third}"
    expected = [f"layer 1 of {everyone}", f"layer 2 of {first}, {second}", f"layer 2 of {third}"]
    heads = [f"heads of {task.name}" for task in problem.tasks]
    assert ties(margins, logits, problem) == expected + heads
    assert ties({**margins, "heads": [0.5, 0.5, 0.05]}, logits, problem) == [*expected, heads[2]]
    clear = {"layer 1": [0.0, 0.9, 0.0], "layer 2": [0.9, 0.0, 0.9], "heads": [0.9] * 3}
    assert ties(clear, logits, problem) == [], "a module that no task reaches decides nothing"


def test_a_search_that_learned_nothing_chose_on_ties() -> None:
    details = solve(LearningToBranch(rate=1e-9), made_problem(2)).trained.details
    assert {one.partition(" of ")[0] for one in details["ties"]} == {"layer 0", "layer 1", "layer 2", "heads"}
    assert solve(LearningToBranch(), made_problem(1)).trained.details["ties"] == []


# Recon


def test_pairs_in_conflict_are_counted_by_their_cosine() -> None:
    right, up = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert int(conflicting_pairs(torch.stack([right, -3 * right]), -0.1)) == 1
    assert int(conflicting_pairs(torch.stack([right, 2 * right]), -0.1)) == 0
    assert int(conflicting_pairs(torch.stack([right, up]), -0.1)) == 0
    assert int(conflicting_pairs(torch.stack([right, up]), 0.1)) == 1
    assert int(conflicting_pairs(torch.stack([right, up - right, -right]), -0.1)) == 2
    assert int(conflicting_pairs(torch.stack([right, torch.zeros(2)]), -0.1)) == 0
    assert int(conflicting_pairs(right[None], 1.0)) == 0


@both_kinds
def test_conflicts_of_opposed_tasks_are_counted_in_every_step_and_of_agreeing_ones_in_none(kind: Kind) -> None:
    problem = made_problem(2, kind)
    for counter, conflicts in ((Opposed, 8), (Agreeing, 0)):
        trainer = counter(HardSharing().build(problem), problem, -0.1)
        list(trainer.epochs())
        assert trainer.counts() == dict.fromkeys(["stem", "layer 0", "layer 1", "layer 2"], conflicts)


@pytest.mark.parametrize("balancing", ["equal", "uncertainty", "pcgrad"])
def test_counting_leaves_the_step_as_it_is(balancing: str) -> None:
    problem = made_problem(2, balancing=BalancingSettings(name=balancing))
    grads = []
    for make in (problem.trainer, lambda model: ConflictCounter(model, problem, -0.1)):
        trainer = make(HardSharing().build(problem))
        batch = trainer.data.batch(slice(0, 16))
        trainer.backward(trainer.losses(*batch))
        learned = [*trainer.model.parameters(), *trainer.balancing.parameters()]
        grads.append([one.grad for one in learned])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_worst_places_are_chosen_and_none_without_conflict() -> None:
    assert worst([3, 9, 0, 5], most=2) == [1, 3]
    assert worst([3, 9, 0, 5], most=4) == [0, 1, 3]
    assert worst([2, 2, 2], most=2) == [0, 1]
    assert worst([0, 0], most=1) == []


def test_what_conflicts_becomes_separate_and_the_tasks_ways_have_statistics_of_their_own() -> None:
    solved = solve(Recon(threshold=1.0, layers=2, counting_epochs=1), made_problem(2))
    model = solved.trained.model
    assert isinstance(model, PathNetwork)
    assert [epoch.phase for epoch in solved.epochs] == ["conflict counting"] + ["training"] * 2
    assert solved.trained.details["conflicts"] == dict.fromkeys(["stem", "layer 0", "layer 1", "layer 2"], 4)
    assert solved.trained.details["separate"] == ["stem", "layer 0"]
    assert model.paths == {"a": (0, 0, 0, 0), "b": (1, 1, 0, 0)}
    assert modules_at_places(model) == [2, 2, 1, 1]
    assert len(module_at(model, 1, 0).get_buffer("norms.0.running_mean")) == 6
    means = module_at(model, 2, 0).get_buffer("norms.0.running_mean")
    assert len(means) == 2 * 6
    assert not torch.equal(*means.chunk(2))


def test_without_conflicts_recon_ends_as_hard_sharing() -> None:
    problem = made_problem(2)
    found = solve(Recon(threshold=-1.0), problem).trained
    assert found.details["separate"] == []
    assert_same_state(found.model.state_dict(), solve(HardSharing(), problem).trained.model.state_dict())


def test_a_third_of_the_layers_is_separated_unless_said_otherwise() -> None:
    assert solve(Recon(threshold=1.0), made_problem(3)).trained.details["separate"] == ["stem", "layer 0"]


def test_counting_costs_a_backward_pass_for_each_task() -> None:
    problem = made_problem(3)
    forward = cost.count_macs(HardSharing().build(problem), problem.input_shape)
    counting = solve(Recon(), problem).epochs[0]
    assert counting.macs == forward * (1 + 2 * 3) * counting.samples
