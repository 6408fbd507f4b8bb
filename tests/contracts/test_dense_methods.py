"""What holds for every method where tasks are dense: a decoder reads what its task has at every resolution."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from made_dense import ALL_MAPS, DEPTH, LARGE, MIXED, NORMALS, SEGMENTATION, SHAPE, made_squares
from made_networks import made_inputs, single_threaded
from made_problems import TRAINING, made_backbone
from mtl_search import cost, load_run, search, write_report
from mtl_search.internal.registry import METHODS
from mtl_search.methods import MethodContext, make_method
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.methods.interrogate import prune
from mtl_search.networks.gated import GatedNetwork
from mtl_search.networks.paths import PathNetwork, module_shapes, taps_of
from mtl_search.networks.pruned import PrunedNetwork, kept_channels
from mtl_search.networks.relaxed import RelaxedNetwork
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.spaces.experiment import parse_experiment
from mtl_search.tasks import Task

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

every_method = pytest.mark.parametrize("name", METHODS.names())
every_kind = pytest.mark.parametrize("kind", ["plain", "residual", "bottleneck"])


def dense_problem(tasks: Sequence[Task] = MIXED, kind: Kind = "plain", stem: int = 4) -> MethodContext:
    return MethodContext(made_backbone(kind, stem), made_squares(tasks), TRAINING)


def inputs() -> Tensor:
    return made_inputs(torch.float32, batch=5, shape=SHAPE)


def generic(model: nn.Module) -> nn.Module:
    """Moved from its start, where values may be special."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
    return model


def test_taps_of_a_backbone_are_at_the_end_of_every_resolution() -> None:
    backbone = Backbone((Stage(6, 2), Stage(8, 1, 2), Stage(10, 2, 2)), stem=4, stem_stride=2)
    taps = taps_of(module_shapes(backbone, SHAPE), SHAPE)
    assert {place: (tap.shared, tap.height, tap.width) for place, tap in taps.items()} == {
        2: (6, 7, 8),
        3: (8, 4, 4),
        5: (10, 2, 2),
    }


def test_single_tasks_are_as_those_built_alone() -> None:
    problem = dense_problem((DEPTH, NORMALS))
    together = make_method("single_task", {}).build(problem).eval()
    places = len(problem.shapes)
    for number, task in enumerate(problem.tasks):
        alone = PathNetwork(problem.backbone, [(number,) * places], [task], SHAPE).eval()
        alone.heads[0].load_state_dict(together.heads[number].state_dict())
        torch.testing.assert_close(alone(inputs())[task.name], together(inputs())[task.name])


# InterroGate


def gated(problem: MethodContext, share: float, seed: int = 0) -> GatedNetwork:
    """A network of which every gate is open with a chance, and no value is special."""
    model = generic(GatedNetwork(problem.backbone, problem.tasks, SHAPE, seed))
    assert isinstance(model, GatedNetwork)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for alpha in model.gates:
            alpha.copy_(torch.where(torch.rand(alpha.shape, generator=rng) < share, 1.0, -1.0))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(0.3 * torch.rand(buffer.shape, generator=rng))
    return model.double().eval()


@every_kind
@pytest.mark.parametrize("tasks", [MIXED, ALL_MAPS], ids=["mixed", "maps"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.thin(4)
def test_the_pruned_network_is_the_masked_one(share: float, tasks: Sequence[Task], kind: Kind) -> None:
    model = gated(dense_problem(tasks, kind), share)
    pruned = prune(model)
    with torch.no_grad():
        expected, found = model(inputs().double()), pruned(inputs().double())
    for task, output in expected.items():
        assert float(output.std()) > 0.001
        torch.testing.assert_close(found[task], output, rtol=1e-9, atol=1e-9)


@every_kind
def test_the_pruned_network_is_the_masked_one_with_dilation(kind: Kind) -> None:
    backbone = Backbone((Stage(6, 2), Stage(8, 2, dilation=2)), kind, stem=4, stem_stride=2)
    model = gated(replace(dense_problem(), backbone=backbone), 0.5)
    pruned = prune(model)
    for task, output in model(inputs().double()).items():
        torch.testing.assert_close(pruned(inputs().double())[task], output, rtol=1e-9, atol=1e-9)


@every_kind
def test_all_gates_closed_is_hard_sharing(kind: Kind) -> None:
    problem = dense_problem(kind=kind)
    assert cost.measure(prune(gated(problem, 0.0)), SHAPE) == cost.measure(HardSharing().build(problem), SHAPE)


@every_kind
def test_all_gates_open_is_one_network_per_task(kind: Kind) -> None:
    problem = dense_problem(kind=kind)
    single = make_method("single_task", {}).build(problem)
    assert cost.measure(prune(gated(problem, 1.0)), SHAPE) == cost.measure(single, SHAPE)


def test_what_a_decoder_reads_is_kept() -> None:
    """Only the decoder of task 1 reads the first place: what task 0 has for itself there is computed by nobody."""
    gates = [[[1, 0], [1, 0]], [[0, 0], [0, 0]]]
    without, with_decoder = kept_channels(gates), kept_channels(gates, [[1], [0, 1]])
    assert [kept.specific for kept in without] == [((0,), (0,)), ((), ())]
    assert [kept.specific for kept in with_decoder] == [((0,), (0,)), ((), ())]
    apart = [[[1, 0], [1, 0]], [[1, 1], [1, 1]]]
    alone = [[[1, 1], [0, 1]], [[1, 1], [1, 1]]]
    assert [kept.shared for kept in kept_channels(apart, [[1], [0, 1]])] == [(1,), ()]
    assert kept_channels(alone, [[], [0]])[0].specific == ((0, 1), ())
    assert kept_channels(alone, [[1], [0]])[0].specific == ((0, 1), (1,))
    assert kept_channels(alone, [[1], [0]])[0].shared == (0,)


def test_a_pruned_network_is_rebuilt_from_its_gates() -> None:
    problem = dense_problem()
    model = gated(problem, 0.5)
    pruned = prune(model)
    again = PrunedNetwork(problem.backbone, model.chosen(), problem.tasks, SHAPE).double().eval()
    again.load_state_dict(pruned.state_dict())
    for task, output in pruned(inputs().double()).items():
        torch.testing.assert_close(again(inputs().double())[task], output)


# CoNAL


def test_a_mixture_of_equal_candidates_is_each_of_them() -> None:
    problem = dense_problem()
    model = make_method("conal", {}).build(problem)
    assert isinstance(model, RelaxedNetwork)
    with torch.no_grad():
        for head in model.heads:
            for parameter in head.parameters():
                parameter.add_(0.1)
    hard = problem.path_network([(0,) * len(problem.shapes) for _ in problem.tasks])
    hard.load_state_dict({name: model.state_dict()[name] for name in hard.state_dict() if "running" not in name}, False)
    with torch.no_grad():
        for task, output in hard(inputs()).items():
            torch.testing.assert_close(model(inputs())[task], output, rtol=1e-4, atol=1e-4)


def test_decoders_of_the_relaxed_network_begin_alike_with_maps_of_zeros() -> None:
    problem = dense_problem((SEGMENTATION, NORMALS))
    model = make_method("conal", {}).build(problem)
    first, second = (head.levels.state_dict() for head in model.heads)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not any(output.any() for output in model(inputs()).values())


# A search


def test_a_dense_space_is_searched_to_its_end(tmp_path: Path) -> None:
    dataset = made_squares((SEGMENTATION, DEPTH, LARGE))
    experiment = parse_experiment(
        {
            "name": "squares",
            "dataset": {"name": "multi_mnist"},
            "backbone": {"stem": 4, "stages": [{"width": 8}, {"width": 8, "stride": 2}], "decoder": 4},
            "space": {"bank": "linear", "shared_ratio": [1.0, 0.5]},
            "training": {"epochs": 3, "batch_size": 16, "device": "cpu"},
        },
        "squares",
    )
    dataset = replace(dataset, name="multi_mnist")
    run = search(experiment, dataset, trials=3, workers=0, out=tmp_path / "run")
    assert len(run.complete) == 3
    for trial in run.complete:
        assert {"segmentation/miou", "depth/abs_error", "large/accuracy"} <= set(trial.scores)
        estimated = cost.estimate(trial.architecture, dataset.tasks, SHAPE)
        assert trial.learnable_parameters == estimated.learnable_parameters
        assert trial.architecture.backbone.decoder == 4
    page = write_report(run).read_text(encoding="utf-8")
    assert "segmentation" in page
    assert load_run(run.path).complete == run.complete
