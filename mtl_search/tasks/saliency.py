"""Whether a pixel belongs to what stands out."""

from dataclasses import dataclass

from torch import Tensor

from mtl_search.metrics.scores import Metric
from mtl_search.tasks._maps import BinaryMap


@dataclass(frozen=True)
class Saliency(BinaryMap):
    """Whether a pixel belongs to what stands out: binary cross entropy; the largest F-score, the mean absolute error.

    The F-score weighs the precision more, with the square of beta 0.3 (Achanta et al., CVPR 2009), at the best of 256
    thresholds; the mean absolute error is that of the probability (Perazzi et al., CVPR 2012).
    """

    kind = "saliency"
    metrics = (Metric("max_f_score"), Metric("mae", higher_is_better=False), Metric("loss", higher_is_better=False))
    beta_squared = 0.3

    def scores(self, totals: Tensor) -> dict[str, float]:
        found = self.measured(totals)
        return {"max_f_score": found[0], "mae": found[1], "loss": found[2]} if found else {}
