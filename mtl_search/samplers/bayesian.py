"""Bayesian optimisation that knows what a candidate costs before it is trained."""

import itertools
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl_search.cost import Cost
from mtl_search.internal.seeds import derived_seed
from mtl_search.metrics.pareto import axis_value, best_first, direction_of
from mtl_search.metrics.posterior import ALIKE
from mtl_search.samplers.gaussian_process import GaussianProcess, Kernel, most_likely_kernel
from mtl_search.samplers.improvement import directions, expected_improvement, reached
from mtl_search.samplers.sampler import CostOf, OwnSampler, within
from mtl_search.samplers.sobol import Sobol
from mtl_search.spaces.proposal import Proposal, ProposalSpace

FIRST = 6
"""Architectures proposed before the model is asked: with fewer it would go on with what the first happened to show,
of the default 24 trials they are a quarter."""
LEAST = 3
"""Values that the model needs: of two it would know a difference, and nothing of noise."""
CHEAPEST_OF = 3
"""Of so many drawn the cheapest is among the first: a small network tells as much of the choices, for less."""
PRICE = 0.5
"""Power of an architecture's MACs by which its improvement is divided: 0 counts trainings, 1 counts compute. Halfway
between was at least as good as either in ``benchmarks/search_quality.py``."""
POOL = 1000
"""Architectures drawn once from a large space; the neighbours of the best ones come and go. The best of ten
times as many would be 0.6 standard deviations better, were their worth normal."""
PARENTS = 20
"""The best ones, whose neighbours are candidates: as many as a front may have, each with some tens of neighbours."""
MARGIN = 0.1
"""Of the range of each cost: what costs most is not worth nothing for that."""
MOST = 400
"""Values that the model is made from, the best and the latest: its cost grows with their third power."""

Learned = tuple[Proposal, Sequence[float]]
"""A proposal and the values of its objectives."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a proposal before it is trained.

    :param features: Features of the proposal: its choices and the logarithms of its costs.
    :param costs: The objectives that are costs, on their axes.
    """

    proposal: Proposal
    cost: Cost
    features: Sequence[float]
    costs: Sequence[float]


class Bayesian(OwnSampler):
    """Proposes what promises most hypervolume for its training.

    A Gaussian process for every quality learns from a proposal's choices and from the logarithms of its costs. The
    costs among the objectives are not learned but known, and what breaks a known limit is proposed only where nothing
    else was found. How likely a limit is kept that has to be measured is learned, too. Hypervolume is meant in the
    logarithms of the costs, as the plots show them. Under-way trainings count as if they had reached what is expected
    of them. After EHVI (Emmerich, 2005) and improvement for the cost of an evaluation (Snoek, Larochelle & Adams,
    NeurIPS 2012, section 3.2); that costs are known is our own.

    :param objectives: A measured one (``latency_ms``) is learned like a quality.
    :param limits: Cost -> largest value allowed.
    :param pool: How many architectures are drawn from a large space to choose from: fewer are faster and choose worse.
    """

    def __init__(
        self,
        space: ProposalSpace,
        objectives: Sequence[str],
        cost_of: CostOf,
        limits: Mapping[str, float],
        seed: int,
        pool: int = POOL,
    ) -> None:
        self.space, self.cost_of, self.limits, self.seed, self.pool = space, cost_of, limits, seed, pool
        self.objectives, self.directions = list(objectives), [direction_of(name) for name in objectives]
        self.known = [index for index, name in enumerate(objectives) if hasattr(Cost(), name)]
        self.predicted = [index for index in range(len(objectives)) if index not in self.known]
        self.cost_names = [objectives[index] for index in self.known]
        self.ways = directions(len(objectives))
        self.learned: list[Learned] = []
        self.too_slow: list[Proposal] = []
        self._looked_up: dict[Proposal, Known] = {}
        self._neighbours: dict[Known, list[Known]] = {}
        self._kernels: dict[int, list[Kernel]] = {}
        self._scale: tuple[Tensor, Tensor] | None = None
        self._base: list[Known] | None = None
        self._range: tuple[Tensor, Tensor] | None = None

    def learn(self, proposal: Proposal, values: Sequence[float]) -> None:
        self.learned.append((proposal, list(values)))

    def learn_infeasible(self, proposal: Proposal, broken: Collection[str]) -> None:
        if any(name in self.limits and not hasattr(Cost(), name) for name in broken):
            self.too_slow.append(proposal)

    def suggest(self, seen: Collection[Proposal], under_way: Collection[Proposal]) -> Proposal | None:
        if len(seen) - len(self.too_slow) < FIRST or len(self.learned) < LEAST:
            return self._first(seen)
        candidates = [one for one in self._candidates() if one.proposal not in seen and within(one.cost, self.limits)]
        if not candidates:
            return self._first(seen) if len(self._pool()) < self.space.size else None
        macs = torch.tensor([float(one.cost.macs) for one in candidates], dtype=torch.float64)
        worth = self._improvements(candidates, [self._look_up(one) for one in under_way]) / macs**PRICE
        worth *= self._chances(candidates)
        return candidates[int(worth.argmax())].proposal

    def improvements(self, candidates: Sequence[Proposal], under_way: Sequence[Proposal]) -> Tensor:
        """By how much each candidate is expected to enlarge the hypervolume, but for a constant factor: ``[n]``."""
        known, open_ones = ([self._look_up(one) for one in some] for some in (candidates, under_way))
        return self._improvements(known, open_ones)

    def _improvements(self, candidates: Sequence[Known], under_way: Sequence[Known]) -> Tensor:
        learned = self._remembered(self.learned)
        base = [*(self._look_up(proposal) for proposal, _ in learned), *under_way]
        least, largest = self._cost_range()
        width = (largest - least).clamp(min=ALIKE)
        base_gains = [(largest - _costs(base)) / width]
        means, deviations = [], []
        features = self._features(candidates)
        for place, objective in enumerate(self.predicted):
            process = self._process(self._kernel()[place], self._features(base), self._gains(objective, learned))
            smoothed = process.smoothed()
            worst, best = smoothed.min(), smoothed.max()
            unit = (best - worst).clamp(min=ALIKE)
            mean, deviation = process.predict(features)
            base_gains.append(((smoothed - worst) / unit)[:, None])
            means.append((mean - worst) / unit)
            deviations.append(deviation / unit)
        known = (largest - _costs(candidates)) / width
        so_far = reached(torch.cat(base_gains, dim=1), self.ways)
        return expected_improvement(known, means, deviations, so_far, self.ways)

    def _first(self, seen: Collection[Proposal]) -> Proposal:
        """Spread over the space, and rather cheap; from the pool where no limit was kept otherwise."""
        sequence = Sobol(self.space, self.seed, skipped=(CHEAPEST_OF - 1) * len(seen))
        drawn = [self._look_up(sequence.suggest(seen, ()))]
        others = [self._look_up(sequence.draw()) for _ in range(1, CHEAPEST_OF)]
        drawn += [one for one in others if one.proposal not in seen]
        kept = [one for one in drawn if within(one.cost, self.limits)]
        if self.too_slow or not kept:
            pool = [one for one in self._pool() if one.proposal not in seen and within(one.cost, self.limits)]
            rng = random.Random(f"{self.seed} first {len(seen)}")
            kept = (pool if self.too_slow else rng.sample(pool, min(CHEAPEST_OF, len(pool)))) or drawn
        chances = self._chances(kept).tolist()
        chosen, _ = min(zip(kept, chances, strict=True), key=lambda one: (one[1] < 0.5, one[0].cost.macs))
        return chosen.proposal

    def _chances(self, candidates: Sequence[Known]) -> Tensor:
        """How likely each keeps the limits that have to be measured, ``[n]``: 1 where none was broken.

        By a process over -1 for what was trained and 1 for what broke one of them.
        """
        if not self.too_slow:
            return torch.ones(len(candidates), dtype=torch.float64)
        kept = [proposal for proposal, _ in self.learned][-MOST // 2 :]
        broken = self.too_slow[-MOST // 2 :]
        features = self._features([self._look_up(one) for one in (*kept, *broken)])
        labels = torch.tensor([-1.0] * len(kept) + [1.0] * len(broken), dtype=torch.float64)
        # a kernel from the middle of the grid: labels of two values choose none
        process = GaussianProcess(features, labels, Kernel(math.sqrt(features.shape[1]), 1.0, 0.1))
        mean, deviation = process.predict(self._features(candidates))
        return torch.special.ndtr(-mean / deviation)

    def _process(self, kernel: Kernel, features: Tensor, values: Tensor) -> GaussianProcess:
        """The model of what is learned, and of what is under way as if it had reached what is expected of it.

        :param features: ``[learned + under way, features]``
        :param values: Values of an objective, ``[learned]``
        """
        count = len(values)
        process = GaussianProcess(features[:count], values, kernel)
        if count == len(features):
            return process
        expected, _ = process.predict(features[count:])
        return GaussianProcess(features, torch.cat([values, expected]), kernel, like=process)

    def _kernel(self) -> list[Kernel]:
        """Of each predicted objective: chosen again when a tenth more is known, whatever process that happens in."""
        count = LEAST
        while (after := max(count + 1, count * 11 // 10)) <= len(self.learned):
            count = after
        if count not in self._kernels:
            learned = self._remembered(self.learned[:count])
            features = self._features([self._look_up(proposal) for proposal, _ in learned])
            self._kernels = {
                count: [most_likely_kernel(features, self._gains(index, learned)) for index in self.predicted]
            }
        return self._kernels[count]

    def _remembered(self, learned: Sequence[Learned]) -> Sequence[Learned]:
        """The best and the latest where there are too many."""
        if len(learned) <= MOST:
            return learned
        earlier = learned[: -MOST // 2]
        best = sorted(best_first([values for _, values in earlier], self.directions)[: MOST // 2])
        return [*(earlier[index] for index in best), *learned[-MOST // 2 :]]

    def _gains(self, objective: int, learned: Sequence[Learned]) -> Tensor:
        """Values of an objective on its axis, higher is better."""
        name, sign = self.objectives[objective], 1.0 if self.directions[objective] == "maximize" else -1.0
        return torch.tensor([sign * axis_value(name, values[objective]) for _, values in learned], dtype=torch.float64)

    def _candidates(self) -> list[Known]:
        """The whole space where it is small; else what was drawn from it, and the neighbours of the best."""
        pool = self._pool()
        if len(pool) == self.space.size:
            return pool
        order = best_first([values for _, values in self.learned], self.directions)[:PARENTS]
        near = itertools.chain.from_iterable(self._near(self._look_up(self.learned[index][0])) for index in order)
        return list(dict.fromkeys([*pool, *near]))

    def _near(self, one: Known) -> list[Known]:
        if one not in self._neighbours:
            self._neighbours[one] = [self._look_up(other) for other in self.space.neighbours(one.proposal)]
        return self._neighbours[one]

    def _pool(self) -> list[Known]:
        if self._base is None:
            whole = self.space.size <= 2 * self.pool
            drawn = self.space.proposals() if whole else map(self._drawn, range(self.pool))
            self._base = list(dict.fromkeys(self._look_up(one) for one in drawn))
        return self._base

    def _drawn(self, number: int) -> Proposal:
        return self.space.sample(derived_seed(self.seed, f"pool {number}"))

    def _cost_range(self) -> tuple[Tensor, Tensor]:
        """The least of each cost and somewhat more than its largest over the pool, or than its limit."""
        if self._range is None:
            costs = _costs(self._pool())
            largest = costs.amax(dim=0)
            for place, name in enumerate(self.cost_names):
                if name in self.limits:
                    largest[place] = axis_value(name, self.limits[name])
            least = costs.amin(dim=0)
            self._range = least, largest + MARGIN * (largest - least).clamp(min=MARGIN)
        return self._range

    def _features(self, some: Sequence[Known]) -> Tensor:
        """``[n, features]``, each of unit variance over the pool."""
        if self._scale is None:
            pool = torch.tensor([one.features for one in self._pool()], dtype=torch.float64)
            self._scale = pool.mean(dim=0), pool.std(dim=0, correction=0).clamp(min=ALIKE)
        mean, unit = self._scale
        return (torch.tensor([one.features for one in some], dtype=torch.float64) - mean) / unit

    def _look_up(self, proposal: Proposal) -> Known:
        if proposal not in self._looked_up:
            cost = self.cost_of(proposal.architecture)
            logs = [axis_value(name, getattr(cost, name)) for name in ("learnable_parameters", "macs")]
            costs = [axis_value(name, getattr(cost, name)) for name in self.cost_names]
            self._looked_up[proposal] = Known(proposal, cost, [*self.space.features(proposal), *logs], costs)
        return self._looked_up[proposal]


def _costs(some: Sequence[Known]) -> Tensor:
    """``[n, known objectives]``, on their axes."""
    return torch.tensor([one.costs for one in some], dtype=torch.float64)
