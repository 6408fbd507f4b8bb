"""The kernels in C: as torch computes it, the same on every run; and torch itself where they cannot be."""

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from made_networks import SHAPE, made_architecture, made_inputs, made_tasks, weighted_sum
from mtl_search.errors import MTLSearchError
from mtl_search.kernels.bank import recombined, recombined_into, takes_blocks
from mtl_search.kernels.frozen import FrozenBank
from mtl_search.kernels.library import library, trains
from mtl_search.kernels.norm import LazyNorm, Moments, moments
from mtl_search.networks.network import build_model
from mtl_search.networks.operators import Bank, make_operator
from mtl_search.primitives.max_pool import MaxPool

pytestmark = pytest.mark.skipif(library(torch.float32) is None, reason="kernels need a C compiler")

EPSILON = 1e-5


@pytest.fixture(autouse=True)
def small_features_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_search.kernels.features.KEPT_FROM", 1)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def made_bank(channels: int, name: str = "paper") -> Bank:
    bank = make_operator(name, channels, torch.Generator().manual_seed(0)).double()
    assert isinstance(bank, Bank)
    return bank


def frozen(bank: Bank) -> FrozenBank:
    taken = bank.frozen_bank(bank.channels)
    assert taken is not None
    return taken


def normed(x: Tensor, known: Moments, weight: Tensor, bias: Tensor, activate: bool) -> LazyNorm:
    return LazyNorm(x, known.mean, (known.variance + EPSILON).sqrt(), weight, bias, activate)


def assert_moments_of(x: Tensor, found: Moments | None) -> None:
    assert found is not None
    torch.testing.assert_close(found.mean, x.detach().mean(dim=(0, 2, 3)))
    torch.testing.assert_close(found.variance, x.detach().var(dim=(0, 2, 3), unbiased=False))


@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize(("channels", "mean"), [(1, 0), (5, 3), (16, -1), (19, 1000)])
def test_norms_and_their_gradients_are_those_of_torch(channels: int, mean: float, activate: bool) -> None:
    x = (drawn(4, channels, 9, 7) + mean).requires_grad_()
    weight, bias = drawn(channels, seed=1).requires_grad_(), drawn(channels, seed=2).requires_grad_()
    mean_and_variance = moments(x.detach())
    made = normed(x, mean_and_variance, weight, bias, activate).features
    expected = F.batch_norm(x, None, None, weight, bias, True, 0.1, EPSILON)
    expected = F.relu(expected) if activate else expected
    torch.testing.assert_close(made, expected, rtol=1e-8, atol=1e-8)
    assert_moments_of(x, mean_and_variance)
    upstream, inputs = drawn(*x.shape, seed=3), [x, weight, bias]
    got, wanted = (torch.autograd.grad(output, inputs, upstream) for output in (made, expected))
    torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "channels", "height", "width", "stride"),
    [
        ("paper", 8, 40, 230, 1),
        ("paper", 8, 41, 231, 2),
        ("paper", 80, 5, 6, 1),
        ("identity", 8, 120, 230, 3),
        ("linear", 8, 40, 230, 1),
        ("linear", 13, 8, 11, 1),
        ("orthonormal7", 80, 37, 39, 1),
    ],
    ids=[
        *("several strips and tiles", "with a stride", "more responses than are held", "rows that are not read"),
        *("several strips of blocks", "blocks and vectors in part", "blocks that are held row by row"),
    ],
)
def test_images_are_the_same_in_parts(name: str, channels: int, height: int, width: int, stride: int) -> None:
    bank, x = made_bank(channels, name), drawn(2, channels, height, width).requires_grad_()
    assert takes_blocks(x, frozen(bank), 20, stride) == (name in ("linear", "orthonormal7"))
    weights = [drawn(outputs, bank.taps, channels, seed=outputs).requires_grad_() for outputs in (17, 3)]
    measured = recombined(x, frozen(bank), weights, stride, measured=[True, False])
    made, features = [one.features for one in measured], bank.features(x, stride)
    expected = [bank.convolve(features, weight, stride, 1) for weight in weights]
    torch.testing.assert_close(made, expected)
    assert_moments_of(made[0], measured[0].moments)
    assert measured[1].moments is None
    upstream, inputs = [drawn(*output.shape, seed=3) for output in made], [x, *weights]
    got, wanted = (torch.autograd.grad(outputs, inputs, upstream) for outputs in (made, expected))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("name", ["paper", "linear"])
@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize(
    ("channels", "groups", "height", "width", "stride"),
    [(8, 1, 40, 230, 1), (5, 3, 8, 6, 1), (5, 3, 8, 6, 2), (16, 2, 9, 9, 3)],
    ids=["several strips and tiles", "groups that are not whole vectors", "with a stride", "a stride of three"],
)
def test_a_norm_can_be_left_to_the_bank_that_reads_it(
    channels: int, groups: int, height: int, width: int, stride: int, activate: bool, name: str
) -> None:
    bank, x = made_bank(groups * channels, name), (drawn(3, groups * channels, height, width) + 2).requires_grad_()
    assert takes_blocks(x, frozen(bank), 7, stride, groups) == (name == "linear" and stride == 1)
    scale, offset = (drawn(groups * channels, seed=seed).requires_grad_() for seed in (1, 2))
    weight = drawn(groups * 7, bank.taps, channels, seed=3).requires_grad_()
    left = normed(x, moments(x.detach()), scale, offset, activate)
    (made,) = recombined(left, frozen(bank), [weight], stride, groups, [True])
    (expected,) = recombined(left.features, frozen(bank), [weight], stride, groups)
    torch.testing.assert_close(made.features, expected.features)
    assert_moments_of(made.features, made.moments)
    upstream, inputs = drawn(*made.features.shape, seed=4), [x, scale, offset, weight]
    got, wanted = (torch.autograd.grad(one.features, inputs, upstream) for one in (made, expected))
    torch.testing.assert_close(got, wanted)


def features_of(bank: Bank, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    (made,) = recombined(x, frozen(bank), [weight], 1, groups)
    return made.features


def test_a_bank_that_was_trained_can_be_saved() -> None:
    bank, x = made_bank(4), drawn(2, 4, 9, 7)
    weight = drawn(3, bank.taps, 4, seed=1)
    made = features_of(bank, x, weight)
    again = pickle.loads(pickle.dumps(bank))
    assert torch.equal(features_of(again, x, weight), made)


class WiderPool(MaxPool):
    """Another operation than the one that it derives from."""

    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        return F.max_pool2d(x, 5, stride, padding=2)


def test_a_primitive_has_the_kernel_that_it_names_itself() -> None:
    bank = made_bank(4)
    assert bank.frozen_bank(4) is not None
    bank.primitives[0] = WiderPool()
    assert bank.frozen_bank(4) is None


@pytest.mark.parametrize("name", ["paper", "linear"])
@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_there_is_added_to(groups: int, name: str) -> None:
    bank, x = made_bank(6, name), drawn(2, 6, 9, 7).requires_grad_()
    weight = drawn(groups * 4, bank.taps, 6 // groups, seed=1).requires_grad_()
    before = drawn(2, groups * 4, 9, 7, seed=2).requires_grad_()
    expected = before + features_of(bank, x, weight, groups)
    into = before.clone(memory_format=torch.channels_last)
    got, known = recombined_into(into, x, frozen(bank), weight, 1, groups)
    torch.testing.assert_close(got, expected)
    assert_moments_of(expected, known)
    upstream, inputs = drawn(*got.shape, seed=3), [before, x, weight]
    torch.testing.assert_close(
        torch.autograd.grad(got, inputs, upstream), torch.autograd.grad(expected, inputs, upstream)
    )


@pytest.mark.parametrize("name", ["paper", "linear"])
def test_several_threads_give_the_same_every_time(name: str) -> None:
    bank, x = made_bank(16, name), drawn(9, 16, 20, 20).requires_grad_()
    weight, scale, offset = (drawn(*shape, seed=1).requires_grad_() for shape in ((8, bank.taps, 16), (16,), (16,)))
    threads = torch.get_num_threads()
    found = []
    for count in (3, 3, 3, 1):
        torch.set_num_threads(count)
        left = normed(x, moments(x.detach()), scale, offset, activate=True)
        ((made, known),) = recombined(left, frozen(bank), [weight], 1, measured=[True])
        assert known is not None
        gradients = torch.autograd.grad(made, [x, weight, scale, offset], drawn(*made.shape, seed=2))
        found.append((made, *known, *gradients))
    torch.set_num_threads(threads)
    assert all(torch.equal(one, first) for again in found[1:3] for one, first in zip(again, found[0], strict=True))
    torch.testing.assert_close(found[3], found[0])


@pytest.mark.parametrize("name", ["paper", "linear"])
def test_changed_values_of_a_bank_are_seen(name: str) -> None:
    bank, x = made_bank(4, name), drawn(2, 4, 9, 7)
    weight = drawn(3, bank.taps, 4, seed=1)
    features_of(bank, x, weight)
    bank.load_state_dict({name: value + 0.5 for name, value in bank.state_dict().items()})
    torch.testing.assert_close(features_of(bank, x, weight), bank.convolve(bank.features(x, 1), weight, 1, 1))


def test_an_input_without_gradient_needs_none() -> None:
    bank, x = made_bank(4, "linear"), drawn(2, 4, 9, 7)
    weight, upstream = drawn(3, bank.taps, 4, seed=1).requires_grad_(), drawn(2, 3, 9, 7, seed=2)
    expected = bank.convolve(bank.features(x, 1), weight, 1, 1)
    got, wanted = (torch.autograd.grad(made, weight, upstream) for made in (features_of(bank, x, weight), expected))
    torch.testing.assert_close(got, wanted)


def test_second_derivatives_are_refused() -> None:
    """Where the loss is linear in the features, too: there the gradient that comes in has no graph."""
    bank, x = made_bank(4, "linear"), drawn(2, 4, 9, 7).requires_grad_()
    weight = drawn(3, bank.taps, 4, seed=1).requires_grad_()
    with pytest.raises(MTLSearchError, match="implementation='reference'"):
        torch.autograd.grad(features_of(bank, x, weight).sum(), x, create_graph=True)


def test_nothing_as_large_as_the_input_is_kept_but_the_input() -> None:
    bank, x = made_bank(4, "linear"), drawn(2, 4, 9, 7).requires_grad_()
    weight = drawn(3, bank.taps, 4, seed=1).requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):  # type: ignore[func-returns-value]
        features_of(bank, x, weight)
    assert [one.shape for one in kept if one.numel() >= x.numel()] == [x.shape]


@pytest.mark.parametrize("name", ["paper", "linear"])
def test_float32_rounds_little(name: str) -> None:
    bank, x = made_bank(64, name), drawn(8, 64, 18, 18).requires_grad_()
    weight, upstream = drawn(96, bank.taps, 64, seed=1).requires_grad_(), drawn(8, 96, 18, 18, seed=2)
    made = features_of(bank, x, weight)
    exact = [made, *torch.autograd.grad(made, [x, weight], upstream)]
    bank, inputs = bank.float(), [one.detach().float().requires_grad_() for one in (x, weight)]
    made = features_of(bank, *inputs)
    for found, one in zip([made, *torch.autograd.grad(made, inputs, upstream.float())], exact, strict=True):
        assert (found - one).abs().max() < 1e-5 * one.abs().max()


def test_only_training_on_the_processor_takes_them() -> None:
    x = torch.zeros(1)
    assert trains(x)
    assert trains(x.double())
    assert not trains(x.half())
    with torch.no_grad():
        assert not trains(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not trains(x)


class Called(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(function.name().partition(".")[0])
        return function(*args, **(kwargs or {}))


def test_a_network_takes_them_to_train_and_torch_otherwise() -> None:
    model, x = build_model(made_architecture(), made_tasks(), SHAPE), made_inputs(torch.float32)
    for training, expected in ((True, True), (False, False)):
        with Called() as called, torch.set_grad_enabled(training):
            model.train(training)(x)
        assert ("aten::convolution" in called.names) != expected


def test_transforms_see_the_operations_of_torch() -> None:
    network = build_model(made_architecture(), made_tasks(), SHAPE)
    reference = build_model(made_architecture(), made_tasks(), SHAPE, implementation="reference")
    x = made_inputs(torch.float32)
    found, expected = (
        torch.func.grad(lambda weights, model=model: weighted_sum(torch.func.functional_call(model, weights, x)))(
            {name: parameter.detach() for name, parameter in model.named_parameters()}
        )
        for model in (network, reference)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    pickle.dumps(network)
