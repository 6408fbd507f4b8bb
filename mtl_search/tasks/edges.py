"""Whether a pixel lies on the edge of an object."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor

from mtl_search.errors import FieldError
from mtl_search.metrics.scores import Metric
from mtl_search.tasks._maps import BinaryMap


@dataclass(frozen=True)
class Edges(BinaryMap):
    """Whether a pixel lies on an edge: weighted binary cross entropy; the F-score at the best threshold for all (ODS).

    ODS-F (Martin, Fowlkes & Malik, TPAMI 2004) is the field's standard. Ours counts pixel by pixel: edges are not
    thinned, and none is matched to one nearby, so that it is lower than what the benchmark's own program gives.

    :param positive_weight: Weight of an edge in the loss, against 1 less this for other pixels: edges are rare (Xie &
        Tu, ICCV 2015; 0.95 as Maninis et al., CVPR 2019, have it).
    """

    kind = "edges"
    metrics = (Metric("ods_f_score"), Metric("loss", higher_is_better=False))
    positive_weight: Annotated[float, Field(gt=0, lt=1)] = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.positive_weight < 1:
            raise FieldError("positive_weight", "must be above 0 and below 1", self.positive_weight)

    @property
    def alike(self) -> Hashable:
        return self.positive_weight

    @classmethod
    def errors(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        weight = tasks[0].positive_weight
        return super().errors(tasks, outputs, targets) * torch.where(targets == 1, weight, 1 - weight)

    def scores(self, totals: Tensor) -> dict[str, float]:
        found = self.measured(totals)
        return {"ods_f_score": found[0], "loss": found[2]} if found else {}
