"""What holds for everything that is registered as a primitive on sequences, and for every bank of such."""

import pytest
import torch
from torch import Generator, Tensor

from made_networks import SEQUENCE_BANKS, single_threaded
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.primitives import LinearSequencePrimitive, UnfoldedSequencePrimitive
from mtl_search.primitives.cosine import Cosine
from mtl_search.primitives.shift import Shift
from mtl_search.spaces.banks import BANKS
from mtl_search.testing import check_bank, check_primitive

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)
NAMES = [name for name in PRIMITIVES.names() if name in SEQUENCE_BANKS]


@pytest.mark.parametrize("name", NAMES)
def test_the_contract(name: str) -> None:
    check_primitive(PRIMITIVES.get(name))


@pytest.mark.parametrize("bank", [name for name in SEQUENCE_BANKS if name in BANKS])
def test_the_contract_of_banks(bank: str) -> None:
    check_bank(bank)


def test_all_that_are_promised_are_there() -> None:
    assert set(NAMES) >= {"identity", "shift", "difference", "average_pool", "max_pool", "mean", "mixing", "cosine"}
    assert "relu_projection" in NAMES


class SeesPadding(UnfoldedSequencePrimitive):
    """The mean over all positions, padded ones among them."""

    name = "sees_padding"

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.empty(0)

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        return x.mean(dim=2, keepdim=True).expand_as(x)


class WrongSize(LinearSequencePrimitive):
    """A kernel of two positions, where one of three is declared."""

    name = "wrong_size"

    def taps(self, count: int, channels: int, generator: Generator) -> Tensor:
        return torch.ones(count, channels, 2)


class Constant(SeesPadding):
    """Says the same at all positions, but not that it does."""

    name = "unsaid"

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        return x.sum(dim=2, keepdim=True)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (SeesPadding, "does not depend on how many padded ones follow"),
        (WrongSize, r"kernels \[count, channels, size\]"),
        (Constant, "says the same at all positions"),
    ],
)
def test_what_breaks_the_contract_is_told(broken: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_primitive(broken)


def test_the_cosine_transform_is_orthonormal() -> None:
    """It keeps the length of vectors, and its first position is the mean times the root of the length."""
    x = torch.randn(1, 2, 7, 3, dtype=torch.float64)
    made = Cosine().respond(x, None, torch.empty(1, 0))
    torch.testing.assert_close(made.square().sum(dim=2), x.square().sum(dim=2))
    torch.testing.assert_close(made[:, :, 0], x.mean(dim=2) * 7**0.5)


def test_two_shifts_move_to_both_sides() -> None:
    taps = Shift().taps(2, 50, torch.Generator().manual_seed(0))
    assert (taps.sum(dim=0) == torch.tensor([1.0, 0.0, 1.0])).all()
    assert 5 < taps[0, :, 0].sum() < 45
