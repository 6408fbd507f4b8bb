"""MGDA (Desideri, 2012), as used for multi-task learning by Sener & Koltun (NeurIPS 2018, arXiv 1810.04650)."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, GramianBalancing, library


@dataclass
class MGDA(GramianBalancing):
    """The shortest convex combination of the gradients, by Frank-Wolfe (Sener & Koltun, algorithm 2).

    TorchJD's ``MGDA``, times the number of tasks. The gradients are not normalised before, so the smallest weighs most.
    """

    name = "mgda"

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.MGDAWeighting()

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian) * len(gramian)
