"""The contract of primitives on sequences, and of banks of them. Rules are given the name of a bank."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_inputs import TAPS
from mtl_search.networks.inputs import Mask
from mtl_search.networks.sequences import SequenceBank, make_sequence_operator
from mtl_search.primitives import LinearSequencePrimitive
from mtl_search.spaces.banks import primitives_of
from mtl_search.testing._rules import (
    require,
    require_close,
    require_equal,
    require_none_of,
    require_own_generator,
    seeded,
)

CHANNELS, STREAMS, LENGTH = 6, 3, 11
LENGTHS = (11, 1, 4, 2, 10)
"""Positions of the samples that are none of padding."""


def made_bank(bank: str, streams: int = 1, seed: int = 0, length: int = LENGTH) -> SequenceBank:
    """The bank with frozen values drawn from a seed."""
    operator = make_sequence_operator(bank, CHANNELS, streams, length, seeded(seed))
    assert isinstance(operator, SequenceBank)
    return operator


def sequences(streams: int = 1, length: int = LENGTH) -> tuple[Tensor, Tensor]:
    """Normalised features ``[samples, streams * channels, 1, length]``, 0 where padded, and their mask."""
    x = torch.randn(len(LENGTHS), streams * CHANNELS, 1, LENGTH, generator=seeded(5))
    mask = (torch.arange(LENGTH) < torch.tensor(LENGTHS)[:, None])[:, None, None]
    x, mask = (
        torch.nn.functional.pad(x * mask, (0, length - LENGTH)),
        torch.nn.functional.pad(mask, (0, length - LENGTH)),
    )
    return x, mask


def responses(bank: SequenceBank, x: Tensor, mask: Mask, streams: slice = slice(None)) -> list[Tensor]:
    """What each primitive of a bank makes of sequences, where they are none of padding."""
    found = bank.responses(x, 1, streams, mask)
    return found if mask is None else [response.masked_fill(~mask, 0) for response in found]


def responses_have_the_shape_of_the_input(bank: str) -> None:
    """Responses to sequences are finite, also where padded, and of the shape of the input, for any number of
    streams."""
    for streams in (1, STREAMS):
        (x, mask), made = sequences(streams), made_bank(bank, streams)
        for given, some in (("padding", mask), ("no padding", None)):
            found = made.responses(x, 1, slice(None), some)
            require_equal(len(found), len(primitives_of(bank)), given)
            for response in found:
                require_equal(tuple(response.shape), tuple(x.shape), given)
                require(bool(response.isfinite().all()), given, "numbers that are not finite")


def padding_is_not_seen(bank: str) -> None:
    """What a primitive says of a position does not depend on how many padded ones follow the last one."""
    made = made_bank(bank, length=LENGTH + 4)
    expected = responses(made, *sequences())
    for found, response in zip(responses(made, *sequences(length=LENGTH + 4)), expected, strict=True):
        require_close(found[..., :LENGTH], response, "sequences with more padding")
    x, mask = sequences()
    for row, length in enumerate(LENGTHS):
        for found, response in zip(responses(made, x[row : row + 1, ..., :length], None), expected, strict=True):
            require_close(found, response[row : row + 1, ..., :length], f"a sequence of {length} positions alone")
    require(bool(mask.any()), "the mask", "nothing")


def nothing_is_learned(bank: str) -> None:
    """Nothing in a primitive on sequences is learned: neither what it draws nor its response asks for a gradient."""
    made = made_bank(bank)
    learned = [*made.parameters(), *(buffer for buffer in made.buffers() if buffer.requires_grad)]
    require(not learned, f"{CHANNELS} channels", "frozen values that ask for gradients")
    for response in responses(made, *sequences()):
        require(not response.requires_grad, "sequences that ask for no gradient", "a response that asks for one")


def the_input_is_left_alone(bank: str) -> None:
    """The sequences are not changed, and the same ones have the same response."""
    made, (x, mask) = made_bank(bank), sequences()
    before = x.clone()
    first = [response.clone() for response in responses(made, x, mask)]
    require_equal(x, before, "sequences before and after the response")
    for response, again in zip(first, responses(made, x, mask), strict=True):
        require_equal(again, response, "the same sequences twice")


def gradients_come_through(bank: str) -> None:
    """The gradient of a response comes through to the sequences, and is finite, also where they are 0."""
    values, mask = sequences()
    for given, start in (("normalised sequences", values), ("sequences of zeros", 0 * values)):
        x = start.requires_grad_()
        for response in responses(made_bank(bank), x, mask):
            require(response.requires_grad, "sequences that ask for a gradient", "a response without one")
            weights = torch.randn(response.shape, generator=seeded(6))
            (gradient,) = torch.autograd.grad((response * weights).sum(), x, retain_graph=True)
            require(bool(gradient.isfinite().all()), given, "a gradient that is not finite")
            require(bool(gradient.any() or not start.any()), given, "a gradient of zeros")


def it_computes_in_the_type_of_its_input(bank: str) -> None:
    """Responses have the type of the sequences, to which frozen values are converted."""
    x, mask = sequences()
    for response in responses(made_bank(bank).double(), x.double(), mask):
        require_equal(response.dtype, torch.float64, "sequences in float64")


def samples_do_not_mix(bank: str) -> None:
    """Every sequence is treated by itself: its response does not depend on the others of the batch."""
    made, (x, mask) = made_bank(bank), sequences()
    for together, alone in zip(responses(made, x, mask), responses(made, x[-2:], mask[-2:]), strict=True):
        require_close(alone, together[-2:], "the last two sequences alone")


def streams_do_not_mix(bank: str) -> None:
    """Every stream of features is treated by itself: its response depends on that stream, and on no other."""
    made, (x, mask) = made_bank(bank, STREAMS), sequences(STREAMS)
    changed = x.clone()
    changed[:, :CHANNELS] += torch.rand(changed[:, :CHANNELS].shape, generator=seeded(6)) * mask
    for before, after in zip(responses(made, x, mask), responses(made, changed, mask), strict=True):
        given = "other sequences in stream 0"
        require(not torch.equal(before[:, :CHANNELS], after[:, :CHANNELS]), given, "the same response of stream 0")
        require_close(after[:, CHANNELS:], before[:, CHANNELS:], f"{given}, of the responses of the others")


def one_stream_alone_is_enough(bank: str) -> None:
    """One stream alone has its part of the response."""
    made, (x, mask), part = made_bank(bank, STREAMS), sequences(STREAMS), slice(CHANNELS, 2 * CHANNELS)
    some, everything = responses(made, x[:, part], mask, part), responses(made, x, mask)
    for alone, together in zip(some, everything, strict=True):
        require_close(alone, together[:, part], "the second of three streams")


def frozen_values_of_one_stream_serve_all(bank: str) -> None:
    """Where streams are treated alike, their responses are those of each by itself."""
    made, (x, mask) = made_bank(bank), sequences(STREAMS)
    alone = [responses(made, part, mask) for part in x.split(CHANNELS, dim=1)]
    for response, *parts in zip(responses(made, x, mask), *alone, strict=True):
        require_close(response, torch.cat(parts, dim=1), f"{STREAMS} streams and frozen values for one")


def the_state_is_all(bank: str) -> None:
    """Everything that is drawn is in the state, so that a network that is loaded has the same responses."""
    original, other = made_bank(bank, seed=1), made_bank(bank, seed=2)
    other.load_state_dict(original.state_dict())
    for expected, found in zip(responses(original, *sequences()), responses(other, *sequences()), strict=True):
        require_equal(found, expected, "the state of a bank of another seed")


def the_fused_form_is_the_reference(bank: str) -> None:
    """The fused form, one convolution for all linear primitives, computes what the responses give one by one."""
    made, (x, mask) = made_bank(bank, STREAMS).double(), sequences(STREAMS)
    x = x.double()
    weight = torch.randn(STREAMS * 4, made.taps, CHANNELS, generator=seeded(7), dtype=torch.float64)
    found = made.convolve(made.features(x, 1, mask), weight, 1, STREAMS)
    by_stream = weight.unflatten(0, (STREAMS, 4))
    parts = [
        torch.einsum("soc,bschw->bsohw", by_stream[:, :, place], response.unflatten(1, (STREAMS, CHANNELS)))
        for place, response in enumerate(made.responses(x, 1, slice(None), mask))
    ]
    expected = torch.stack(parts).sum(dim=0).flatten(1, 2)
    require_close(found * mask, expected * mask, "random weights", atol=1e-9)


def taps_are_as_declared(bank: str) -> None:
    """A linear primitive on sequences draws kernels [count, channels, size] in float32, with a size of 1 or 3, and has
    no operation besides."""
    kind = PRIMITIVES.get(bank)
    require(kind.size in (1, TAPS), "its attribute `size`", f"{kind.size}")
    for count in (1, 2):
        taps, given = kind().taps(count, CHANNELS, seeded()), f"the count {count} and {CHANNELS} channels"
        require_equal(tuple(taps.shape), (count, CHANNELS, kind.size), given)
        require_equal(taps.dtype, torch.float32, given)
    require_none_of(kind, ("respond", "draw"))
    require_equal(made_bank(bank, STREAMS).fixed_parameters(), kind.size * CHANNELS * STREAMS, "the frozen values")


def it_says_its_values_and_products(bank: str) -> None:
    """Any other primitive on sequences says by `values` how many values it draws, by `products` the
    multiply-accumulates of its matrix products, and by `constant` whether it says the same at all positions."""
    kind, made = PRIMITIVES.get(bank), made_bank(bank)
    drawn = kind().draw(CHANNELS, LENGTH, seeded())
    require_equal(kind().values(CHANNELS, LENGTH), drawn.numel(), f"{CHANNELS} channels, {LENGTH} positions")
    x, _ = sequences()
    with FlopCounterMode(display=False) as counter:
        (said,) = [kind().respond(x[:, :, 0].mT[None], None, made.get_buffer("primitive0"))]
    told = 2 * len(x) * kind().products(CHANNELS, LENGTH)
    require_equal(told, counter.get_total_flops(), "twice the products of all samples")
    require_equal(said.shape[2], 1 if kind.constant else LENGTH, "the positions of its response")


def draws_the_same_for_sequences(bank: str) -> None:
    """The same generator draws the same, whatever the global generators hold, and these are left alone."""
    primitive = PRIMITIVES.get(bank)()

    def drawn() -> Tensor:
        linear = isinstance(primitive, LinearSequencePrimitive)
        made: Tensor = (primitive.taps if linear else primitive.draw)(2 if linear else CHANNELS, LENGTH, seeded(3))
        return made

    require_own_generator(drawn, "a generator of the seed 3")


Rules = Sequence[Callable[[str], None]]
LINEAR_RULES: Rules = (draws_the_same_for_sequences, taps_are_as_declared)
UNFOLDED_RULES: Rules = (draws_the_same_for_sequences, it_says_its_values_and_products)
BANK_RULES: Rules = (
    responses_have_the_shape_of_the_input,
    padding_is_not_seen,
    nothing_is_learned,
    the_input_is_left_alone,
    gradients_come_through,
    it_computes_in_the_type_of_its_input,
    samples_do_not_mix,
    streams_do_not_mix,
    one_stream_alone_is_enough,
    frozen_values_of_one_stream_serve_all,
    the_state_is_all,
    the_fused_form_is_the_reference,
)
