"""Aligned-MTL (Senushkin, Patakin, Kuznetsov & Konushin, CVPR 2023: Independent Component Alignment)."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from mtl_search.balancing._torchjd import Algorithm, TorchJDWeighting, library


@dataclass
class AlignedMTL(TorchJDWeighting):
    """The mean of the gradients after their principal components are given the same length (algorithm 1).

    TorchJD's ``AlignedMTL``, times the number of tasks. Components that float32, in which the gradients are, cannot
    tell from none are left out; with ``min`` they would shrink the step to their own length.

    :param scale: The common length: that of the shortest component (``min``, the paper's), or the root of the
        ``median`` or of the mean (``rmse``, the authors' code) of the components' squared lengths.
    """

    name = "aligned_mtl"
    scale: Literal["min", "median", "rmse"] = "min"

    def algorithm(self, tasks: int) -> Algorithm:
        return library().aggregation.AlignedMTLWeighting(scale_mode=self.scale)

    def weights(self, gramian: Tensor) -> Tensor:
        return self.solve(gramian.float()) * len(gramian)
