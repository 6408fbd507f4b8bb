"""A table of trained architectures, and what can be asked of it."""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.metrics.pareto import COSTS, axis_value, direction_of, front_mask, hypervolume
from mtl_search.metrics.scores import WORST_TASK
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.spaces.space import SearchSpace
from mtl_search.tables.files import names_of, read_table
from mtl_search.tables.trainings import Array, Record, TaskFacts, Trainings

DATA = Path(__file__).parent / "data"
AXES = ("accuracy", "learnable_parameters")
"""Where nothing else is said: the mean quality over tasks, and the cost."""
TEST_QUALITY = "quality"
Name = TypeVar("Name", bound=Hashable)
Stack = tuple[list[Name], Array]
"""Names, and an array ``[names, architectures, seeds + 1, ...]`` with the mean over seeds behind them."""


def table_names() -> list[str]:
    """Names of the tables that come with the package."""
    return list(names_of(DATA))


def load_table(name: str | Path) -> "Table":
    """A table that comes with the package, by its name; or one of your own, by the path of its Parquet file.

    :raises UnknownNameError: If there is no such table.
    :raises UserError: If the file is no table.
    """
    if str(name).endswith(".parquet"):
        return Table(read_table(Path(name)))
    if name not in table_names():
        raise UnknownNameError("table", str(name), table_names())
    return Table(read_table(DATA / f"{name}.parquet"))


class Table:
    """Every architecture of a space, trained with several seeds and scored after every epoch.

    :param trainings: All numbers of the table.
    """

    def __init__(self, trainings: Trainings) -> None:
        self.trainings = trainings
        self._places = {identity: place for place, identity in enumerate(trainings.architectures)}
        self._of_seed = {seed: place for place, seed in enumerate(trainings.seeds)}

    def __repr__(self) -> str:
        return (
            f"<Table {self.name}: {len(self.trainings.architectures)} architectures, {len(self.seeds)} seeds, "
            f"{self.epochs} epochs, {len(self.tasks)} tasks>"
        )

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment whose trainings these are; a search on it trains the same for real."""
        return parse_experiment(self.trainings.made_by["experiment"], "table")

    @property
    def name(self) -> str:
        """Name of the table, that of its experiment."""
        return str(self.trainings.made_by["experiment"]["name"])

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """All architectures; each can be a key, has an ``id``, and is JSON by ``to_json``."""
        return tuple(Architecture.from_json(text) for text in self.trainings.choices)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that every architecture was trained with."""
        return self.trainings.seeds

    @property
    def epochs(self) -> int:
        """Epochs of every training."""
        return self.trainings.epochs

    @property
    def tasks(self) -> tuple[TaskFacts, ...]:
        """The tasks, with the metric that stands for each."""
        return self.trainings.tasks

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, of which the table holds every architecture."""
        return self.experiment.search_space

    def place(self, architecture: Architecture | str) -> int:
        """Where an architecture stands in :attr:`architectures`, given itself or its id.

        :raises UserError: If the table does not hold it.
        """
        identity = architecture if isinstance(architecture, str) else architecture.id
        if identity not in self._places:
            raise UserError(f"table `{self.name}` holds no architecture {architecture}: see its `space`.")
        return self._places[identity]

    def query(self, architecture: Architecture | str, seed: int | None = None, epoch: int | None = None) -> Record:
        """What was measured of an architecture.

        :param architecture: The architecture, or its id.
        :param seed: Seed of the training; the mean over all seeds if left out.
        :param epoch: Epochs trained, from 1; all if left out.
        :raises UserError: If the table holds no such training or epoch.
        """
        place, last = self.place(architecture), self._epoch(epoch)
        at, ended = (place, self._seed(seed)), last == self.epochs
        scores = _at(self._scores, (*at, last - 1))
        test = _at(self._test, at) if ended else {}
        summary = _at(self._summary, (*at, last - 1))
        return Record(
            self.trainings.architectures[place],
            seed,
            last,
            summary["quality"],
            self._headlines(scores),
            _losses(scores),
            summary["training_loss"],
            test.get(TEST_QUALITY),
            self._headlines(test),
            _losses(test),
            _at(self._cosines, at) if ended else {},
            _at(self._measured, at),
        )

    @cached_property
    def _scores(self) -> Stack[str]:
        return _stacked(self.trainings.scores)

    @cached_property
    def _summary(self) -> Stack[str]:
        return _stacked({"quality": self.trainings.quality, "training_loss": self.trainings.training_loss})

    @cached_property
    def _test(self) -> Stack[str]:
        return _stacked({**self.trainings.test, TEST_QUALITY: self.trainings.test_quality})

    @cached_property
    def _cosines(self) -> Stack[tuple[str, str]]:
        return _stacked(self.trainings.cosines)

    @cached_property
    def _measured(self) -> Stack[str]:
        return _stacked(self.trainings.measured)

    @property
    def mean(self) -> Array:
        """Quality at the end on the validation split, the mean over seeds: ``[architectures]``."""
        return self.values("accuracy").mean(axis=1)

    @property
    def noise(self) -> float:
        """Standard deviation of the quality of one training around its architecture's mean, pooled over all."""
        return float(np.sqrt(self.values("accuracy").var(axis=1, ddof=1).mean()))

    def values(self, axis: str, epoch: int | None = None) -> Array:
        """The values of an objective, ``[architectures, seeds]``.

        :param axis: ``accuracy``, ``worst_task``, ``<task>/<headline or loss>``, or a cost.
        :param epoch: Epochs trained; all if left out. Costs do not depend on it.
        :raises UnknownNameError: If the table has no such objective.
        """
        held, place = self.trainings, self._epoch(epoch) - 1
        if axis == "accuracy":
            return np.asarray(held.quality[..., place])
        if axis == WORST_TASK:
            return np.asarray(np.min([of_task[..., place] for of_task in held.qualities.values()], axis=0))
        if axis == "total_parameters":
            return held.measured["learnable_parameters"] + held.measured["fixed_parameters"]
        if axis in held.measured:
            return held.measured[axis]
        if axis not in held.scores:
            known = ["accuracy", WORST_TASK, "total_parameters", *held.measured, *held.scores]
            raise UnknownNameError("axis of a table", axis, known)
        return np.asarray(held.scores[axis][..., place])

    def points(self, axes: Sequence[str] = AXES) -> Array:
        """Means over seeds at the end, ``[architectures, axes]``; of costs the logarithm to base 10."""
        means = [self.values(axis).mean(axis=1) for axis in axes]
        return np.stack([scaled(axis, of_axis) for axis, of_axis in zip(axes, means, strict=True)], axis=1)

    def true_front(self, axes: Sequence[str] = AXES) -> tuple[Architecture, ...]:
        """The architectures whose means over seeds no other's dominate, the best in the first axis last."""
        points, directions = self.points(axes), [direction_of(axis) for axis in axes]
        on = np.flatnonzero(front_mask(points, directions))
        sign = 1 if directions[0] == "maximize" else -1
        return tuple(self.architectures[place] for place in sorted(on, key=lambda place: sign * points[place, 0]))

    def volume(self, architectures: Sequence[Architecture | str], axes: Sequence[str] = AXES) -> float:
        """The hypervolume of some architectures, by their means over seeds, in that of the true front: 0 to 1.

        Costs have a logarithmic axis. The reference point is the worst of every axis among the means of the table.
        """
        points, directions = self.points(axes), [direction_of(axis) for axis in axes]
        worst = [
            column.min() if direction == "maximize" else column.max()
            for column, direction in zip(points.T, directions, strict=True)
        ]
        found = points[[self.place(one) for one in architectures]]
        return hypervolume(found, worst, directions) / hypervolume(points, worst, directions)

    def _epoch(self, epoch: int | None) -> int:
        if epoch is None:
            return self.epochs
        if not 1 <= epoch <= self.epochs:
            raise UserError(f"`epoch` must be from 1 to {self.epochs} in table `{self.name}`, but got {epoch}.")
        return epoch

    def _seed(self, seed: int | None) -> int:
        """Where a seed stands in what is asked; the mean over all is behind the last one."""
        if seed is None:
            return len(self.seeds)
        if seed not in self._of_seed:
            raise UserError(f"`seed` must be one of {list(self.seeds)} in table `{self.name}`, but got {seed}.")
        return self._of_seed[seed]

    def _headlines(self, scores: Mapping[str, float]) -> dict[str, float]:
        names = {task.name: f"{task.name}/{task.headline}" for task in self.tasks}
        return {task: scores[name] for task, name in names.items() if name in scores}


def scaled(axis: str, values: Array) -> Array:
    """Where values stand on their axis: costs by their logarithm."""
    return np.array([axis_value(axis, value) for value in values]) if axis in COSTS else values


def _losses(scores: Mapping[str, float]) -> dict[str, float]:
    return {name.removesuffix("/loss"): value for name, value in scores.items() if name.endswith("/loss")}


def _stacked(arrays: Mapping[Name, Array]) -> Stack[Name]:
    if not arrays:
        return [], np.zeros((0, 1, 1))
    values = np.stack(list(arrays.values()))
    return list(arrays), np.concatenate([values, values.mean(axis=2, keepdims=True)], axis=2)


def _at(stack: Stack[Name], at: tuple[int, ...]) -> dict[Name, float]:
    """Name -> value at a place."""
    names, values = stack
    everywhere: tuple[int | slice, ...] = (slice(None), *at)
    return dict(zip(names, values[everywhere].tolist(), strict=True)) if names else {}
