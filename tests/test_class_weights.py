"""Weights of rare classes in the loss: as torch has them, scaled so that a task weighs what it did without."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mtl_search import dataset_from, make_task
from mtl_search.errors import UserError
from mtl_search.tasks import Task
from mtl_search.tasks._groups import TaskGroups

RNG = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], [60, 30, 10])
YES = np.repeat([0, 1], [75, 25])
LABELS = np.stack([YES, 1 - YES], axis=1)


def learned(kind: str, targets: np.ndarray[Any, Any], **options: Any) -> Task:
    return make_task(kind, "task", **options).learned(targets)


def test_balanced_classes_weigh_as_in_scikit_learn() -> None:
    """Samples / (classes * samples of the class)."""
    task = learned("classification", CLASSES, classes=3, class_weights="balanced")
    assert task.describe()["weights"] == pytest.approx([100 / 180, 100 / 90, 100 / 30])


def test_given_weights_are_scaled_to_a_mean_of_1_over_the_targets() -> None:
    task = learned("classification", CLASSES, classes=3, class_weights=(1, 1, 5))
    assert task.describe()["weights"] == pytest.approx([1 / 1.4, 1 / 1.4, 5 / 1.4])


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_the_loss_is_that_of_torch(kind: str) -> None:
    task = learned(kind, CLASSES, classes=3, class_weights="balanced")
    size = (2, 2) if task.dense else ()
    output = torch.randn(6, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.from_numpy(RNG.integers(0, 3, (6, *size)))
    weight = torch.tensor(task.describe()["weights"], dtype=torch.float64)
    expected = F.cross_entropy(output, target, weight, reduction="none").mean()
    torch.testing.assert_close(task.loss(output, target), expected)
    target[0] = -1
    rest = F.cross_entropy(output[1:], target[1:], weight, reduction="none").mean()
    torch.testing.assert_close(task.loss(output, target), rest, msg="what is missing weighs nothing")


@pytest.mark.parametrize(("asked", "no", "yes"), [("balanced", 100 / 150, 100 / 50), (3.0, 1 / 1.5, 3 / 1.5)])
def test_yes_and_no(asked: Any, no: float, yes: float) -> None:
    task = learned("binary", YES, positive_weight=asked)
    assert task.describe()["weights"] == pytest.approx([no, yes])
    output = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)
    target = torch.tensor([1, 0, 1])
    plain = F.binary_cross_entropy_with_logits(output[:, 0], target.double(), reduction="none")
    torch.testing.assert_close(task.loss(output, target), (plain * torch.tensor([yes, no, yes])).mean())


def test_each_label_is_balanced_by_itself() -> None:
    task = learned("multi_label", LABELS, labels=2, positive_weight="balanced")
    pairs = np.array(task.describe()["weights"])
    np.testing.assert_allclose(pairs, [[100 / 150, 100 / 50], [100 / 50, 100 / 150]])
    output = torch.zeros(1, 2, dtype=torch.float64)
    expected = np.log(2) * (pairs[0, 1] + pairs[1, 0]) / 2
    assert float(task.loss(output, torch.tensor([[1, 0]]))) == pytest.approx(expected)


def test_tasks_of_different_weights_are_not_computed_with_one() -> None:
    """Several tasks of a kind are computed at once: a loss is the same as by itself."""
    asked = {"plain": None, "twice": 2.0, "balanced": "balanced"}
    tasks = [make_task("binary", name, positive_weight=one).learned(YES) for name, one in asked.items()]
    groups = TaskGroups(tasks, torch.device("cpu"))
    outputs = {name: torch.tensor([[1.0], [-2.0]]) for name in asked}
    targets = {name: torch.tensor([0, 1]) for name in asked}
    expected = torch.stack([task.loss(outputs[task.name], targets[task.name]) for task in tasks])
    torch.testing.assert_close(groups.losses(outputs, groups.targets(targets)), expected)
    assert len(set(expected.tolist())) == 3


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("classification", {"classes": 3, "class_weights": (1, 2)}, "must be `balanced`, or have 3 numbers"),
        ("classification", {"classes": 2, "class_weights": "even"}, "class_weights"),
        ("binary", {"positive_weight": 0}, "positive_weight"),
        ("multi_label", {"positive_weight": -1.0}, "positive_weight"),
    ],
)
def test_what_is_no_weight_is_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_task(kind, "task", **options)


def test_the_option_is_one_of_data_of_the_users_own() -> None:
    """A tenth of the rows is yes, in the training split about so."""
    rare = {"kind": "binary", "positive_weight": "balanced"}
    data = dataset_from(RNG.normal(size=(200, 3)), {"rare": np.arange(200) % 10 == 0}, tasks={"rare": rare})
    no, yes = data.tasks[0].describe()["weights"]
    assert yes / no == pytest.approx(9, rel=0.4)
