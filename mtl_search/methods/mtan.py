"""Multi-task attention network (Liu, Johns & Davison, CVPR 2019, arXiv 1803.10704)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.seeds import generator
from mtl_search.methods import Method, MethodContext
from mtl_search.networks.inputs import Mask, opened
from mtl_search.networks.norm import Norm
from mtl_search.networks.paths import ConvModule, ModuleShape, Path, PathNetwork, stage_places
from mtl_search.networks.pointwise import make_convolution
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task


@dataclass(frozen=True)
class MTAN(Method):
    """One trunk, of which every task picks features by soft attention masks, one for each stage."""

    name = "mtan"

    def build(self, context: MethodContext) -> "MTANNetwork":
        return MTANNetwork(context.backbone, context.tasks, context.input_shape, context.seed, context.width_multiplier)


class Attention(nn.Module):
    """A mask: ``sigmoid(norm(1x1(relu(norm(1x1(x))))))``, section 3.2 of the paper.

    :param inputs: Channels that it reads.
    :param outputs: Channels of the mask; the hidden ones are as many, as in the paper's network for images to images.
    :param weights: What the initial weights are drawn from.
    """

    def __init__(self, inputs: int, outputs: int, weights: torch.Generator) -> None:
        super().__init__()
        self.first, self.first_norm = _pointwise(inputs, outputs, weights, gain=2), Norm(outputs)
        self.second, self.second_norm = _pointwise(outputs, outputs, weights, gain=1), Norm(outputs)

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """``[batch, inputs, height, width]`` to ``[batch, outputs, height, width]``, 0 to 1."""
        hidden = F.relu(self.first_norm(self.first(x), mask=mask), inplace=True)
        return self.second_norm(self.second(hidden), mask=mask).sigmoid()


class MTANNetwork(PathNetwork):
    """The trunk is that of hard sharing, with the same initial weights. The heads read attended features only.

    In every stage, u is the output of its first module and p that of its last. A task's mask is made from u and from
    what the task attended to in the stage before, carried on by a 3x3 convolution that all tasks share; the mask times
    p is what the task attends to.

    Our reading: in a stage of one module u and p are the same; the stem is no stage, all tasks read it as it is; the
    carrying convolution strides as the next stage does (the paper pools) and has batch statistics for each task. The
    authors' code for residual networks takes the last module but one for u: the same in stages of two. A
    decoder reads what its task attends to in the last stage of every resolution, and the stem as it is.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        path = (0,) * (backbone.layers + bool(backbone.entry))
        super().__init__(backbone, [path] * len(tasks), tasks, input_shape, seed, width_multiplier)
        self.stages = stage_places(backbone)
        first = [self.shapes[stage.start] for stage in self.stages]
        self.masks = nn.ModuleList(
            nn.ModuleList(
                Attention(
                    shape.outputs * (2 if number else 1), shape.outputs, generator(seed, f"mask {number} of {task}")
                )
                for task in range(len(tasks))
            )
            for number, shape in enumerate(first)
        )
        self.carries = nn.ModuleList(
            ConvModule(
                ModuleShape(
                    f"into {after.name}",
                    before.outputs,
                    after.outputs,
                    after.stride,
                    residual=False,
                    size=after.size,
                    height=after.height,
                ),
                generator(seed, f"carry {number}"),
                streams=len(tasks),
            )
            for number, (before, after) in enumerate(pairwise(first))
        )

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As :meth:`PathNetwork.forward`."""
        wanted = {number: name for number, name in enumerate(self.paths) if only is None or name in only}
        start, padding = opened(x)
        trunk: dict[Path, Tensor] = {(): start}
        attended: dict[int, Tensor] = {}
        read: dict[tuple[int, int], Tensor] = {}
        for number, stage in enumerate(self.stages):
            first = self.walk((0,) * (stage.start + 1), trunk, padding)
            last = self.walk((0,) * stage.stop, trunk, padding)
            masks = {task: self.mask(number, task, first, attended.get(task), padding) for task in wanted}
            attended = {task: mask * last for task, mask in masks.items()}
            read |= {(task, stage.stop - 1): features for task, features in attended.items()}
        return {
            name: self.heads.read(task, [read.get((task, place), trunk[(0,)]) for place in self.heads.places(task)], x)
            for task, name in wanted.items()
        }

    def mask(self, stage: int, task: int, first: Tensor, before: Tensor | None, padding: Mask = None) -> Tensor:
        """The mask of one task in one stage, of the shape of ``first``.

        :param first: Output of the stage's first module, ``[batch, channels, height, width]``.
        :param before: What the task attended to in the stage before; ``None`` in the first stage.
        :param padding: Which positions of sequences are none of padding.
        """
        read = first if before is None else torch.cat([first, self.carries[stage - 1](before, task, padding)], dim=1)
        of_stage = self.masks[stage]
        assert isinstance(of_stage, nn.ModuleList)
        return of_stage[task](read, padding)


def _pointwise(inputs: int, outputs: int, weights: torch.Generator, gain: float) -> nn.Conv2d:
    """A 1x1 convolution without bias, drawn as He et al. (ICCV 2015) do."""
    convolution = make_convolution(inputs, outputs, 1)
    drawn = torch.randn(convolution.weight.shape, generator=weights)
    convolution.weight = nn.Parameter(drawn * (gain / inputs) ** 0.5)
    return convolution
