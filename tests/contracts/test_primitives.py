"""What holds for everything that is registered as a primitive on images, and for every bank of such."""

import itertools

import pytest
import torch
from torch import Generator, Tensor

from made_networks import IMAGE_BANKS
from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.operators import Bank, make_operator
from mtl_search.networks.vectors import check_independence
from mtl_search.primitives import LinearPrimitive, NonlinearPrimitive, Primitive
from mtl_search.spaces.banks import BANKS, CONVOLUTION, primitives_of
from mtl_search.testing import check_bank, check_primitive

CHANNELS = 6

every_primitive = pytest.mark.parametrize("name", [name for name in PRIMITIVES.names() if name in IMAGE_BANKS])
every_bank = pytest.mark.parametrize("bank", [name for name in IMAGE_BANKS if name != CONVOLUTION])


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def made_bank(bank: str, channels: int = CHANNELS, seed: int = 0) -> Bank:
    operator = make_operator(bank, channels, seeded(seed))
    assert isinstance(operator, Bank)
    return operator


def made_input(height: int = 12, width: int = 11, channels: int = CHANNELS) -> Tensor:
    return torch.randn(2, channels, height, width, generator=seeded(5))


def responses(bank: Bank, x: Tensor, stride: int = 1) -> list[Tensor]:
    return bank.responses(x, stride, slice(None))


def drawn(name: str, seed: int) -> Tensor:
    primitive: Primitive = PRIMITIVES.get(name)()
    if isinstance(primitive, LinearPrimitive):
        return primitive.kernels(2, CHANNELS, seeded(seed))
    assert isinstance(primitive, NonlinearPrimitive)
    return primitive.buffer(CHANNELS, seeded(seed))


def is_linear(primitive: Primitive) -> bool:
    return isinstance(primitive, LinearPrimitive)


def impulse_responses(bank: Bank) -> Tensor:
    """What the linear primitives make of a single pixel, ``[channels, primitives, pixels]``."""
    x = torch.zeros(1, CHANNELS, 9, 9)
    x[:, :, 4, 4] = 1
    made = [y for y, primitive in zip(responses(bank, x), bank.primitives, strict=True) if is_linear(primitive)]
    return torch.stack(made, dim=2)[0].flatten(2) if made else torch.zeros(CHANNELS, 0, 81)


def assert_independent_in_every_channel(kernels: Tensor) -> None:
    assert torch.linalg.matrix_rank(kernels.double(), atol=1e-3).tolist() == [kernels.shape[1]] * len(kernels)


@every_primitive
def test_the_contract(name: str) -> None:
    check_primitive(PRIMITIVES.get(name))


@pytest.mark.parametrize("bank", [name for name in IMAGE_BANKS if name in BANKS])
def test_the_contract_of_banks(bank: str) -> None:
    check_bank(bank)


@every_primitive
def test_a_primitive_is_named_as_its_file(name: str) -> None:
    assert PRIMITIVES.get(name).name == name
    assert PRIMITIVES.get(name).__module__ == f"mtl_search.primitives.{name}"


def test_another_generator_draws_other_random_kernels() -> None:
    for name in ("random", "dilated_random", "shift", "sobel", "sparse_binary", "perturbation"):
        assert not torch.equal(drawn(name, 3), drawn(name, 4)), name


@every_bank
def test_a_bank_holds_its_primitives_in_order(bank: str) -> None:
    made = made_bank(bank)
    assert tuple(primitive.name for primitive in made.primitives) == primitives_of(bank)
    assert made.taps == len(primitives_of(bank))


@pytest.mark.parametrize(
    "bank",
    [
        "identity*2",
        "average_pool*2",
        "sobel*3",
        "shift*9",
        "random*10",
        "random*9+identity",
        "average_pool+gaussian+laplacian+identity",
    ],
)
def test_dependent_kernels_are_refused(bank: str) -> None:
    with pytest.raises(UserError, match="depend on each other"):
        made_bank(bank)
    with pytest.raises(UserError, match="depend on each other"):
        check_independence(bank, "images")


@pytest.mark.parametrize("bank", ["random*9", "sobel*2", "shift*8", "shift*3+identity", "random*3+dilated_random*3"])
def test_independent_repeats_are_accepted(bank: str) -> None:
    assert_independent_in_every_channel(impulse_responses(made_bank(bank)))


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (9, 17), (33, 20)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_perturbation_tile_covers_any_resolution(stride: int, size: tuple[int, int]) -> None:
    made, x = made_bank("perturbation"), made_input(*size)
    mask = made.get_buffer("primitive0")
    (response,) = responses(made, x, stride)
    for row, column in itertools.product(range(response.shape[2]), range(response.shape[3])):
        place = row * stride, column * stride
        expected = torch.relu(x[:, :, place[0], place[1]] + mask[:, place[0] % 8, place[1] % 8])
        assert torch.equal(response[:, :, row, column], expected)


def test_responses_by_hand() -> None:
    x = torch.arange(25.0).view(1, 1, 5, 5)
    patch = x[0, 0, 1:4, 1:4]
    expected = {
        "identity": patch[1, 1],
        "average_pool": patch.sum() / 3,
        "gaussian": (patch * torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]])).sum() / 6,
        "laplacian": torch.tensor(0.0),
        "max_pool": patch.max(),
    }
    for name, value in expected.items():
        (response,) = made_bank(name, channels=1).responses(x, 1, slice(None))
        torch.testing.assert_close(response[0, 0, 2, 2], value, atol=1e-5, rtol=1e-5)


def test_eight_shifts_move_by_a_pixel_each_in_another_direction() -> None:
    primitive = PRIMITIVES.get("shift")()
    assert isinstance(primitive, LinearPrimitive)
    all_but_the_centre = torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1]])
    for channel in primitive.kernels(8, CHANNELS, seeded()).sum(dim=0).unbind():
        assert torch.equal(channel, all_but_the_centre)
