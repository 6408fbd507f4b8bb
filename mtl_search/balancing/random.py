"""Random loss weighting (Lin, Ye, Zhang & Tsang, TMLR 2022, arXiv 2111.10603)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from mtl_search.balancing import RNG_STATE, LossBalancing, present_share
from mtl_search.internal.seeds import generator


@dataclass
class Random(LossBalancing):
    """Losses weighed anew in every step: a softmax of standard normal draws, times the number of tasks."""

    name = "random"

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.rng = generator(seed, "balancing")

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        weights = len(losses) * torch.softmax(torch.randn(len(losses), generator=self.rng), dim=0)
        return losses @ present_share(weights.to(losses), present)

    def state(self) -> dict[str, Tensor]:
        return {RNG_STATE: self.rng.get_state()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.rng.set_state(state[RNG_STATE])
