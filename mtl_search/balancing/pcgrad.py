"""PCGrad (Yu, Kumar, Gupta, Levine, Hausman & Finn, NeurIPS 2020, arXiv 2001.06782)."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library


@dataclass
class PCGrad(TorchJDWeighting):
    """From each gradient, what opposes another is taken away; then they are added up (the paper's algorithm 1).

    The others are gone through in an order drawn anew for each gradient and step. TorchJD's ``PCGrad``.
    """

    name = "pcgrad"

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.PCGradWeighting()

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian)
