"""Samplers: what they propose, and that a search that was cut off is gone on with alike."""

import functools
import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.samplers import BaseGASampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from made_runs import made_experiment
from mtl_search.cost import Cost, estimate
from mtl_search.errors import FieldError, UnknownNameError
from mtl_search.metrics.pareto import front_mask
from mtl_search.samplers import optuna_samplers as samplers
from mtl_search.samplers.optuna_samplers import POPULATION
from mtl_search.samplers.study import Study
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.tasks import Classification

SAMPLERS = ("bayesian", "tpe", "nsga2", "nsga3", "random", "qmc", "evolution")
OBJECTIVES = ("accuracy", "learnable_parameters")
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)
FEW = 50
"""Of so many ``bayesian`` chooses here, where nothing is asked of how good its choice is."""


@pytest.fixture(scope="module")
def space() -> ProposalSpace:
    return made_experiment().proposal_space


@pytest.fixture(scope="module")
def small() -> ProposalSpace:
    changes = ["space.granularity=network", "space.bank=[linear]", "space.branch_depth=[1]"]
    return made_experiment(changes).proposal_space


def made(space: ProposalSpace, sampler: str, journal: Path | None = None, seed: int = 0) -> Study:
    return Study(space, OBJECTIVES, cost_of, sampler, seed, journal, pool=FEW)


TASKS = (Classification("left", 10), Classification("right", 10))


@functools.cache
def cost_of(architecture: Architecture) -> Cost:
    return estimate(architecture, TASKS, (1, 36, 36))


def values_of(proposal: Proposal) -> list[float]:
    """A made-up truth: wide networks that share half of their channels are accurate, and dear."""
    architecture = proposal.architecture
    ratios = [layer.shared_ratio for layer in architecture.layers]
    cost = 1000 * architecture.width_multiplier * (4 - sum(ratios))
    return [math.log(cost) / 10 - sum(abs(ratio - 0.5) for ratio in ratios) / 5, cost]


def end(proposals: Study, number: int, proposal: Proposal) -> None:
    """Each kind of end in turn."""
    if number % 6 == 2:
        proposals.tell_failed(proposal, "no luck")
    elif number % 6 == 3:
        proposals.tell_infeasible(proposal, {"macs": 5.0})
    elif number % 6 == 4:
        proposals.tell_stopped(proposal, values_of(proposal))
    else:
        proposals.tell(proposal, values_of(proposal))


def proposed(proposals: Study, count: int, first: int = 0) -> list[Proposal]:
    found = []
    for number in range(first, first + count):
        proposal = proposals.ask()
        assert proposal is not None
        end(proposals, number, proposal)
        found.append(proposal)
    return found


@every_sampler
def test_proposals_are_different_architectures_of_the_space(sampler: str, space: ProposalSpace) -> None:
    found = proposed(made(space, sampler), 60)
    assert len(set(found)) == 60
    assert all(space.contains(proposal) for proposal in found)


@every_sampler
def test_a_small_space_is_proposed_whole(sampler: str, small: ProposalSpace) -> None:
    proposals = made(small, sampler)
    found = proposed(proposals, int(small.size))
    assert set(found) == set(small.proposals())
    assert proposals.ask() is None


@every_sampler
def test_same_seed_same_proposals(sampler: str, space: ProposalSpace) -> None:
    assert proposed(made(space, sampler), 30) == proposed(made(space, sampler), 30)
    assert proposed(made(space, sampler), 30) != proposed(made(space, sampler, seed=1), 30)


@every_sampler
@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 14, 26])
def test_a_search_that_was_cut_off_is_gone_on_with_alike(
    sampler: str, cut: int, space: ProposalSpace, tmp_path: Path
) -> None:
    """With a proposal open, which stays open, and one that the last process did not come to."""
    whole = proposed(made(space, sampler, tmp_path / "whole.log"), 36)
    before = made(space, sampler, tmp_path / "cut.log")
    ended = proposed(before, cut)
    open_one = before.ask()
    assert open_one == whole[cut]
    after = made(space, sampler, tmp_path / "cut.log")
    assert after.remember(ended, [open_one]) == []
    for number, proposal in enumerate(ended):
        if number % 6 == 4:
            after.remember_stopped(proposal, values_of(proposal))
        elif number % 6 not in (2, 3):
            after.remember_values(proposal, values_of(proposal))
    end(after, cut, open_one)
    assert [*ended, open_one, *proposed(after, 36 - cut - 1, first=cut + 1)] == whole


def test_an_end_that_the_study_was_not_told_is_found(space: ProposalSpace, tmp_path: Path) -> None:
    before = made(space, "tpe", tmp_path / "journal.log")
    ended = proposed(before, 3)
    untold, lost = before.ask(), before.ask()
    assert untold is not None
    after = made(space, "tpe", tmp_path / "journal.log")
    assert after.remember([*ended, untold], []) == [untold]
    after.tell(untold, values_of(untold))
    assert {trial.state.name for trial in after.study.trials} == {"COMPLETE", "FAIL"}
    assert after.ask() == lost, "what was never begun is proposed again"


def test_points_come_first(space: ProposalSpace) -> None:
    points = [space.point({"shared_ratio": 1.0}), space.point({"width_multiplier": 1.5, "layer1.shared_ratio": 0.25})]
    proposals = Study(space, OBJECTIVES, cost_of, "tpe", 0, None, points)
    assert proposed(proposals, 2) == points
    assert proposed(proposals, 5)[0] not in points


def test_a_point_answers_for_all_layers_or_for_one(space: ProposalSpace) -> None:
    point = space.space.point({"bank": "linear", "shared_ratio": 0.5, "layer1.shared_ratio": 1.0, "branch_depth": 2})
    assert [layer.bank for layer in point.layers] == ["linear"] * 3
    assert [(layer.shared_ratio, layer.branch_depth) for layer in point.layers] == [(0.5, 2), (1.0, 0), (0.5, 2)]
    assert point.width_multiplier == space.space.width_multiplier[0]


def test_a_point_outside_the_space_is_refused(space: ProposalSpace) -> None:
    with pytest.raises(FieldError, match=r"`shared_ratio` must be one of \[1.0, 0.75, 0.5, 0.25\] for layer0"):
        space.point({"shared_ratio": 0.9})
    with pytest.raises(UnknownNameError, match="Did you mean `shared_ratio`"):
        space.point({"shared_ratios": 0.5})


@pytest.mark.parametrize("sampler", ["evolution", "nsga2", "tpe"])
@pytest.mark.thin(3)
def test_a_sampler_that_learns_finds_more_than_chance(sampler: str, space: ProposalSpace) -> None:
    """On a truth without noise: more of the best of all that both have tried."""

    def tried(name: str, seed: int) -> list[list[float]]:
        proposals = made(space, name, seed=seed)
        found = []
        for _ in range(80):
            proposal = proposals.ask()
            assert proposal is not None
            proposals.tell(proposal, values_of(proposal))
            found.append(values_of(proposal))
        return found

    wins = 0
    for seed in range(3):
        ours, chance = tried(sampler, seed), tried("random", seed)
        on_front = front_mask([*ours, *chance], ["maximize", "minimize"])
        wins += on_front[:80].sum() > on_front[80:].sum()
    assert wins >= 2


def test_evolution_steps_from_its_population(space: ProposalSpace) -> None:
    proposals = made(space, "evolution")
    parents = proposed(proposals, 2 * POPULATION)
    child = proposals.ask()
    assert child is not None
    assert any(child in space.neighbours(parent) for parent in parents)


def without_line(number: int) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(line for place, line in enumerate(data.splitlines(True)) if place != number)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "no JSON": lambda data: b"not JSON\nat all\n",
    "binary": lambda data: bytes(range(256)) * 10,
    "cut": lambda data: data[: len(data) // 3],
    "without its beginning": without_line(0),
    "without a line": without_line(3),
    "an unknown operation": lambda data: data + b'{"op_code":99,"worker_id":"x"}\n',
    "an operation of wrong types": lambda data: data + b'{"op_code":5,"worker_id":"x","trial_id":[]}\n',
    "deep": lambda data: data + b"[" * 100_000 + b"\n",
    "a list": lambda data: data + b"[]\n",
    "another study": lambda data: data.replace(b'"directions":[2,1]', b'"directions":[1,1]'),
    "other answers": lambda data: data.replace(b'"param_value_internal":1', b'"param_value_internal":0'),
}


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
def test_a_damaged_journal_is_made_again_from_what_ended(damage: str, space: ProposalSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    before = made(space, "tpe", path)
    first, second, third = proposed(before, 3)
    open_one = before.ask()
    assert open_one is not None
    if damage == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(DAMAGES[damage](data))
        assert path.read_bytes() != data
    after = made(space, "tpe", path)
    untold = after.remember([first, second, third], [open_one])
    assert untold == [first, second, third]
    for proposal in untold:
        after.tell(proposal, values_of(proposal))
    (remark,) = after.remarks
    assert remark.startswith("journal.log: ")
    assert remark.endswith("; it was made again from trials.csv and architectures.")
    again = made(space, "tpe", path)
    assert again.remember([first, second, third], [open_one]) == []
    assert again.remarks == [], "what was mended once is whole"
    held = {trial.user_attrs["architecture"]: trial for trial in again.study.trials}
    assert held[open_one.id].state is TrialState.RUNNING
    for proposal in (first, second, third):
        assert held[proposal.id].values == list(values_of(proposal))
    assert again.ask() not in (first, second, third, open_one, None)


def test_a_journal_that_knows_more_than_the_table_is_made_again(space: ProposalSpace, tmp_path: Path) -> None:
    """The last row of the table is lost: its trial is trained again, and the sampler must not know its values."""
    path = tmp_path / "journal.log"
    first, second = proposed(made(space, "random", path), 2)
    after = made(space, "random", path)
    assert after.remember([first], [second]) == [first]
    assert "the end of a trial that has not ended" in after.remarks[0]
    after.tell(second, [0.5, 1.0])
    lost = made(space, "random", path)
    assert lost.remember([first], []) == [first]
    assert "trials that are not there" in lost.remarks[0]
    assert [trial.user_attrs["architecture"] for trial in lost.study.trials] == [first.id]


@pytest.mark.parametrize(
    ("told", "state"), [("extrapolated", "COMPLETE"), ("infeasible", "PRUNED"), ("nothing", "FAIL")]
)
def test_what_a_sampler_is_told_of_stopped_trials(told: str, state: str, space: ProposalSpace) -> None:
    proposals = Study(space, OBJECTIVES, cost_of, "tpe", 0, None, stopped=told)  # type: ignore[arg-type]
    proposal = proposals.ask()
    assert proposal is not None
    proposals.tell_stopped(proposal, values_of(proposal))
    assert [trial.state.name for trial in proposals.study.trials] == [state]


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
@pytest.mark.thin(2)
def test_the_latest_trials_tell_the_generation_that_all_trials_do(
    sampler: str, space: ProposalSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generations(count: int = 6 * POPULATION, workers: int = 3) -> list[tuple[object, object]]:
        proposals, under_way = made(space, sampler), []
        for number in range(count):
            proposal = proposals.ask()
            assert proposal is not None
            under_way.append(proposal)
            if len(under_way) == workers:
                end(proposals, number, under_way.pop(number % workers))
        trials = proposals.study.get_trials(deepcopy=False)
        return [(trial.params, trial.system_attrs) for trial in trials]

    found = generations()
    monkeypatch.setattr(samplers._Generations, "get_trial_generation", BaseGASampler.get_trial_generation)
    assert found == generations()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sampler", ["random", "tpe", "bayesian"])
@pytest.mark.parametrize("ratios", [[1.0, 0.7, 0.4, 0.1], [0.9, 0.8, 0.7], [1.0, 0.5, 0.1]])
@pytest.mark.thin(2)
def test_every_option_is_drawn_whatever_the_decimals(sampler: str, ratios: list[float]) -> None:
    space = made_experiment([f"space.shared_ratio={ratios}"]).proposal_space
    found = proposed(made(space, sampler), 25)
    assert {layer.shared_ratio for proposal in found for layer in proposal.architecture.layers} == set(ratios)


def test_a_journal_names_what_it_holds(space: ProposalSpace, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    ended = proposed(Study(space, OBJECTIVES, cost_of, "tpe", 0, path, about={"experiment": "homes"}), 3)
    study = optuna.load_study(study_name="search", storage=JournalStorage(JournalFileBackend(str(path))))
    assert study.metric_names == list(OBJECTIVES)
    assert study.user_attrs == {"experiment": "homes"}
    after = made(space, "tpe", path)
    assert after.remember(ended, []) == []
    assert after.remarks == []
