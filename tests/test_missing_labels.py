"""Missing labels: refused where they cannot be used, and without any effect on what is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from made_kinds import OPTIONS, SIDE, as_split, dataset_of, made_targets, made_task
from made_networks import made_architecture, made_tasks, single_threaded
from made_problems import TRAINING, made_backbone, made_dataset, made_problem, operators_of, solve
from made_runs import made_experiment
from mtl_search.comparison.compare import compare
from mtl_search.datasets import Dataset, DatasetSource, Split, make_dataset
from mtl_search.errors import DatasetError
from mtl_search.evaluation import evaluate, mean_quality
from mtl_search.exporting.export import export
from mtl_search.methods import MethodContext
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.methods.recon import conflicting_pairs
from mtl_search.reporting.search_page import write_report
from mtl_search.runs.folder import load_run
from mtl_search.searching.run import search
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.tasks import Binary, Classification, MultiLabel, Regression, Segmentation, Task, TaskGroups
from mtl_search.training.batches import DeviceSplit
from mtl_search.training.scoring import scores_on
from mtl_search.training.trainer import Trainer

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")


# What is refused


def refused(task: Task, targets: Any, split: str = "train") -> str:
    """The message, targets of the other split being right."""
    right = made_targets(task.kind)
    splits = {"train": as_split({task.name: right}), "val": as_split({task.name: right})}
    splits[split] = replace(splits[split], targets={task.name: targets})
    with pytest.raises(DatasetError) as caught:
        make_dataset("made", (task,), splits)
    return str(caught.value)


def changed(kind: str, place: Any, value: Any) -> Any:
    targets = made_targets(kind)
    targets[place] = value
    return targets


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("kind", "place", "value", "rule"),
    [
        ("classification", 7, 4, "0 to 3, or -1 where missing, but got 4"),
        ("classification", 59, -2, "0 to 3, or -1 where missing, but got -2"),
        ("binary", 3, 2, "0 or 1, or -1 where missing, but got 2"),
        ("multi_label", (3, 1), 2, "0 or 1, or -1 where missing, but got 2"),
        ("regression", (3, 1), np.inf, "finite, or NaN where missing, but got inf"),
        ("segmentation", (3, 1, 2), 3, "0 to 2, or -1 where missing, but got 3"),
        ("depth", (3, 1, 2), np.inf, "finite, or NaN where missing, but got inf"),
        ("normals", (3, 0, 1, 2), -np.inf, "finite, or NaN where missing, but got -inf"),
        ("edges", (3, 1, 2), -5, "0 or 1, or -1 where missing, but got -5"),
    ],
)
def test_a_wrong_target_is_named_with_its_row(kind: str, place: Any, value: Any, rule: str, split: str) -> None:
    row = place[0] if isinstance(place, tuple) else place
    message = refused(made_task(kind), changed(kind, place, value), split)
    assert message == f"task `task`, split `{split}`, row {row}: targets must be {rule}."


@pytest.mark.parametrize(
    ("kind", "targets", "message"),
    [
        ("classification", np.zeros(60), "must be int64 or int32 or int16 or int8 or uint8, but got float64"),
        ("regression", np.zeros((60, 2)), "must be float32, but got float64"),
        ("regression", np.zeros((60, 2), np.int64), "must be float32, but got int64"),
        ("classification", np.zeros(59, np.int64), r"must be of shape (60,), but got (59,)"),
        ("classification", np.zeros((60, 1), np.int64), r"must be of shape (60,), but got (60, 1)"),
        ("multi_label", np.zeros((60, 2), np.int8), r"must be of shape (60, 3), but got (60, 2)"),
        ("segmentation", np.zeros((60, 5, 6), np.uint8), r"must be of shape (60, 6, 6), but got (60, 5, 6)"),
        ("normals", np.zeros((60, 6, 6), np.float32), r"must be of shape (60, 3, 6, 6), but got (60, 6, 6)"),
    ],
)
def test_a_wrong_type_or_shape_is_named(kind: str, targets: Any, message: str) -> None:
    assert refused(made_task(kind), targets) == f"task `task`, split `train`: targets {message}."


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("classification", lambda t: np.where(t == 2, 1, t), "class 2 is in none of its 60 rows"),
        ("segmentation", lambda t: np.where(t == 0, 1, t), "class 0 is in none of its 60 rows"),
        ("binary", lambda t: np.where(t == 1, -1, t), "1 is in none of its 60 rows"),
        ("multi_label", lambda t: np.where([False, True, False], 1, t), "0 is in none of its 60 rows of label 1"),
        ("edges", np.ones_like, "0 is in none of its 60 rows"),
        ("depth", lambda t: np.full_like(t, 3), "all targets are 3, from row 0 to row 59"),
        ("normals", lambda t: np.full_like(t, 3), "all targets have one direction, from row 0 to row 59"),
        (
            "regression",
            lambda t: np.where([False, True], np.float32(7), t),
            "all targets of number 1 are 7, from row 0 to row 59",
        ),
        (
            "regression",
            lambda t: np.where([False, True], np.float32(np.nan), t),
            "all targets of number 1 are missing, from row 0 to row 59",
        ),
    ],
)
def test_training_targets_of_no_use_are_refused_and_such_for_validation_are_not(
    kind: str, change: Any, message: str
) -> None:
    targets = change(made_targets(kind))
    assert refused(made_task(kind), targets).startswith(f"task `task`, split `train`: {message}")
    right = made_targets(kind)
    splits = {"train": as_split({"task": right}), "val": as_split({"task": targets})}
    assert make_dataset("made", (made_task(kind),), splits).tasks[0].name == "task"


def test_a_task_without_targets_is_named() -> None:
    split = as_split({"other": made_targets("binary")})
    with pytest.raises(DatasetError, match=r"task `task`, split `train`: has no targets, only `other`"):
        make_dataset("made", (made_task("binary"),), {"train": split})


# What a step makes of them


def unlabelled(dataset: Dataset, tasks: tuple[Task, ...], name: str) -> Dataset:
    """The same dataset with one more task, which has no target at all."""
    task = Classification(name, 4)
    splits = {
        split: replace(data, targets={**data.targets, name: np.full(len(data), -1)})
        for split, data in dataset.splits.items()
    }
    return replace(dataset, tasks=(*tasks, task), splits=splits)


@pytest.mark.parametrize("balancing", ["equal", "dwa", "uncertainty", "pcgrad"])
def test_a_task_without_labels_changes_nothing_for_the_others(balancing: str) -> None:
    """The trunk and the other heads end where they end without it, epoch by epoch."""
    problem = made_problem(2, epochs=3, balancing=BalancingSettings(name=balancing))
    more = replace(problem, dataset=unlabelled(problem.dataset, problem.tasks, "more"))
    first, second = (solve(HardSharing(), one) for one in (problem, more))
    assert [epoch.loss for epoch in first.epochs] == pytest.approx([epoch.loss for epoch in second.epochs], rel=1e-5)
    state = second.trained.model.state_dict()
    for name, value in first.trained.model.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-6)


def test_epochs_tell_the_mean_over_the_steps_in_which_a_task_has_targets() -> None:
    """At a rate of nearly nothing the loss of a task that is there in one of ten samples is that of all of them."""
    problem = made_problem(2, epochs=1, batch_size=2, learning_rate=1e-12)
    train = problem.dataset.splits["train"]
    targets = {**train.targets, "b": np.where(np.arange(72) % 10, -1, train.targets["b"])}
    dataset = replace(problem.dataset, splits={**problem.dataset.splits, "train": replace(train, targets=targets)})
    trainer = Trainer(HardSharing().build(problem), dataset.tasks, dataset, problem.training, 0)
    seen: list[list[float]] = []
    step = trainer.step
    trainer.step = lambda *batch: seen.append(step(*batch).tolist()) or torch.tensor(seen[-1])  # type: ignore
    (epoch,) = trainer.epochs()
    first, second = zip(*seen, strict=True)
    present = [loss for loss in second if loss]
    assert 0 < len(present) < len(second) == 36
    assert epoch.loss == pytest.approx(np.mean(first) + np.mean(present), rel=1e-5)


def test_a_step_looks_for_missing_labels_only_where_there_are_some() -> None:
    tasks = made_tasks(2)
    dataset = made_dataset(tasks)
    train = dataset.splits["train"]
    some = {name: np.where(np.arange(72) % 3, target, -1) for name, target in train.targets.items()}
    called = []
    for targets in (train.targets, some):
        split = replace(train, targets=targets)
        groups = TaskGroups(tasks, CPU)
        _, batch = DeviceSplit(split, dataset, CPU).batch(slice(0, 16))
        outputs = {task.name: torch.zeros(16, task.outputs) for task in tasks}
        called.append(operators_of(lambda b=batch, o=outputs, g=groups: g.losses(o, b)))
    assert not [one for one in called[0] if "where" in one or ".ge" in one]
    assert [one for one in called[1] if ".ge" in one]
    assert not [one for one in called[1] if "item" in one or "_local_scalar" in one or "nonzero" in one]


def test_pairs_with_an_absent_task_are_no_conflicts() -> None:
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [0.0, 0.0]])
    assert int(conflicting_pairs(jacobian, 0.5)) == 3
    assert int(conflicting_pairs(jacobian, 0.5, torch.tensor([True, True, False]))) == 1


def test_no_score_without_a_target_and_no_quality_without_a_score() -> None:
    dataset = unlabelled(made_dataset(made_tasks(1)), made_tasks(1), "more")
    model = HardSharing().build(MethodContext(made_backbone(), dataset, TRAINING))
    scores = scores_on(model, dataset.tasks, dataset, "val", CPU)
    assert list(scores) == ["a/accuracy", "a/loss"]
    with pytest.raises(DatasetError, match="there is no score more/accuracy, more/loss: has the split any target"):
        mean_quality(dataset.tasks, scores)


# From data to report


TASKS = (Classification("class", 3), Binary("flag"), MultiLabel("labels", 3), Regression("place", size=2))


@dataclass(frozen=True)
class Shapes(DatasetSource):
    """Bright squares: how many corners are bright, where the square is, and what follows. Some labels are missing."""

    name = "shapes"

    def load(self) -> Dataset:
        sizes = {"train": 256, "val": 64, "test": 64}
        splits = {split: self._split(np.random.default_rng(n), sizes[split]) for n, split in enumerate(sizes)}
        return make_dataset("shapes", TASKS, splits)

    def _split(self, rng: np.random.Generator, size: int) -> Split:
        inputs = rng.integers(0, 60, (size, 1, 12, 12), dtype=np.uint8)
        rows, columns = rng.integers(0, 9, (2, size))
        for picture, row, column in zip(inputs, rows, columns, strict=True):
            picture[0, row : row + 3, column : column + 3] = 255
        place = np.stack([rows, 100 + 10 * columns], axis=1).astype(np.float32)
        labels = np.stack([rows > 3, columns > 3, rows > columns], axis=1).astype(np.int8)
        targets: Mapping[str, Any] = {
            "class": (rows // 3).astype(np.uint8),
            "flag": np.where(rng.random(size) < 0.3, -1, rows > 4).astype(np.int16),
            "labels": np.where(rng.random((size, 3)) < 0.3, -1, labels).astype(np.int8),
            "place": np.where(rng.random((size, 2)) < 0.3, np.nan, place).astype(np.float32),
        }
        return Split(inputs, targets)


SETTINGS = (
    "training.epochs=1",
    "training.batch_size=32",
    "training.device=cpu",
    "search.trials=3",
    "search.workers=0",
)


@pytest.mark.slow
def test_tasks_of_many_kinds_are_searched_compared_reported_and_exported(tmp_path: Path) -> None:
    dataset = Shapes().load()
    experiment = made_experiment([*SETTINGS, "objectives=[place/rmse, learnable_parameters]"])
    run = search(experiment, replace(dataset, name="test_missing_labels:Shapes"), out=tmp_path / "run")
    names = ["class/accuracy", "flag/accuracy", "labels/accuracy", "place/rmse"]
    for trial in run.complete:
        assert list(trial.scores) == dataset.score_names
        own = [trial.scores[name] for name in names]
        deviations = np.nanstd(dataset.splits["train"].targets["place"], axis=0)
        own[3] = 1 - own[3] / deviations.mean()
        assert trial.accuracy == pytest.approx(np.mean(own), rel=1e-5)
    assert len(run.complete) == 3
    best = min(run.front, key=lambda trial: trial.scores["place/rmse"])
    assert best.scores["place/rmse"] == min(trial.scores["place/rmse"] for trial in run.complete)
    told = load_run(run.path).environment["tasks"]
    assert told == json.loads(json.dumps([task.describe() for task in dataset.tasks]))
    assert told[3]["deviation"] == pytest.approx(deviations.tolist(), rel=1e-5)

    comparison = compare(run, dataset, baselines=["single_task", "hard_sharing"], picks=["best"], seeds=1, workers=0)
    assert not comparison.missing
    (pick,) = comparison.of(f"trial-{best.number}")
    (reference,) = comparison.of("single_task")
    gains = [pick.scores[name] / reference.scores[name] - 1 for name in names]
    gains[3] *= -1
    assert pick.delta_m == pytest.approx(100 * np.mean(gains), abs=1e-4)

    page = write_report(run.path).read_text(encoding="utf-8")
    assert re.search(r"<th[^>]*>place rmse<", page)
    assert re.search(r"<th[^>]*>flag accuracy in %<", page)
    assert "Lower is better in place/rmse." in page
    assert "Mean quality is the mean over tasks" in page
    shown = re.escape(f"{pick.scores['place/rmse']:.4g}")
    assert re.search(f"<td[^>]*>{shown}", page)

    model = export(run, best.number, format="torch")
    card = json.loads((model.parent / "model_card.json").read_text(encoding="utf-8"))
    place = card["tasks"][3]
    assert (place["kind"], place["outputs"]) == ("regression", 2)
    outputs = torch.export.load(model).module()(torch.from_numpy(dataset.splits["val"].inputs).float())["place"]
    values = outputs.detach().numpy()
    wanted = dataset.splits["val"].targets["place"]
    rmse = np.sqrt(np.nanmean((values - wanted) ** 2, axis=0)).mean()
    assert rmse == pytest.approx(best.scores["place/rmse"], rel=1e-4)
    assert "a number in the units of the targets" in (model.parent / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_an_architecture_is_evaluated_on_tasks_of_many_kinds() -> None:
    trial = evaluate(made_architecture(), Shapes().load(), TRAINING)
    assert trial.accuracy is not None
    assert -1 < trial.accuracy < 1


def test_segmentation_is_no_classification_of_samples() -> None:
    """It inherits the loss, not the group: nor is a dense task computed at once with one for samples."""
    groups = TaskGroups([Classification("class", 3), Segmentation("map", 3)], CPU)
    assert len(groups.groups) == 2
    assert OPTIONS["segmentation"] == {"classes": 3}
    assert dataset_of([made_task("segmentation", "map")], {"map": made_targets("segmentation")}).input_shape[1] == SIDE
