"""A class for every pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mtl_search.metrics.scores import Metric
from mtl_search.tasks._elementwise import added
from mtl_search.tasks.classification import Classification


@dataclass(frozen=True)
class Segmentation(Classification):
    """A class for every pixel: cross entropy; mean intersection over union (mIoU), pixel accuracy.

    Both come of one confusion matrix over all samples. The mean is over the classes that occur in targets or outputs.
    Targets are ``[samples, height, width]``, 0 to ``classes - 1``, or -1 where there is none.
    """

    kind = "segmentation"
    metrics = (Metric("miou"), Metric("pixel_accuracy"), Metric("loss", higher_is_better=False))
    dense = True

    @classmethod
    def sums(cls, tasks: Sequence[Any], outputs: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        """The confusion matrix ``[classes, classes]``, target by output, in a row; then the losses."""
        classes, count = outputs.shape[2], len(tasks)
        of_task = torch.arange(count, device=targets.device).view(-1, 1, 1, 1)
        cells = (of_task * classes + targets.long()) * classes + outputs.argmax(dim=2)
        nowhere = count * classes**2
        cells = torch.where(known, cells, nowhere).flatten()
        matrices = torch.bincount(cells, minlength=nowhere + 1)[:nowhere].view(count, -1).double()
        losses = added(cls.errors(tasks, outputs, targets), known)
        return torch.cat([matrices, losses[:, None]], dim=1)

    def scores(self, totals: Tensor) -> dict[str, float]:
        matrix, losses = totals[:-1].view(self.classes, self.classes), float(totals[-1])
        count, right = float(matrix.sum()), matrix.diagonal()
        if not count:
            return {}
        union = matrix.sum(dim=0) + matrix.sum(dim=1) - right
        occurs = union > 0
        return {
            "miou": float((right[occurs] / union[occurs]).mean()),
            "pixel_accuracy": float(right.sum()) / count,
            "loss": losses / count,
        }
