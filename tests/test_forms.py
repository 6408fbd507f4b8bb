"""All forms of a bank are the same function, keep their input only, and the fastest is taken to train."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from made_networks import IMAGE_BANKS, gradients, in_form, made_architecture, made_inputs, made_tasks, single_threaded
from mtl_search.errors import MTLSearchError
from mtl_search.kernels.bank import Measured
from mtl_search.networks import chunked, layer
from mtl_search.networks.forms import AVX2, AVX512, Form, Timings, fastest, form_now, recombined, timings_here
from mtl_search.networks.network import build_model
from mtl_search.networks.operators import Bank, make_operator, terms_of
from mtl_search.spaces.banks import CONVOLUTION

IN_PARTS: tuple[Form, ...] = ("joined", "filtered", "native")
CHANNELS, OUTPUTS = 4, (5, 3)
SHAPE = (2, 12, 12)

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)


def made_bank(name: str) -> Bank:
    bank = make_operator(name, CHANNELS, torch.Generator().manual_seed(0)).double()
    assert isinstance(bank, Bank)
    return bank


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape)))


def images() -> Tensor:
    return drawn(7, CHANNELS, 11, 9).to(memory_format=torch.channels_last)


def weights_of(bank: Bank) -> list[Tensor]:
    return [drawn(outputs, bank.taps, CHANNELS).requires_grad_() for outputs in OUTPUTS]


def features_in(form: Form, bank: Bank, x: Tensor, stride: int, weights: list[Tensor]) -> list[Tensor]:
    return [made.features for made in recombined(form, bank, x, stride, weights)]


def assert_same_with_gradients(got: list[Tensor], expected: list[Tensor], inputs: list[Tensor]) -> None:
    upstream = [drawn(*output.shape) for output in expected]
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        torch.autograd.grad(got, inputs, upstream), torch.autograd.grad(expected, inputs, upstream)
    )


@pytest.mark.parametrize("at_a_time", [1, 3000, 1 << 20])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("form", "name"),
    [(form, name) for form in ("filtered", "native") for name in IMAGE_BANKS if name != CONVOLUTION]
    + [("joined", "linear"), ("joined", "dilated_random*3")],
)
def test_every_form_is_the_folded_one_however_many_samples_at_a_time(
    form: Form, name: str, stride: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "FEATURES_AT_A_TIME", at_a_time)
    bank, x = made_bank(name), images().requires_grad_()
    weights = weights_of(bank)
    got = features_in(form, bank, x, stride, weights)
    assert_same_with_gradients(got, features_in("folded", bank, x, stride, weights), [x, *weights])


@pytest.mark.parametrize("form", IN_PARTS)
def test_an_input_without_gradient_needs_none(form: Form) -> None:
    bank, x = made_bank("linear"), images()
    weights = weights_of(bank)
    got = features_in(form, bank, x, 1, weights)
    assert_same_with_gradients(got, features_in("folded", bank, x, 1, weights), weights)


@pytest.mark.parametrize("form", IN_PARTS)
def test_second_derivatives_are_refused(form: Form) -> None:
    """Where the loss is linear in the features, too: there the gradient that comes in has no graph."""
    bank, x = made_bank("linear"), images().requires_grad_()
    total = sum(features.sum() for features in features_in(form, bank, x, 1, weights_of(bank)))
    assert isinstance(total, Tensor)
    with pytest.raises(MTLSearchError, match="implementation='reference'"):
        torch.autograd.grad(total, x, create_graph=True)


@pytest.mark.parametrize("form", IN_PARTS)
def test_an_empty_batch_and_autocast_are_for_torch(form: Form) -> None:
    assert form_now(form, images().requires_grad_()) == form
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert form_now(form, images()) == "folded"
    if form != "native":
        assert form_now(form, images()[:0]) == "folded"


@pytest.mark.parametrize("form", IN_PARTS)
def test_nothing_as_large_as_the_input_is_kept_but_the_input(form: Form) -> None:
    bank, x = made_bank("linear"), images().requires_grad_()
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        recombined(form, bank, x, 1, weights_of(bank))
    assert [tensor.shape for tensor in kept if tensor.numel() >= x.numel()] == [x.shape]


@pytest.mark.parametrize(
    ("name", "channels", "outputs", "stride", "on_avx2", "on_avx512"),
    [
        ("linear", 64, [64, 512], 1, "filtered", "filtered"),
        ("linear", 32, [32, 256], 2, "joined", "filtered"),
        ("linear", 48, [48, 32], 2, "joined", "joined"),
        ("linear", 16, [16, 8], 1, "folded", "folded"),
        ("paper", 16, [16, 8], 1, "folded", "filtered"),
        ("paper", 48, [48, 32], 2, "folded", "filtered"),
        ("paper", 64, [64, 512], 2, "filtered", "filtered"),
        ("orthonormal7", 48, [48, 32], 1, "folded", "folded"),
        ("nonlinear", 64, [64], 1, "folded", "filtered"),
        ("identity", 64, [64, 512], 1, "folded", "folded"),
        ("identity", 48, [48, 32], 2, "folded", "folded"),
        ("average_pool", 64, [576], 1, "folded", "folded"),
    ],
)
def test_the_fastest_form_of_a_processor_is_chosen(
    name: str, channels: int, outputs: list[int], stride: int, on_avx2: Form, on_avx512: Form
) -> None:
    assert fastest(terms_of(name), channels, outputs, stride, AVX2) == on_avx2
    assert fastest(terms_of(name), channels, outputs, stride, AVX512) == on_avx512


@pytest.mark.parametrize(("capability", "timings"), [("AVX2", AVX2), ("AVX512", AVX512), ("DEFAULT", AVX2)])
def test_the_processor_is_the_one_whose_instructions_torch_uses(
    capability: str, timings: Timings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert timings_here() is timings


def test_a_network_takes_its_forms_to_train_and_folds_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[Form] = set()

    def watched(form: Form, *arguments: Any) -> list[Measured]:
        taken.add(form)
        return recombined(form, *arguments)

    monkeypatch.setattr(layer, "recombined", watched)
    model, x = build_model(made_architecture("linear", 0.5), made_tasks(), SHAPE).double(), made_inputs(shape=SHAPE)
    for form in get_args(Form):
        taken.clear()
        gradients(in_form(model, form), x)
        assert taken == {form}
        taken.clear()
        with torch.no_grad():
            model(x)
        assert taken == {"folded"}
