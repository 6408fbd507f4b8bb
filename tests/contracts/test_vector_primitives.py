"""What holds for everything that is registered as a primitive on vectors, and for every bank of such."""

import pytest
import torch
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

from made_networks import IMAGE_BANKS, VECTOR_BANKS, single_threaded
from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.operators import make_operator
from mtl_search.networks.vectors import VectorBank, check_independence, make_vector_operator
from mtl_search.primitives import LinearVectorPrimitive, NonlinearVectorPrimitive, Primitive
from mtl_search.spaces.banks import BANKS, CONVOLUTION, primitives_of

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
def test_a_primitive_is_named_as_its_file(name: str) -> None:
    assert PRIMITIVES.get(name).name == name
    assert PRIMITIVES.get(name).__module__ == f"mtl_search.primitives.{name}"


def test_every_primitive_is_for_images_or_vectors() -> None:
    assert {*IMAGE_BANKS, *VECTOR_BANKS} == {CONVOLUTION, *BANKS, *PRIMITIVES.names()}
    assert set(NAMES) >= {"identity", "permutation", "projection", "perturbation", "fourier"}


@every_primitive
def test_the_same_generator_draws_the_same(name: str) -> None:
    assert torch.equal(drawn(name, 3), drawn(name, 3))
    assert (name == "identity") is torch.equal(drawn(name, 3), drawn(name, 4))


@every_bank
@every_size
def test_output_shapes(bank: str, features: int, groups: int) -> None:
    for streams in (1, STREAMS):
        made = made_bank(bank, features, streams, groups)
        x = made_rows(features, streams)
        assert len(responses(made, x)) == made.taps == len(primitives_of(bank))
        for response in responses(made, x):
            assert response.shape == x.shape
            assert response.isfinite().all()


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_primitive_is_its_matrix(name: str) -> None:
    made, x = made_bank(name), made_rows()
    (response,) = responses(made, x)
    torch.testing.assert_close(response[:, :, 0, 0], x[:, :, 0, 0] @ made.matrices(0)[0].T)


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_nonlinear_primitive_is_none(name: str) -> None:
    made, x = made_bank(name), made_rows()
    (one,), (twice,) = responses(made, x), responses(made, 2 * x)
    assert (twice - 2 * one).abs().max() > 0.1


@every_bank
def test_responses_have_about_the_energy_of_normalised_inputs(bank: str) -> None:
    for response in responses(made_bank(bank), made_rows()):
        assert 0.3 < response.square().mean() < 2


@every_bank
@every_size
def test_windows_are_of_equal_size_and_hold_every_feature(bank: str, features: int, groups: int) -> None:
    made = made_bank(bank, features, groups=groups)
    windows = [range(features)[made.window(group, features)] for group in range(groups)]
    assert {len(window) for window in windows} == {made.reach(features)} == {-(-features // groups)}
    assert {number for window in windows for number in window} == set(range(features))


@every_bank
@pytest.mark.parametrize("features", [16, 24, 61, 64])
@pytest.mark.parametrize("seed", range(3))
def test_the_rows_that_an_output_reads_are_independent(bank: str, features: int, seed: int) -> None:
    for rows in rows_of_windows(made_bank(bank, features, seed=seed)):
        assert torch.linalg.matrix_rank(rows.double(), atol=1e-3) == len(rows)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))


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
        check_independence(bank, vectors=True)


def test_images_and_vectors_have_primitives_of_their_own() -> None:
    with pytest.raises(UserError, match=r"`paper` .* not for the rows of a table: random, .*Valid: conv, fourier, "):
        check_independence("paper", vectors=True)
    with pytest.raises(UserError, match=r"`identity\+fourier` .* not for images: fourier\. Valid: average_pool, conv"):
        check_independence("identity+fourier", vectors=False)
    with pytest.raises(UserError, match="not for images: permutation, projection"):
        make_operator("vector", 8, seeded())


@every_bank
def test_nothing_in_a_bank_is_learned(bank: str) -> None:
    made = made_bank(bank)
    assert not list(made.parameters())
    assert not any(buffer.requires_grad for buffer in made.buffers())


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("features", [7, 24])
def test_frozen_values_are_those_that_are_not_0(name: str, features: int) -> None:
    made = made_bank(f"{name}*2" if name != "identity" else name, features, STREAMS, groups=4)
    expected = PRIMITIVES.get(name)().frozen_values(features)
    assert made.fixed_parameters() == expected * made.taps * STREAMS
    assert int(drawn(name, 0)[0].count_nonzero()) == PRIMITIVES.get(name)().frozen_values(FEATURES)


@pytest.mark.parametrize("name", NONLINEAR)
@pytest.mark.parametrize("features", [7, 24])
def test_a_nonlinear_primitive_says_its_products(name: str, features: int) -> None:
    made, x = made_bank(name, features, groups=4), made_rows(features)
    with FlopCounterMode(display=False) as counter:
        responses(made, x)
    assert counter.get_total_flops() == 2 * SAMPLES * PRIMITIVES.get(name)().macs(features)


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


@every_bank
def test_one_stream_alone_gives_its_part_of_the_response(bank: str) -> None:
    made, x = made_bank(bank, streams=STREAMS), made_rows(streams=STREAMS)
    part = slice(FEATURES, 2 * FEATURES)
    for some, everything in zip(made.responses(x[:, part], 1, part), responses(made, x), strict=True):
        torch.testing.assert_close(some, everything[:, part])


@every_bank
def test_frozen_values_of_one_stream_serve_any_number(bank: str) -> None:
    made, x = made_bank(bank), made_rows(streams=STREAMS)
    for response in responses(made, x):
        alone = [torch.cat(responses(made, part)) for part in x.split(FEATURES, dim=1)]
        assert len(alone) == STREAMS
        assert response.shape == x.shape
    together = torch.cat(responses(made, x)).split(FEATURES, dim=1)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


@every_bank
def test_the_state_dict_restores_the_primitives(bank: str) -> None:
    original, other, x = made_bank(bank, seed=1), made_bank(bank, seed=2), made_rows()
    other.load_state_dict(original.state_dict())
    for expected, got in zip(responses(original, x), responses(other, x), strict=True):
        assert torch.equal(expected, got)


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
