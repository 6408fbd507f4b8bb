"""What a layer of a ``vector`` backbone applies before the learned recombination: a bank on the rows of a table.

A linear primitive on vectors is a frozen matrix ``M_p``, and a bank of them with a learned recombination is one linear
layer ``W = sum_p w_p M_p``. Where every output reads all responses, as on images, identity alone would give every such
layer and other primitives would be wasted. So the recombination is grouped, with its channels shuffled (our reading of
the paper's shuffle, and our design for vectors): with ``g`` groups, the outputs ``j``, ``j + g``, ... read the same
window of ``ceil(features / g)`` neighbouring channels of every response; windows overlap where ``g`` does not divide
the features. A bank of ``k`` linear primitives then has about ``k/g`` of a linear layer's parameters, as ``k/9`` of a
convolution's on images, and spans linear maps of its own, for the rows of matrices that an output reads do not depend
on each other. A layer that reads or makes fewer than ``g`` features has fewer groups; where these are fewer than the
primitives, some weights are redundant.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_inputs import check_bank_is_for
from mtl_search.networks.geometry import GROUPS
from mtl_search.networks.inputs import Mask
from mtl_search.networks.kernel_drawing import INDEPENDENCE
from mtl_search.networks.operators import Operator, make_operator
from mtl_search.networks.pointwise import pointwise
from mtl_search.networks.sequences import make_sequence_operator
from mtl_search.primitives import LinearVectorPrimitive, NonlinearVectorPrimitive, Primitive
from mtl_search.spaces.backbone import Reads
from mtl_search.spaces.banks import CONVOLUTION, primitives_of

NOMINAL = 64
"""Features for which a bank is checked before any network is built: as wide as layers of a small network, drawn at
once."""


class FullLinear(Operator):
    """An ordinary linear layer: every output reads every feature, and nothing is frozen."""

    taps = 1

    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        return [x]

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        return pointwise(features[0], weight[:, 0], groups)

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        return x

    def fixed_parameters(self) -> int:
        return 0


class VectorBank(Operator):
    """A bank of primitives on vectors with everything that is frozen in them.

    :param names: Names of the bank's primitives, in the order of the learned weights.
    :param features: Number of features of one stream.
    :param streams: Streams with frozen values of their own; 1 where all are treated alike.
    :param groups: Number of groups of the recombination: the outputs of each read a window of their own.
    :param generator: What the frozen values are drawn from.
    :raises UserError: If the rows that an output reads depend on each other, though there is room for as many.
    """

    rows: Tensor
    """``[streams, groups, linear primitives, reach, features]``: of all matrices, what each group of outputs reads."""
    places: Tensor
    """``[groups, 1, reach, features]``: the same of the identity, for what a nonlinear primitive puts out."""

    def __init__(self, names: Sequence[str], features: int, streams: int, groups: int, generator: Generator) -> None:
        super().__init__()
        self.channels, self.windows, self.taps = features, groups, len(names)
        self.primitives: list[Primitive] = [PRIMITIVES.get(name)() for name in names]
        kinds = [isinstance(primitive, LinearVectorPrimitive) for primitive in self.primitives]
        self.linear = [place for place, is_linear in enumerate(kinds) if is_linear]
        self.nonlinear = [place for place, is_linear in enumerate(kinds) if not is_linear]
        read = torch.stack([torch.arange(features)[self.window(group, features)] for group in range(groups)])
        linear = [names[place] for place in self.linear]
        of_streams = [_draw(linear, features, self.reach(features), generator) for _ in range(streams)]
        self.register_buffer("rows", torch.stack(of_streams)[:, :, read].transpose(1, 2).contiguous())
        self.register_buffer("places", torch.eye(features)[read][:, None], persistent=False)
        for place in self.nonlinear:
            frozen = [self._operation(place).drawn(features, generator) for _ in range(streams)]
            self.register_buffer(f"primitive{place}", torch.stack(frozen))
        _check_rows(names, self.rows)

    def features(self, x: Tensor, stride: int, mask: Mask = None) -> list[Tensor]:
        """The features themselves, for all linear primitives, and the response of each other one."""
        responses = [self.response(place, x, stride, slice(None)) for place in self.nonlinear]
        return [x, *responses] if self.linear else responses

    def convolve(
        self, features: Sequence[Tensor], weight: Tensor, stride: int, groups: int, branches: int | None = None
    ) -> Tensor:
        kernels = [self._folded(weight[:, [place]], self.places[None], branches or groups) for place in self.nonlinear]
        if self.linear:
            of_linear = weight[:, self.linear] if self.nonlinear else weight
            kernels.insert(0, self._folded(of_linear, self.rows, branches or groups))
        parts = [pointwise(x, kernel, groups) for x, kernel in zip(features, kernels, strict=True)]
        return functools.reduce(torch.add, parts)

    def _folded(self, weight: Tensor, rows: Tensor, branches: int) -> Tensor:
        """One matrix for several primitives, ``[outputs, features]``.

        :param weight: Learned weights, ``[outputs, primitives, reach]``.
        :param rows: ``[streams or 1, groups, primitives, reach, features]``
        """
        by_branch = weight.flatten(1).unflatten(0, (branches, -1))
        outputs = by_branch.shape[1]
        missing = -outputs % self.windows
        if missing:
            by_branch = torch.nn.functional.pad(by_branch, (0, 0, 0, missing))
        by_group = by_branch.unflatten(1, (-1, self.windows))
        read = rows.flatten(2, 3)
        if len(rows) == 1:
            folded = torch.einsum("bogr,grf->bogf", by_group, read[0])
        else:
            folded = torch.einsum("bogr,bgrf->bogf", by_group, read)
        return folded.flatten(1, 2)[:, :outputs].flatten(0, 1)

    def response(self, place: int, x: Tensor, stride: int, channels: slice, mask: Mask = None) -> Tensor:
        """``channels`` are those of one stream, or all of them."""
        streams = x.flatten(1).unflatten(1, (-1, self.channels)).transpose(0, 1)
        if place in self.linear:
            made = streams @ self._of_streams(self.matrices(place), channels, len(streams)).mT
        else:
            frozen = self._of_streams(self.get_buffer(f"primitive{place}"), channels, len(streams))
            made = self._operation(place).apply(streams, frozen)
        return made.transpose(0, 1).flatten(1)[:, :, None, None]

    def matrices(self, place: int) -> Tensor:
        """The matrix of a linear primitive for each stream, ``[streams, features, features]``."""
        starts = torch.tensor([self.window(number, self.channels).start for number in range(self.windows)])
        row = torch.arange(self.channels)
        group = torch.searchsorted(starts, row, right=True) - 1
        return self.rows[:, group, self.linear.index(place), row - starts[group]]

    def fixed_parameters(self) -> int:
        matrices = sum(int(self.matrices(place).count_nonzero()) for place in self.linear)
        return matrices + sum(self.get_buffer(f"primitive{place}").numel() for place in self.nonlinear)

    def _of_streams(self, frozen: Tensor, channels: slice, count: int) -> Tensor:
        """The frozen values of so many streams, of which ``channels`` says the first."""
        first = (channels.start or 0) // self.channels
        return frozen[first : first + count] if len(frozen) > 1 else frozen.expand(count, *frozen.shape[1:])

    def _operation(self, place: int) -> NonlinearVectorPrimitive:
        primitive = self.primitives[place]
        assert isinstance(primitive, NonlinearVectorPrimitive)
        return primitive


def make_vector_operator(bank: str, features: int, streams: int, groups: int, generator: Generator) -> Operator:
    """The operator of a bank on vectors, or of ``conv``; the parameters are those of :class:`VectorBank`.

    :raises UserError: As :class:`VectorBank`, or if a primitive of the bank is not for vectors.
    """
    check_bank_is_for(bank, "rows")
    if bank == CONVOLUTION:
        return FullLinear()
    return VectorBank(primitives_of(bank), features, streams, groups, generator)


def check_independence(bank: str, reads: Reads) -> None:
    """Check that a bank is for the inputs, and its linear primitives do not depend on each other, by drawing them.

    :raises UserError: If one is not, or they do.
    """
    generator = torch.Generator().manual_seed(0)
    if reads == "rows":
        make_vector_operator(bank, NOMINAL, 1, GROUPS, generator)
    elif reads == "sequences":
        make_sequence_operator(bank, 8, 1, 8, generator)  # as images; and as many positions
    else:
        make_operator(bank, 8, generator)  # channels, each drawn by itself: what depends on the others does so in all


def nominal(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a sample for a network that is only looked at: no more than so many features, positions or tokens.

    What is frozen in a bank on vectors takes the square of their number, and the drawing of it the third power; what
    mixes positions the square of theirs.
    """
    return input_shape if len(input_shape) == 3 else tuple(min(NOMINAL, size) for size in input_shape)


def _draw(names: Sequence[str], features: int, window: int, generator: Generator) -> Tensor:
    """Matrices of linear primitives with rows of unit length, ``[primitives, features, features]``."""
    drawn: dict[str, list[Tensor]] = {}
    for name in dict.fromkeys(names):
        matrices = PRIMITIVES.get(name)().matrices(names.count(name), features, window, generator)
        drawn[name] = list((matrices / matrices.norm(dim=2, keepdim=True)).unbind())
    ordered = [drawn[name].pop(0) for name in names]
    return torch.stack(ordered) if ordered else torch.zeros(0, features, features)


def _check_rows(names: Sequence[str], rows: Tensor) -> None:
    """Check that the rows that an output reads do not depend on each other; in a narrow layer they may have to."""
    read = rows.flatten(2, 3).double()
    dependent = rows.shape[2] > GROUPS
    if 0 < read.shape[2] <= read.shape[3]:
        dependent = bool((torch.linalg.eigvalsh(read @ read.mT)[..., 0] < INDEPENDENCE**2).any())
    if dependent:
        raise UserError(
            f"the rows of the bank {'+'.join(names)} depend on each other, so that learned weights are wasted: "
            "leave one of its primitives out."
        )
