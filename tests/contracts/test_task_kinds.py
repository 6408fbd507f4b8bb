"""What holds for everything that is registered as a kind of task."""

import pytest
import torch

from made_kinds import (
    learned,
    made_targets,
    made_task,
    perfect_outputs,
)
from made_networks import single_threaded
from mtl_search.cli.listing import listing
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Classification, TaskGroups
from mtl_search.testing import check_task

one_thread = pytest.fixture(autouse=True, scope="module")(single_threaded)

CPU = torch.device("cpu")
KINDS = TASKS.names()
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_the_contract(kind: str) -> None:
    check_task(made_task(kind), made_targets(kind), perfect_outputs)


@every_kind
def test_all_that_come_with_the_package_are_computed_at_once(kind: str) -> None:
    tasks = [learned(made_task(kind, name), made_targets(kind, seed)) for seed, name in enumerate("abc")]
    assert len(TaskGroups(tasks, CPU).groups) == 1


@every_kind
def test_kinds_of_numbers_learn_their_scale(kind: str) -> None:
    first, second = (learned(made_task(kind), made_targets(kind, seed)) for seed in (0, 1))
    assert (first == second) == first.integer


def test_all_are_here() -> None:
    assert {"classification", "binary", "multi_label", "regression"} <= set(KINDS)
    assert {"segmentation", "depth", "normals", "edges", "saliency"} <= set(KINDS)
    assert [kind for kind in KINDS if TASKS.get(kind).kind != kind] == []


def test_each_is_listed_with_a_line() -> None:
    assert list(listing("tasks")) == KINDS
    assert all(line.endswith(".") and len(line) < 120 for line in listing("tasks").values())


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
