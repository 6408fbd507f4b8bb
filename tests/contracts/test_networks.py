"""What holds for every network: the fused form is the reference, everything learns, routing is as it says."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from made_networks import (
    IMAGE_BANKS,
    SHAPE,
    WAYS,
    generic_model,
    gradients,
    inputs_off_kinks,
    made_architecture,
    made_inputs,
    made_tasks,
    random_architecture,
    single_threaded,
    weighted_sum,
)
from mtl_search.errors import FieldError
from mtl_search.networks.network import MultiTaskNetwork, build_model
from mtl_search.spaces.architecture import Architecture, LayerChoice, Routing, Specific
from mtl_search.spaces.backbone import Kind
from mtl_search.tasks import Classification

OUTPUTS = {torch.float32: 1e-5, torch.float64: 1e-10}
GRADIENTS = {torch.float32: 1e-4, torch.float64: 1e-8}
NEGLIGIBLE = 1e-2
"""A gradient this small against the largest one is not compared on its own scale: rounding decides about it."""

both_kinds = pytest.mark.parametrize("kind", ["plain", "residual"])
both_routings = pytest.mark.parametrize("routing", ["strict", "mixed"])
both_specifics = pytest.mark.parametrize("specific", ["nlp", "conv"])
RANDOM = range(60)


one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)


class Convolutions(TorchDispatchMode):
    """Counts the convolutions that run."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function.overloadpacket is torch.ops.aten.convolution
        return function(*args, **(kwargs or {}))


def both_implementations(
    architecture: Architecture, tasks: tuple[Classification, ...], dtype: torch.dtype
) -> tuple[MultiTaskNetwork, MultiTaskNetwork]:
    fused = generic_model(architecture, tasks, dtype=dtype)
    reference = build_model(architecture, tasks, SHAPE, 99, "reference").to(dtype)
    reference.load_state_dict(fused.state_dict())
    return fused, reference


def assert_outputs_close(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert list(got) == list(expected)
    for task, output in expected.items():
        limit = tolerance * max(1.0, float(output.abs().max()))
        torch.testing.assert_close(got[task], output, atol=limit, rtol=0, check_dtype=False)


def assert_gradients_close(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        scale = max(float(gradient.norm()), NEGLIGIBLE * largest)
        difference = float((got[name] - gradient).norm())
        assert difference <= tolerance * scale, f"{name}: {difference:.1e} of {scale:.1e}"


def assert_buffers_close(got: nn.Module, expected: nn.Module, tolerance: float) -> None:
    others = dict(got.named_buffers())
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(others[name], buffer, atol=tolerance, rtol=tolerance, check_dtype=False, msg=name)


def assert_fused_equals_reference(
    architecture: Architecture, tasks: int = 2, dtype: torch.dtype = torch.float64
) -> None:
    """In training mode outputs, gradients and running statistics, in both ways; then outputs in evaluation mode.

    The reference computes in double precision: in single precision it is itself up to 1.3 times the tolerance away.
    """
    fused, reference = both_implementations(architecture, made_tasks(tasks), dtype)
    x = inputs_off_kinks(reference, dtype)
    reference, exactly = reference.double(), x.double()
    with torch.no_grad():
        before = copy.deepcopy(fused.state_dict())
        assert_outputs_close(fused(x), reference(exactly), OUTPUTS[dtype])
    reference.load_state_dict(before)
    expected = gradients(reference, exactly)
    for way, further in WAYS.items():
        fused.load_state_dict(before)
        with way():
            tolerance = GRADIENTS[dtype] * (further if dtype == torch.float32 else 1)
            assert_gradients_close(gradients(fused, x), expected, tolerance)
        assert_buffers_close(fused, reference, OUTPUTS[dtype])
    with torch.no_grad():
        assert_outputs_close(fused.eval()(x), reference.eval()(exactly), OUTPUTS[dtype])


def assert_every_parameter_learns(architecture: Architecture, tasks: int = 2) -> None:
    model = generic_model(architecture, made_tasks(tasks))
    found = gradients(model, made_inputs())
    largest = max(float(gradient.abs().max()) for gradient in found.values())
    for name, gradient in found.items():
        assert gradient.abs().max() > 1e-9 * largest, f"{name} has a gradient of zero"


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    assert list(one.state_dict()) == list(other.state_dict())
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def primitives(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer for name, buffer in model.named_buffers() if "primitive" in name and buffer.numel()}


@contextmanager
def recorded_states(model: MultiTaskNetwork) -> Iterator[list[tuple[Tensor | None, Tensor | None]]]:
    """Shared and own features after every block, while the context is open."""
    states: list[tuple[Tensor | None, Tensor | None]] = []

    def record(module: nn.Module, inputs: Any, state: tuple[Tensor | None, Tensor | None]) -> None:
        shared, own = (None if features is None else features.detach().clone() for features in state)
        states.append((shared, own))

    handles = [block.register_forward_hook(record) for block in model.blocks]
    yield states
    for handle in handles:
        handle.remove()


def states_of(model: MultiTaskNetwork, x: Tensor) -> list[tuple[Tensor | None, Tensor | None]]:
    with recorded_states(model) as states, torch.no_grad():
        model.eval()(x)
    return states


@both_routings
@both_specifics
@pytest.mark.parametrize("bank", IMAGE_BANKS)
@pytest.mark.thin(5)
def test_fused_equals_reference_for_every_bank(bank: str, specific: Specific, routing: Routing) -> None:
    assert_fused_equals_reference(made_architecture(bank, 0.5, 2, specific=specific, routing=routing))


@both_routings
@pytest.mark.parametrize("bank", IMAGE_BANKS)
@pytest.mark.thin(5)
def test_fused_equals_reference_in_single_precision(bank: str, routing: Routing) -> None:
    assert_fused_equals_reference(made_architecture(bank, 0.5, routing=routing), dtype=torch.float32)


@both_kinds
@both_routings
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("ratio", [0, 0.25, 0.5, 0.75, 1])
@pytest.mark.thin(9)
def test_fused_equals_reference_for_every_ratio_and_depth(
    ratio: float, depth: int, routing: Routing, kind: Kind
) -> None:
    assert_fused_equals_reference(made_architecture("nonlinear", ratio, depth, routing=routing, kind=kind))


@both_routings
@both_specifics
@both_kinds
@pytest.mark.parametrize("tasks", [1, 2, 5])
@pytest.mark.thin(7)
def test_fused_equals_reference_for_any_number_of_tasks(
    tasks: int, kind: Kind, specific: Specific, routing: Routing
) -> None:
    architecture = made_architecture("linear", 0.5, kind=kind, specific=specific, routing=routing)
    assert_fused_equals_reference(architecture, tasks)


@both_routings
@both_kinds
@pytest.mark.parametrize("bank", ["paper", "dilated_random", "identity", "conv"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.thin(7)
def test_fused_equals_reference_for_every_stride(stride: int, bank: str, kind: Kind, routing: Routing) -> None:
    assert_fused_equals_reference(made_architecture(bank, 0.5, strides=(stride, stride), kind=kind, routing=routing))


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(6)
def test_fused_equals_reference_for_random_architectures(seed: int) -> None:
    assert_fused_equals_reference(random_architecture(seed), tasks=1 + seed % 3)


@pytest.mark.parametrize("seed", range(0, 60, 3))
@pytest.mark.thin(8)
def test_fused_equals_reference_for_random_architectures_in_single_precision(seed: int) -> None:
    assert_fused_equals_reference(random_architecture(seed), dtype=torch.float32)


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(6)
def test_both_implementations_have_the_same_state(seed: int) -> None:
    architecture, tasks = random_architecture(seed), made_tasks()
    assert_same_state(build_model(architecture, tasks, SHAPE), build_model(architecture, tasks, SHAPE, 0, "reference"))


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(6)
def test_every_parameter_learns(seed: int) -> None:
    assert_every_parameter_learns(random_architecture(seed), tasks=1 + seed % 3)


@both_kinds
@both_routings
@pytest.mark.parametrize("depths", [(0, 0, 1), (1, 0, 0), (0, 2, 0), (1, 1, 1)])
@pytest.mark.parametrize("ratios", [(1, 1, 0.5), (0, 1, 0), (0.5, 0, 1), (0, 0, 0), (1, 0, 0), (0.5, 0, 0)])
@pytest.mark.thin(5)
def test_every_parameter_learns_where_branches_begin_and_end(
    ratios: tuple[float, ...], depths: tuple[int, ...], routing: Routing, kind: Kind
) -> None:
    architecture = made_architecture(
        "linear", ratios, depths, widths=(8, 8, 12), strides=(1, 1, 2), routing=routing, kind=kind
    )
    assert_every_parameter_learns(architecture)


@both_kinds
@pytest.mark.parametrize("bank", ["paper", "linear", "conv"])
def test_convolutions_do_not_grow_with_the_tasks(bank: str, kind: Kind) -> None:
    counts = []
    for tasks in (2, 8):
        model = build_model(made_architecture(bank, 0.5, 2, kind=kind, stem=4), made_tasks(tasks), SHAPE)
        with torch.no_grad(), Convolutions() as convolutions:
            model(made_inputs(torch.float32, 2))
        counts.append(convolutions.count)
    assert counts[0] == counts[1] > 0


def test_sharing_everything_with_conv_is_plain_hard_sharing() -> None:
    architecture = made_architecture("conv", 1)
    model = generic_model(architecture, made_tasks()).eval()
    x = made_inputs()
    features = x
    for block, stride in zip(model.blocks, (1, 2), strict=True):
        (layer,) = block.layers
        kernel = layer.shared_weight.unflatten(1, (3, 3)).permute(0, 3, 1, 2)
        norm = layer.shared_norm
        features = F.conv2d(features, kernel, stride=stride, padding=1)
        features = F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        features = F.relu(features)
    expected = F.linear(features.mean(dim=(2, 3)), model.heads.shared_weight, model.heads.bias)
    torch.testing.assert_close(torch.cat(list(model(x).values()), dim=1), expected)


@both_kinds
@both_routings
@pytest.mark.parametrize("bank", ["paper", "conv"])
def test_sharing_everything_gives_all_tasks_the_same_features(bank: str, routing: Routing, kind: Kind) -> None:
    model = generic_model(made_architecture(bank, 1, kind=kind, routing=routing), made_tasks())
    for shared, own in states_of(model, made_inputs()):
        assert shared is not None
        assert own is None
    features = [parameter for name, parameter in model.named_parameters() if not name.startswith("heads")]
    for output in model(made_inputs()).values():
        assert all(
            gradient.any() for gradient in torch.autograd.grad(output.square().sum(), features, retain_graph=True)
        )


@both_kinds
@both_specifics
@both_routings
def test_sharing_nothing_keeps_the_tasks_apart(routing: Routing, specific: Specific, kind: Kind) -> None:
    tasks = made_tasks(3)
    model = generic_model(made_architecture("paper", 0, 2, specific=specific, routing=routing, kind=kind), tasks)
    outputs = model(made_inputs())
    ends = torch.tensor([task.classes for task in tasks]).cumsum(0).tolist()
    for place, task in enumerate(tasks):
        loss = outputs[task.name].square().sum()
        found = dict(model.named_parameters())
        for name, gradient in zip(
            found, torch.autograd.grad(loss, list(found.values()), retain_graph=True), strict=True
        ):
            of_tasks = gradient.tensor_split(ends[:-1] if name.startswith("heads") else len(tasks))
            assert [bool(part.any()) for part in of_tasks] == [other == place for other in range(len(tasks))], name


@both_kinds
@both_routings
def test_own_weights_change_shared_features_only_with_mixed_routing(routing: Routing, kind: Kind) -> None:
    model = generic_model(made_architecture("paper", 0.5, 2, kind=kind, routing=routing), made_tasks())
    before = states_of(model, made_inputs())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("branch_weight", ".own_weight", "own_norm", "deeper", "own_skip")):
                parameter.mul_(1.5).add_(0.1)
    after = states_of(model, made_inputs())
    shared = [torch.equal(one, other) for (one, _), (other, _) in zip(before, after, strict=True)]
    own = [torch.equal(one, other) for (_, one), (_, other) in zip(before, after, strict=True)]
    assert shared[-1] is (routing == "strict")
    assert own == [False, False]


@both_kinds
def test_one_tasks_weights_do_not_change_another_tasks_output(kind: Kind) -> None:
    model = generic_model(made_architecture("paper", 0.5, 2, kind=kind), made_tasks()).eval()
    before = model(made_inputs())
    with torch.no_grad():
        for block in model.blocks:
            for layer in block.layers:
                weight = layer.branch_weight
                weight[len(weight) // 2 :] *= -1.5
    after = model(made_inputs())
    torch.testing.assert_close(before["a"], after["a"], rtol=0, atol=1e-12)
    assert (before["b"] - after["b"]).abs().max() > 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_same_seed_same_result(seed: int) -> None:
    architecture, tasks = random_architecture(seed), made_tasks()
    assert_same_state(build_model(architecture, tasks, SHAPE, 7), build_model(architecture, tasks, SHAPE, 7))


@pytest.mark.parametrize("bank", ["paper", "random", "shift", "sobel", "sparse_binary", "perturbation"])
def test_another_seed_draws_other_weights_and_primitives(bank: str) -> None:
    one, other = (build_model(made_architecture(bank), made_tasks(), SHAPE, seed) for seed in (0, 1))
    for parameter, another in zip(one.parameters(), other.parameters(), strict=True):
        assert parameter.ndim == 1 or not torch.equal(parameter, another)
    changed = [not torch.equal(frozen, primitives(other)[name]) for name, frozen in primitives(one).items()]
    assert any(changed)


@both_kinds
def test_another_bank_leaves_the_primitives_of_other_blocks(kind: Kind) -> None:
    architecture = made_architecture("paper", 0.5, widths=(8, 8, 12), strides=(1, 1, 2), kind=kind)
    changed = replace(architecture, layers=(architecture.layers[0], LayerChoice("random", 0.5), architecture.layers[2]))
    one, other = (primitives(build_model(each, made_tasks(), SHAPE)) for each in (architecture, changed))
    kept = {name for name in one if not name.startswith("blocks.1.")}
    assert kept == {name for name in other if not name.startswith("blocks.1.")}
    assert any(name.startswith("blocks.2.") for name in kept)
    for name in kept:
        assert torch.equal(one[name], other[name]), name


def test_heads_have_the_outputs_of_their_tasks() -> None:
    for seed in range(10):
        model = build_model(random_architecture(seed), made_tasks(3), SHAPE)
        assert {name: output.shape for name, output in model(made_inputs(torch.float32, 4)).items()} == {
            "a": (4, 3),
            "b": (4, 4),
            "c": (4, 5),
        }


def test_memory_layout_of_the_input_does_not_matter() -> None:
    model = generic_model(made_architecture(stem=4), made_tasks()).eval()
    x = made_inputs()
    assert weighted_sum(model(x)) == weighted_sum(model(x.contiguous(memory_format=torch.channels_last)))


def test_the_input_is_left_as_it_was() -> None:
    for seed in range(10):
        x = made_inputs(torch.float32)
        before = x.clone()
        build_model(random_architecture(seed), made_tasks(), SHAPE)(x)
        assert torch.equal(x, before)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(FieldError, match="`implementation` must be"):
        build_model(made_architecture(), made_tasks(), SHAPE, 0, "folded")  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="each with its own name"):
        build_model(made_architecture(), made_tasks(1) * 2, SHAPE)
