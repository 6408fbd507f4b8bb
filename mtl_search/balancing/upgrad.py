"""UPGrad (Quinton & Rey, 2024, arXiv 2406.16232: Jacobian Descent for Multi-Objective Optimization)."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library

REGULARISATION = 1e-9
"""Added to the diagonal of the Gramian, of trace 1 and double precision, for the solver, which needs one that is
positive definite: far above what is rounded, far below what moves a step."""


@dataclass
class UPGrad(TorchJDWeighting):
    """Each gradient is projected to where no task gets worse, all others included; the mean of the projections.

    TorchJD's ``UPGrad``, times the number of tasks.
    """

    name = "upgrad"

    def algorithm(self, tasks: int) -> Algorithm:
        projector = library().linalg.QuadprogProjector(reg_eps=REGULARISATION)
        return library().aggregation.UPGradWeighting(projector=projector)

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian) * len(gramian)
