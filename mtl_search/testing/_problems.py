"""Small problems for methods to solve: random pictures with random targets, bright squares with maps, and rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_search.datasets import Split, make_dataset
from mtl_search.methods import Method, MethodContext, TrainedModel
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Classification, Depth, Normals, Segmentation, Task
from mtl_search.testing._rules import seeded
from mtl_search.training.trainer import Epoch

TRAINING = Training(epochs=2, batch_size=16, device="cpu")
SAMPLES = {"train": 72, "val": 32}
"""The last 8 training samples of an epoch are less than a batch. There is no test split: no method may ask for it."""
SIDE = 10
MAP_SHAPE = (1, 13, 15)
"""Odd sizes, so that no stride divides them."""
ROW = 12
"""Features of a row."""
MAPS: tuple[Task, ...] = (Segmentation("segmentation", 3), Depth("depth"))
MIXED: tuple[Task, ...] = (MAPS[0], Classification("large", 2), MAPS[1], Normals("normals"))
"""With a task that is not dense between dense ones."""


@dataclass(frozen=True)
class Solved:
    """What a method did: its epochs, and what it ended with."""

    epochs: list[Epoch]
    trained: TrainedModel


def solve(method: Method, problem: MethodContext) -> Solved:
    """Train to the end."""
    training, epochs = method.train(problem), []
    while True:
        try:
            epochs.append(next(training))
        except StopIteration as end:
            return Solved(epochs, end.value)


def backbone(kind: Kind = "plain", stem: int = 4) -> Backbone:
    """Two stages, of two modules and of one that strides; on rows nothing does."""
    return Backbone((Stage(6, 2), Stage(8, 1, 1 if kind == "vector" else 2)), kind, stem)


def picture_problem(
    tasks: int = 2,
    kind: Kind = "plain",
    stem: int = 4,
    seed: int = 0,
    names: Sequence[str] = "abcdefghij",
    **training: Any,
) -> MethodContext:
    """Pictures with so many tasks of 3, 4, ... classes.

    :param names: Names of the tasks, at least as many as there are tasks.
    :param training: Settings other than those of :data:`TRAINING`.
    """
    settings = TRAINING.model_copy(update=training)
    kinds = tuple(Classification(names[number], classes=3 + number) for number in range(tasks))
    rng = np.random.default_rng(0)

    def split(size: int) -> Split:
        inputs = rng.integers(0, 256, (size, 1, SIDE, SIDE), dtype=np.uint8)
        return Split(inputs, {task.name: rng.integers(0, task.classes, size) for task in kinds})

    dataset = make_dataset("pictures", kinds, {name: split(size) for name, size in SAMPLES.items()})
    return MethodContext(backbone(kind, stem), dataset, settings, seed)


def map_problem(tasks: Sequence[Task] = MIXED, kind: Kind = "plain", stem: int = 4) -> MethodContext:
    """Bright squares on a dim ground, the larger the nearer, with some of the tasks of :data:`MIXED`."""
    rng = np.random.default_rng(0)
    names = [task.name for task in tasks]
    splits = {}
    for split, count in SAMPLES.items():
        inputs, targets = _squares(rng, count)
        splits[split] = Split(inputs, {name: targets[name] for name in names})
    return MethodContext(backbone(kind, stem), make_dataset("squares", tuple(tasks), splits), TRAINING)


def row_problem() -> MethodContext:
    """Rows of a table with two tasks."""
    rng = np.random.default_rng(0)
    tasks = (Classification("sign", 2), Classification("third", 3))

    def split(size: int) -> Split:
        inputs = rng.normal(size=(size, ROW)).astype(np.float32)
        return Split(inputs, {"sign": (inputs[:, 0] > 0).astype(np.int64), "third": rng.integers(0, 3, size)})

    dataset = make_dataset("rows", tasks, {name: split(size) for name, size in SAMPLES.items()})
    return MethodContext(backbone("vector"), dataset, TRAINING.model_copy(update={"epochs": 1}))


def inputs_for(problem: MethodContext, batch: int = 6) -> Tensor:
    """Normalised inputs of a network for the problem."""
    return torch.randn(batch, *problem.input_shape, generator=seeded(2))


def generic(model: nn.Module) -> nn.Module:
    """Moved from its start, where values may be special: heads of zeros pass no gradient on."""
    rng = seeded(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng))
    return model


def weighted_sum(outputs: Mapping[str, Tensor]) -> Tensor:
    """A loss in which every output counts, each differently."""
    rng = seeded(3)
    parts = [(output * torch.randn(output.shape, generator=rng)).sum() for output in outputs.values()]
    return torch.stack(parts).sum()


def operators_of(work: Callable[[], object]) -> list[str]:
    """Names of the operators that some work calls."""
    called: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(str(func))
            return func(*args, **(kwargs or {}))

    recorder: TorchDispatchMode = Recorder()  # type: ignore[no-untyped-call]
    with recorder:
        work()
    return called


def _squares(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    _, height, width = MAP_SHAPE
    inputs = rng.integers(0, 40, (count, *MAP_SHAPE), dtype=np.uint8)
    classes = np.zeros((count, height, width), np.int64)
    depth = np.full((count, height, width), 5, np.float32)
    normals = np.zeros((count, 3, height, width), np.float32)
    normals[:, 2] = 1
    sides = rng.integers(3, 8, count)
    for number, side in enumerate(sides):
        kind, top, left = rng.integers(1, 3), rng.integers(0, height - side), rng.integers(0, width - side)
        square = (slice(top, top + side), slice(left, left + side))
        inputs[number, 0][square] = 100 * kind
        classes[number][square] = kind
        depth[number][square] = 10 / side
        normals[number, 0][square] = 1
    maps: dict[str, NDArray[Any]] = {"segmentation": classes, "depth": depth, "normals": normals}
    return inputs, {**maps, "large": (sides > 5).astype(np.int64)}
