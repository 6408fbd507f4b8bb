"""A backbone: the stages of a network, without any sharing decided. Plain data, a part of an architecture."""

from dataclasses import dataclass
from typing import Literal, get_args

from mtl_search.errors import FieldError
from mtl_search.spaces.fields import check_one_of, check_whole

Kind = Literal["plain", "residual", "bottleneck", "vector", "sequence"]
Reads = Literal["images", "rows", "sequences"]
"""What a backbone is for: pictures, the rows of a table, or sequences of tokens or of vectors."""

DECODER = 16
"""Channels of a decoder where nothing else is said: few, for it is the tasks' encoder that is compared (ours)."""
EXPANSION = 4
"""Channels of a bottleneck block, in those of its 3x3 layer, as in ResNet-50 (He et al., CVPR 2016)."""

MOST_CHANNELS = 65_536
"""Of a layer, a stem or a decoder at a width multiplier of 1. The widest in the literature have some thousands."""
MOST_LAYERS = 256
"""In all stages. ResNet-152 has 50 blocks."""
MOST_STRIDE = 256
"""Also of a dilation: no kernel reaches further in a picture that fits into memory. Patches have 32 pixels."""
MOST_POOL = 64
"""Height and width of the grid that a head reads. VGG has 7."""


@dataclass(frozen=True)
class Stage:
    """Layers of one width; the first of them strides.

    :param width: Channels of each layer, shared and specific together, at a width multiplier of 1.
    :param depth: Layers in the stage. In a residual backbone each is a block of two ETR-NLP layers and a skip; in one
        of bottlenecks of a 1x1 convolution, an ETR-NLP layer and a 1x1 convolution to four times as many channels.
    :param stride: Stride of the first layer.
    :param dilation: Distance of the taps of all its 3x3 kernels, primitives included. In place of a stride it keeps the
        resolution at the same field of view (Yu & Koltun, ICLR 2016).
    """

    width: int
    depth: int = 1
    stride: int = 1
    dilation: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "depth", "stride", "dilation"):
            check_whole(name, getattr(self, name), 1, MOST_OF_STAGE[name])


WITHOUT_STRIDES = {"vector": "a row has no sides", "sequence": "every position of a sequence is kept"}
"""Kinds of backbones that do not stride, and why."""
MOST_OF_STAGE = {"width": MOST_CHANNELS, "depth": MOST_LAYERS, "stride": MOST_STRIDE, "dilation": MOST_STRIDE}


@dataclass(frozen=True)
class Backbone:
    """The network without any sharing decided: how wide, how deep, where it strides.

    :param stages: Stages of the network, from input to output.
    :param kind: ``plain``, or ``residual`` or ``bottleneck`` (He et al., CVPR 2016: the blocks of ResNet-18 and -50).
        Which channels of a bottleneck are shared is chosen for all its layers; its bank stands in place of the 3x3
        convolution, which strides (our reading). ``vector`` is for the rows of a table, whose features stand for
        channels and which has nothing to stride over. ``sequence`` is for sequences, of which it strides over none: its
        kernels have three taps, along the positions, and its heads read the mean and the maximum over these.
    :param stem: Channels of an ordinary learned 3x3 convolution before the first layer, read by all tasks; 0 for none.
        Primitives see few channels in an image: a bank of k primitives on one grey channel yields only k features. In
        a ``vector`` backbone it is a linear layer.
    :param embedding: In a ``sequence`` backbone that reads tokens: the numbers that stand for each token, which are
        learned; read by all tasks. With 0 it reads vectors.
    :param stem_stride: Stride of the stem.
    :param head_pool: Each head reads the averages over a ``head_pool`` x ``head_pool`` grid; 1 is global pooling.
    :param decoder: Channels of each dense task's decoder (:mod:`mtl_search.networks.decoder`); without dense tasks
        there is none, whatever stands here.
    """

    stages: tuple[Stage, ...]
    kind: Kind = "plain"
    stem: int = 0
    stem_stride: int = 1
    head_pool: int = 1
    decoder: int = DECODER
    embedding: int = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise FieldError("stages", "must hold at least one stage", self.stages)
        check_one_of("kind", self.kind, get_args(Kind))
        check_whole("stem", self.stem, 0, MOST_CHANNELS)
        check_whole("stem_stride", self.stem_stride, 1, MOST_STRIDE)
        check_whole("head_pool", self.head_pool, 1, MOST_POOL)
        check_whole("decoder", self.decoder, 1, MOST_CHANNELS)
        check_whole("embedding", self.embedding, 0, MOST_CHANNELS)
        if self.layers > MOST_LAYERS:
            raise FieldError("stages", f"must have at most {MOST_LAYERS} layers together", self.layers)
        if self.embedding and self.kind != "sequence":
            raise FieldError("embedding", "must be 0 in a backbone that is not of the kind `sequence`", self.embedding)
        if self.embedding and self.stem:
            raise FieldError("stem", "must be 0 beside an `embedding`, which stands in its place", self.stem)
        if self.kind in WITHOUT_STRIDES:
            strides = {f"stages.{number}.stride": stage.stride for number, stage in enumerate(self.stages)}
            for name, value in {**strides, "stem_stride": self.stem_stride, "head_pool": self.head_pool}.items():
                if value != 1:
                    rule = f"must be 1 in a backbone of the kind `{self.kind}`: {WITHOUT_STRIDES[self.kind]}"
                    raise FieldError(name, rule, value)

    @property
    def reads(self) -> Reads:
        """What its inputs are."""
        others: dict[Kind, Reads] = {"vector": "rows", "sequence": "sequences"}
        return others.get(self.kind, "images")

    @property
    def entry(self) -> int:
        """Channels of what stands before the first layer, an embedding or a stem; 0 for none."""
        return self.embedding or self.stem

    @property
    def head_cells(self) -> int:
        """Numbers that a head reads of every channel: averages over cells, of a sequence the mean and the maximum."""
        return 2 if self.kind == "sequence" else self.head_pool**2

    @property
    def residual(self) -> bool:
        """Whether each choice decides a block with a skip around it."""
        return self.kind in ("residual", "bottleneck")

    @property
    def kernel_size(self) -> int:
        """Width of its ordinary convolutions; with 1 they are linear layers."""
        return 1 if self.kind == "vector" else 3

    @property
    def kernel_height(self) -> int:
        """Height of its ordinary convolutions: 1 in one for sequences, whose features are one pixel high."""
        return 1 if self.kind == "sequence" else self.kernel_size

    @property
    def layers(self) -> int:
        """Number of layers, each of which an architecture makes a choice for."""
        return sum(stage.depth for stage in self.stages)
