"""Quasi-random suggestions, which cover the space evenly."""

from collections.abc import Collection

import torch

from mtl_search.samplers.sampler import OwnSampler
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.spaces.ranges import Range, drawn


class Sobol(OwnSampler):
    """A scrambled Sobol sequence (Owen, 1998), a dimension for every question of the space.

    Optuna's own leaves out categories, of which our spaces are made. Where the sequence goes on depends on how many
    were seen.

    :param skipped: Points of the sequence that are left out.
    """

    def __init__(self, space: ProposalSpace, seed: int, skipped: int = 0) -> None:
        self.space = space
        questions = [name for name, offer in space.questions().items() if isinstance(offer, Range) or len(offer) > 1]
        self.dimension = {name: number for number, name in enumerate(questions)}
        self.sequence = torch.quasirandom.SobolEngine(max(1, len(questions)), scramble=True, seed=seed)
        self.skipped = skipped

    def suggest(self, seen: Collection[Proposal], under_way: Collection[Proposal]) -> Proposal:
        self.sequence.reset()
        self.sequence.fast_forward(self.skipped + len(seen))
        proposal = self.draw()
        for _ in range(2 * len(seen)):
            if proposal not in seen:
                break
            proposal = self.draw()
        return proposal

    def draw(self) -> Proposal:
        """The next one, whether it was seen or not."""
        point = self.sequence.draw(1, dtype=torch.float64)[0].tolist()
        return self.space.resolve(lambda name, offer: drawn(offer, point[self.dimension[name]]))
