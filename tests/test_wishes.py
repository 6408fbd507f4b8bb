"""What people want of single tasks: limits on qualities, weights of tasks, the worst task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_runs import made_experiment
from mtl_search.comparison.compare import compare
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import ExperimentError, RunFolderError, UserError
from mtl_search.evaluation import EvaluationOptions, Report, mean_quality, worst_quality
from mtl_search.internal.layout import EPOCHS, TRIALS
from mtl_search.metrics.pareto import direction_of
from mtl_search.metrics.scores import is_share
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.status import ended_because
from mtl_search.searching.preparation import check_experiment
from mtl_search.searching.run import resume, search
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.tasks import Classification, Regression, Task

TASKS: tuple[Task, ...] = (
    Classification("left", classes=2),
    Regression("right").learned(np.array([-2.0, 2.0], np.float32)),
)
SCORES = {"left/accuracy": 0.9, "left/loss": 0.3, "right/rmse": 0.5, "right/mae": 0.4, "right/loss": 0.2}
SMALL = ("dataset.train=100", "training.epochs=1", "training.batch_size=50", "search.workers=0", "search.trials=3")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=100, val=50, test=50)


def changed(*changes: str) -> Experiment:
    return made_experiment([*SMALL, *changes])


def test_a_weighted_mean_and_the_worst_task() -> None:
    """The second task has a skill of 1 - 0.5 / 2."""
    assert mean_quality(TASKS, SCORES) == pytest.approx((0.9 + 0.75) / 2)
    assert mean_quality(TASKS, SCORES, {"left": 2}) == pytest.approx((2 * 0.9 + 0.75) / 3)
    assert mean_quality(TASKS, SCORES, {"left": 0, "right": 0.1}) == pytest.approx(0.75)
    assert worst_quality(TASKS, SCORES) == pytest.approx(0.75)


def test_the_worst_task_is_a_share_to_be_maximised() -> None:
    assert direction_of("worst_task") == "maximize"
    assert is_share("worst_task")


def test_limits_on_costs_and_qualities_stand_side_by_side() -> None:
    found = changed("constraints={macs: 900000, left/accuracy: 0.9, left/loss: 0.5, worst_task: 0.8, accuracy: null}")
    assert found.constraints.limits() == {"macs": 900_000}
    assert found.constraints.qualities() == {"left/accuracy": 0.9, "left/loss": 0.5, "worst_task": 0.8}
    again = parse_experiment(found.to_dict(), "again")
    assert again == found
    assert again.constraints.qualities() == found.constraints.qualities()
    assert changed().constraints.qualities() == {}


def test_a_comparison_is_asked_whether_a_task_is_worse_than_by_its_own_network() -> None:
    found = changed("constraints={worst_task: single_task, left/accuracy: 0.9}")
    assert found.constraints.no_task_below_its_own_network
    assert found.constraints.qualities() == {"left/accuracy": 0.9}, "a search cannot know it"
    assert not found.measures_worst_task
    assert parse_experiment(found.to_dict(), "again") == found
    assert not changed("constraints={worst_task: 0.8}").constraints.no_task_below_its_own_network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("constraints={acuracy: 0.9}", "`constraints.acuracy` is no key of an experiment. Did you mean `accuracy`?"),
        ("constraints={left/accuracy: true}", "`constraints.left/accuracy` must be a number, but got True"),
        ("constraints={left/accuracy: high}", "`constraints.left/accuracy` must be a number, but got 'high'"),
        ("constraints={left/accuracy: {a: 1}}", "`constraints.left/accuracy` must be a number"),
        ("constraints={worst_task: singl}", "`constraints.worst_task` must be a number, or `single_task`, but got"),
        ("constraints={left/accuracy: single_task}", "must be a number: `single_task` is for `worst_task`, but got"),
        ("task_weights={left: -1}", "`task_weights.left` must be greater than or equal to 0, but got -1"),
        ("task_weights={left: heavy}", "`task_weights.left` must be a number, but got 'heavy'"),
        ("objectives=[worst_tsk, macs]", "there is no objective `worst_tsk`. Did you mean `worst_task`?"),
    ],
)
def test_wrong_wishes_are_refused_as_they_are_read(change: str, message: str) -> None:
    with pytest.raises(ExperimentError) as refused:
        changed(change)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "constraints={lef/accuracy: 0.9}",
            "metric for `constraints` `lef/accuracy`. Did you mean `left/accuracy`?",
        ),
        ("constraints={left/accuracy: 90}", "`constraints.left/accuracy` must be at most 1"),
        ("constraints={worst_task: 90}", "`constraints.worst_task` must be at most 1"),
        ("constraints={left/loss: -0.1}", "`constraints.left/loss` must be at least 0 for an error, but got -0.1"),
        ("task_weights={lefd: 2}", "there is no task for `task_weights` `lefd`. Did you mean `left`?"),
        ("task_weights={left: 0, right: 0}", "`task_weights` must leave a task a weight above 0"),
        ("search.target={metric: worst_task, value: 80}", "`search.target.value` must be at most 1"),
    ],
)
def test_wrong_wishes_are_refused_by_what_the_dataset_measures(change: str, message: str, dataset: Dataset) -> None:
    with pytest.raises(UserError) as refused:
        check_experiment(changed(change), dataset)
    assert message in str(refused.value)


LEFT_BY_TRIAL = (0.5, 0.7, 0.9)
RIGHT_BY_TRIAL = (0.9, 0.6, 0.2)


class Told:
    """A training whose scores are told: of the first trial, the second, the third."""

    def __init__(self) -> None:
        self.trials = 0

    def __call__(self, _what: Any, dataset: Dataset, _training: Any, _seed: int, _course: EvaluationOptions) -> Any:
        scores = dict.fromkeys(dataset.score_names, 0.5)
        scores |= {"left/accuracy": LEFT_BY_TRIAL[self.trials], "right/accuracy": RIGHT_BY_TRIAL[self.trials]}
        self.trials += 1
        yield Report(1, 1.0, 1.0, scores=scores, weights={"w": torch.zeros(1)}, done=True)


def searched(path: Path, dataset: Dataset, *changes: str) -> Run:
    return search(changed(*changes), dataset, out=path, evaluate=Told())


def test_a_search_for_the_worst_task_with_weights(dataset: Dataset, tmp_path: Path) -> None:
    wishes = ("objectives=[worst_task, learnable_parameters]", "task_weights={left: 3}")
    run = searched(tmp_path / "run", dataset, *wishes)
    assert [trial.worst_task for trial in run.trials] == [0.5, 0.6, 0.2]
    assert [trial.accuracy for trial in run.trials] == pytest.approx([0.6, 0.675, 0.725])
    assert [row.worst_task for row in run.epochs] == [0.5, 0.6, 0.2]
    assert run.best is not None
    assert run.best.number == 1
    assert run.experiment.task_weights == {"left": 3}
    assert run.mean_name == "weighted mean accuracy"
    again = resume(run.path, dataset, trials=3)
    assert [trial.worst_task for trial in again.trials] == [0.5, 0.6, 0.2]


def test_a_search_with_a_limit_keeps_the_weights_of_those_that_keep_it(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(tmp_path / "run", dataset, "constraints={right/accuracy: 0.6}", "objectives=[left/accuracy, macs]")
    assert [trial.number for trial in run.keeping] == [0, 1]
    assert {trial.number for trial in run.front} <= {0, 1}
    assert {int(path.parent.name) for path in run.path.rglob("weights.safetensors")} == {0, 1}, "trial 2 is left out"
    assert run.best is not None
    assert run.best.number == 1


def test_a_search_ends_when_the_worst_task_is_good_enough(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(tmp_path / "run", dataset, "search.target={metric: worst_task, value: 0.55}")
    assert len(run.trials) == 2
    assert ended_because(run) == "the target is reached: worst_task 0.55"


def test_runs_without_wishes_have_the_columns_that_they_had(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(tmp_path / "run", dataset)
    for name in (TRIALS, EPOCHS):
        assert "worst_task" not in (run.path / name).read_text(encoding="utf-8")
    assert {trial.worst_task for trial in run.trials} == {None}
    text = run.experiment.to_yaml().replace("task_weights: {}\n", "")
    (run.path / "experiment.yaml").write_text(text, encoding="utf-8")
    assert load_run(run.path).experiment == run.experiment
    assert load_run(run.path).front == run.front


def test_a_comparison_weighs_the_tasks_as_the_search_did(dataset: Dataset, tmp_path: Path) -> None:
    experiment = changed("task_weights={left: 3}")
    found = compare(experiment, dataset, baselines=["hard_sharing"], seeds=1, workers=0, out=tmp_path / "compared")
    (outcome,) = found.outcomes
    left, right = outcome.scores["left/accuracy"], outcome.scores["right/accuracy"]
    assert outcome.accuracy == pytest.approx((3 * left + right) / 4)
    assert left != right


def test_what_was_measured_of_all_trials_cannot_change_on_the_way(dataset: Dataset, tmp_path: Path) -> None:
    run = searched(tmp_path / "run", dataset, "task_weights={left: 3}")
    file = run.path / "experiment.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("left: 3.0", "left: 1.0"), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"task_weights.left: 3.0 -> 1.0: what all trials have in common"):
        resume(run.path, dataset, trials=4, allow_changes=True)
