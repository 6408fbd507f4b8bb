"""Our own samplers: the model, the expected improvement, and that what is known is used."""

import functools
from statistics import fmean

import pytest
import torch

from made_runs import made_experiment
from mtl_search.cost import Cost, estimate
from mtl_search.metrics.pareto import axis_value, front_mask, hypervolume
from mtl_search.samplers.bayesian import FIRST, Bayesian
from mtl_search.samplers.gaussian_process import GaussianProcess, Kernel, most_likely_kernel
from mtl_search.samplers.improvement import directions, expected_improvement, reached
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.tasks import Classification

OBJECTIVES = ("accuracy", "learnable_parameters")
TASKS = (Classification("left", 10), Classification("right", 10))


@functools.cache
def cost_of(architecture: Architecture) -> Cost:
    return estimate(architecture, TASKS, (1, 36, 36))


@pytest.fixture(scope="module")
def small() -> ProposalSpace:
    return made_experiment(["space.granularity=network", "space.branch_depth=[1, 2]"]).proposal_space


@pytest.fixture(scope="module")
def large() -> ProposalSpace:
    return made_experiment().proposal_space


def accuracy_of(architecture: Architecture) -> float:
    """A made-up truth: a paper bank helps, a branch helps a little, width helps less and less."""
    layers = architecture.layers
    return (
        0.7
        + 0.1 * (1 - 1 / (1 + architecture.width_multiplier))
        + 0.05 * fmean(layer.bank == "paper" for layer in layers)
        + 0.05 * fmean(1 - abs(layer.shared_ratio - 0.5) for layer in layers)
    )


def parameters_of(proposal: Proposal) -> int:
    return cost_of(proposal.architecture).learnable_parameters


def values_of(proposal: Proposal) -> list[float]:
    return [accuracy_of(proposal.architecture), float(parameters_of(proposal))]


def made(space: ProposalSpace, seed: int = 0, **limits: float) -> Bayesian:
    return Bayesian(space, OBJECTIVES, cost_of, limits, seed)


def suggested(sampler: Bayesian, count: int) -> list[Proposal]:
    """Suggestions that are each trained before the next one."""
    seen: dict[Proposal, None] = {}
    for _ in range(count):
        proposal = sampler.suggest(seen, ())
        assert proposal is not None
        seen[proposal] = None
        sampler.learn(proposal, values_of(proposal))
    return list(seen)


@pytest.mark.parametrize("objectives", [2, 3])
def test_reach_over_all_directions_is_the_hypervolume(objectives: int) -> None:
    """Up to a factor that depends on the number of objectives only: the hypervolume of the unit box is 1."""
    points = torch.rand(12, objectives, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ways = directions(objectives, 4096)
    box = torch.ones(1, objectives, dtype=torch.float64)
    found = reached(points, ways).pow(objectives).mean() / reached(box, ways).pow(objectives).mean()
    expected = hypervolume(points.numpy(), [0.0] * objectives, ["maximize"] * objectives)
    assert float(found) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("known", "predicted"), [(1, 1), (0, 2), (1, 2), (2, 1)])
@pytest.mark.thin(9)
def test_expected_improvement_is_the_mean_over_draws(known: int, predicted: int) -> None:
    generator = torch.Generator().manual_seed(known + 10 * predicted)
    objectives = known + predicted
    ways = directions(objectives, 2048)
    front = torch.rand(5, objectives, dtype=torch.float64, generator=generator)
    certain = torch.rand(6, known, dtype=torch.float64, generator=generator)
    means = [torch.rand(6, dtype=torch.float64, generator=generator) * 1.2 for _ in range(predicted)]
    deviations = [torch.rand(6, dtype=torch.float64, generator=generator) * 0.3 + 0.01 for _ in range(predicted)]
    so_far = reached(front, ways)
    found = expected_improvement(certain, means, deviations, so_far, ways)

    box = reached(torch.ones(1, objectives, dtype=torch.float64), ways).pow(objectives).mean()
    unit = ["maximize"] * objectives
    before = hypervolume(front.numpy(), [0.0] * objectives, unit)
    for candidate in range(6):
        gained = []
        for _ in range(1500):
            drawn = [
                mean[candidate] + deviation[candidate] * torch.randn((), dtype=torch.float64, generator=generator)
                for mean, deviation in zip(means, deviations, strict=True)
            ]
            point = torch.cat([certain[candidate], torch.stack(drawn)]).clamp(min=0)
            gained.append(hypervolume([*front.tolist(), point.tolist()], [0.0] * objectives, unit) - before)
        assert float(found[candidate] / box) == pytest.approx(fmean(gained), rel=0.12, abs=0.003)


def test_a_process_without_noise_goes_through_what_it_saw() -> None:
    features = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = features[:, 0].sin() + features[:, 1]
    process = GaussianProcess(features, values, Kernel(1.5, 0.1, 1e-8))
    means, deviations = process.predict(features)
    assert torch.allclose(means, values, atol=1e-4)
    assert float(deviations.max()) < 1e-3
    _, far = process.predict(features + 100)
    assert float(far.min()) > 0.5 * float(values.std())


def test_the_most_likely_kernel_tells_signal_from_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 2, dtype=torch.float64, generator=generator)
    clean = features[:, 0].sin()
    noisy = clean + torch.randn(60, dtype=torch.float64, generator=generator)
    assert most_likely_kernel(features, clean).noise < most_likely_kernel(features, noisy).noise


@pytest.mark.slow
def test_finds_the_front_with_fewer_trainings_than_chance(large: ProposalSpace) -> None:
    worst = [0.7, 100_000.0]

    def volume(architectures: list[Proposal]) -> float:
        points = [[values_of(one)[0], axis_value(OBJECTIVES[1], values_of(one)[1])] for one in architectures]
        return hypervolume(points, [worst[0], axis_value(OBJECTIVES[1], worst[1])], ["maximize", "minimize"])

    drawn = [large.sample(seed) for seed in range(150)]
    assert volume(suggested(made(large), 30)) > volume(drawn)


@pytest.mark.slow
def test_suggests_nothing_that_breaks_a_known_limit(large: ProposalSpace) -> None:
    costs = [parameters_of(proposal) for proposal in suggested(made(large), 25)]
    limit = sorted(costs)[len(costs) // 3]
    kept = suggested(made(large, learnable_parameters=limit, latency_ms=0.1), 25)
    assert max(parameters_of(proposal) for proposal in kept[FIRST:]) <= limit


def test_what_is_under_way_promises_less(large: ProposalSpace) -> None:
    sampler = made(large)
    seen = dict.fromkeys(suggested(sampler, 15))
    best = sampler.suggest(seen, ())
    alike = [best, *large.neighbours(best)]
    before, after = sampler.improvements(alike, []), sampler.improvements(alike, [best])
    assert float(after[0]) < 0.5 * float(before[0])
    assert float(after.sum()) < float(before.sum())


def test_a_small_space_is_suggested_whole(small: ProposalSpace) -> None:
    found = suggested(made(small), int(small.size))
    assert len(found) == small.size
    mask = front_mask([values_of(one) for one in small.proposals()], ["maximize", "minimize"])
    early = suggested(made(small), int(small.size) // 2)
    on_front = [one for one, on in zip(small.proposals(), mask, strict=True) if on]
    assert len(set(early) & set(on_front)) > 0.7 * len(on_front)


def test_the_dearest_architecture_is_worth_something(small: ProposalSpace) -> None:
    sampler = made(small)
    suggested(sampler, 20)
    dearest = max(small.proposals(), key=lambda one: parameters_of(one))
    assert sampler.improvements([dearest], ())[0] > 0


def test_where_all_cost_the_same_the_accurate_ones_are_found() -> None:
    changes = [
        "space.bank=[linear, orthonormal, derivatives, sparse]",
        "space.shared_ratio=[1.0]",
        "space.width_multiplier=[1.0]",
    ]
    space = made_experiment(changes).proposal_space
    sampler = Bayesian(space, OBJECTIVES, cost_of, {}, 0)
    seen: list[Proposal] = []
    for _ in range(30):
        proposal = sampler.suggest(seen, ())
        assert proposal is not None
        seen.append(proposal)
        sampler.learn(proposal, [fmean(layer.bank == "sparse" for layer in proposal.architecture.layers), 100.0])
    assert len({parameters_of(one) for one in space.proposals()}) == 1
    assert max(fmean(layer.bank == "sparse" for layer in one.architecture.layers) for one in seen) == 1


def test_what_is_under_way_makes_nothing_else_surer(large: ProposalSpace) -> None:
    sampler = made(large)
    first = suggested(sampler, 10)[0]
    kernel = sampler._kernel()[0]
    learned = sampler._features([sampler._look_up(one) for one, _ in sampler.learned])
    again = sampler._features([sampler._look_up(first)] * 50)
    gains = sampler._gains(0, sampler.learned)
    elsewhere = sampler._features([sampler._look_up(large.sample(seed)) for seed in range(20)])
    _, alone = sampler._process(kernel, learned, gains).predict(elsewhere)
    _, with_more = sampler._process(kernel, torch.cat([learned, again]), gains).predict(elsewhere)
    assert (with_more > 0.8 * alone).all()


def infeasible_before(trained: int, limit: float, sampler: Bayesian) -> int:
    """Proposals that break a limit that is measured, before so many that keep it. Slow is what has many MACs."""
    seen: list[Proposal] = []
    broken = 0
    while len(seen) - broken < trained:
        proposal = sampler.suggest(seen, ())
        assert proposal is not None
        seen.append(proposal)
        if cost_of(proposal.architecture).macs > limit:
            sampler.learn_infeasible(proposal, ["latency_ms"])
            broken += 1
        else:
            sampler.learn(proposal, values_of(proposal))
    return broken


def test_a_limit_that_is_measured_is_learned(large: ProposalSpace) -> None:
    macs = sorted(cost_of(large.sample(seed).architecture).macs for seed in range(400))
    assert infeasible_before(20, macs[40], made(large, latency_ms=1.0)) < 20, "by lot it were 180"


def test_known_limits_are_kept_from_the_first_on(large: ProposalSpace) -> None:
    sizes = sorted(cost_of(large.sample(seed).architecture).learnable_parameters for seed in range(400))
    limit = float(sizes[8])
    for proposal in suggested(made(large, learnable_parameters=limit), 12):
        assert parameters_of(proposal) <= limit


def test_a_space_of_which_nothing_keeps_the_limits_any_more_is_at_its_end(small: ProposalSpace) -> None:
    sizes = sorted(parameters_of(one) for one in small.proposals())
    sampler = made(small, learnable_parameters=float(sizes[9]))
    kept = suggested(sampler, sum(size <= sizes[9] for size in sizes))
    assert sampler.suggest(kept, ()) is None


def test_seeds_draw_pools_of_their_own(large: ProposalSpace) -> None:
    first, second = ({one.proposal for one in made(large, seed)._pool()} for seed in (0, 1))
    assert len(first & second) < len(first) / 4
