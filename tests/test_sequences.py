"""Networks for sequences: what holds for those for images holds for them, and padding is never seen."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from made_networks import (
    SEQUENCE,
    SEQUENCE_BANKS,
    generic_model,
    gradients,
    made_architecture,
    made_sequences,
    made_tasks,
    random_sequence_architecture,
    single_threaded,
)
from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.errors import FieldError, UserError
from mtl_search.methods.interrogate import prune
from mtl_search.networks.deployment import deployed
from mtl_search.networks.gated import GatedNetwork
from mtl_search.networks.network import build_model
from mtl_search.networks.vectors import check_independence
from mtl_search.reporting.drawing_svg import svg_drawing
from mtl_search.reporting.drawing_text import text_drawing
from mtl_search.reporting.layer_table import layer_table
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.banks import BANKS
from mtl_search.tasks import Classification

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

RANDOM = range(40)
TASKS = (1, 2, 5)


def sequence_architecture(bank: str = "sequence", ratio: float = 0.5, depth: int = 1, **others: Any) -> Architecture:
    return made_architecture(bank, ratio, depth, strides=(1, 1), kind="sequence", **others)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, output in expected.items():
        limit = tolerance * max(1.0, float(output.detach().abs().max()))
        torch.testing.assert_close(found[name], output, atol=limit, rtol=0)


def longer(x: Tensor, by: int) -> Tensor:
    """The same sequences with more padding, or with less."""
    if by < 0:
        return x[:, :by]
    return F.pad(x, (0, by), value=-1) if x.ndim == 2 else F.pad(x, (0, 0, 0, by), value=torch.nan)


def assert_fused_equals_reference(architecture: Architecture, tasks: int, further: float = 1.0) -> None:
    fused = generic_model(architecture, made_tasks(tasks), SEQUENCE)
    reference = build_model(architecture, made_tasks(tasks), SEQUENCE, 99, "reference").double()
    reference.load_state_dict(fused.state_dict())
    x, before = made_sequences(architecture), copy.deepcopy(fused.state_dict())
    with torch.no_grad():
        assert_equal(fused(x), reference(x), 1e-10)
    fused.load_state_dict(before)
    reference.load_state_dict(before)
    found, expected = gradients(fused, x), gradients(reference, x)
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) <= 1e-8 * max(float(gradient.norm()), 1e-2 * largest), name
        assert float(gradient.abs().max()) > 1e-9 * largest, f"{name} has a gradient of zero"
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(fused.get_buffer(name), buffer, atol=1e-10, rtol=1e-10)
    with torch.no_grad():
        assert_equal(fused.eval()(x), reference.eval()(x), 1e-10)


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(4)
def test_fused_equals_reference_and_every_parameter_learns(seed: int) -> None:
    assert_fused_equals_reference(random_sequence_architecture(seed), TASKS[seed % len(TASKS)])


@pytest.mark.parametrize("embedding", [0, 6])
@pytest.mark.parametrize("bank", [bank for bank in SEQUENCE_BANKS if bank != "mean"])
@pytest.mark.thin(3)
def test_fused_equals_reference_for_every_bank(bank: str, embedding: int) -> None:
    assert_fused_equals_reference(sequence_architecture(bank, 0.5, 2, embedding=embedding), 2)


@pytest.mark.parametrize("seed", RANDOM)
@pytest.mark.thin(4)
def test_padding_is_never_seen(seed: int) -> None:
    """Neither in evaluation nor in training, where a step moves the running moments, and by no gradient."""
    architecture = random_sequence_architecture(seed)
    long = generic_model(architecture, made_tasks(1 + seed % 3), (SEQUENCE[0] + 4, SEQUENCE[1]), dtype=torch.float32)
    x = made_sequences(architecture, dtype=torch.float32)
    x = x[(longer(x, -2)[:, -1] if x.ndim == 2 else longer(x, -2)[:, -1, 0].nan_to_num(-1)) < 0]
    before, found = copy.deepcopy(long.state_dict()), []
    for by in (-2, 0, 3):
        long.load_state_dict(before)
        long.train()
        trained = gradients(long, longer(x, by))
        with torch.no_grad():
            found.append((dict(long.train()(longer(x, by))), trained, dict(long.eval()(longer(x, by)))))
    for outputs, of_training, of_evaluation in found[1:]:
        assert_equal(outputs, found[0][0], 1e-5)
        assert_equal(of_evaluation, found[0][2], 1e-5)
        for name, gradient in found[0][1].items():
            limit = 1e-4 * max(1.0, float(gradient.norm()))
            assert float((of_training[name] - gradient).norm()) < limit, name


def test_a_sample_alone_is_what_it_is_among_longer_ones() -> None:
    architecture = sequence_architecture("sequence_cosine", embedding=6)
    model, x = generic_model(architecture, made_tasks(), SEQUENCE).eval(), made_sequences(architecture)
    with torch.no_grad():
        together = model(x)
        for row, sample in enumerate(x):
            alone = model(sample[sample >= 0][None])
            assert_equal(alone, {name: output[row : row + 1] for name, output in together.items()}, 1e-10)


@pytest.mark.parametrize("start", range(0, 120, 40))
@pytest.mark.thin(200)
def test_random_architectures_cost_what_they_are_estimated_to(start: int) -> None:
    for seed in range(start, start + 40):
        architecture, tasks = random_sequence_architecture(seed), made_tasks(1 + seed % 4)
        measured = cost.measure(build_model(architecture, tasks, SEQUENCE), SEQUENCE)
        assert cost.estimate(architecture, tasks, SEQUENCE) == measured, str(architecture)


def test_costs_by_hand() -> None:
    """One layer of 16 outputs on 6 channels: two taps are folded into one of three, the mean is mixed once."""
    backbone = Backbone((Stage(16),), "sequence", embedding=6)
    architecture = Architecture(backbone, (LayerChoice("sequence", 1.0),))
    found = cost.estimate(architecture, (Classification("a", 5),), (20, 1000))
    heads = 2 * 16 * 5
    learned, frozen = 16 * 3 * 6 + 2 * 16 + heads + 5, 6 * (1 + 3)
    assert found == Cost(learned, frozen, 16 * 6 * 3 * 20 + 16 * 6 + heads, 6 * 1000)
    assert found.total_parameters == learned + frozen


def test_sharing_everything_with_conv_is_an_ordinary_network() -> None:
    architecture = sequence_architecture("conv", 1, embedding=6)
    model = generic_model(architecture, made_tasks(), SEQUENCE).eval()
    assert model.embedding is not None
    x = made_sequences(architecture)[-2:-1]
    x = x[x >= 0][None]
    features = F.embedding(x, model.embedding.weight).mT
    for block in model.blocks:
        layer = block.layers[0]  # type: ignore[union-attr, index]
        norm = layer.shared_norm
        made = F.conv1d(features, layer.shared_weight.mT, padding=1)  # type: ignore[operator]
        features = F.relu(F.batch_norm(made, norm.running_mean, norm.running_var, norm.weight, norm.bias))  # type: ignore[union-attr, arg-type]
    read = torch.stack([features.mean(dim=2), features.amax(dim=2)], dim=2).flatten(1)
    expected = F.linear(read, model.heads.shared_weight, model.heads.bias)  # type: ignore[union-attr]
    torch.testing.assert_close(torch.cat(list(model(x).values()), dim=1), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bank", "entry"), [("identity+shift+mixing+max_pool", "embedding"), ("sequence_cosine", "stem")]
)
def test_the_plain_network_computes_the_same_for_any_length(bank: str, entry: str) -> None:
    architecture = sequence_architecture(bank, **{entry: 6})
    network = generic_model(architecture, made_tasks(2), SEQUENCE).eval()
    plain, x = deployed(network, SEQUENCE), made_sequences(architecture)
    with torch.no_grad():
        for batch in (x, x[:1], x[:3, :4]):
            assert_equal(dict(plain(batch)), network(batch), 1e-9)


@pytest.mark.parametrize("entry", ["embedding", "stem"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_gates_that_are_fixed_leave_the_same_network(entry: str, share: float) -> None:
    """Pruned equals masked, padding or none; one task alone, too."""
    architecture, rng = sequence_architecture("conv", 1, **{entry: 6}), torch.Generator().manual_seed(3)
    model = GatedNetwork(architecture.backbone, made_tasks(3), SEQUENCE, 0).double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.startswith("gates"):
                value.add_(0.3 * torch.rand(value.shape, generator=rng, dtype=torch.float64))
        for alpha in model.gates:
            alpha.copy_(torch.where(torch.rand(alpha.shape, generator=rng) < share, 1.0, -1.0))
    pruned, x = prune(model.eval()), made_sequences(architecture)
    with torch.no_grad():
        assert_equal(pruned(x), model(x), 1e-9)
        assert_equal(pruned(x, ["b"]), model(x, ["b"]), 1e-9)
    assert cost.count_macs(pruned, SEQUENCE) <= cost.count_macs(model, SEQUENCE)


def test_dependent_kernels_are_refused() -> None:
    for bank in (name for name in BANKS if name.startswith("sequence")):
        check_independence(bank, "sequences")
    for bank in ("identity+shift*2+average_pool", "shift*2+difference", "identity*2", "random*4"):
        with pytest.raises(UserError, match=r"^the kernels of the bank .* depend on each other"):
            check_independence(bank, "sequences")
    with pytest.raises(UserError, match=r"^`mean` stands in the bank mean\+mean more than once"):
        check_independence("mean*2", "sequences")
    with pytest.raises(UserError, match=r"^the bank `paper` has primitives that are not for sequences: dilated_random"):
        check_independence("paper", "sequences")
    with pytest.raises(UserError, match=r"^the bank `sequence` has primitives that are not for images: mean"):
        check_independence("sequence", "images")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (Stage(8, 1, 2),)}, r"`stages\.0\.stride` must be 1 in a backbone of the kind `sequence`"),
        ({"head_pool": 2}, r"`head_pool` must be 1 in a backbone of the kind `sequence`"),
        ({"embedding": 4, "stem": 4}, r"`stem` must be 0 beside an `embedding`"),
        ({"embedding": 4, "kind": "plain"}, r"`embedding` must be 0 in a backbone that is not"),
    ],
)
def test_what_a_sequence_cannot_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Backbone(**{"stages": (Stage(8),), "kind": "sequence", **options})


def test_backbones_are_for_their_inputs() -> None:
    with pytest.raises(FieldError, match=r"`backbone\.kind` must be `sequence`, for inputs are sequences of 9 pos"):
        build_model(made_architecture(), made_tasks(), SEQUENCE)
    with pytest.raises(FieldError, match=r"must be `vector`, for inputs are rows of 4 features"):
        build_model(sequence_architecture(), made_tasks(), (4,))


def test_an_architecture_is_drawn_and_read_back() -> None:
    architecture = sequence_architecture("sequence_mixing", 0.5, embedding=6)
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert "embedding" not in sequence_architecture().to_json()
    assert [(row.shared, row.specific) for row in layer_table(architecture, 13)] == [(4, 4), (6, 6)]
    assert "sequence_mixing" in text_drawing(architecture, ["a", "b"])
    assert "embedding: 6 channels learned for each token" in svg_drawing(architecture, ["a", "b"])


def test_frozen_values_are_the_same_for_every_length_of_a_batch() -> None:
    """The first positions have the weights that they have in a longer sequence, but for their sum."""
    architecture = sequence_architecture("mixing", 1, embedding=6)
    model = build_model(architecture, made_tasks(1), SEQUENCE)
    weights = model.blocks[0].layers[0].operator.get_buffer("primitive0")[0]  # type: ignore[union-attr, index]
    assert weights.shape == (SEQUENCE[0], SEQUENCE[0])
    x = torch.randn(1, 4, 3)
    operator = model.blocks[0].layers[0].operator.primitives[0]  # type: ignore[union-attr, index]
    found = operator.respond(x[None], None, weights[None])
    expected = torch.softmax(weights.log()[:4, :4], dim=1) @ x[0]
    np.testing.assert_allclose(found[0, 0], expected, atol=1e-6)
