"""Samplers that are ours, one file each. They suggest whole architectures, and know nothing of Optuna."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

from mtl_search.cost import Cost
from mtl_search.spaces.architecture import Architecture

CostOf = Callable[[Architecture], Cost]
"""What an architecture costs, without training or building it."""


class OwnSampler(ABC):
    """Suggests whole architectures, from what was learned of earlier ones."""

    def learn(self, architecture: Architecture, values: Sequence[float]) -> None:  # noqa: B027  some need nothing
        """The objectives' values of an architecture that was trained."""

    def learn_infeasible(self, architecture: Architecture, broken: Collection[str]) -> None:  # noqa: B027  as above
        """That an architecture was not trained, for it breaks limits.

        :param broken: The names of these.
        """

    @abstractmethod
    def suggest(self, seen: Collection[Architecture], under_way: Collection[Architecture]) -> Architecture | None:
        """An architecture of the space; one that was not seen, where that is easy.

        ``None`` where all that were not seen are known to break a limit.

        :param seen: What was proposed before, those under way included.
        :param under_way: Proposed, and not yet ended.
        """


def within(cost: Cost, limits: Mapping[str, float]) -> bool:
    """Whether a cost keeps the limits that can be known without building the network."""
    return all(getattr(cost, name, 0.0) <= limit for name, limit in limits.items())
