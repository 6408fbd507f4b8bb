"""Kinds of tasks: many tasks are computed at once, and every one as it is by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from made_problems import made_dataset, operators_of
from mtl_search.datasets import Split, make_dataset
from mtl_search.metrics.scores import Metric
from mtl_search.tasks import Classification, Targets, Task, TaskGroups
from mtl_search.training.batches import DeviceSplit, LargestBatch
from mtl_search.training.scoring import scores_on

CPU = torch.device("cpu")
BATCH = 37


@dataclass(frozen=True)
class Regression(Task):
    """One number for each sample: a kind with the four methods that every kind has, and no more."""

    kind = "number"
    metrics = (Metric("accuracy"), Metric("error", higher_is_better=False))
    outputs = 1

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return F.mse_loss(output[:, 0], target.to(output.dtype))

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        return (output[:, 0] - target).square().sum().double()

    def scores(self, totals: Tensor) -> dict[str, float]:
        return {"accuracy": 0.0, "error": float(totals) / BATCH}


@dataclass(frozen=True)
class Doubled(Classification):
    """A classification with a loss of its own, and totals of its own."""

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return 2 * super().loss(output, target, label_smoothing)

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        return 3 * super().totals(output, target)


MIXED = (
    Classification("three", 3),
    Regression("number"),
    Doubled("doubled", 3),
    Classification("ten", 10),
    Regression("other number"),
    Classification("three again", 3),
    Doubled("doubled again", 3),
)
ALIKE = tuple(Classification(f"attribute {number}", 2) for number in range(5))


def made_outputs(tasks: Sequence[Task], requires_grad: bool = False) -> Tensor:
    """Of all tasks side by side, as heads put them out."""
    rng = torch.Generator().manual_seed(0)
    return (3 * torch.randn(BATCH, sum(task.outputs for task in tasks), generator=rng)).requires_grad_(requires_grad)


def by_task(tasks: Sequence[Task], outputs: Tensor) -> dict[str, Tensor]:
    parts = outputs.split([task.outputs for task in tasks], dim=1)
    return {task.name: part for task, part in zip(tasks, parts, strict=True)}


def made_targets(tasks: Sequence[Task]) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return {task.name: torch.randint(0, max(2, task.outputs), (BATCH,), generator=rng) for task in tasks}


@pytest.mark.parametrize("tasks", [ALIKE, MIXED, MIXED[:1]], ids=["alike", "mixed", "one"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_computed_at_once_are_those_of_each_task(tasks: Sequence[Task], smoothing: float) -> None:
    """Values to rounding, gradients too, each task's loss weighted differently."""
    targets, groups = made_targets(tasks), TaskGroups(tasks, CPU)
    at_once, one_by_one = (made_outputs(tasks, requires_grad=True) for _ in range(2))
    found = groups.losses(by_task(tasks, at_once), groups.targets(targets), smoothing)
    outputs = by_task(tasks, one_by_one)
    expected = torch.stack([task.loss(outputs[task.name], targets[task.name], smoothing) for task in tasks])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert len(set(found.tolist())) == len(tasks), "no two losses are the same, so that their order shows"
    weights = torch.arange(1.0, len(tasks) + 1)
    (weights * found).sum().backward()
    (weights * expected).sum().backward()
    assert at_once.grad is not None
    assert bool(at_once.grad.any(dim=0).all())
    torch.testing.assert_close(at_once.grad, one_by_one.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("tasks", [ALIKE, MIXED], ids=["alike", "mixed"])
def test_scores_computed_at_once_are_those_of_each_task(tasks: Sequence[Task]) -> None:
    outputs, targets, groups = by_task(tasks, made_outputs(tasks)), made_targets(tasks), TaskGroups(tasks, CPU)
    found = groups.scores(groups.totals(outputs, groups.targets(targets)))
    expected = {
        f"{task.name}/{metric}": value
        for task in tasks
        for metric, value in task.scores(task.totals(outputs[task.name], targets[task.name])).items()
    }
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-6)
    assert len(set(found.values())) > len(tasks)


def test_a_kind_may_change_one_of_two_and_inherits_the_other() -> None:
    class OnlyLoss(Classification):
        def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
            return super().loss(output, target, label_smoothing) + 1

    class Inherits(OnlyLoss):
        pass

    for kind in (OnlyLoss, Inherits):
        assert kind.stacked_totals.__func__ is Classification.stacked_totals.__func__  # type: ignore[attr-defined]
        tasks = [kind("a", 2), kind("b", 2)]
        outputs, targets = torch.zeros(2, BATCH, 2), torch.zeros(2, BATCH, dtype=torch.int64)
        found = kind.stacked_losses(tasks, outputs, targets)
        assert found.tolist() == pytest.approx([1 + torch.log(torch.tensor(2.0)).item()] * 2)


def test_targets_are_found_by_name_whatever_their_group() -> None:
    targets = made_targets(MIXED)
    grouped = TaskGroups(MIXED, CPU).targets(targets)
    assert list(grouped) == list(targets)
    assert len(grouped) == len(targets)
    assert all(torch.equal(grouped[name], target) for name, target in targets.items())
    halves = grouped.map(lambda of_group: of_group[:, : BATCH // 2])
    assert all(torch.equal(halves[name], target[: BATCH // 2]) for name, target in targets.items())
    assert [len(of_group) for of_group in grouped.stacked] == [2, 1, 2, 1, 1]


def losses_of(kind: type[Classification], count: int) -> Callable[[], Tensor]:
    """Computes the losses of so many tasks, from outputs and targets that are there."""
    tasks = [kind(f"attribute {number}", 2) for number in range(count)]
    groups, outputs = TaskGroups(tasks, CPU), by_task(tasks, made_outputs(tasks))
    targets = groups.targets(made_targets(tasks))
    return lambda: groups.losses(outputs, targets)


def test_losses_of_forty_tasks_are_as_many_operations_as_those_of_two() -> None:
    few, many = (operators_of(losses_of(Classification, count)) for count in (2, 40))
    assert few == many
    looped = [len(operators_of(losses_of(Doubled, count))) for count in (2, 40)]
    assert looped[1] > 10 * looped[0], "a loop shows"


@pytest.mark.parametrize("samples", [torch.arange(16).flip(0), slice(3, 19)], ids=["drawn", "in a row"])
def test_a_batch_for_forty_tasks_is_as_many_operations_as_one_for_two(samples: Tensor | slice) -> None:
    found = []
    for count in (2, 40):
        tasks = [Classification(f"attribute {number}", 2) for number in range(count)]
        dataset = made_dataset(tasks)
        data = DeviceSplit(dataset.splits["train"], dataset, CPU)
        found.append(operators_of(lambda data=data: data.batch(samples)))
        numbers = samples if isinstance(samples, slice) else samples.numpy()
        _, targets = data.batch(samples)
        assert isinstance(targets, Targets)
        for task in tasks:
            assert targets[task.name].tolist() == dataset.splits["train"].targets[task.name][numbers].tolist()
    assert found[0] == found[1]


@dataclass(frozen=True)
class Row(Regression):
    """Several numbers for each sample."""

    integer = False
    outputs = 2

    def target_shapes(self, height: int, width: int) -> list[tuple[int, ...]]:
        return [(2,)]


@dataclass(frozen=True)
class Grid(Regression):
    """A number for each pixel."""

    dense = True


def test_targets_of_a_sample_have_the_shape_that_their_kind_gives_them() -> None:
    rng = np.random.default_rng(0)
    tasks = (Row("row"), Grid("grid"), Regression("one"), Classification("class", 2), Classification("other", 2))
    targets = {
        "one": rng.integers(0, 9, 20, dtype=np.uint8),
        "row": rng.random((20, 2), dtype=np.float32),
        "grid": rng.integers(0, 9, (20, 4, 5)),
        "class": rng.integers(0, 2, 20),
        "other": rng.integers(0, 2, 20),
    }
    split = Split(rng.integers(0, 256, (20, 1, 4, 5), dtype=np.uint8), targets)
    dataset = make_dataset("made", tasks, {"train": split})
    numbers = torch.tensor([3, 19, 0])
    _, found = DeviceSplit(split, dataset, CPU).batch(numbers)
    for name, target in targets.items():
        assert found[name].dtype == torch.from_numpy(target).dtype
        assert found[name].tolist() == target[numbers.numpy()].tolist()


class Constant(nn.Module):
    """Puts out the same for every sample, for any number of tasks by one operation."""

    def __init__(self, tasks: Sequence[Classification]) -> None:
        super().__init__()
        self.tasks = tasks
        self.logits = by_task(tasks, made_outputs(tasks)[:1])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: one.expand(len(x), -1) for name, one in self.logits.items()}


def test_scoring_forty_tasks_takes_no_more_operations_for_each_batch_than_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch takes besides the network: the difference between three batches and one."""
    by_count = []
    for count in (2, 40):
        tasks = tuple(Classification(f"attribute {number}", 2) for number in range(count))
        dataset, model = made_dataset(tasks), Constant(tasks)
        called = []
        for size in (32, 11):
            monkeypatch.setattr("mtl_search.training.scoring.LARGEST_BATCH", {"cpu": LargestBatch(size)})
            every = operators_of(lambda d=dataset, m=model: scores_on(m, d.tasks, d, "val", CPU))
            called.append([one for one in every if "expand" not in one])
        by_count.append(len(called[1]) - len(called[0]))
    assert by_count[0] == by_count[1] > 0
