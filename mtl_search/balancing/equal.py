"""Equal weights."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing import LossBalancing


@dataclass
class Equal(LossBalancing):
    """The sum of all losses: no balancing."""

    name = "equal"

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        return losses.sum()
