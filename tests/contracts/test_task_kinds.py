"""What holds for everything that is registered as a kind of task."""

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from made_kinds import (
    absent,
    as_split,
    dataset_of,
    learned,
    made_outputs,
    made_targets,
    made_task,
    perfect_outputs,
    prepared,
    scores_of,
)
from made_networks import single_threaded
from made_problems import operators_of
from mtl_search.cli.listing import listing
from mtl_search.datasets import make_dataset
from mtl_search.errors import DatasetError
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Classification, Task, TaskGroups
from mtl_search.training.batches import DeviceSplit

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")
KINDS = TASKS.names()
every_kind = pytest.mark.parametrize("kind", KINDS)
any_share_missing = pytest.mark.parametrize("missing", [0.0, 0.3, 0.7])


def several(kind: str, count: int, missing: float = 0.0) -> tuple[list[Task], dict[str, Tensor], dict[str, Tensor]]:
    """Tasks of one kind that know their data, their outputs, and their targets as they are loaded."""
    names = [f"task {number}" for number in range(count)]
    raw = {name: made_targets(kind, seed, missing) for seed, name in enumerate(names)}
    tasks = [learned(made_task(kind, name), raw[name]) for name in names]
    outputs = {task.name: made_outputs(task, raw[task.name], seed) for seed, task in enumerate(tasks)}
    return tasks, outputs, {name: torch.from_numpy(targets) for name, targets in raw.items()}


def each_loss(
    tasks: Sequence[Task], outputs: dict[str, Tensor], targets: dict[str, Tensor], smoothing: float
) -> Tensor:
    return torch.stack([task.loss(outputs[task.name], task.prepared(targets[task.name]), smoothing) for task in tasks])


def test_all_are_here() -> None:
    assert {"classification", "binary", "multi_label", "regression"} <= set(KINDS)
    assert {"segmentation", "depth", "normals", "edges", "saliency"} <= set(KINDS)
    assert [kind for kind in KINDS if TASKS.get(kind).kind != kind] == []


def test_each_is_listed_with_a_line() -> None:
    assert list(listing("tasks")) == KINDS
    assert all(line.endswith(".") and len(line) < 120 for line in listing("tasks").values())


@every_kind
@any_share_missing
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_computed_at_once_are_those_of_each_task(kind: str, missing: float, smoothing: float) -> None:
    """Their gradients, too, each weighted differently."""
    tasks, outputs, targets = several(kind, 3, missing)
    groups = TaskGroups(tasks, CPU)
    assert len(groups.groups) == 1
    for output in outputs.values():
        output.requires_grad_()
    found = groups.losses(outputs, groups.targets(targets), smoothing)
    expected = each_loss(tasks, outputs, targets, smoothing)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert len(set(found.tolist())) == 3
    weights = torch.tensor([1.0, 2.0, 3.0])
    grads = [torch.autograd.grad((weights * losses).sum(), list(outputs.values())) for losses in (found, expected)]
    for one, other in zip(*grads, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


@every_kind
def test_losses_of_forty_tasks_are_as_many_operations_as_those_of_two(kind: str) -> None:
    def losses_of(count: int) -> Callable[[], Tensor]:
        tasks, outputs, targets = several(kind, count, missing=0.2)
        groups = TaskGroups(tasks, CPU)
        stacked = groups.targets(targets)
        assert stacked.may_miss
        return lambda: groups.losses(outputs, stacked.map(lambda of_group: of_group))

    few, many = (operators_of(losses_of(count)) for count in (2, 40))
    assert few == many


@every_kind
@any_share_missing
@pytest.mark.parametrize("seed", [0, 1])
def test_scores_are_the_same_in_batches_of_any_size(kind: str, missing: float, seed: int) -> None:
    """One batch, many, and sample by sample, in which there is often no target. To the rounding of single angles."""
    targets = made_targets(kind, seed, missing)
    task = learned(made_task(kind), targets)
    outputs = made_outputs(task, targets, seed)
    whole = scores_of(task, outputs, targets)
    assert list(whole) == [metric.name for metric in task.metrics]
    assert len(set(whole.values())) > 1
    for size in (1, 7, 32):
        assert scores_of(task, outputs, targets, size) == pytest.approx(whole, rel=1e-7)


@every_kind
def test_scores_computed_at_once_are_those_of_each_task(kind: str) -> None:
    tasks, outputs, targets = several(kind, 3, missing=0.3)
    groups = TaskGroups(tasks, CPU)
    found = groups.scores(groups.totals(outputs, groups.targets(targets)))
    expected = {
        f"{task.name}/{metric}": value
        for task in tasks
        for metric, value in scores_of(task, outputs[task.name], targets[task.name].numpy()).items()
    }
    assert list(found) == list(expected) == [name for task in tasks for name in task.score_names]
    assert found == pytest.approx(expected, rel=1e-6)


@every_kind
def test_samples_without_a_target_count_for_nothing(kind: str) -> None:
    """Loss, gradient and metrics are those of the others alone, whatever is put out for them."""
    whole = made_targets(kind)
    some = absent(kind, whole, np.arange(0, 60, 3))
    kept = np.flatnonzero(np.arange(60) % 3)
    task = learned(made_task(kind), whole)
    outputs = made_outputs(task, whole)
    with torch.no_grad():
        outputs[::3] *= 1e6
    outputs.requires_grad_()
    loss = task.loss(outputs, prepared(task, some), 0.1)
    expected = task.loss(outputs[kept], prepared(task, whole[kept]), 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    found, wanted = (torch.autograd.grad(one, outputs)[0] for one in (loss, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-9)
    assert not found[::3].any()
    scores = scores_of(task, outputs.detach(), some)
    assert scores == pytest.approx(scores_of(task, outputs.detach()[kept], whole[kept]), rel=1e-9)
    assert scores != pytest.approx(scores_of(task, outputs.detach(), whole), rel=1e-6)


@every_kind
def test_without_any_target_the_loss_is_0_its_gradient_is_0_and_there_are_no_scores(kind: str) -> None:
    whole = made_targets(kind)
    task = learned(made_task(kind), whole)
    nothing = absent(kind, whole, slice(None))
    outputs = made_outputs(task, whole).requires_grad_()
    loss = task.loss(outputs, prepared(task, nothing))
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert not gradient.any()
    assert scores_of(task, outputs.detach(), nothing) == {}


@every_kind
def test_a_group_says_which_tasks_are_present(kind: str) -> None:
    """Nothing is looked for where no target of the split is missing."""
    targets = {"here": made_targets(kind), "gone": absent(kind, made_targets(kind, 1), slice(0, 20))}
    tasks = [made_task(kind, name) for name in targets]
    dataset = dataset_of(tasks, targets)
    data = DeviceSplit(dataset.splits["train"], dataset, CPU)
    assert data.batch(slice(0, 20))[1].present.tolist() == [True, False]  # type: ignore[union-attr]
    assert data.batch(slice(10, 30))[1].present.tolist() == [True, True]  # type: ignore[union-attr]
    complete = dataset_of(tasks[:1], {"here": targets["here"]})
    assert DeviceSplit(complete.splits["train"], complete, CPU).batch(slice(0, 20))[1].present is None


@every_kind
def test_to_know_everything_is_perfect(kind: str) -> None:
    targets = made_targets(kind, missing=0.2)
    task = learned(made_task(kind), targets)
    perfect = task.quality(scores_of(task, perfect_outputs(task, targets), targets))
    assert perfect == pytest.approx(1, abs=1e-6)
    assert task.quality(scores_of(task, made_outputs(task, targets), targets)) < 0.9


@every_kind
def test_what_it_is_and_learned_is_plain_data(kind: str) -> None:
    task = learned(made_task(kind), made_targets(kind))
    told = json.loads(json.dumps(task.describe()))
    assert (told["kind"], told["name"]) == (kind, "task")
    assert task.output_means != Task.output_means


@every_kind
def test_only_the_training_split_is_learned_from(kind: str) -> None:
    task, first, second = made_task(kind), made_targets(kind, 0), made_targets(kind, 1)
    splits = {"train": as_split({"task": first}), "val": as_split({"task": second})}
    (found,) = make_dataset("made", (task,), splits).tasks
    assert found == learned(task, first)
    assert (found == learned(task, second)) == task.integer


@every_kind
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_any_target_is_refused(kind: str, split: str) -> None:
    whole = made_targets(kind)
    splits = {name: as_split({"task": whole}) for name in ("train", "val")}
    splits[split] = as_split({"task": absent(kind, whole, slice(None))})
    with pytest.raises(DatasetError, match=rf"task `task`, split `{split}`: every target is missing"):
        make_dataset("made", (made_task(kind),), splits)


def test_a_plain_classification_is_the_same_to_the_last_bit() -> None:
    """Losses and gradients as torch has them; a split that misses no target takes the same operations as before."""
    tasks = [Classification(f"task {number}", 5) for number in range(3)]
    outputs = torch.randn(3, 50, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.randint(0, 5, (3, 50), generator=torch.Generator().manual_seed(1))
    groups = TaskGroups(tasks, CPU)
    by_name = {task.name: target for task, target in zip(tasks, targets, strict=True)}
    for smoothing in (0.0, 0.1):
        found = groups.losses(
            {task.name: output for task, output in zip(tasks, outputs, strict=True)}, groups.targets(by_name), smoothing
        )
        each = torch.nn.functional.cross_entropy(
            outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
        )
        expected = each.view(3, 50).mean(dim=1)
        assert torch.equal(found, expected)
        grads = [torch.autograd.grad(losses.sum(), outputs)[0] for losses in (found, expected)]
        assert torch.equal(*grads)
