"""What a search in simulated time has seen, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mtl_search.spaces.architecture import Architecture
from mtl_search.tables.table import Table

Recommends = Literal["observed", "model"]
"""What a search goes by when it names a front: the values that it observed; or the means of a Gaussian process over
choices and costs of all that it observed."""


@dataclass(frozen=True)
class Observation:
    """The end of one training in a search.

    :param architecture: The architecture that was trained.
    :param seed: Seed of the training that was drawn from the table.
    :param epochs: Epochs that it was trained for.
    :param complete: Whether these are all; else it was stopped early.
    :param time: Simulated time at its end, in trainings of a mean architecture on one worker.
    :param spent: Compute of all workers until then, likewise.
    :param values: The objectives as they were measured at its end, in the order of the trajectory's.
    """

    architecture: Architecture
    seed: int
    epochs: int
    complete: bool
    time: float
    spent: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Trajectory:
    """A search on a table in simulated time.

    :param table: The table that was searched.
    :param objectives: Names of the objectives.
    :param observations: The ends of its trainings, in time.
    :param recommends: What it goes by when it names a front.
    """

    table: Table
    objectives: tuple[str, ...]
    observations: tuple[Observation, ...]
    recommends: Recommends = "observed"

    def until(self, spent: float) -> Sequence[Observation]:
        """The complete trainings that ended before so much compute was spent."""
        return [one for one in self.observations if one.complete and one.spent <= spent]
