"""What banks learn, hold and multiply for images, rows and sequences: numbers, found without drawing anything large."""

import functools

import torch

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_inputs import TAPS
from mtl_search.networks.operators import Convolution, terms_of
from mtl_search.primitives import (
    LinearPrimitive,
    LinearSequencePrimitive,
    LinearVectorPrimitive,
    NonlinearPrimitive,
    NonlinearVectorPrimitive,
    UnfoldedSequencePrimitive,
)
from mtl_search.spaces.banks import CONVOLUTION, primitives_of


@functools.cache
def first_taps(bank: str) -> int:
    """Taps, for each channel, of the convolutions that are applied before the 1x1 convolution."""
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    first = [members[term.members[0]] for term in terms_of(bank) if term.first]
    return sum(primitive.size**2 for primitive in first if isinstance(primitive, LinearPrimitive))


@functools.cache
def taps_of(bank: str) -> tuple[int, int]:
    """Learned weights from a channel to a channel, and multiplications of the fused form for each pixel of it."""
    learned = Convolution.taps if bank == CONVOLUTION else len(primitives_of(bank))
    return learned, sum(term.size**2 for term in terms_of(bank))


def row_recombination(bank: str, inputs: int, groups: int) -> tuple[int, int, int]:
    """Taps, inputs that an output reads of each, and matrix products of the fused form."""
    if bank == CONVOLUTION:
        return 1, inputs, 1
    names = primitives_of(bank)
    linear = [issubclass(PRIMITIVES.get(name), LinearVectorPrimitive) for name in names]
    return len(names), -(-inputs // groups), any(linear) + linear.count(False)


@functools.cache
def sequence_recombination(bank: str, length: int) -> tuple[int, int]:
    """Taps, and multiplications of the fused form for each pair of an output and a channel, at all positions."""
    if bank == CONVOLUTION:
        return TAPS, TAPS * length
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    widest = max((member.size for member in members if isinstance(member, LinearSequencePrimitive)), default=0)
    others = [member for member in members if isinstance(member, UnfoldedSequencePrimitive)]
    at = [1 if member.constant else length for member in others]
    if not widest and max(at) == 1:
        at[0] = length
    return len(members), widest * length + sum(at)


@functools.cache
def fixed_of_images(bank: str) -> int:
    """Frozen values for each channel."""
    if bank == CONVOLUTION:
        return 0
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    generator = torch.Generator()
    return sum(
        member.buffer(1, generator).numel() if isinstance(member, NonlinearPrimitive) else member.size**2
        for member in members
    )


@functools.cache
def fixed_of_rows(bank: str, features: int) -> int:
    """Frozen values for one stream of features."""
    if bank == CONVOLUTION:
        return 0
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    of_vectors = (LinearVectorPrimitive, NonlinearVectorPrimitive)
    return sum(member.frozen_values(features) for member in members if isinstance(member, of_vectors))


@functools.cache
def fixed_of_sequences(bank: str, channels: int, length: int) -> int:
    """Frozen values for one stream of features."""
    if bank == CONVOLUTION:
        return 0
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    others = [member for member in members if isinstance(member, UnfoldedSequencePrimitive)]
    taps = sum(member.size for member in members if isinstance(member, LinearSequencePrimitive))
    return taps * channels + sum(member.values(channels, length) for member in others)
