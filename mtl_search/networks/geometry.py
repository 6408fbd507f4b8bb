"""Which features an architecture has at every layer: the one place where ratios become channels. Needs no torch.

A network carries two kinds of features: the shared ones ``S``, and for every task its own ``P``. Rules at a layer of
``C`` channels with shared ratio ``gamma`` and branch depth ``d``:

- ``int(gamma * C)`` shared channels are made. If that is 0, the shared features are carried on, as long as a later
  layer still makes shared ones or no task has anything of its own; otherwise they end here: all have left the trunk.
- The rest are specific channels of every task, made if ``d`` is at least 1. Otherwise each task's own features are
  carried on.
- What is carried on is averaged over the stride.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mtl_search.errors import FieldError, UserError
from mtl_search.spaces.architecture import Architecture, LayerChoice, scaled
from mtl_search.spaces.backbone import EXPANSION, Backbone, Reads, Stage

POINTWISE = "identity"
"""The bank of a 1x1 convolution."""
MOST_WEIGHTS = 500_000_000
"""Of a network, those of the bank not counted: 2 GB. The largest that ship with the package have 40 million."""
MOST_FEATURES = 2_000_000_000
"""Of one sample, all layers together: 8 GB. ResNet-50 on pictures of 1024 x 2048 pixels makes half of that."""
GROUPS = 8
"""Of the recombination in a wide layer of a ``vector`` backbone: about as many as the taps that a 3x3 kernel has."""


@dataclass(frozen=True)
class Features:
    """The features between two layers.

    :param shared: Shared channels; 0 where all tasks have left the trunk.
    :param specific: Channels that each task has for itself.
    :param streams: 1, or the number of tasks where (with mixed routing) every task has its own shared features.
    :param height: Height of the features in pixels.
    :param width: Width of the features in pixels.
    """

    shared: int
    specific: int
    streams: int
    height: int
    width: int


@dataclass(frozen=True)
class LayerGeometry:
    """One ETR-NLP layer with all its numbers.

    :param choice: The bank and the branch depth are used as they stand there.
    :param before: Features that it reads.
    :param after: Features that it puts out.
    :param stride: Stride of all that it makes and carries.
    :param makes_shared: Whether it makes shared features.
    :param makes_specific: Whether it makes features of the tasks' own.
    :param shared_reads_specific: Whether the shared branch reads the tasks' own features: mixed routing.
    :param dilation: Distance of the taps of its kernels, in that which they have by themselves.
    :param pointwise: Whether it is one of the two 1x1 convolutions of a bottleneck, in the tasks' branches, too.
    :param groups: In a ``vector`` backbone: of the recombination, see :mod:`mtl_search.networks.vectors`; else 0.
    :param reads: What the inputs of the network are.
    """

    choice: LayerChoice
    before: Features
    after: Features
    stride: int
    makes_shared: bool
    makes_specific: bool
    shared_reads_specific: bool
    dilation: int
    pointwise: bool
    groups: int = 0
    reads: Reads = "images"


@dataclass(frozen=True)
class BlockGeometry:
    """What one choice of an architecture decides: a layer, or in a residual backbone two or three layers and a skip.

    :param stage: Number of the stage, from 0.
    :param layers: One layer, two, or the three of a bottleneck.
    :param residual: Whether the input is added to the output of the last layer.
    """

    stage: int
    layers: tuple[LayerGeometry, ...]
    residual: bool

    @property
    def before(self) -> Features:
        """Features that the block reads."""
        return self.layers[0].before

    @property
    def after(self) -> Features:
        """Features that the block puts out."""
        return self.layers[-1].after

    @property
    def stride(self) -> int:
        """Stride of the block."""
        return math.prod(layer.stride for layer in self.layers)


@dataclass(frozen=True)
class Geometry:
    """A whole network.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table, ``(length,
        channels)`` of a sequence, of tokens with their number in place of channels.
    :param stem: Channels of the stem, scaled; 0 for none.
    :param embedding: Channels of the embedding, scaled; 0 for none.
    :param blocks: One for every choice of the architecture.
    :param decoder: Channels of each dense task's decoder, scaled.
    """

    input_shape: tuple[int, ...]
    stem: int
    embedding: int
    blocks: tuple[BlockGeometry, ...]
    decoder: int

    @property
    def after(self) -> Features:
        """What the heads read."""
        return self.blocks[-1].after

    @property
    def tapped(self) -> tuple[int, ...]:
        """Numbers of the blocks whose inputs decoders read: what is made at one resolution, before the next begins."""
        starts = (number for number, block in enumerate(self.blocks) if block.stride > 1)
        return tuple(number for number in starts if number or self.stem or self.embedding)

    @property
    def taps(self) -> tuple[Features, ...]:
        """What decoders read, finest first: the end of every resolution, but not the input of the network itself."""
        return (*(self.blocks[number].before for number in self.tapped), self.after)


def check_size(network: Geometry, outputs: Sequence[int], head_cells: int) -> None:
    """Check that a network can be held in memory, before any of it is built.

    :param outputs: Number of outputs of each task's head.
    :param head_cells: Numbers that a head reads of every channel.
    :raises UserError: If its weights, or the features of one sample, are more than that.
    """
    tasks = len(outputs)
    weights = sum(outputs) * (network.after.shared + network.after.specific) * head_cells
    weights += network.embedding * network.input_shape[-1]
    features = 0
    for layer in (layer for block in network.blocks for layer in block.layers):
        before, after = layer.before, layer.after
        # each task's features read its own and the shared ones; a bank has a weight or more for each pair of channels
        weights += after.shared * before.shared + tasks * after.specific * (before.specific + before.shared)
        weights += tasks * after.specific**2 * max(0, layer.choice.branch_depth - 1)
        features += (after.shared * after.streams + tasks * after.specific) * after.height * after.width
    check_weights(weights)
    if features > MOST_FEATURES:
        rule = f"must make a network of at most {MOST_FEATURES:,} features of a sample"
        raise UserError(f"`backbone` {rule}, but got {features:,}.")


def check_weights(weights: int) -> None:
    """Check that so many weights can be held in memory.

    :raises UserError: If they cannot.
    """
    if weights > MOST_WEIGHTS:
        rule = f"must make networks of at most {MOST_WEIGHTS:,} weights"
        raise UserError(f"`backbone` {rule}, but got one of {weights:,}: take smaller widths.")


def check_inputs(backbone: Backbone, input_shape: tuple[int, ...]) -> None:
    """Check that a backbone is for inputs of a shape.

    :raises FieldError: If it is one for images and they are the rows of a table or sequences, or the like.
    """
    wanted: dict[int, tuple[Reads, str]] = {
        1: ("rows", f"must be `vector`, for inputs are rows of {input_shape[0]} features"),
        2: ("sequences", f"must be `sequence`, for inputs are sequences of {input_shape[0]} positions at most"),
        3: ("images", f"must be `plain`, `residual` or `bottleneck`, for inputs are images of shape {input_shape}"),
    }
    reads, rule = wanted[len(input_shape)]
    if backbone.reads != reads:
        raise FieldError("backbone.kind", rule, backbone.kind)


def check_tokens(backbone: Backbone, tokens: bool) -> None:
    """Check that a backbone for sequences reads them as what they are.

    :param tokens: Whether they are sequences of tokens; else of vectors.
    :raises FieldError: If it has an embedding and they are no tokens, or none and they are.
    """
    if backbone.reads == "sequences" and tokens != bool(backbone.embedding):
        rule = "must be the number of channels that stand for a token, such as 64, for inputs are tokens"
        rule = rule if tokens else "must be left out, for inputs are no tokens but vectors; `stem` reads these"
        raise FieldError("backbone.embedding", rule, backbone.embedding)


def image_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """``(channels, height, width)``: of a row, a picture of one pixel, of a sequence one that is one pixel high."""
    if len(input_shape) == 2:
        length, channels = input_shape
        return channels, 1, length
    channels, height, width = input_shape if len(input_shape) == 3 else (*input_shape, 1, 1)
    return channels, height, width


def shared_width(choice: LayerChoice, width: int) -> int:
    """Shared channels of a layer with ``width`` channels: ``int(gamma * C)``, with .3 x 10 = 3 in spite of rounding."""
    return int(choice.shared_ratio * width + 1e-9)  # far less than a channel


def specific_width(choice: LayerChoice, width: int) -> int:
    """New specific channels of each task in a layer with ``width`` channels."""
    return width - shared_width(choice, width) if choice.branch_depth else 0


def stages_of(architecture: Architecture) -> Iterator[tuple[int, Stage, LayerChoice, int]]:
    """Every choice with its place: (number of the stage, the stage, the choice, its stride)."""
    choices = iter(architecture.layers)
    for number, stage in enumerate(architecture.backbone.stages):
        for place in range(stage.depth):
            yield number, stage, next(choices), stage.stride if place == 0 else 1


def geometry(architecture: Architecture, tasks: int, input_shape: tuple[int, ...]) -> Geometry:
    """Walk through an architecture and note the features at every layer.

    :param tasks: Number of tasks, of which each may have a branch.
    :param input_shape: Shape of a sample, written as in :class:`Geometry`.
    :raises FieldError: If the backbone is not for such inputs.
    """
    backbone = architecture.backbone
    check_inputs(backbone, input_shape)
    channels, height, width = image_shape(input_shape)
    stem = scaled(backbone.stem, architecture.width_multiplier) if backbone.stem else 0
    embedding = scaled(backbone.embedding, architecture.width_multiplier) if backbone.embedding else 0
    stem_stride = backbone.stem_stride if stem else 1
    features = Features(stem or embedding or channels, 0, 1, -(-height // stem_stride), -(-width // stem_stride))
    places = [
        (number, _parts(architecture, stage, choice, stride))
        for number, stage, choice, stride in stages_of(architecture)
    ]
    left = sum(part.shared > 0 for _, parts in places for part in parts)
    blocks = []
    for number, parts in places:
        layers: list[LayerGeometry] = []
        for part in parts:
            left -= part.shared > 0
            layers.append(_layer(architecture, part, features, tasks, left > 0))
            features = layers[-1].after
        blocks.append(BlockGeometry(number, tuple(layers), backbone.residual))
    decoder = scaled(backbone.decoder, architecture.width_multiplier)
    return Geometry(input_shape, stem, embedding, tuple(blocks), decoder)


@dataclass(frozen=True)
class _Part:
    """A layer before it is known what it reads."""

    choice: LayerChoice
    width: int
    stride: int
    dilation: int
    pointwise: bool = False

    @property
    def shared(self) -> int:
        return shared_width(self.choice, self.width)


def _parts(architecture: Architecture, stage: Stage, choice: LayerChoice, stride: int) -> list[_Part]:
    """The layers that a choice decides."""
    width, dilation = architecture.width(stage), stage.dilation
    part = _Part(choice, width, stride, dilation)
    if not architecture.backbone.residual:
        return [part]
    if architecture.backbone.kind == "residual":
        return [part, replace(part, stride=1)]
    around = replace(choice, bank=POINTWISE, branch_depth=min(1, choice.branch_depth))
    return [_Part(around, width, 1, 1, True), part, _Part(around, EXPANSION * width, 1, 1, True)]


def _layer(architecture: Architecture, part: _Part, before: Features, tasks: int, later_shared: bool) -> LayerGeometry:
    choice, stride = part.choice, part.stride
    shared, specific = part.shared, specific_width(choice, part.width)
    reads_specific = architecture.routing == "mixed" and shared > 0 and before.specific > 0
    trunk_ends = not shared and specific > 0 and not later_shared
    after = Features(
        shared=0 if trunk_ends else shared or before.shared,
        specific=specific or before.specific,
        streams=tasks if reads_specific else before.streams,
        height=-(-before.height // stride),
        width=-(-before.width // stride),
    )
    reads = architecture.backbone.reads
    groups = _groups(before, shared, specific) if reads == "rows" else 0
    made = shared > 0, specific > 0, reads_specific
    return LayerGeometry(choice, before, after, stride, *made, part.dilation, part.pointwise, groups, reads)


def _groups(before: Features, shared: int, specific: int) -> int:
    """As many as usual, but none that would read or make nothing."""
    return min([GROUPS, *(count for count in (before.shared, before.specific, shared, specific) if count)])
