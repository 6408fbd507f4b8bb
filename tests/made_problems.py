"""Small problems for methods to solve: random pictures with random targets, in a second or less."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils._python_dispatch import TorchDispatchMode

from made_networks import made_tasks
from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.methods import MethodContext
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Classification
from mtl_search.testing._problems import Solved as Solved
from mtl_search.testing._problems import solve as solve

TRAINING = Training(epochs=2, batch_size=16, device="cpu")
SIZES = {"train": 72, "val": 32}
"""The last 8 training samples of an epoch are less than a batch."""


def made_backbone(kind: Kind = "plain", stem: int = 4) -> Backbone:
    """Two stages, of two modules and of one that strides."""
    return Backbone((Stage(6, 2), Stage(8, 1, 2)), kind, stem)


def made_dataset(
    tasks: Sequence[Classification], side: int = 10, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> Dataset:
    """Pictures of one channel without a test split: no method may ask for it."""
    rng = np.random.default_rng(seed)
    splits = {name: _split(rng, size, side, tasks) for name, size in (sizes or SIZES).items()}
    return make_dataset("made", tuple(tasks), splits)


def made_problem(tasks: int = 2, kind: Kind = "plain", stem: int = 4, seed: int = 0, **training: Any) -> MethodContext:
    """A problem of so many tasks.

    :param training: Settings other than those of ``TRAINING``.
    """
    settings = TRAINING.model_copy(update=training)
    return MethodContext(made_backbone(kind, stem), made_dataset(made_tasks(tasks)), settings, seed)


def operators_of(work: Callable[[], object]) -> list[str]:
    """Names of the operators that some work calls."""

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            called.append(str(func))
            return func(*args, **(kwargs or {}))

    called: list[str] = []
    with Recorder():
        work()
    assert called
    return called


def _split(rng: np.random.Generator, size: int, side: int, tasks: Sequence[Classification]) -> Split:
    inputs = rng.integers(0, 256, (size, 1, side, side), dtype=np.uint8)
    return Split(inputs, {task.name: rng.integers(0, task.classes, size) for task in tasks})
