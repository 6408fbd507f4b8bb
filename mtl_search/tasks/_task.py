"""What every kind of task says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict
from torch import Tensor

from mtl_search.errors import DatasetError, FieldError, UserError
from mtl_search.internal.arrays import Array, parts
from mtl_search.internal.characters import FORMULA
from mtl_search.metrics.scores import Metric

MOST_OUTPUTS = 1_000_000
"""Numbers that the head of a task puts out. The largest classifications in the literature have 22,000 classes."""
LONGEST_NAME = 100
"""Characters of the name of a task: file systems take 255 bytes."""
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
FLOATS = ("float32",)


@dataclass(frozen=True)
class Task(ABC):
    """Something to predict. The fields of a subclass are the options of the kind, and what it learned of the data.

    Targets may be missing: integers are -1 there, floats NaN. Losses and metrics leave them out. A task without any
    target in a batch has a loss of 0 there, whose gradient is zero.

    :param name: Name of the task in results; no ``/`` in it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str

    kind: ClassVar[str]
    """Name of the kind."""
    metrics: ClassVar[tuple[Metric, ...]]
    """What is measured. The first is the headline, which stands for the task where one number is wanted."""
    integer: ClassVar[bool] = True
    """Whether targets are integers; else they are float32."""
    dense: ClassVar[bool] = False
    """Whether there is a target for every pixel: outputs are then ``[batch, outputs, height, width]``."""
    output_means: ClassVar[str] = "as the kind has it"
    """What an output of a trained network is, for the user of an exported one."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """A kind with a loss or totals of its own does not inherit another kind's way to compute those of several."""
        super().__init_subclass__(**arguments)
        for one, several in (("loss", "stacked_losses"), ("totals", "stacked_totals")):
            if one in vars(cls) and several not in vars(cls):
                setattr(cls, several, vars(Task)[several])

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "," in self.name:
            raise FieldError("name", "must be a word without `/` and `,`", self.name)
        if not self.name.isprintable() or self.name[0] in FORMULA or len(self.name) > LONGEST_NAME:
            rule = f"must have at most {LONGEST_NAME} characters, no control characters, and not begin with {FORMULA}"
            raise FieldError("name", rule, self.name)

    # What a kind has to say

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the head puts out for one sample; of a dense task, for one pixel."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss over the targets of a batch that are there, ``[]``; 0, with a gradient of zeros, if none is.

        :param output: ``[batch, outputs]``, of a dense task ``[batch, outputs, height, width]``.
        :param target: ``[batch, ...]``, from :meth:`prepared`.
        """

    @abstractmethod
    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        """Sums over a batch from which :meth:`scores` computes the metrics; sums of several batches may be added."""

    @abstractmethod
    def scores(self, totals: Tensor) -> dict[str, float]:
        """The metrics, name -> value, from summed totals. Empty where no target was there: nothing was measured."""

    # What a kind may say besides

    @property
    def headline(self) -> Metric:
        """The metric that stands for the task."""
        return self.metrics[0]

    @property
    def constant_error(self) -> float:
        """The headline, an error, of the best constant prediction on the training targets.

        :raises UserError: If the kind has none, or nothing was learned yet.
        """
        raise UserError(
            f"task `{self.name}`: a kind whose headline is an error must say its `constant_error`, "
            "which it can keep of the targets that `learned` is given."
        )

    def quality(self, scores: Mapping[str, float]) -> float:
        """How well the task is done, higher is better, 1 is perfect: what a search maximises, averaged over tasks.

        The headline, where higher is better: a share of 1. Of an error the skill, 1 - error / error of the best
        constant prediction: 0 for what knows nothing of the input, below it for what is worse.

        :param scores: Name of the metric -> its value.
        """
        value = scores[self.headline.name]
        return value if self.headline.higher_is_better else 1 - value / self.constant_error

    @property
    def output_scale(self) -> tuple[float, float]:
        """Offset and factor of the outputs of a decoder, which learns what is left: training begins at the targets."""
        return 0.0, 1.0

    def in_units(self, output: Tensor) -> Tensor:
        """What a trained network puts out, in the units of the targets; logits stay what they are. The same by default.

        :param output: What the head puts out, ``[batch, outputs, ...]``, of any floating type.
        """
        return output

    def probabilities(self, output: Tensor) -> Tensor | None:
        """The probability of each class or label, of one logit that of yes; ``None``, the default, where there is none.

        :param output: What the head puts out, ``[batch, outputs, ...]``.
        """
        return None

    @property
    def alike(self) -> Hashable:
        """Tasks of one kind for which this is equal are computed at once; by default each by itself.

        Their outputs have one shape, and so have their targets and their totals.
        """
        return self.name

    @classmethod
    def known(cls, targets: Any) -> Any:
        """Which targets are there, as bool: of a tensor or an array, whatever its leading dimensions."""
        return targets >= 0 if cls.integer else targets == targets

    @classmethod
    def mirrored(cls, targets: Tensor) -> Tensor:
        """Maps whose left and right were exchanged, as targets of pictures of which that is true; the same by default.

        :param targets: ``[..., height, width]``, of a dense kind.
        """
        return targets

    def target_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        """Shapes that the targets of one sample may have.

        :param height: Height of the inputs in pixels; 1 of a row of a table, as the width is.
        """
        return [(height, width)] if self.dense else [()]

    @property
    def rule(self) -> str:
        """What targets must be, as the rest of the sentence "targets must be ..."."""
        return "at least 0, or -1 where missing" if self.integer else "finite, or NaN where missing"

    def wrong(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Which targets break the :attr:`rule`, of the same shape."""
        broken: NDArray[np.bool_] = targets < -1 if self.integer else np.isinf(targets)
        return broken

    def learned(self, targets: Array) -> Self:
        """The task with what it has to know of the training targets; the same task by default.

        :param targets: They may be larger than memory: :func:`~mtl_search.internal.arrays.parts` goes through them.
        :raises DatasetError: If they are of no use.
        """
        return self

    def prepared(self, targets: Tensor) -> Tensor:
        """The targets as they are computed on, ``[samples, ...]``. Done once, as they are loaded."""
        return targets

    def undefined(self, targets: Array) -> list[str]:
        """Names of the metrics that such targets leave undefined, whatever a network puts out; by default none."""
        return []

    # What all kinds have in common

    @property
    def score_names(self) -> list[str]:
        """``<task>/<metric>``, the headline first."""
        return [f"{self.name}/{metric.name}" for metric in self.metrics]

    def describe(self) -> dict[str, Any]:
        """Its kind, its options and what it learned, as plain data for JSON."""
        return {"kind": self.kind, **asdict(self)}

    def check(self, targets: Array, inputs: tuple[int, ...], split: str) -> None:
        """Check the targets of a split.

        :param inputs: Shape of its inputs, ``(samples, channels, height, width)``, ``(samples, features)`` or
            ``(samples, length, channels)``.
        :raises DatasetError: For a wrong type, shape or value, if every target is missing, or for a dense task on
            inputs that are no images.
        """
        where, types = f"task `{self.name}`, split `{split}`", INTEGERS if self.integer else FLOATS
        if str(targets.dtype) not in types:
            raise DatasetError(f"{where}: targets must be {' or '.join(types)}, but got {targets.dtype}.")
        if self.dense and len(inputs) < 4:
            found = f"rows of {inputs[1]} features" if len(inputs) == 2 else "sequences"
            raise DatasetError(
                f"{where}: a task of the kind `{self.kind}` has a target for every pixel, so that inputs must be "
                f"images, but got {found}."
            )
        height, width = inputs[2:] if len(inputs) == 4 else (1, 1)
        shapes = [(inputs[0], *shape) for shape in self.target_shapes(height, width)]
        if targets.shape not in shapes:
            allowed = " or ".join(map(str, shapes))
            raise DatasetError(f"{where}: targets must be of shape {allowed}, but got {targets.shape}.")
        for start, part in parts(targets):
            breaks = self.wrong(part)
            if breaks.any():
                place = tuple(np.argwhere(breaks)[0])
                found, row = part[place].item(), start + place[0]
                raise DatasetError(f"{where}, row {row}: targets must be {self.rule}, but got {found}.")
        if not any(self.known(part).any() for _, part in parts(targets)):
            raise DatasetError(f"{where}: every target is missing, so that there is nothing to learn or to measure.")

    def unusable(self, reason: str) -> DatasetError:
        """The error of training targets that cannot be learned from."""
        return DatasetError(f"task `{self.name}`, split `train`: {reason}.")

    @classmethod
    def stacked_losses(
        cls,
        tasks: Sequence[Self],
        outputs: Tensor,
        targets: Tensor,
        label_smoothing: float = 0.0,
        known: Tensor | None = None,
    ) -> Tensor:
        """The losses of tasks that are :attr:`alike`, ``[tasks]``: each that of :meth:`loss`, which is the default.

        :param outputs: ``[tasks, batch, outputs]``, those of :meth:`loss` stacked; as the targets are.
        :param known: What :meth:`known` says of the targets; ``None`` where none of the whole split is missing.
        """
        by_task = zip(tasks, outputs.unbind(), targets.unbind(), strict=True)
        return torch.stack([task.loss(output, target, label_smoothing) for task, output, target in by_task])

    @classmethod
    def stacked_totals(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor) -> Tensor:
        """The totals of tasks that are :attr:`alike`, stacked: each those of :meth:`totals`, which is the default."""
        by_task = zip(tasks, outputs.unbind(), targets.unbind(), strict=True)
        return torch.stack([task.totals(output, target) for task, output, target in by_task])


def class_counts(targets: Array, classes: int) -> NDArray[np.int64]:
    """How many targets are of each class, ``[classes]``; missing ones are left out."""
    counts = [np.bincount(part[part >= 0].ravel(), minlength=classes) for _, part in parts(targets)]
    return np.sum(counts, axis=0)
