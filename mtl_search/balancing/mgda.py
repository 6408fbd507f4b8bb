"""MGDA (Desideri, 2012), as used for multi-task learning by Sener & Koltun (NeurIPS 2018, arXiv 1810.04650)."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library

SMALLEST_STEP, MOST_STEPS = 1e-5, 250
"""Where the search for the weights ends; the numbers of Sener & Koltun's code."""


@dataclass
class MGDA(TorchJDWeighting):
    """The shortest convex combination of the gradients, by Frank-Wolfe (Sener & Koltun, algorithm 2).

    TorchJD's ``MGDA``, times the number of tasks; exact with two. The gradients are not normalised before, so that the
    smallest weighs most.
    """

    name = "mgda"

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.MGDAWeighting(epsilon=SMALLEST_STEP, max_iters=MOST_STEPS)

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian) * len(gramian)
