"""GradDrop (Chen, Ngiam, Huang, Luong, Kretzschmar, Chai & Anguelov, NeurIPS 2020, arXiv 2010.06808)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDBalancing, library


@dataclass
class GradDrop(TorchJDBalancing):
    """At every value one sign is drawn, likelier that of the larger gradients; gradients of the other are dropped.

    What is left is added up (the paper's algorithm 1, lines 10 to 15). The paper drops gradients of shared
    activations; TorchJD's ``GradDrop``, which this is, those of shared parameters.

    :param leak: Part of each gradient that is never dropped, 0 to 1; the same for all tasks. At 1 nothing is dropped.
    """

    name = "graddrop"
    leak: Annotated[float, Field(ge=0, le=1)] = 0.0

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.GradDrop()

    def aggregate(self, jacobian: Tensor) -> Tensor:
        return self.leak * jacobian.sum(dim=0) + (1 - self.leak) * self.solve(jacobian)
