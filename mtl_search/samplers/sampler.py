"""Samplers that are ours, one file each. They suggest whole proposals, and know nothing of Optuna."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

from mtl_search.cost import Cost
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal

CostOf = Callable[[Architecture], Cost]
"""What an architecture costs, without training or building it."""


class OwnSampler(ABC):
    """Suggests whole proposals, from what was learned of earlier ones."""

    def learn(self, proposal: Proposal, values: Sequence[float]) -> None:  # noqa: B027  some need nothing
        """The objectives' values of a proposal that was trained."""

    def learn_infeasible(self, proposal: Proposal, broken: Collection[str]) -> None:  # noqa: B027  as above
        """That a proposal was not trained, for its architecture breaks limits.

        :param broken: The names of these.
        """

    @abstractmethod
    def suggest(self, seen: Collection[Proposal], under_way: Collection[Proposal]) -> Proposal | None:
        """A proposal of the space; one that was not seen, where that is easy.

        ``None`` where all that were not seen are known to break a limit.

        :param seen: What was proposed before, those under way included.
        :param under_way: Proposed, and not yet ended.
        """


def within(cost: Cost, limits: Mapping[str, float]) -> bool:
    """Whether a cost keeps the limits that can be known without building the network."""
    return all(getattr(cost, name, 0.0) <= limit for name, limit in limits.items())
