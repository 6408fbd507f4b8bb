"""What holds for networks with dense tasks: decoders of all tasks at once are those of each, and everything learns."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from made_dense import ALL_MAPS, DEPTH, EDGES, LARGE, MIXED, NORMALS, SEGMENTATION, SHAPE, made_squares
from made_networks import (
    by_torch,
    generic_model,
    gradients,
    made_architecture,
    made_inputs,
    random_architecture,
    single_threaded,
)
from made_problems import operators_of
from mtl_search import cost
from mtl_search.methods import MethodContext
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.networks.decoder import Decoder
from mtl_search.networks.deployment import deployed
from mtl_search.networks.geometry import geometry
from mtl_search.networks.network import MultiTaskNetwork, build_model
from mtl_search.spaces.architecture import Architecture, Routing, Specific
from mtl_search.tasks import Task, make_task
from mtl_search.training.batches import DeviceSplit

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

TASKS = {"maps": ALL_MAPS, "mixed": MIXED, "one": (NORMALS,)}
any_tasks = pytest.mark.parametrize("tasks", TASKS.values(), ids=TASKS)
EXACT = 1e-9


def dense_model(architecture: Architecture, tasks: Sequence[Task]) -> MultiTaskNetwork:
    return generic_model(architecture, tasks, SHAPE)


def inputs(batch: int = 4, shape: Sequence[int] = SHAPE) -> Tensor:
    return made_inputs(batch=batch, shape=shape)


def decoder_of(model: MultiTaskNetwork) -> Decoder:
    assert model.decoder is not None
    return model.decoder


def assert_fused_equals_reference(architecture: Architecture, tasks: Sequence[Task]) -> None:
    fused = dense_model(architecture, tasks)
    reference = build_model(architecture, tasks, SHAPE, 9, "reference").double()
    reference.load_state_dict(fused.state_dict())
    expected, found = gradients(reference, inputs()), gradients(fused, inputs())
    for name, gradient in expected.items():
        scale = max(1.0, float(gradient.norm()))
        assert float((found[name] - gradient).norm()) < 1e-8 * scale, name
    with torch.no_grad():
        outputs = fused.eval()(inputs())
        for task, output in reference.eval()(inputs()).items():
            torch.testing.assert_close(outputs[task], output, rtol=EXACT, atol=EXACT)


@any_tasks
@pytest.mark.parametrize("size", [(13, 15), (16, 16), (7, 5), (1, 1)])
def test_maps_have_the_size_of_the_input_whatever_it_is(size: tuple[int, int], tasks: Sequence[Task]) -> None:
    for seed in (0, 3):
        model = build_model(random_architecture(seed), tasks, SHAPE).eval()
        outputs = model(torch.zeros(2, 1, *size))
        assert {name: tuple(output.shape) for name, output in outputs.items()} == {
            task.name: (2, task.outputs, *(size if task.dense else ())) for task in tasks
        }
        assert list(outputs) == [task.name for task in tasks]


@any_tasks
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.thin(2)
def test_fused_equals_reference(seed: int, tasks: Sequence[Task]) -> None:
    assert_fused_equals_reference(random_architecture(seed), tasks)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("bank", ["paper", "linear", "dilated_random+random*2+identity", "conv", "sobel"])
@pytest.mark.thin(3)
def test_fused_equals_reference_with_dilation(bank: str, dilation: int, stride: int) -> None:
    kind, routing = ("residual", "mixed") if dilation == 3 else ("plain", "strict")
    architecture = made_architecture(
        bank, 0.5, 2, strides=(2, stride), dilation=dilation, kind=kind, routing=routing, stem=4
    )
    assert_fused_equals_reference(architecture, (SEGMENTATION, DEPTH))
    model = dense_model(architecture, (SEGMENTATION, DEPTH)).train()
    found = model(inputs())["depth"].detach()
    with by_torch():
        torch.testing.assert_close(found, model(inputs())["depth"].detach(), rtol=EXACT, atol=EXACT)
    assert cost.estimate(architecture, MIXED, SHAPE) == cost.measure(build_model(architecture, MIXED, SHAPE), SHAPE)


@pytest.mark.parametrize("specific", ["nlp", "conv"])
@pytest.mark.parametrize(("ratios", "depths"), [((0.5, 0.75), 1), ((1, 0.25), 2), ((0, 1), 1), ((0.25, 0.5), (1, 0))])
@pytest.mark.thin(3)
def test_bottlenecks(ratios: Sequence[float], depths: Any, specific: Specific) -> None:
    """A ratio of a quarter makes no shared channels of three, but three of the twelve that they are expanded to."""
    routing: Routing = "mixed" if specific == "conv" else "strict"
    architecture = made_architecture(
        "paper", ratios, depths, widths=(3, 8), kind="bottleneck", stem=4, specific=specific, routing=routing
    )
    assert_fused_equals_reference(architecture, MIXED)
    assert cost.estimate(architecture, MIXED, SHAPE) == cost.measure(build_model(architecture, MIXED, SHAPE), SHAPE)
    found = gradients(dense_model(architecture, MIXED), inputs())
    assert all(gradient.abs().max() > 1e-9 for gradient in found.values())


def test_bottlenecks_that_share_everything_are_those_of_hard_sharing() -> None:
    architecture = made_architecture("conv", 1, kind="bottleneck", stem=4)
    problem = MethodContext(architecture.backbone, made_squares(MIXED))
    expected = cost.measure(HardSharing().build(problem), SHAPE)
    found = cost.estimate(architecture, MIXED, SHAPE)
    assert (found.learnable_parameters, found.macs) == (expected.learnable_parameters, expected.macs)


def test_a_dilated_stage_keeps_the_resolution_and_sees_as_far() -> None:
    strided = made_architecture("conv", 1, widths=(8, 8, 8), strides=(1, 2, 1))
    dilated = made_architecture("conv", 1, widths=(8, 8, 8), strides=(1, 1, 1), dilation=2)
    assert [len(geometry(one, 1, SHAPE).taps) for one in (strided, dilated)] == [2, 1]
    model = dense_model(dilated, [DEPTH]).eval()
    x = inputs(1).requires_grad_()
    model(x)["depth"][0, 0, 6, 7].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].any(dim=1).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (6 - 4, 6 + 4)  # two kernels of 3x3 and a dilated one


@any_tasks
@pytest.mark.parametrize("seed", range(10, 20))
def test_every_parameter_learns(seed: int, tasks: Sequence[Task]) -> None:
    found = gradients(dense_model(random_architecture(seed), tasks), inputs())
    largest = max(float(gradient.abs().max()) for gradient in found.values())
    for name, gradient in found.items():
        assert gradient.abs().max() > 1e-9 * largest, f"{name} has a gradient of zero"


@any_tasks
def test_the_cost_is_that_of_the_network_that_is_built(tasks: Sequence[Task]) -> None:
    for seed in range(10):
        architecture = random_architecture(seed)
        model = build_model(architecture, tasks, SHAPE)
        assert cost.estimate(architecture, tasks, SHAPE) == cost.measure(model, SHAPE), seed


def test_decoders_cost_what_is_counted_by_hand() -> None:
    architecture = made_architecture("conv", 1, stem=4, strides=(2, 2))
    together = cost.estimate(architecture, [SEGMENTATION, DEPTH, LARGE], SHAPE)
    alone = cost.estimate(architecture, [LARGE], SHAPE)
    taps, width, outputs = [(4, 13 * 15), (8, 7 * 8), (12, 4 * 4)], 2 * 16, 3 + 1
    laterals = sum(width * channels for channels, _ in taps)
    macs = sum(width * channels * pixels for channels, pixels in taps)
    smooth = width * 16 * 9
    assert together.learnable_parameters - alone.learnable_parameters == (
        laterals + 2 * smooth + 3 * 2 * width + outputs * 16 + outputs
    )
    assert together.macs - alone.macs == macs + smooth * (7 * 8 + 4 * 4) + outputs * 16 * 13 * 15


def test_taps_are_at_the_end_of_every_resolution() -> None:
    architecture = made_architecture(
        "paper", [1, 0.5, 0.5, 0], widths=(8, 8, 12, 6), strides=(1, 1, 2, 2), stem=4, stem_stride=2
    )
    taps = geometry(architecture, 3, SHAPE).taps
    assert [(tap.shared, tap.specific, tap.height, tap.width) for tap in taps] == [
        (4, 4, 7, 8),
        (6, 6, 4, 4),
        (0, 6, 2, 2),
    ]


def test_the_input_itself_is_no_tap() -> None:
    strided_at_once = geometry(made_architecture(strides=(2, 1)), 2, SHAPE)
    assert strided_at_once.tapped == ()
    assert geometry(made_architecture(strides=(2, 1), stem=4), 2, SHAPE).tapped == (0,)


def test_without_dense_tasks_the_decoder_changes_nothing() -> None:
    one, other = (build_model(made_architecture(decoder=channels), [LARGE], SHAPE) for channels in (16, 3))
    assert one.decoder is None
    assert list(one.state_dict()) == list(other.state_dict())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_convolutions_of_decoders_do_not_grow_with_the_tasks() -> None:
    counts = []
    for count in (2, 6):
        tasks = [make_task("depth", f"depth {number}") for number in range(count)]
        model = build_model(made_architecture("linear", 0.5), tasks, SHAPE).double().eval()
        with torch.no_grad():
            counts.append(operators_of(functools.partial(model, inputs())).count("aten.convolution.default"))
    assert counts[0] == counts[1] > 0


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.slow
def test_the_deployed_network_computes_the_same() -> None:
    architecture = made_architecture("linear", 0.5, stem=4, stem_stride=2, strides=(1, 2))
    model = dense_model(architecture, MIXED).eval()
    plain = deployed(model, SHAPE)
    assert not [node for node in plain.graph.nodes if "batch_norm" in str(node.target)]
    with torch.no_grad():
        for batch in (1, 3):
            for task, output in model(inputs(batch)).items():
                torch.testing.assert_close(plain(inputs(batch))[task], output, rtol=EXACT, atol=EXACT)


def test_one_tasks_decoder_is_not_read_by_another_task() -> None:
    model = dense_model(made_architecture("paper", 0.5), MIXED).eval()
    before = model(inputs())
    with torch.no_grad():
        for level in decoder_of(model).levels:
            level.norm.bias[16:32] += 1.0
    after = model(inputs())
    changed = [name for name, output in before.items() if not torch.equal(output, after[name])]
    assert changed == ["depth"]


@any_tasks
def test_a_task_without_targets_in_a_batch_has_a_gradient_of_exact_zeros(tasks: Sequence[Task]) -> None:
    dataset = made_squares(tasks)
    model = build_model(made_architecture("paper", 0.5), dataset.tasks, SHAPE)
    name = dataset.tasks[-1].name
    samples = dataset.splits["train"]
    samples.targets[name][:8] = 0 if name in ("depth", "normals") else -1
    data = DeviceSplit(samples, dataset, torch.device("cpu"))
    batch, targets = data.batch(slice(0, 8))
    losses = data.groups.losses(model(batch), targets)
    found = torch.autograd.grad(losses[-1], list(model.parameters()), retain_graph=True)
    assert losses[-1] == 0
    assert not any(gradient.any() for gradient in found)
    if len(tasks) > 1:
        others = torch.autograd.grad(losses[:-1].sum(), list(model.parameters()))
        assert any(gradient.any() for gradient in others)


def test_training_of_depth_begins_at_its_median() -> None:
    (task,) = made_squares([DEPTH]).tasks
    model = build_model(made_architecture(), [task], SHAPE)
    with torch.no_grad():
        decoder_of(model).weight.zero_()
        assert (model(inputs().float())["depth"] == 5).all()


def test_tasks_with_equal_outputs_side_by_side_are_as_each_by_itself() -> None:
    model = dense_model(made_architecture("paper", 0.5), [DEPTH, EDGES, SEGMENTATION]).eval()
    decoder = decoder_of(model)
    assert [(count, rows.stop - rows.start) for count, _, rows in decoder._alike()] == [(2, 2), (1, 3)]
    before = model(inputs())
    with torch.no_grad():
        decoder.bias[1] += 1.0
    after = model(inputs())
    torch.testing.assert_close(after["edges"], before["edges"] + 1)
    assert torch.equal(after["depth"], before["depth"])
