"""Cross-stitch networks (Misra, Shrivastava, Gupta & Hebert, CVPR 2016, arXiv 1604.03539)."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from mtl_search.methods import DECIMALS, Method, MethodContext, TrainedModel
from mtl_search.methods._phase import PhaseTrainer
from mtl_search.networks.inputs import opened
from mtl_search.networks.paths import PathNetwork, stage_places
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import Epoch

SELF_WEIGHT = 0.9
"""What a task takes of its own features at the start: with 1 the tasks would begin apart, with half of it each would be
as much the other one. The best in the paper's ablation, as we recall it."""


@dataclass(frozen=True)
class CrossStitch(Method):
    """A network for each task; between stages the features of all are mixed by a learned matrix.

    Note. The paper mixes after pooling and after fully connected layers; here the inputs of every stage are mixed, and
    those of the heads: our reading for backbones that stride instead. A decoder reads what the next stage reads. The
    paper starts from networks trained on one task each; here everything is trained from scratch, so that the budget is
    that of the other methods.

    :param self_weight: What a task takes of its own features at the start; the others share the rest equally.
    :param per_channel: A matrix for each channel, as the paper has it, instead of one for all.
    :param rate: Learning rate of the matrices, in that of the weights. In the paper it is higher, too, by more (100 to
        1000 times, recalled, not checked); that was for SGD, whose steps are as small as the gradients.
    """

    name = "cross_stitch"
    self_weight: Annotated[float, Field(ge=0, le=1)] = SELF_WEIGHT
    per_channel: bool = True
    rate: Annotated[float, Field(gt=0)] = 10.0

    def build(self, context: MethodContext) -> "CrossStitchNetwork":
        return CrossStitchNetwork(
            context.backbone,
            context.tasks,
            context.input_shape,
            context.seed,
            context.width_multiplier,
            self_weight=self.self_weight,
            per_channel=self.per_channel,
        )

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        model = self.build(context)
        stitches = Group(list(model.stitches.parameters()), rate=self.rate)
        trainer = PhaseTrainer(model, context, [stitches], observer=context.observer)
        yield from trainer.epochs()
        return TrainedModel(model, {"matrices": model.matrices()})


class Stitch(nn.Module):
    """A cross-stitch unit (equation 1 of the paper): linear combinations of the tasks' features.

    The products are not counted as MACs: they are no convolution, and few beside one.

    :param tasks: Number of tasks, each with a trunk of its own.
    :param weights: Matrices: one for each channel, or 1.
    :param self_weight: On the diagonal, at the start. A task that is alone keeps its features as they are.
    """

    def __init__(self, tasks: int, weights: int, self_weight: float) -> None:
        super().__init__()
        others = tasks - 1
        matrix = torch.full((tasks, tasks), (1 - self_weight) / others if others else 1.0)
        if others:
            matrix.fill_diagonal_(self_weight)
        self.weight = nn.Parameter(matrix[:, :, None].repeat(1, 1, weights))

    def forward(self, features: Sequence[Tensor], task: int) -> Tensor:
        """The mixed features of one task, ``[batch, channels, height, width]``, from those of all tasks."""
        weights = self.weight[task].to(features[0].dtype)[:, :, None, None]
        mixed = features[0] * weights[0]
        for weight, feature in zip(weights[1:], features[1:], strict=True):
            mixed = torch.addcmul(mixed, feature, weight)
        return mixed


class CrossStitchNetwork(PathNetwork):
    """Single-task networks on one backbone, with the same initial weights, and units between their stages.

    :param self_weight: What a trunk takes of its own features at first, as in :class:`CrossStitch`.
    :param per_channel: Whether each channel has a weight of its own, as in :class:`CrossStitch`.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
        *,
        self_weight: float = SELF_WEIGHT,
        per_channel: bool = True,
    ) -> None:
        places = backbone.layers + bool(backbone.entry)
        paths = [(number,) * places for number in range(len(tasks))]
        super().__init__(backbone, paths, tasks, input_shape, seed, width_multiplier)
        behind = [stage.start for stage in stage_places(backbone) if stage.start] + [places]
        self.stitches = nn.ModuleDict(
            {
                str(place): Stitch(
                    len(tasks), self.shapes[place - 1].outputs if per_channel else 1, self_weight=self_weight
                )
                for place in behind
            }
        )

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        """As :meth:`PathNetwork.forward`. One task alone needs the networks of all, but not their heads."""
        wanted = {task: name for task, name in enumerate(self.paths) if only is None or name in only}
        read: dict[int, list[Tensor]] = {task: [] for task in wanted}
        start, mask = opened(x)
        features = [start] * len(self.paths)
        for number, place in enumerate(self.places):
            assert isinstance(place, nn.ModuleDict)
            features = [module(feature, mask=mask) for module, feature in zip(place.values(), features, strict=True)]
            last = number + 1 == len(self.places)
            mixed = wanted if last else range(len(features))
            features = [self._mixed(number + 1, features, task) for task in mixed]
            for task, feature in zip(mixed, features, strict=True):
                if task in self.heads.readers(number) and task in wanted:
                    read[task].append(feature)
        return {name: self.heads.read(task, read[task], x) for task, name in wanted.items()}

    def matrices(self) -> dict[str, list[list[float]]]:
        """What is read there -> ``[task][task it takes from]``, means over channels, for the report."""
        names = [*(shape.name for shape in self.shapes), "heads"]
        return {
            names[int(place)]: [[round(value, DECIMALS) for value in row] for row in _mean_matrix(stitch)]
            for place, stitch in self.stitches.items()
        }

    def _mixed(self, place: int, features: Sequence[Tensor], task: int) -> Tensor:
        """What a task's module at a place reads."""
        stitched = str(place) in self.stitches
        return self.stitches[str(place)](features, task) if stitched else features[task]


def _mean_matrix(stitch: nn.Module) -> list[list[float]]:
    """The mean over channels."""
    assert isinstance(stitch, Stitch)
    return stitch.weight.detach().mean(dim=2).tolist()
