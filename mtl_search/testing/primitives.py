"""The contract of primitives on images, and of banks of them; other primitives have files of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_inputs import banks_for
from mtl_search.networks.operators import Bank, make_operator
from mtl_search.primitives import (
    LinearPrimitive,
    LinearSequencePrimitive,
    LinearVectorPrimitive,
    NonlinearPrimitive,
    NonlinearVectorPrimitive,
    Primitive,
    UnfoldedSequencePrimitive,
)
from mtl_search.spaces.banks import BANKS, primitives_of
from mtl_search.testing._rules import (
    NOT_LINEAR,
    check_rules,
    one_thread,
    require,
    require_close,
    require_equal,
    require_none_of,
    require_own_generator,
    seeded,
)
from mtl_search.testing._sequences import BANK_RULES as SEQUENCE_BANK_RULES
from mtl_search.testing._sequences import LINEAR_RULES as LINEAR_SEQUENCE_RULES
from mtl_search.testing._sequences import UNFOLDED_RULES
from mtl_search.testing._vectors import BANK_RULES as VECTOR_BANK_RULES
from mtl_search.testing._vectors import LINEAR_RULES as LINEAR_VECTOR_RULES
from mtl_search.testing._vectors import NONLINEAR_RULES as NONLINEAR_VECTOR_RULES

OF_SEQUENCES = (LinearSequencePrimitive, UnfoldedSequencePrimitive)
CHANNELS = 6
SIZES = ((12, 12), (7, 9), (5, 5), (13, 8))
"""Heights and widths, so that strides do and do not divide them."""
STRIDES = (1, 2, 3)
FIELD = 9
"""Pixels on a side of the picture with a single bright one: no kernel reaches its border."""
INDEPENDENCE = 1e-3
"""Smallest singular value of independent kernels of unit energy."""


def check_primitive(primitive: type[Primitive] | Primitive) -> None:
    """Check that a class keeps the contract of a primitive, on images, on vectors, on sequences, or on several.

    :raises AssertionError: If a rule is broken: the sentence says which, with what input, and what was found.
    """
    kind = primitive if isinstance(primitive, type) else type(primitive)
    with one_thread(), PRIMITIVES.lending(kind) as bank:
        check_rules(kind.__name__, (is_of_one_of_six_kinds, has_a_name), kind)
        case = PrimitiveCase(kind, bank)
        if issubclass(kind, LinearPrimitive):
            check_rules(kind.__name__, (*LINEAR_RULES, *BANK_RULES), case)
        if issubclass(kind, NonlinearPrimitive):
            check_rules(kind.__name__, (*NONLINEAR_RULES, *BANK_RULES, a_nonlinear_primitive_is_not_linear), case)
        if issubclass(kind, LinearVectorPrimitive):
            check_rules(kind.__name__, (*LINEAR_VECTOR_RULES, *VECTOR_BANK_RULES), bank)
        if issubclass(kind, NonlinearVectorPrimitive):
            check_rules(kind.__name__, (*VECTOR_BANK_RULES, *NONLINEAR_VECTOR_RULES), bank)
        if issubclass(kind, LinearSequencePrimitive):
            check_rules(kind.__name__, (*LINEAR_SEQUENCE_RULES, *SEQUENCE_BANK_RULES), bank)
        if issubclass(kind, UnfoldedSequencePrimitive):
            check_rules(kind.__name__, (*UNFOLDED_RULES, *SEQUENCE_BANK_RULES), bank)


def check_bank(bank: str) -> None:
    """Check that a bank, primitives joined as in ``random*4+max_pool``, keeps the contract as a whole.

    :raises AssertionError: If a rule is broken.
    """
    kinds = [PRIMITIVES.get(name) for name in primitives_of(bank)]
    with one_thread():
        if all(issubclass(kind, LinearPrimitive | NonlinearPrimitive) for kind in kinds):
            check_rules(bank, BANK_RULES, PrimitiveCase(kinds[0], bank))
        if all(issubclass(kind, LinearVectorPrimitive | NonlinearVectorPrimitive) for kind in kinds):
            check_rules(bank, VECTOR_BANK_RULES, bank)
        if bank in banks_for("sequences") or (
            bank not in BANKS and all(issubclass(kind, OF_SEQUENCES) for kind in kinds)
        ):
            check_rules(bank, SEQUENCE_BANK_RULES, bank)


@dataclass(frozen=True)
class PrimitiveCase:
    """A primitive under a name that banks know it by.

    :param kind: Class of the primitive; of a bank of several the first one's.
    :param bank: The bank that holds it.
    """

    kind: type[Primitive]
    bank: str

    def made(self, seed: int = 0, channels: int = CHANNELS) -> Bank:
        """The bank with frozen values drawn from a seed."""
        operator = make_operator(self.bank, channels, seeded(seed))
        assert isinstance(operator, Bank)
        return operator

    def drawn(self, seed: int, count: int = 2) -> Tensor:
        """What the primitive draws by itself."""
        primitive = self.kind()
        if isinstance(primitive, LinearPrimitive):
            return primitive.kernels(count, CHANNELS, seeded(seed))
        assert isinstance(primitive, NonlinearPrimitive)
        return primitive.buffer(CHANNELS, seeded(seed))


def pictures(height: int = 12, width: int = 11, seed: int = 5) -> Tensor:
    """Normalised features of two samples, ``[2, channels, height, width]``."""
    return torch.randn(2, CHANNELS, height, width, generator=seeded(seed))


def responses(bank: Bank, x: Tensor, stride: int = 1) -> list[Tensor]:
    """What each primitive of a bank makes of pictures."""
    return bank.responses(x, stride, slice(None))


# Of the class


def is_of_one_of_six_kinds(kind: type[Primitive]) -> None:
    """A primitive is derived from LinearPrimitive, NonlinearPrimitive, LinearVectorPrimitive, NonlinearVectorPrimitive,
    LinearSequencePrimitive or UnfoldedSequencePrimitive, lacks none of its methods, and is made without arguments."""
    bases = (LinearPrimitive, NonlinearPrimitive, LinearVectorPrimitive, NonlinearVectorPrimitive, *OF_SEQUENCES)
    require(issubclass(kind, bases), "the class", f"its bases {[base.__name__ for base in kind.__bases__]}")
    kind()


def has_a_name(kind: type[Primitive]) -> None:
    """A primitive has a name that is a word."""
    name = getattr(kind, "name", None)
    require(isinstance(name, str) and name.isidentifier(), "its attribute `name`", repr(name))


# Of what it draws


def draws_the_same(case: PrimitiveCase) -> None:
    """The same generator draws the same, whatever the global generators hold, and these are left alone."""
    require_own_generator(lambda: case.drawn(3), f"{CHANNELS} channels and a generator of the seed 3")


def kernels_are_as_declared(case: PrimitiveCase) -> None:
    """A linear primitive on images draws kernels [count, channels, size, size] in float32, none of them zeros, with a
    size of 1 or 3 and a dilation of 1 or 2."""
    assert issubclass(case.kind, LinearPrimitive)
    size, dilation = case.kind.size, case.kind.dilation
    require(size in (1, 3) and dilation in (1, 2), "its attributes", f"the size {size} and the dilation {dilation}")
    for count in (1, 2):
        kernels, given = case.drawn(0, count), f"the count {count} and {CHANNELS} channels"
        require_equal(tuple(kernels.shape), (count, CHANNELS, size, size), given)
        require_equal(kernels.dtype, torch.float32, given)
        energy = kernels.square().sum(dim=(2, 3))
        require(bool(((energy > 0) & energy.isfinite()).all()), given, "a kernel of zeros, or one that is not finite")


def a_linear_primitive_is_its_kernels(case: PrimitiveCase) -> None:
    """A linear primitive is nothing but its kernels: it has no operation besides, which nobody would call."""
    require_none_of(case.kind, ("__call__", "forward", "buffer"))


def buffer_has_a_row_for_every_channel(case: PrimitiveCase) -> None:
    """What a nonlinear primitive keeps is a tensor with a row for every channel."""
    shape = tuple(case.drawn(0).shape)
    require(bool(shape) and shape[0] == CHANNELS, f"{CHANNELS} channels", f"the shape {list(shape)}")


def a_nonlinear_primitive_is_not_linear(case: PrimitiveCase) -> None:
    """A nonlinear primitive is not linear, for a linear one is folded into the convolution that follows."""
    made, x, y = case.made(), pictures(), pictures(seed=6)
    ((of_sum,), (one,), (other,)) = (responses(made, part) for part in (x + y, x, y))
    apart = float((of_sum - one - other).abs().max())
    require(apart > NOT_LINEAR, "the sum of two pictures", f"the sum of their responses, {apart:.2g} apart at most")


# Of a bank that holds it


def responses_have_the_shape_of_the_input(case: PrimitiveCase) -> None:
    """Responses are finite and of the shape [batch, channels, ceil(height / stride), ceil(width / stride)]."""
    made = case.made()
    for stride in STRIDES:
        for height, width in SIZES:
            given = f"pictures [2, {CHANNELS}, {height}, {width}] and the stride {stride}"
            found = responses(made, pictures(height, width), stride)
            require_equal(len(found), len(primitives_of(case.bank)), given)
            for response in found:
                expected = (2, CHANNELS, -(-height // stride), -(-width // stride))
                require_equal(tuple(response.shape), expected, given)
                require(bool(response.isfinite().all()), given, "numbers that are not finite")


def a_stride_picks_pixels(case: PrimitiveCase) -> None:
    """A stride s picks every s-th pixel, from the first one on, of the response without a stride."""
    made, x = case.made(), pictures()
    for stride in STRIDES[1:]:
        for strided, whole in zip(responses(made, x, stride), responses(made, x), strict=True):
            require_close(strided, whole[:, :, ::stride, ::stride], f"the stride {stride}")


def nothing_is_learned(case: PrimitiveCase) -> None:
    """Nothing in a primitive is learned: neither what it draws nor its response asks for a gradient."""
    made = case.made()
    learned = [name for name, one in [*made.named_parameters(), *made.named_buffers()] if one.requires_grad]
    require(not learned and not list(made.parameters()), f"{CHANNELS} channels", "frozen values that ask for gradients")
    for response in responses(made, pictures()):
        require(not response.requires_grad, "pictures that ask for no gradient", "a response that asks for one")
    require_equal(made.fixed_parameters(), sum(buffer.numel() for buffer in made.buffers()), f"{CHANNELS} channels")


def gradients_come_through(case: PrimitiveCase) -> None:
    """The gradient of a response comes through to the input, and is finite, also where the input is 0, as behind a
    ReLU."""
    for given, values in (("normalised pictures", pictures()), ("pictures of zeros", 0 * pictures())):
        x = values.requires_grad_()
        for response in responses(case.made(), x):
            require(response.requires_grad, "pictures that ask for a gradient", "a response without one")
            (gradient,) = torch.autograd.grad(response.sum(), x, retain_graph=True)
            require(bool(gradient.isfinite().all()), given, "a gradient that is not finite")
            require(bool(gradient.any() or not values.any()), given, "a gradient of zeros")


def the_input_is_left_alone(case: PrimitiveCase) -> None:
    """The input is not changed, and the same input has the same response."""
    made, x = case.made(), pictures()
    before = x.clone()
    first = [response.clone() for response in responses(made, x)]
    require_equal(x, before, "pictures before and after the response")
    for response, again in zip(first, responses(made, x), strict=True):
        require_equal(again, response, "the same pictures twice")


def it_computes_in_the_type_of_its_input(case: PrimitiveCase) -> None:
    """Responses have the type of the input, to which frozen values are converted."""
    made = case.made().double()
    for response in responses(made, pictures().double()):
        require_equal(response.dtype, torch.float64, "pictures in float64")


def kernels_have_unit_energy(case: PrimitiveCase) -> None:
    """The kernels of a bank have unit energy."""
    made = case.made()
    for place, primitive in enumerate(made.primitives):
        if isinstance(primitive, LinearPrimitive):
            energy = made.get_buffer(f"primitive{place}").square().sum(dim=(1, 2))
            require_close(energy, torch.ones(CHANNELS), f"the kernels of primitive {place}")


def kernels_are_independent(case: PrimitiveCase) -> None:
    """The linear kernels of a bank do not depend on each other in any channel."""
    for seed in range(5):
        found = impulse_responses(case.made(seed))
        rank = torch.linalg.matrix_rank(found.double(), atol=INDEPENDENCE).tolist()
        require_equal(rank, [found.shape[1]] * CHANNELS, f"the ranks by channel for the seed {seed}")


def pictures_do_not_mix(case: PrimitiveCase) -> None:
    """Every picture is treated by itself: its response does not depend on the others of the batch."""
    made, x = case.made(), pictures()
    for together, alone in zip(responses(made, x), responses(made, x[1:]), strict=True):
        require_close(alone, together[1:], "the second of two pictures alone")


def channels_do_not_mix(case: PrimitiveCase) -> None:
    """Every channel is treated by itself: the response of one depends on that channel, and on no other."""
    made, x = case.made(), pictures()
    changed = x.clone()
    changed[:, 0] += 1 + torch.rand(changed[:, 0].shape, generator=seeded(6))
    given = "another picture in channel 0"
    for before, after in zip(responses(made, x), responses(made, changed), strict=True):
        require(not torch.equal(before[:, 0], after[:, 0]), given, "the same response of channel 0")
        require_close(after[:, 1:], before[:, 1:], f"{given}, of the responses of the others")


def a_part_of_the_channels_is_enough(case: PrimitiveCase) -> None:
    """A part of the channels has that part of the response."""
    made, x, part = case.made(), pictures(), slice(2, 5)
    for some, everything in zip(made.responses(x[:, part], 1, part), responses(made, x), strict=True):
        require_close(some, everything[:, part], "the channels 2 to 4")


def the_state_is_all(case: PrimitiveCase) -> None:
    """Everything that is drawn is in the state, so that a network that is loaded has the same responses."""
    original, other, x = case.made(1), case.made(2), pictures()
    other.load_state_dict(original.state_dict())
    for expected, found in zip(responses(original, x), responses(other, x), strict=True):
        require_equal(found, expected, "the state of a bank of another seed")


def the_fused_form_is_the_reference(case: PrimitiveCase) -> None:
    """The fused form, which convolves once, computes what the responses give that are recombined one by one."""
    made, x = case.made().double(), pictures().double()
    weight = torch.randn(4, made.taps, CHANNELS, generator=seeded(7), dtype=torch.float64)
    for stride in STRIDES:
        found = made.convolve(made.features(x, stride), weight, stride, 1)
        parts = zip(weight.unbind(1), responses(made, x, stride), strict=True)
        expected = torch.stack([torch.einsum("oc,bchw->bohw", one, response) for one, response in parts]).sum(dim=0)
        require_close(found, expected, f"the stride {stride}", atol=1e-9)


def impulse_responses(bank: Bank) -> Tensor:
    """What the linear primitives make of a single pixel, ``[channels, primitives, pixels]``."""
    x = torch.zeros(1, CHANNELS, FIELD, FIELD)
    x[:, :, FIELD // 2, FIELD // 2] = 1
    both = zip(responses(bank, x), bank.primitives, strict=True)
    made = [response for response, primitive in both if isinstance(primitive, LinearPrimitive)]
    return torch.stack(made, dim=2)[0].flatten(2) if made else torch.zeros(CHANNELS, 0, FIELD**2)


Rules = Sequence[Callable[[PrimitiveCase], None]]
LINEAR_RULES: Rules = (draws_the_same, kernels_are_as_declared, a_linear_primitive_is_its_kernels)
NONLINEAR_RULES: Rules = (draws_the_same, buffer_has_a_row_for_every_channel)
BANK_RULES: Rules = (
    nothing_is_learned,
    responses_have_the_shape_of_the_input,
    the_input_is_left_alone,
    gradients_come_through,
    a_stride_picks_pixels,
    it_computes_in_the_type_of_its_input,
    kernels_have_unit_energy,
    kernels_are_independent,
    pictures_do_not_mix,
    channels_do_not_mix,
    a_part_of_the_channels_is_enough,
    the_state_is_all,
    the_fused_form_is_the_reference,
)
