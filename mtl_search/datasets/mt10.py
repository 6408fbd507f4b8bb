"""MT10: ten manipulation tasks of a robot's arm (Yu et al., Meta-World, CoRL 2019), by imitation of experts."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtl_search.datasets import SPLITS, Dataset, DatasetSource, Split, make_dataset
from mtl_search.datasets._cache import Sample, Source, cached
from mtl_search.datasets._manipulation import HORIZON, MOVES, MT10, Manipulation, check_installed, demonstrations
from mtl_search.errors import DatasetError
from mtl_search.metrics.scores import Metric
from mtl_search.tasks import Regression

MOST = 2_000
"""Episodes of a task in a split: half a million steps of all, an hour of simulation."""

Episodes = Annotated[int, Field(ge=1, le=MOST)]
Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Actions(Regression):
    """What an expert does, some numbers at every step: regression for which R2 stands, the share of the variance that
    is explained, averaged over the numbers. 0 knows nothing of what is seen, 1 does as the expert.
    """

    metrics = (
        Metric("r2"),
        Metric("rmse", higher_is_better=False),
        Metric("mae", higher_is_better=False),
        Metric("loss", higher_is_better=False),
    )

    def scores(self, totals: Tensor) -> dict[str, float]:
        found = super().scores(totals)
        return {metric.name: found[metric.name] for metric in self.metrics if metric.name in found}


@dataclass(frozen=True)
class MetaWorld10(DatasetSource):
    """Ten tasks of a robot's arm, each to be learned from an expert's demonstrations: 39 numbers seen, actions of 4.

    What is seen: the hand, the gripper and up to two objects, now and a step before, and the goal. An action says where
    the hand goes (x, y, z) and how hard the gripper closes. Numbers that a task's expert never changes, such as the
    gripper's where nothing is grasped, are not learned, but given.

    Each sample is a step of an episode and belongs to one task; it misses the targets of all others. Objects and goal
    are drawn anew for each episode, and splits are of whole episodes: no step of an episode that is trained on is
    measured on. Episodes in which the expert fails, about 1 in 50, are left out.

    The networks of a comparison also act in the simulator, in episodes of their own, which gives the share that
    succeeds, ``<task>/success_rate``.

    Made by the experts of the package metaworld (MIT licence), in a few minutes and kept in the cache:
    ``pip install -c constraints.txt -e '.[metaworld]'``.

    :param train: Training episodes of each task, of about 75 steps; 50 are made in minutes.
    :param val: Validation episodes of each task.
    :param test: Test episodes of each task.
    :param simulated: Episodes of each task in which a network of a comparison acts; 0: none. Of 20, a share of 0.9 is
        known to 0.07.
    :param steps: Steps after which an episode of a network has failed; experts need 30 to 210.
    :param seed: Seed of the places of objects and goals.
    :param cache: Folder for what was made; ``$XDG_CACHE_HOME/mtl_search`` or ``~/.cache/mtl_search`` if left out.
    """

    name = "mt10"
    train: Episodes = 50
    val: Episodes = 10
    test: Episodes = 10
    simulated: Annotated[int, Field(ge=0, le=MOST)] = 20
    steps: Annotated[int, Field(ge=1, le=HORIZON)] = 250
    seed: Annotated[int, Field(ge=0)] = 0
    cache: str | None = None

    def load(self) -> Dataset:
        counts = {"train": self.train, "val": self.val, "test": self.test}
        made_with = {"metaworld": check_installed(), "seed": self.seed, **counts}
        held = cached(Source(self.name, (), made_with), self.cache, _steps(counts, self.seed))
        arrays = {name: np.array(values) for name, values in held.items()}
        decided = {task: _decided(task, arrays) for task in MT10}
        tasks = tuple(Actions(task, size=len(moves), names=moves) for task, moves in decided.items())
        made = make_dataset(self.name, tasks, {split: _split(split, arrays, decided) for split in SPLITS})
        if not self.simulated:
            return made
        given = {task: _given(task, moves, arrays) for task, moves in decided.items()}
        learned = tuple(task for task in made.tasks if isinstance(task, Actions))
        simulation = Manipulation(learned, given, self.simulated, self.steps, self.seed)
        return dataclasses.replace(made, simulation=simulation)


def _steps(counts: Mapping[str, int], seed: int) -> Iterator[Sample]:
    """The steps of all demonstrations, one after the other."""
    for number, task in enumerate(MT10):
        for shown in demonstrations(task, counts, seed):
            where = np.array([SPLITS.index(shown.purpose), number, shown.number])
            for observed, action in zip(shown.observed, shown.actions, strict=True):
                yield {"where": where, "observed": observed, "actions": action}


def _rows(arrays: Arrays, split: str | None = None, task: str | None = None) -> NDArray[np.bool_]:
    """Which steps are of a split, and of a task."""
    wanted = np.ones(len(arrays["where"]), dtype=np.bool_)
    for column, name, names in ((0, split, SPLITS), (1, task, MT10)):
        if name is not None:
            wanted &= arrays["where"][:, column] == names.index(name)
    return wanted


def _decided(task: str, arrays: Arrays) -> tuple[str, ...]:
    """The numbers of a task's actions that its expert changes in the training split.

    :raises DatasetError: If it succeeded in no training episode.
    """
    actions = arrays["actions"][_rows(arrays, "train", task)]
    if not len(actions):
        raise DatasetError(f"dataset `mt10`: the expert of `{task}` fails in all training episodes: enlarge `train`.")
    return tuple(move for move, spread in zip(MOVES, np.ptp(actions, axis=0), strict=True) if spread > 0)


def _given(task: str, decided: Sequence[str], arrays: Arrays) -> dict[str, float]:
    """The numbers of a task's actions that are always the same."""
    first = arrays["actions"][_rows(arrays, "train", task)][0]
    return {move: float(value) for move, value in zip(MOVES, first, strict=True) if move not in decided}


def _split(split: str, arrays: Arrays, decided: Mapping[str, Sequence[str]]) -> Split:
    """The samples of a split, each with the targets of its own task."""
    chosen = _rows(arrays, split)
    actions, parts = arrays["actions"][chosen], arrays["where"][chosen, 1].astype(np.int64)
    targets = {}
    for number, (task, moves) in enumerate(decided.items()):
        own = actions[:, [MOVES.index(move) for move in moves]]
        targets[task] = np.where(parts[:, None] == number, own, np.float32(np.nan))
    return Split(arrays["observed"][chosen], targets, parts)
