"""Uncertainty weighting (Kendall, Gal & Cipolla, CVPR 2018, arXiv 1705.07115)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from mtl_search.balancing import LossBalancing


@dataclass
class Uncertainty(LossBalancing):
    """Losses weighed by learned task uncertainty: the sum of ``exp(-s) * loss + s / 2``, with ``s`` = log variance.

    That is the paper's term for classification, ``loss / sigma ** 2 + log(sigma)`` (its equation 10), learned through
    ``s``, and used for every task. The term for regression has ``loss / 2`` in its place, which only shifts ``s``; as
    we have it all weights are 1 at first.
    """

    name = "uncertainty"

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.log_variances = Parameter(torch.zeros(len(tasks), device=parameters[0].device))

    def parameters(self) -> list[Parameter]:
        return [self.log_variances]

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        terms = torch.exp(-self.log_variances) * losses + self.log_variances / 2
        return (terms if present is None else torch.where(present, terms, 0)).sum()

    def state(self) -> dict[str, Tensor]:
        return {"log_variances": self.log_variances}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.log_variances.copy_(state["log_variances"])
