"""Quasi-random suggestions, which cover the space evenly."""

from collections.abc import Collection

import torch

from mtl_search.architecture import Architecture
from mtl_search.own_samplers import OwnSampler
from mtl_search.space import SearchSpace


class Sobol(OwnSampler):
    """A scrambled Sobol sequence (Owen, 1998), a dimension for every question of the space.

    Optuna's own leaves out categories, of which our spaces are made.

    :param skipped: Points of the sequence that are left out.
    """

    def __init__(self, space: SearchSpace, seed: int, skipped: int = 0) -> None:
        self.space = space
        questions = [name for name, options in space.questions().items() if len(options) > 1]
        self.dimension = {name: number for number, name in enumerate(questions)}
        self.sequence = torch.quasirandom.SobolEngine(max(1, len(questions)), scramble=True, seed=seed)
        self.sequence.fast_forward(skipped)

    def suggest(self, seen: Collection[Architecture], under_way: Collection[Architecture]) -> Architecture:
        architecture = self._next()
        for _ in range(2 * len(seen)):
            if architecture not in seen:
                break
            architecture = self._next()
        return architecture

    def _next(self) -> Architecture:
        point = self.sequence.draw(1)[0].tolist()
        return self.space.resolve(lambda name, options: options[int(point[self.dimension[name]] * len(options))])
