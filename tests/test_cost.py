"""The computed cost is that of the network that is built."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from made_networks import IMAGE_BANKS, SHAPE, made_architecture, made_tasks, random_architecture, single_threaded
from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.networks.network import build_model
from mtl_search.spaces.architecture import Architecture, Routing, Specific
from mtl_search.spaces.experiment import load_space
from mtl_search.tasks import Classification

QUICKSTART_SHAPE = (1, 36, 36)
one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

DIGITS = (Classification("left"), Classification("right"))

PINNED = {
    "hard sharing, conv": (made_architecture("conv", 1), Cost(1211, 0)),
    "hard sharing, paper": (made_architecture("paper", 1), Cost(731, 1100)),
    "half shared": (made_architecture("linear", 0.5), Cost(931, 555)),
    "nothing shared": (made_architecture("orthonormal", 0), Cost(1371, 855)),
    "deep branches": (made_architecture("paper", 0.25, 3), Cost(3581, 7700)),
    "conv branches": (made_architecture("linear", 0.5, 2, specific="conv"), Cost(2387, 259)),
    "mixed": (made_architecture("linear", 0.5, routing="mixed"), Cost(1051, 555)),
    "residual, stem": (made_architecture("nonlinear", 0.75, kind="residual", stem=6), Cost(2408, 3731)),
    "2x2 grid": (made_architecture("pooling", [0.5, 1], head_pool=2), Cost(755, 70)),
}


def assert_cost_matches_built_model(
    architecture: Architecture, tasks: tuple[Classification, ...], shape: tuple[int, ...]
) -> None:
    assert cost.estimate(architecture, tasks, shape) == cost.measure(build_model(architecture, tasks, shape), shape)


def counted_macs(architecture: Architecture, tasks: tuple[Classification, ...], shape: tuple[int, ...]) -> float:
    """What torch counts in one forward pass, as anybody would count it."""
    model = build_model(architecture, tasks, shape).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *shape))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("start", range(0, 200, 10))
@pytest.mark.thin(20)
def test_quickstart_architectures_cost_what_they_are_estimated_to(start: int) -> None:
    space = load_space("quickstart")
    for seed in range(start, start + 10):
        assert_cost_matches_built_model(space.sample(seed), DIGITS, QUICKSTART_SHAPE)


@pytest.mark.parametrize("start", range(0, 200, 10))
@pytest.mark.thin(20)
def test_random_architectures_cost_what_they_are_estimated_to(start: int) -> None:
    for seed in range(start, start + 10):
        assert_cost_matches_built_model(random_architecture(seed), made_tasks(1 + seed % 4), SHAPE)


@pytest.mark.parametrize("routing", ["strict", "mixed"])
@pytest.mark.parametrize("specific", ["nlp", "conv"])
@pytest.mark.parametrize("bank", IMAGE_BANKS)
@pytest.mark.thin(5)
def test_every_bank_costs_what_it_is_estimated_to(bank: str, specific: Specific, routing: Routing) -> None:
    for kind in ("plain", "residual"):
        architecture = made_architecture(bank, 0.5, 2, kind=kind, specific=specific, routing=routing, stem=5)
        assert_cost_matches_built_model(architecture, made_tasks(3), SHAPE)


def test_macs_are_what_torch_counts() -> None:
    space = load_space("quickstart")
    for seed in range(30):
        for architecture, tasks, shape in (
            (space.sample(seed), DIGITS, QUICKSTART_SHAPE),
            (random_architecture(seed), made_tasks(), (3, 32, 32)),
        ):
            estimated = cost.estimate(architecture, tasks, shape).macs
            assert estimated == pytest.approx(counted_macs(architecture, tasks, shape), rel=0.01), str(architecture)


@pytest.mark.parametrize(("architecture", "expected"), PINNED.values(), ids=PINNED)
def test_pinned_costs(architecture: Architecture, expected: Cost) -> None:
    found = cost.estimate(architecture, made_tasks(), SHAPE)
    assert (found.learnable_parameters, found.fixed_parameters) == (
        expected.learnable_parameters,
        expected.fixed_parameters,
    )


def test_hard_sharing_by_hand() -> None:
    found = cost.estimate(made_architecture("conv", 1, strides=(1, 2)), made_tasks(), SHAPE)
    convolutions = (3 * 8 * 9, 8 * 12 * 9)
    assert found.learnable_parameters == sum(convolutions) + 2 * 8 + 2 * 12 + (12 + 1) * (3 + 4)
    assert found.fixed_parameters == 0
    assert found.macs == convolutions[0] * 16 * 18 + convolutions[1] * 8 * 9 + 12 * (3 + 4)


def test_costs_add_up() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
    assert Cost(1, 2, 3).total_parameters == 3


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch's exporter by itself
@pytest.mark.slow
def test_a_network_to_be_deployed_costs_the_same_the_first_time() -> None:
    fused, plain = (
        build_model(made_architecture(), made_tasks(), SHAPE, 0, implementation)
        for implementation in ("fused", "deploy")
    )
    assert cost.measure(plain, SHAPE).macs == cost.measure(fused, SHAPE).macs


def test_measuring_leaves_the_model_as_it_was() -> None:
    model = build_model(made_architecture(), made_tasks(), SHAPE).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cost.measure(model, SHAPE)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
