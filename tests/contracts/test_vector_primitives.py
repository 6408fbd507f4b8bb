"""What holds for everything that is registered as a primitive on vectors, and for every bank of such."""

import pytest
import torch
from torch import Generator, Tensor

from made_networks import IMAGE_BANKS, SEQUENCE_BANKS, VECTOR_BANKS, single_threaded
from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.operators import make_operator
from mtl_search.networks.vectors import VectorBank, check_independence, make_vector_operator
from mtl_search.primitives import LinearVectorPrimitive, NonlinearVectorPrimitive, Primitive
from mtl_search.spaces.banks import BANKS, CONVOLUTION, primitives_of
from mtl_search.testing import check_bank, check_primitive

FEATURES, GROUPS, SAMPLES, STREAMS = 24, 8, 500, 3
NAMES = [name for name in PRIMITIVES.names() if name in VECTOR_BANKS]
LINEAR = [name for name in NAMES if issubclass(PRIMITIVES.get(name), LinearVectorPrimitive)]
NONLINEAR = [name for name in NAMES if issubclass(PRIMITIVES.get(name), NonlinearVectorPrimitive)]
SIZES = [(64, 8), (61, 8), (24, 8), (11, 8), (9, 8), (8, 8), (5, 5), (3, 3), (2, 2), (1, 1), (20, 3)]
"""Features, groups."""

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)
every_primitive = pytest.mark.parametrize("name", NAMES)
every_bank = pytest.mark.parametrize("bank", [name for name in VECTOR_BANKS if name != CONVOLUTION])
every_size = pytest.mark.parametrize(("features", "groups"), SIZES)


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def made_bank(bank: str, features: int = FEATURES, streams: int = 1, groups: int = GROUPS, seed: int = 0) -> VectorBank:
    operator = make_vector_operator(bank, features, streams, groups, seeded(seed))
    assert isinstance(operator, VectorBank)
    return operator


def made_rows(features: int = FEATURES, streams: int = 1) -> Tensor:
    return torch.randn(SAMPLES, streams * features, 1, 1, generator=seeded(5))


def responses(bank: VectorBank, x: Tensor) -> list[Tensor]:
    return bank.responses(x, 1, slice(None))


def drawn(name: str, seed: int) -> Tensor:
    primitive: Primitive = PRIMITIVES.get(name)()
    if isinstance(primitive, LinearVectorPrimitive):
        return primitive.matrices(2, FEATURES, FEATURES // GROUPS, seeded(seed))
    assert isinstance(primitive, NonlinearVectorPrimitive)
    return primitive.drawn(FEATURES, seeded(seed))


def rows_of_windows(bank: VectorBank) -> list[Tensor]:
    """For every group of outputs the rows that it reads of all linear primitives, by their definition."""
    matrices = [bank.matrices(place)[0] for place in bank.linear]
    windows = [bank.window(group, bank.channels) for group in range(bank.windows)]
    none = torch.zeros(0, bank.channels)
    return [torch.cat([none, *(matrix[window] for matrix in matrices)]) for window in windows]


@every_primitive
def test_the_contract(name: str) -> None:
    check_primitive(PRIMITIVES.get(name))


@pytest.mark.parametrize("bank", [name for name in VECTOR_BANKS if name in BANKS])
def test_the_contract_of_banks(bank: str) -> None:
    check_bank(bank)


@every_primitive
def test_a_primitive_is_named_as_its_file(name: str) -> None:
    assert PRIMITIVES.get(name).name == name
    assert PRIMITIVES.get(name).__module__ == f"mtl_search.primitives.{name}"


def test_every_primitive_is_for_images_vectors_or_sequences() -> None:
    assert {*IMAGE_BANKS, *VECTOR_BANKS, *SEQUENCE_BANKS} == {CONVOLUTION, *BANKS, *PRIMITIVES.names()}
    assert set(NAMES) >= {"identity", "permutation", "projection", "perturbation", "fourier"}


@every_primitive
def test_the_same_generator_draws_the_same(name: str) -> None:
    assert torch.equal(drawn(name, 3), drawn(name, 3))
    assert (name == "identity") is torch.equal(drawn(name, 3), drawn(name, 4))


@every_bank
@every_size
def test_windows_are_of_equal_size_and_hold_every_feature(bank: str, features: int, groups: int) -> None:
    made = made_bank(bank, features, groups=groups)
    windows = [range(features)[made.window(group, features)] for group in range(groups)]
    assert {len(window) for window in windows} == {made.reach(features)} == {-(-features // groups)}
    assert {number for window in windows for number in window} == set(range(features))


@pytest.mark.parametrize("bank", ["permutation*3+identity", "permutation*2"])
@every_size
def test_an_output_reads_no_feature_twice_where_there_is_room(bank: str, features: int, groups: int) -> None:
    made = made_bank(bank, features, groups=groups)
    for rows in rows_of_windows(made):
        assert (rows.sum(dim=1) == 1).all()
        assert (rows.count_nonzero(dim=1) == 1).all()
        if made.taps * (2 * made.reach(features) - 1) <= features:
            assert rows.sum(dim=0).max() == 1


@pytest.mark.parametrize("features", [8, 24, 61])
def test_repeated_projections_read_orthogonal_rows(features: int) -> None:
    for rows in rows_of_windows(made_bank("projection*4", features)):
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("bank", ["identity*2", "projection*9", "permutation*8+identity"])
def test_dependent_rows_are_refused(bank: str) -> None:
    with pytest.raises(UserError, match="depend on each other"):
        check_independence(bank, "rows")


def test_images_and_vectors_have_primitives_of_their_own() -> None:
    with pytest.raises(UserError, match=r"`paper` .* not for the rows of a table: random, .*Valid: conv, fourier, "):
        check_independence("paper", "rows")
    with pytest.raises(UserError, match=r"`identity\+fourier` .* not for images: fourier\. Valid: average_pool, conv"):
        check_independence("identity+fourier", "images")
    with pytest.raises(UserError, match="not for images: permutation, projection"):
        make_operator("vector", 8, seeded())


@every_bank
def test_streams_do_not_mix_and_have_values_of_their_own(bank: str) -> None:
    made, x = made_bank(bank, streams=STREAMS), made_rows(streams=STREAMS)
    changed = x.clone()
    changed[:, :FEATURES] += 1
    repeated = x[:, :FEATURES].repeat(1, STREAMS, 1, 1)
    found = (responses(made, one) for one in (x, changed, repeated))
    for before, after, of_same, name in zip(*found, primitives_of(bank), strict=True):
        assert not torch.equal(before[:, :FEATURES], after[:, :FEATURES])
        torch.testing.assert_close(before[:, FEATURES:], after[:, FEATURES:])
        first, second = of_same[:, :FEATURES], of_same[:, FEATURES : 2 * FEATURES]
        assert torch.equal(first, second) is (name == "identity")


def test_responses_by_hand() -> None:
    x = made_rows()
    row = x[:, :, 0, 0]
    by_name = {name: responses(made_bank(name), x)[0][:, :, 0, 0] for name in NAMES}
    assert torch.equal(by_name["identity"], row)
    assert torch.equal(by_name["permutation"].sort(dim=1).values, row.sort(dim=1).values)
    torch.testing.assert_close(by_name["projection"].norm(dim=1), row.norm(dim=1))
    mask = made_bank("perturbation").get_buffer("primitive0")[0]
    torch.testing.assert_close(by_name["perturbation"], (row + mask).clamp(min=0))
    angles = row @ made_bank("fourier").get_buffer("primitive0")[0].T
    torch.testing.assert_close(by_name["fourier"][:, ::2], 2**0.5 * angles.cos())
    torch.testing.assert_close(by_name["fourier"][:, 1::2], 2**0.5 * angles.sin())
