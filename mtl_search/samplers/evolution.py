"""Regularised evolution over the neighbours of the space."""

import random
from collections.abc import Collection, Sequence

from mtl_search.metrics.pareto import Direction, best_first
from mtl_search.samplers.sampler import OwnSampler
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.spaces.section import SEED_BITS

POPULATION = 20
"""Trained ones among which parents are: the paper has 100 of 20,000. A short search would have random ones alone."""
TOURNAMENT = 5
"""Proposals of the population that compete to be the parent: with more the best ones alone would have children."""


class Evolution(OwnSampler):
    """Regularised evolution (Real, Aggarwal, Huang & Le, AAAI 2019, algorithm 1) with several objectives.

    The best of a few drawn from the population is the parent, the child a neighbour of it in the space; the population
    are the last ones that were trained. Best by non-dominated rank within the population, then by spread: our reading,
    for the paper has one objective.
    """

    def __init__(self, space: ProposalSpace, directions: Sequence[Direction], seed: int) -> None:
        self.space, self.directions, self.seed = space, directions, seed
        self.population: list[tuple[Proposal, list[float]]] = []

    def learn(self, proposal: Proposal, values: Sequence[float]) -> None:
        self.population = [*self.population, (proposal, list(values))][-POPULATION:]

    def suggest(self, seen: Collection[Proposal], under_way: Collection[Proposal]) -> Proposal:
        rng = random.Random(f"{self.seed} evolution {len(seen)}")
        if len(self.population) < max(1, min(POPULATION, self.space.size // 2)):
            return self.space.sample(rng.getrandbits(SEED_BITS))
        order = best_first([values for _, values in self.population], self.directions)
        parent, _ = self.population[min(rng.sample(range(len(order)), min(TOURNAMENT, len(order))), key=order.index)]
        children = [neighbour for neighbour in self.space.neighbours(parent) if neighbour not in seen]
        return rng.choice(children) if children else parent
