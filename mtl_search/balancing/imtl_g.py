"""IMTL-G (Liu, Li, Kuang, Xue, Chen, Yang, Liao & Zhang, ICLR 2021: Towards Impartial Multi-Task Learning)."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library


@dataclass
class IMTLG(TorchJDWeighting):
    """The combination, of weights that add up to 1, with equal projections onto all gradients' directions.

    The gradient part of the paper alone; weights may be negative. TorchJD's ``IMTLG``, times the number of tasks.
    """

    name = "imtl_g"

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.IMTLGWeighting()

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian) * len(gramian)
