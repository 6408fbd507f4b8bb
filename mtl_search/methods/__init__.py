"""Methods: how a network shares between tasks, and how such a network is trained. One file each, named as its paper.

A method builds a network on the experiment's backbone. Most are trained by the common loop and are done; some train in
several phases, the last of which, ``training``, is that of the network that is measured in the end. It has the same
budget for all methods; what the other phases cost is counted and reported.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field
from torch import Tensor, nn

from mtl_search import cost
from mtl_search.datasets import Dataset
from mtl_search.internal.options import build
from mtl_search.internal.registry import METHODS
from mtl_search.networks.paths import ModuleShape, Path, PathNetwork, module_shapes
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.section import MOST
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Task
from mtl_search.training.checkpoint import Checkpoint
from mtl_search.training.trainer import MEASURED, Epoch, Observer, Trainer

Epochs = Annotated[int, Field(ge=1, le=MOST)]
"""Of a phase that a method has besides the training."""
DECIMALS = 4
"""Of shares and weights in the details of a training: figures show two of percent."""


@dataclass(frozen=True)
class MethodContext:
    """What a method has to solve, and with what means.

    :param backbone: Stages, widths and strides, without any sharing.
    :param dataset: Trained on its split ``train``; it brings the tasks.
    :param training: Budget and optimiser of the last phase, and of every other that has no own.
    :param seed: Seed of the initial weights, the primitives, and the order of the samples.
    :param width_multiplier: Factor on every width of the backbone.
    :param given: Weights from elsewhere that a method may start from, see :attr:`Method.starts_from`.
    :param observer: Looks at the training of the common loop after every epoch.
    :param start: Where the common loop goes on from; from scratch if left out.
    """

    backbone: Backbone
    dataset: Dataset
    training: Training = field(default_factory=Training)
    seed: int = 0
    width_multiplier: float = 1.0
    given: Mapping[str, Tensor] = field(default_factory=dict)
    observer: Observer | None = None
    start: Checkpoint | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is to be predicted."""
        return self.dataset.tasks

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(channels, height, width)`` of an image, ``(features,)`` of a row of a table."""
        return self.dataset.input_shape

    @property
    def shapes(self) -> tuple[ModuleShape, ...]:
        """The modules of the backbone, input to output."""
        return module_shapes(self.backbone, self.input_shape, self.width_multiplier)

    def trainer(self, model: nn.Module, phase: str = MEASURED) -> Trainer:
        """The common loop for a network, at the full budget.

        :param phase: Name of what is trained, in the epochs; another one where it is not what is measured in the end.
        """
        last = phase == MEASURED
        observer = self.observer if last else None
        trainer = Trainer(model, self.tasks, self.dataset, self.training, self.seed, phase=phase, observer=observer)
        if last and self.start is not None:
            trainer.restore(self.start)
        return trainer

    def with_training(self, **changes: Any) -> "MethodContext":
        """The same context with other training settings, for a phase of its own: ``epochs=3``."""
        return replace(self, training=self.training.model_copy(update=changes))

    def network_of(self, paths: Mapping[str, Sequence[int]]) -> PathNetwork:
        """The network of the paths by the names of the tasks, as the details of a training hold them."""
        return self.path_network([tuple(paths[task.name]) for task in self.tasks])

    def path_network(self, paths: list[Path]) -> PathNetwork:
        """The network in which the tasks take these paths through the backbone."""
        return PathNetwork(self.backbone, paths, self.tasks, self.input_shape, self.seed, self.width_multiplier)


@dataclass(frozen=True)
class TrainedModel:
    """What a method ends with.

    :param model: The trained network that is measured; maps inputs to a dictionary of outputs.
    :param details: What the report shows of the method besides its scores: plain data for JSON.
    """

    model: nn.Module
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method(ABC):
    """A method. The fields of a subclass are its options, in recipes."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: ClassVar[str]
    measured_as_built: ClassVar[bool] = True
    """Whether the network that :meth:`build` builds is the one that is measured in the end."""

    @property
    def starts_from(self) -> str:
        """Name of a method whose trained weights, of the same seed, it starts from; empty for none. Where a context
        brings none it trains them itself. A comparison trains them once, for both."""
        return ""

    @abstractmethod
    def build(self, context: MethodContext) -> nn.Module:
        """The network of the method's first phase, untrained: ``[batch, channels, height, width]`` to a dictionary of
        outputs."""

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        """Train from scratch, epoch by epoch; returns what it ends with.

        By default the common loop trains what :meth:`build` built.

        :raises DivergedError: If the loss is no longer finite.
        """
        model = self.build(context)
        yield from context.trainer(model).epochs()
        return TrainedModel(model)

    def rebuild(self, context: MethodContext, details: Mapping[str, Any]) -> nn.Module:
        """The network that :meth:`train` ended with, untrained, to load its weights into.

        :param details: The details that the training ended with. By default the network is the one that :meth:`build`
            builds.
        """
        return self.build(context)

    @property
    def goes_on(self) -> bool:
        """Whether a training that was cut off can go on from a checkpoint: where the common loop is all of it."""
        return type(self).train is Method.train

    def first_banks(self, context: MethodContext) -> set[str]:
        """The banks of primitives that its networks may read the inputs by; by default none."""
        return set()

    def macs_of_one_task(self, model: nn.Module, context: MethodContext) -> int:
        """MACs of a forward pass of the finished network for one task alone, one sample; the mean over tasks.

        By default the network's ``forward`` is taken to have an argument ``only``, names of the tasks to compute.
        """
        each = [cost.count_macs(model, context.input_shape, only=(task.name,)) for task in context.tasks]
        return round(sum(each) / len(each))


def make_method(name: str, options: Mapping[str, Any]) -> Method:
    """A method with its options.

    :param name: A registered one, or ``my_package.module:Name``.
    :raises UnknownNameError: If there is none of that name.
    :raises UserError: If an option is unknown or breaks a rule.
    """
    found = METHODS.get(name)
    made: Method = build(found, options, "options", name)
    return made
