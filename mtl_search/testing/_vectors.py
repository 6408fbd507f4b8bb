"""The contract of primitives on the rows of a table, and of banks of them. Rules are given the name of a bank."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.vectors import VectorBank, make_vector_operator
from mtl_search.primitives import LinearVectorPrimitive
from mtl_search.spaces.banks import primitives_of
from mtl_search.testing._rules import (
    NOT_LINEAR,
    require,
    require_close,
    require_equal,
    require_none_of,
    require_own_generator,
    seeded,
)

FEATURES, GROUPS, SAMPLES, STREAMS = 24, 8, 500, 3
SIZES = ((64, 8), (61, 8), (24, 8), (11, 8), (9, 8), (8, 8), (5, 5), (3, 3), (2, 2), (1, 1), (20, 3))
"""Features, groups."""
ENERGY = (0.3, 2.0)
"""Mean square of a response to inputs whose mean square is 1."""


def made_bank(bank: str, features: int = FEATURES, streams: int = 1, groups: int = GROUPS, seed: int = 0) -> VectorBank:
    """The bank with frozen values drawn from a seed."""
    operator = make_vector_operator(bank, features, streams, groups, seeded(seed))
    assert isinstance(operator, VectorBank)
    return operator


def rows(features: int = FEATURES, streams: int = 1) -> Tensor:
    """Normalised features, ``[samples, streams * features, 1, 1]``."""
    return torch.randn(SAMPLES, streams * features, 1, 1, generator=seeded(5))


def responses(bank: VectorBank, x: Tensor) -> list[Tensor]:
    """What each primitive of a bank makes of rows."""
    return bank.responses(x, 1, slice(None))


def rows_of_windows(bank: VectorBank) -> list[Tensor]:
    """For every group of outputs the rows that it reads of all linear primitives, by their definition."""
    matrices = [bank.matrices(place)[0] for place in bank.linear]
    windows = [bank.window(group, bank.channels) for group in range(bank.windows)]
    none = torch.zeros(0, bank.channels)
    return [torch.cat([none, *(matrix[window] for matrix in matrices)]) for window in windows]


def responses_have_the_shape_of_the_input(bank: str) -> None:
    """Responses to rows are finite and of the shape of the input, for any number of features and of streams."""
    for features, groups in SIZES:
        for streams in (1, STREAMS):
            made, x = made_bank(bank, features, streams, groups), rows(features, streams)
            given = f"{streams} streams of {features} features"
            require_equal(len(responses(made, x)), len(primitives_of(bank)), given)
            for response in responses(made, x):
                require_equal(tuple(response.shape), tuple(x.shape), given)
                require(bool(response.isfinite().all()), given, "numbers that are not finite")


def nothing_is_learned(bank: str) -> None:
    """Nothing in a primitive on vectors is learned: neither what it draws nor its response asks for a gradient."""
    made = made_bank(bank)
    learned = [*made.parameters(), *(buffer for buffer in made.buffers() if buffer.requires_grad)]
    require(not learned, f"{FEATURES} features", "frozen values that ask for gradients")
    for response in responses(made, rows()):
        require(not response.requires_grad, "rows that ask for no gradient", "a response that asks for one")


def the_input_is_left_alone(bank: str) -> None:
    """The rows are not changed, and the same rows have the same response."""
    made, x = made_bank(bank), rows()
    before = x.clone()
    first = [response.clone() for response in responses(made, x)]
    require_equal(x, before, "rows before and after the response")
    for response, again in zip(first, responses(made, x), strict=True):
        require_equal(again, response, "the same rows twice")


def responses_have_about_the_energy_of_the_input(bank: str) -> None:
    """Responses to normalised rows have a mean square between 0.3 and 2."""
    for response in responses(made_bank(bank), rows()):
        energy = float(response.square().mean())
        require(ENERGY[0] < energy < ENERGY[1], f"{SAMPLES} normalised rows", f"a mean square of {energy:.3g}")


def the_rows_that_an_output_reads_are_independent(bank: str) -> None:
    """The rows of matrices that an output reads have unit length and do not depend on each other."""
    for features in (16, 24, 61, 64):
        for seed in range(3):
            for read in rows_of_windows(made_bank(bank, features, seed=seed)):
                given = f"{features} features and the seed {seed}"
                require_equal(int(torch.linalg.matrix_rank(read.double(), atol=1e-3)), len(read), f"{given}, the rank")
                require_close(read.norm(dim=1), torch.ones(len(read)), f"{given}, the lengths")


def streams_do_not_mix(bank: str) -> None:
    """Every stream of features is treated by itself: its response depends on that stream, and on no other."""
    made, x = made_bank(bank, streams=STREAMS), rows(streams=STREAMS)
    changed = x.clone()
    changed[:, :FEATURES] += 1
    for before, after in zip(responses(made, x), responses(made, changed), strict=True):
        given = "other rows in stream 0"
        require(not torch.equal(before[:, :FEATURES], after[:, :FEATURES]), given, "the same response of stream 0")
        require_close(after[:, FEATURES:], before[:, FEATURES:], f"{given}, of the responses of the others")


def one_stream_alone_is_enough(bank: str) -> None:
    """One stream alone has its part of the response."""
    made, x, part = made_bank(bank, streams=STREAMS), rows(streams=STREAMS), slice(FEATURES, 2 * FEATURES)
    for some, everything in zip(made.responses(x[:, part], 1, part), responses(made, x), strict=True):
        require_close(some, everything[:, part], "the second of three streams")


def frozen_values_of_one_stream_serve_all(bank: str) -> None:
    """Where streams are treated alike, their responses are those of each by itself."""
    made, x = made_bank(bank), rows(streams=STREAMS)
    alone = [responses(made, part) for part in x.split(FEATURES, dim=1)]
    for response, *parts in zip(responses(made, x), *alone, strict=True):
        require_close(response, torch.cat(parts, dim=1), f"{STREAMS} streams and frozen values for one")


def the_state_is_all(bank: str) -> None:
    """Everything that is drawn is in the state, so that a network that is loaded has the same responses to rows."""
    original, other, x = made_bank(bank, seed=1), made_bank(bank, seed=2), rows()
    other.load_state_dict(original.state_dict())
    for expected, found in zip(responses(original, x), responses(other, x), strict=True):
        require_equal(found, expected, "the state of a bank of another seed")


def draws_the_same_matrices(bank: str) -> None:
    """The same generator draws the same, whatever the global generators hold, and these are left alone."""
    primitive = PRIMITIVES.get(bank)()

    def drawn() -> Tensor:
        if isinstance(primitive, LinearVectorPrimitive):
            found: Tensor = primitive.matrices(2, 24, 3, seeded(3))
        else:
            found = primitive.drawn(24, seeded(3))
        return found

    require_own_generator(drawn, "24 features and a generator of the seed 3")


def matrices_are_as_declared(bank: str) -> None:
    """A linear primitive on vectors draws matrices [count, features, features] in float32."""
    primitive = PRIMITIVES.get(bank)()
    for count, features in ((1, 24), (2, 24), (1, 7)):
        given = f"the count {count} and {features} features"
        matrices = primitive.matrices(count, features, 3, seeded())
        require_equal(tuple(matrices.shape), (count, features, features), given)
        require_equal(matrices.dtype, torch.float32, given)


def a_linear_primitive_is_its_matrix(bank: str) -> None:
    """The response of a linear primitive on vectors is the product of the rows with its matrix, and nothing else."""
    made, x = made_bank(bank), rows()
    (response,) = responses(made, x)
    require_close(response[:, :, 0, 0], x[:, :, 0, 0] @ made.matrices(0)[0].T, f"{SAMPLES} rows")
    require_none_of(PRIMITIVES.get(bank), ("apply", "drawn"))


def frozen_values_are_those_that_are_not_0(bank: str) -> None:
    """A linear primitive on vectors says by `frozen_values` how many values of one matrix are not 0; by default all."""
    for features in (7, FEATURES):
        told = PRIMITIVES.get(bank)().frozen_values(features)
        require_equal(made_bank(bank, features, STREAMS, 4).fixed_parameters(), told * STREAMS, f"{features} features")
        drawn = PRIMITIVES.get(bank)().matrices(1, features, -(-features // GROUPS), seeded())
        require_equal(int(drawn[0].count_nonzero()), told, f"{features} features")


def a_nonlinear_primitive_is_not_linear(bank: str) -> None:
    """A nonlinear primitive on vectors is not linear, for a linear one is folded into the layer that follows."""
    made, x, y = made_bank(bank), rows(), rows().flip(0)
    ((of_sum,), (one,), (other,), (twice,)) = (responses(made, part) for part in (x + y, x, y, 2 * x))
    apart = max(float((of_sum - one - other).abs().max()), float((twice - 2 * one).abs().max()))
    require(apart > NOT_LINEAR, "the sum of two rows", f"the sum of their responses, {apart:.2g} apart at most")


def a_nonlinear_primitive_says_its_values(bank: str) -> None:
    """A nonlinear primitive on vectors says by `frozen_values` how many values it draws for one stream."""
    for features in (7, FEATURES):
        kind = PRIMITIVES.get(bank)
        drawn = kind().drawn(features, seeded())
        require_equal(kind().frozen_values(features), drawn.numel(), f"{features} features")


def a_nonlinear_primitive_says_its_products(bank: str) -> None:
    """A nonlinear primitive on vectors says by `macs` the multiply-accumulates of its matrix products."""
    for features in (7, FEATURES):
        made, x = made_bank(bank, features, groups=4), rows(features)
        with FlopCounterMode(display=False) as counter:
            responses(made, x)
        told = PRIMITIVES.get(bank)().macs(features)
        require_equal(2 * SAMPLES * told, counter.get_total_flops(), f"{features} features, twice the products")


def gradients_come_through(bank: str) -> None:
    """The gradient of a response comes through to the rows, and is finite, also where they are 0, as behind a ReLU."""
    for given, values in (("normalised rows", rows()), ("rows of zeros", 0 * rows())):
        x = values.requires_grad_()
        for response in responses(made_bank(bank), x):
            require(response.requires_grad, "rows that ask for a gradient", "a response without one")
            (gradient,) = torch.autograd.grad(response.sum(), x, retain_graph=True)
            require(bool(gradient.isfinite().all()), given, "a gradient that is not finite")
            require(bool(gradient.any() or not values.any()), given, "a gradient of zeros")


def rows_do_not_mix(bank: str) -> None:
    """Every row is treated by itself: its response does not depend on the others of the batch."""
    made, x = made_bank(bank), rows()
    for together, alone in zip(responses(made, x), responses(made, x[-2:]), strict=True):
        require_close(alone, together[-2:], f"the last two of {SAMPLES} rows alone")


Rules = Sequence[Callable[[str], None]]
LINEAR_RULES: Rules = (
    draws_the_same_matrices,
    matrices_are_as_declared,
    a_linear_primitive_is_its_matrix,
    frozen_values_are_those_that_are_not_0,
)
NONLINEAR_RULES: Rules = (
    draws_the_same_matrices,
    a_nonlinear_primitive_says_its_values,
    a_nonlinear_primitive_says_its_products,
    a_nonlinear_primitive_is_not_linear,
)
BANK_RULES: Rules = (
    responses_have_the_shape_of_the_input,
    nothing_is_learned,
    the_input_is_left_alone,
    gradients_come_through,
    responses_have_about_the_energy_of_the_input,
    the_rows_that_an_output_reads_are_independent,
    rows_do_not_mix,
    streams_do_not_mix,
    one_stream_alone_is_enough,
    frozen_values_of_one_stream_serve_all,
    the_state_is_all,
)
