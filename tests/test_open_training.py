"""Training values as part of what is searched: offered, proposed, kept in the run, and used by what comes after."""

import json
import math
import shutil
from pathlib import Path

import pytest

from made_runs import made_experiment
from mtl_search.comparison.compare import compare
from mtl_search.cost import Cost, estimate
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import ChangedError, ExperimentError, FieldError, RunFolderError
from mtl_search.evaluation import evaluate
from mtl_search.runs.folder import Run, load_run
from mtl_search.samplers.study import Study
from mtl_search.searching.run import resume, search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.spaces.ranges import Range, as_offer, drawn, neighbours
from mtl_search.tasks import Classification

SAMPLERS = ("bayesian", "tpe", "nsga2", "nsga3", "random", "qmc", "evolution")
OPEN = "space.training={learning_rate: {low: 0.001, high: 0.1, log: true}, weight_decay: [0.01, 0.0]}"
TASKS = (Classification("left", 10), Classification("right", 10))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    small = ["dataset.train=256", "dataset.val=64", "dataset.test=64", "training.epochs=1", "training.batch_size=64"]
    return made_experiment([OPEN, *small, "search.trials=4", "search.workers=0"])


@pytest.fixture(scope="module")
def dataset(experiment: Experiment) -> Dataset:
    return load_dataset("multi_mnist", **experiment.dataset.options)


@pytest.fixture(scope="module")
def run(experiment: Experiment, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(experiment, dataset, out=tmp_path_factory.mktemp("open") / "run")


def cost_of(architecture: Architecture) -> Cost:
    return estimate(architecture, TASKS, (1, 36, 36))


def quality_of(proposal: Proposal) -> float:
    """A made-up truth: wide networks are better, and a learning rate of 0.02 is best by far."""
    off = math.log(proposal.training["learning_rate"] / 0.02)
    return 0.8 + 0.02 * proposal.architecture.width_multiplier - 0.05 * off**2


# What is offered


def test_a_range_is_walked_on_its_axis() -> None:
    rates = Range(0.001, 0.1, log=True)
    assert [rates.at(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [0.001, 0.00316, 0.01, 0.0316, 0.1]
    assert rates.share(0.01) == pytest.approx(0.5)
    assert Range(0, 8).at(0.3) == 2.4
    assert neighbours(rates, 0.01) == [0.00562, 0.0178]
    assert neighbours(rates, 0.1) == [0.0562]
    assert neighbours((0, 0.01, 0.1), 0.01) == [0, 0.1]
    assert neighbours(("equal", "pcgrad", "dwa"), "dwa") == ["equal", "pcgrad"]
    assert [drawn(("a", "b"), share) for share in (0, 0.49, 0.5, 0.99)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("offer", "rule"),
    [
        ({"low": 1, "high": 0.5}, "a `high` that is above `low`"),
        ({"low": 0, "high": 0.5, "log": True}, "a `low` that is above 0"),
        ({"low": 0, "high": "1"}, "a number as its `high`"),
        ({"low": 0, "hihg": 1}, "no key besides"),
        ({"low": 0, "high": 1, "log": 1}, "`true` or `false` as its `log`"),
        ([], "a list of values"),
        (0.1, "a list of values"),
        ([0.1, 0.10], "the same value twice"),
        ([[1]], "a list of texts, numbers"),
    ],
)
def test_what_is_no_offer_is_refused(offer: object, rule: str) -> None:
    with pytest.raises(FieldError, match=rule):
        as_offer(offer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{learning_rte: [0.1]}", "left open: `learning_rte`. Did you mean `learning_rate`"),
        ("{epochs: [1, 2]}", "left open: `epochs`"),
        ("{learning_rate: [0.0]}", "`learning_rate` must be greater than 0"),
        ("{learning_rate: {low: 0, high: 1}}", "`learning_rate` must be greater than 0"),
        ("{learning_rate: [true]}", "`learning_rate` must be a number"),
        ("{schedule: [one_cycle, onecycle]}", "Did you mean `one_cycle`"),
        ("{batch_size: {low: 2, high: 64}}", "`batch_size` must be a list of values"),
        ("{balancing: [equal, pgrad]}", "there is no balancing `pgrad`"),
    ],
)
def test_settings_that_cannot_be_open_are_refused(text: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        made_experiment([f"space.training={text}"])


def test_an_experiment_is_the_same_when_it_is_read_again(experiment: Experiment) -> None:
    assert parse_experiment(experiment.to_dict(), "again") == experiment
    assert experiment.to_dict()["space"]["training"] == {
        "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "weight_decay": [0.01, 0.0],
    }


def test_a_point_that_does_not_say_has_the_usual_values(experiment: Experiment) -> None:
    space = experiment.proposal_space
    assert space.point({"shared_ratio": 0.5}).training == {"learning_rate": 0.003, "weight_decay": 0.01}
    assert space.point({"training.weight_decay": 0.0}).training["weight_decay"] == 0.0
    with pytest.raises(FieldError, match=r"`training.learning_rate` must be from 0.001 to 0.1"):
        space.point({"training.learning_rate": 0.5})


def test_neighbours_step_in_architecture_or_in_training(experiment: Experiment) -> None:
    space = experiment.proposal_space
    start = space.point({"training.learning_rate": 0.01})
    near = space.neighbours(start)
    assert len(near) == len(space.space.neighbours(start.architecture)) + 3
    assert all(space.contains(one) and one != start for one in near)
    assert {one.training["learning_rate"] for one in near} == {0.01, 0.00562, 0.0178}


# What samplers make of it


def proposed(sampler: str, space: ProposalSpace, count: int, journal: Path | None = None) -> list[Proposal]:
    proposals = Study(space, ("accuracy", "learnable_parameters"), cost_of, sampler, 0, journal)
    found = []
    for _ in range(count):
        proposal = proposals.ask()
        assert proposal is not None
        proposals.tell(proposal, [quality_of(proposal), cost_of(proposal.architecture).learnable_parameters])
        found.append(proposal)
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_numbers_of_the_whole_range(sampler: str, experiment: Experiment) -> None:
    space = experiment.proposal_space
    found = proposed(sampler, space, 24)
    assert len(set(found)) == 24
    assert all(space.contains(one) for one in found)
    rates = {one.training["learning_rate"] for one in found}
    assert len(rates) > 6, "numbers, not categories"
    assert min(rates) < 0.005 < 0.02 < max(rates)
    assert {one.training["weight_decay"] for one in found} == {0.01, 0.0}


@pytest.mark.parametrize("sampler", ["bayesian", "tpe"])
@pytest.mark.slow
def test_a_sampler_that_learns_comes_near_the_best_rate(sampler: str, experiment: Experiment) -> None:
    def off(found: list[Proposal]) -> float:
        return sum(abs(math.log(one.training["learning_rate"] / 0.02)) for one in found[-20:]) / 20

    assert off(proposed(sampler, experiment.proposal_space, 50)) < 0.7 * off(
        proposed("random", experiment.proposal_space, 50)
    )


def test_the_same_architecture_at_another_rate_is_another_proposal(experiment: Experiment) -> None:
    few = ["space.granularity=network", "space.bank=[linear]", "space.shared_ratio=[1.0, 0.5]", "space.branch_depth=1"]
    offered = "space.training={learning_rate: [0.01, 0.02, 0.04]}"
    space = made_experiment([*few, "space.width_multiplier=1", offered]).proposal_space
    assert space.size == 6
    assert set(proposed("bayesian", space, 6)) == set(space.proposals())


# In a run


def test_the_values_stand_in_the_table_and_train_the_trial(run: Run, experiment: Experiment, dataset: Dataset) -> None:
    header, first, *_ = (run.path / "trials.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    trial = run.trial(0)
    assert float(row["training.weight_decay"]) == run.trial(0).training["weight_decay"]
    assert float(row["training.learning_rate"]) == trial.training["learning_rate"]
    own = experiment.training.changed(trial.training)
    assert own.learning_rate == trial.training["learning_rate"] != experiment.training.learning_rate
    again = evaluate(trial.architecture, dataset, own, seed=trial.seed)
    assert again.scores == pytest.approx(trial.scores)
    assert "training" not in json.loads((run.path / "architectures/0.json").read_text())


def test_a_run_goes_on_with_values_of_trials_under_way(run: Run, dataset: Dataset, tmp_path: Path) -> None:
    """As it is left by a kill while its last trial was trained."""
    copy = shutil.copytree(run.path, tmp_path / "run")
    lines = (copy / "trials.csv").read_text().splitlines(keepends=True)
    (copy / "trials.csv").write_text("".join(lines[:-1]))
    under_way = load_run(copy).under_way
    assert under_way == {3: run.trial(3).proposal}
    again = resume(copy, dataset)
    assert again.trial(3).training == run.trial(3).training
    assert again.trial(3).scores == pytest.approx(run.trial(3).scores)


@pytest.mark.parametrize("cell", ["", "0.5", "fast"])
def test_a_value_that_is_not_offered_is_refused_by_place(cell: str, run: Run, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    text = (copy / "trials.csv").read_text()
    value = f"{run.trial(2).training['learning_rate']}"
    (copy / "trials.csv").write_text(text.replace(f",{value},", f",{cell},"))
    with pytest.raises(RunFolderError, match=r"trials.csv: line 4: `training.learning_rate` must be"):
        load_run(copy)


def test_what_is_open_cannot_change_on_the_way(run: Run, dataset: Dataset, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    text = (copy / "experiment.yaml").read_text()
    (copy / "experiment.yaml").write_text(text.replace("high: 0.1", "high: 0.2"))
    with pytest.raises(ChangedError, match=r"space.training.learning_rate.high: 0.1 -> 0.2"):
        resume(copy, dataset)


def test_a_pick_is_compared_at_its_own_values(run: Run, dataset: Dataset) -> None:
    found = compare(run, dataset, baselines=[], picks=["best"], seeds=1, workers=0)
    (about,) = found.request["entrants"]
    assert about["training"] == run.trial(about["trial"]).training
