"""CAGrad (Liu, Liu, Jin, Stone & Liu, NeurIPS 2021, arXiv 2110.14048)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library


@dataclass
class CAGrad(TorchJDWeighting):
    """The step near the mean gradient from which the task that gains least gains most (the paper's algorithm 1).

    TorchJD's ``CAGrad``, times the number of tasks and divided by 1 + c. The division is ours, so that tasks that agree
    take the step that they take without balancing; the paper's step is then 1 + c mean gradients long.

    :param c: How far from the mean gradient, in its length: 0 stays there. From 0 to below 1, where the paper's proof
        of convergence holds; 0.4 is what its experiments on NYUv2 have.
    """

    name = "cagrad"
    c: Annotated[float, Field(ge=0, lt=1)] = 0.4

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.CAGradWeighting(c=self.c)

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian) * len(gramian) / (1 + self.c)
