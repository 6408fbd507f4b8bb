"""Searches on a table, in simulated time: minutes of trainings in milliseconds.

An epoch of an architecture takes as long as it has multiply-accumulates; the unit is the training of a mean
architecture. Which seed's training a search gets to see is drawn by lot.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mtl_search.errors import FieldError
from mtl_search.metrics.pareto import direction_of
from mtl_search.searching.early_stopping import SuccessiveHalving
from mtl_search.spaces.architecture import Architecture
from mtl_search.tables.table import AXES, Table
from mtl_search.tables.trajectory import Observation, Recommends, Trajectory

Propose = Callable[[Sequence[Observation]], Architecture | None]
"""Proposes what to train next from what was observed so far; ``None`` to end."""


class Sampler(Protocol):
    """What proposes architectures and is told how they ended."""

    def ask(self) -> Architecture | None:
        """What to train next; ``None`` to end."""

    def tell(self, observation: Observation) -> None:
        """The end of a training."""


@dataclass
class _Running:
    """A training under way.

    :param number: Number of the training.
    :param architecture: The architecture that is trained.
    :param place: Where the architecture stands in the table.
    :param seed: Where the seed stands there.
    :param epoch: Epochs trained when the one under way ends.
    """

    number: int
    architecture: Architecture
    place: int
    seed: int
    epoch: int = 1


def simulate(
    table: Table,
    sampler: str | Propose,
    budget: float,
    seed: int = 0,
    *,
    workers: int = 1,
    objectives: Sequence[str] = AXES,
    early_stopping: Mapping[str, float] | None = None,
    recommends: Recommends | None = None,
) -> Trajectory:
    """Search a table.

    :param sampler: Name of a sampler, such as ``bayesian``, ``tpe`` or ``random``, which needs the package's libraries;
        or a function from the observations so far to the architecture to train next, ``None`` to end.
    :param budget: Compute that the search may spend, in trainings of a mean architecture; what is under way then is cut
        off.
    :param seed: Seed of the sampler, and of what is seen of the noise.
    :param workers: Trainings at the same time.
    :param objectives: Names of the objectives.
    :param early_stopping: ``grace`` and ``factor`` as an experiment has them; every training is whole if left out.
    :param recommends: What the search goes by when it names a front; the model for ``bayesian``, what was observed for
        all others, if left out.
    :raises UserError: If a name is none, or an architecture is not of the table.
    """
    for name, value in (("budget", budget), ("workers", workers)):
        if value <= 0:
            raise FieldError(name, "must be above 0", value)
    names = tuple(objectives)
    asked = _Asked(sampler) if callable(sampler) else _named(table, sampler, names, seed)
    halving = None if early_stopping is None else _halving(table, early_stopping, names)
    observations = _Search(table, asked, names, halving, seed).run(budget, workers)
    usual: Recommends = "model" if sampler == "bayesian" else "observed"
    return Trajectory(table, names, tuple(observations), recommends or usual)


class _Search:
    """One search: trainings under way, and the time that passes."""

    def __init__(
        self, table: Table, sampler: Sampler, objectives: Sequence[str], halving: SuccessiveHalving | None, seed: int
    ) -> None:
        self.table, self.sampler, self.halving = table, sampler, halving
        self.lot = random.Random(f"noise {seed}")
        macs = table.values("macs")[:, 0]
        self.took = (macs / macs.mean() / table.epochs).tolist()
        """Time of an epoch of each architecture."""
        after = range(1, table.epochs + 1)
        self.values = [[table.values(name, epoch) for name in objectives] for epoch in after]
        self.numbers = itertools.count()
        self.under_way: list[tuple[float, int, _Running]] = []
        """When the epoch under way ends, which was begun first, and the training."""
        self.order = itertools.count()
        self.spent = 0.0

    def run(self, budget: float, workers: int) -> Iterator[Observation]:
        """The ends of all trainings until the budget is spent."""
        self._begin(0.0, workers)
        while self.under_way:
            now, _, running = heapq.heappop(self.under_way)
            self.spent += self.took[running.place]
            if self.spent > budget:
                return
            if self._goes_on(running):
                running.epoch += 1
                self._push(now, running)
            else:
                yield (observed := self._observed(running, now))
                self.sampler.tell(observed)
            self._begin(now, workers)

    def _begin(self, now: float, workers: int) -> None:
        """Give free workers something to train."""
        while len(self.under_way) < workers and (architecture := self.sampler.ask()) is not None:
            seed = self.lot.randrange(len(self.table.seeds))
            self._push(now, _Running(next(self.numbers), architecture, self.table.place(architecture), seed))

    def _push(self, now: float, running: _Running) -> None:
        heapq.heappush(self.under_way, (now + self.took[running.place], next(self.order), running))

    def _goes_on(self, running: _Running) -> bool:
        if running.epoch == self.table.epochs:
            return False
        if self.halving is None:
            return True
        self.halving.record(running.number, running.epoch, self._values(running))
        return self.halving.goes_on(running.number, running.epoch)

    def _values(self, running: _Running) -> tuple[float, ...]:
        return tuple(float(values[running.place, running.seed]) for values in self.values[running.epoch - 1])

    def _observed(self, running: _Running, now: float) -> Observation:
        seed, complete = self.table.seeds[running.seed], running.epoch == self.table.epochs
        values = self._values(running)
        return Observation(running.architecture, seed, running.epoch, complete, now, self.spent, values)


class _Asked:
    """A function as a sampler."""

    def __init__(self, propose: Propose) -> None:
        self.propose = propose
        self.observations: list[Observation] = []

    def ask(self) -> Architecture | None:
        return self.propose(tuple(self.observations))

    def tell(self, observation: Observation) -> None:
        self.observations.append(observation)


def _named(table: Table, name: str, objectives: Sequence[str], seed: int) -> Sampler:
    """A sampler of the package, through the study of a real search."""
    from mtl_search.tables._studies import StudySampler

    return StudySampler(table, name, objectives, seed)


def _halving(table: Table, settings: Mapping[str, float], objectives: Sequence[str]) -> SuccessiveHalving:
    """The scheduler of a real search."""
    directions = [direction_of(name) for name in objectives]
    return SuccessiveHalving(directions, table.epochs, int(settings["grace"]), float(settings["factor"]))
