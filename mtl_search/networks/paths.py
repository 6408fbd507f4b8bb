"""Networks of ordinary convolutions in which every task takes its own path through the modules of a backbone.

A backbone is a row of modules: its stem, if it has one, and its blocks. For each place in the row there may be several
modules of the same shape, numbered from 0; a task's path says which of them it uses at every place. Hard sharing, one
network per task, branching trees and shared layers behind separate ones are all paths.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.seeds import generator
from mtl_search.networks.geometry import Features, check_inputs, check_weights, image_shape
from mtl_search.networks.heads import TaskHeads
from mtl_search.networks.inputs import Mask, TokenEmbedding, opened
from mtl_search.networks.layer import carry
from mtl_search.networks.norm import Norm
from mtl_search.networks.pointwise import make_convolution
from mtl_search.spaces.architecture import scaled
from mtl_search.spaces.backbone import EXPANSION, Backbone
from mtl_search.tasks import Task

Path = tuple[int, ...]
"""Number of the module that a task uses at every place."""


@dataclass(frozen=True)
class ModuleShape:
    """One place in a backbone.

    :param name: Name of the place: ``embedding`` or ``stem``, or ``layer 0`` and so on.
    :param inputs: Number of channels that come in.
    :param outputs: Number of channels that go out.
    :param stride: Stride of its first convolution.
    :param residual: Whether it is several convolutions with a skip around them, instead of one.
    :param size: Height and width of their kernels; of a bottleneck that of the one in the middle.
    :param dilation: Distance of the taps of these.
    :param hidden: Channels of the 3x3 convolution between the two 1x1 ones of a bottleneck; 0 where it is none.
    :param height: Height of the kernels where it is another one: 1 in a backbone for sequences.
    :param tokens: Number of different tokens where it is an embedding, which has no convolution; else 0.
    """

    name: str
    inputs: int
    outputs: int
    stride: int
    residual: bool
    size: int = 3
    dilation: int = 1
    hidden: int = 0
    height: int | None = None
    tokens: int = 0

    @property
    def weights(self) -> int:
        """Learned weights, norms and projections aside."""
        if self.tokens:
            return self.tokens * self.outputs
        return sum(self.height_of(size) * size * ins * outs for ins, outs, size, _ in self.convolutions())

    def height_of(self, size: int) -> int:
        """Height of a kernel of that width."""
        return size if self.height is None else self.height

    def convolutions(self) -> list[tuple[int, int, int, int]]:
        """Inputs, outputs, size and stride of each in turn."""
        if self.hidden:
            before, after = (self.inputs, self.hidden, 1, 1), (self.hidden, self.outputs, 1, 1)
            return [before, (self.hidden, self.hidden, self.size, self.stride), after]
        first = (self.inputs, self.outputs, self.size, self.stride)
        return [first, (self.outputs, self.outputs, self.size, 1)] if self.residual else [first]


def module_shapes(
    backbone: Backbone, input_shape: tuple[int, ...], width_multiplier: float = 1.0
) -> tuple[ModuleShape, ...]:
    """The modules of a backbone, input to output.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table, ``(length,
        channels)`` of a sequence, of tokens with their number in place of channels.
    :raises FieldError: If the backbone is not for such inputs.
    """
    check_inputs(backbone, input_shape)
    inputs, _, _ = image_shape(input_shape)
    shapes, size = [], backbone.kernel_size
    height = backbone.kernel_height if backbone.kernel_height != size else None
    if backbone.embedding:
        shapes.append(
            ModuleShape("embedding", 1, scaled(backbone.embedding, width_multiplier), 1, False, tokens=inputs)
        )
    if backbone.stem:
        stem = scaled(backbone.stem, width_multiplier)
        shapes.append(ModuleShape("stem", inputs, stem, backbone.stem_stride, False, size, height=height))
    inputs = shapes[0].outputs if shapes else inputs
    for stage in backbone.stages:
        for place in range(stage.depth):
            width, stride = scaled(stage.width, width_multiplier), stage.stride if place == 0 else 1
            hidden, outputs = (width, EXPANSION * width) if backbone.kind == "bottleneck" else (0, width)
            name = f"layer {len(shapes) - bool(backbone.entry)}"
            residual, dilation = backbone.residual, stage.dilation
            shapes.append(ModuleShape(name, inputs, outputs, stride, residual, size, dilation, hidden, height))
            inputs = outputs
    check_weights(sum(shape.weights for shape in shapes))
    return tuple(shapes)


def taps_of(shapes: Sequence[ModuleShape], input_shape: tuple[int, ...]) -> dict[int, Features]:
    """The places at the end of every resolution, finest first -> what is made there: what decoders read.

    :param input_shape: ``(channels, height, width)`` of a sample.
    """
    _, height, width = image_shape(input_shape)
    taps = {}
    for place, shape in enumerate(shapes):
        height, width = -(-height // shape.stride), -(-width // shape.stride)
        if place + 1 == len(shapes) or shapes[place + 1].stride > 1:
            taps[place] = Features(shape.outputs, 0, 1, height, width)
    return taps


def stage_places(backbone: Backbone) -> tuple[range, ...]:
    """The places of every stage, input to output. A stem or embedding, at place 0 if there is one, belongs to none."""
    starts = list(accumulate((stage.depth for stage in backbone.stages), initial=int(bool(backbone.entry))))
    return tuple(range(start, end) for start, end in pairwise(starts))


class EmbeddingModule(nn.Module):
    """An embedding as a place of a backbone.

    :param weights: What the initial weights are drawn from.
    """

    def __init__(self, shape: ModuleShape, weights: Generator) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = TokenEmbedding(shape.tokens, shape.outputs, weights)

    def forward(self, x: Tensor, stream: int = 0, mask: Mask = None) -> Tensor:
        """Tokens ``[batch, 1, 1, length]`` to ``[batch, outputs, 1, length]``."""
        made: Tensor = self.embedding(x, mask)
        return made


class ConvModule(nn.Module):
    """A convolution, norm and ReLU; or a residual block of two, or a bottleneck (He et al., CVPR 2016).

    The weight is that of ``conv`` in an architecture, and so is its skip: averaged over the stride and projected.

    :param streams: Inputs of different origin that it is applied to, each with batch statistics of its own.
    :param weights: What the initial weights are drawn from.
    """

    def __init__(self, shape: ModuleShape, weights: Generator, streams: int = 1) -> None:
        super().__init__()
        self.shape = shape
        plan = shape.convolutions()
        self.convolutions = nn.ModuleList(
            _convolution(*each, weights, dilation=shape.dilation, height=shape.height) for each in plan
        )
        self.norms = nn.ModuleList(Norm(outputs, streams) for _, outputs, _, _ in plan)
        self.projection: nn.Conv2d | None = None
        if shape.residual and (shape.stride != 1 or shape.inputs != shape.outputs):
            self.projection = _convolution(shape.inputs, shape.outputs, 1, 1, weights, gain=1)
            self.projection_norm = Norm(shape.outputs, streams)

    def forward(self, x: Tensor, stream: int = 0, mask: Mask = None) -> Tensor:
        """``[batch, inputs, height, width]`` to ``[batch, outputs, ceil(height / stride), ceil(width / stride)]``.

        :param mask: Which positions of sequences are none of padding; features are 0 at the others, before and after.
        """
        made = x
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, Norm)
            made = self._normed(convolution, norm, made if number == 0 else F.relu(made, inplace=True), stream, mask)
        return F.relu(made + self._skip(x, stream, mask) if self.shape.residual else made, inplace=True)

    def _normed(self, convolution: nn.Conv2d, norm: Norm, x: Tensor, stream: int, mask: Mask) -> Tensor:
        return norm.stream(convolution(x), stream, mask)

    def _skip(self, x: Tensor, stream: int, mask: Mask) -> Tensor:
        if self.projection is None:
            return x
        pooled = carry(x, self.shape.stride)
        assert pooled is not None
        return self._normed(self.projection, self.projection_norm, pooled, stream, mask)


def make_module(shape: ModuleShape, weights: Generator, streams: int = 1) -> "ConvModule | EmbeddingModule":
    """The module at a place of a backbone; the parameters are those of :class:`ConvModule`."""
    return EmbeddingModule(shape, weights) if shape.tokens else ConvModule(shape, weights, streams)


class PathModules(nn.Module):
    """The modules that some paths through a backbone lead over, and a head for each task.

    Features that are reached by the same way are computed once. A module that is reached by different ways has the same
    weights for all of them, but batch statistics for each way.

    :param paths: All paths that are walked: the number of the module at each place.
    :param tasks: The tasks that are predicted, each with a head.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param seed: Seed of the initial weights. Those of a module depend on its place and number only.
    """

    def __init__(
        self,
        backbone: Backbone,
        paths: Iterable[Path],
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.shapes = module_shapes(backbone, input_shape, width_multiplier)
        ways = sorted({tuple(path[: place + 1]) for path in paths for place in range(len(self.shapes))})
        ways_to: dict[tuple[int, int], list[Path]] = {}
        for way in ways:
            ways_to.setdefault((len(way) - 1, way[-1]), []).append(way)
        self.streams = {way: number for found in ways_to.values() for number, way in enumerate(found)}
        self.places = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(number): make_module(shape, generator(seed, f"module {place}.{number}"), len(found))
                    for (at, number), found in sorted(ways_to.items())
                    if at == place
                }
            )
            for place, shape in enumerate(self.shapes)
        )
        self.heads = TaskHeads(backbone, taps_of(self.shapes, input_shape), tasks, seed, width_multiplier)

    def walk(self, way: Path, reached: dict[Path, Tensor], mask: Mask = None) -> Tensor:
        """The features at the end of a way, computed where no other path has been there.

        :param reached: The features at the end of every way walked so far; ``()`` is the input.
        :param mask: Which positions of sequences are none of padding.
        """
        if way not in reached:
            place = self.places[len(way) - 1]
            assert isinstance(place, nn.ModuleDict)
            module = place[str(way[-1])]
            reached[way] = module(self.walk(way[:-1], reached, mask), self.streams[way], mask)
        return reached[way]

    def layer_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Name of the place -> the parameters of all modules there."""
        return {shape.name: list(place.parameters()) for shape, place in zip(self.shapes, self.places, strict=True)}


class PathNetwork(PathModules):
    """Every task takes its own path through the modules of a backbone.

    :param paths: One for each task.
    """

    def __init__(
        self,
        backbone: Backbone,
        paths: Sequence[Path],
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__(backbone, paths, tasks, input_shape, seed, width_multiplier)
        self.paths = {task.name: tuple(path) for task, path in zip(tasks, paths, strict=True)}

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Outputs of the tasks.

        :param x: ``[batch, channels, height, width]``, rows ``[batch, features]``, or sequences: see
            :func:`~mtl_search.networks.inputs.opened`.
        :param only: Names of the tasks to compute; all if left out.
        :returns: Name of the task -> ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.
        """
        start, mask = opened(x)
        reached: dict[Path, Tensor] = {(): start}
        outputs = {}
        for number, (task, path) in enumerate(self.paths.items()):
            if only is None or task in only:
                features = [self.walk(path[: place + 1], reached, mask) for place in self.heads.places(number)]
                outputs[task] = self.heads.read(number, features, x)
        return outputs


def _convolution(
    inputs: int,
    outputs: int,
    size: int,
    stride: int,
    weights: Generator,
    gain: float = 2,
    dilation: int = 1,
    height: int | None = None,
) -> nn.Conv2d:
    """A convolution without bias, drawn as He et al. (ICCV 2015) do."""
    convolution = make_convolution(inputs, outputs, size, stride, dilation, height)
    deviation = (gain / convolution.weight[0].numel()) ** 0.5
    convolution.weight = nn.Parameter(torch.randn(convolution.weight.shape, generator=weights) * deviation)
    return convolution
