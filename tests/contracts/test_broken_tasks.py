"""Kinds of tasks that each break one rule, and the sentence that says which."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl_search.errors import DatasetError
from mtl_search.metrics.scores import Metric
from mtl_search.tasks import Classification, Task
from mtl_search.testing import check_task


@dataclass(frozen=True)
class Huber(Task):
    """A number for each sample, with a loss that forgives outliers: what a kind has to say, and no more."""

    kind = "huber"
    metrics = (Metric("near"),)
    integer = False
    output_means = "the number"
    outputs = 1

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        there = self.known(target)
        each = torch.nn.functional.huber_loss(output[:, 0], target.where(there, 0), reduction="none")
        return each.where(there, 0).sum() / there.sum().clamp(min=1)

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        there = self.known(target)
        near = 1 / (1 + (output[:, 0] - target).abs())
        return torch.stack([near.where(there, 0).double().sum(), there.sum().double()])

    def scores(self, totals: Tensor) -> dict[str, float]:
        near, count = totals.tolist()
        return {"near": near / count} if count else {}


def changed(**attributes: Any) -> type[Task]:
    """The kind with other attributes."""
    return dataclass(frozen=True)(type("Changed", (Huber,), attributes))


def loss(change: Any) -> type[Task]:
    return changed(loss=lambda self, output, target, smoothing=0.0: change(self, output, target))


def totals(change: Any) -> type[Task]:
    return changed(totals=lambda self, output, target: change(self, output, target))


def plain_mean(task: Task, output: Tensor, target: Tensor) -> Tensor:
    return (output[:, 0] - target.nan_to_num(0)).abs().mean()


def mean_of_known(task: Task, output: Tensor, target: Tensor) -> Tensor:
    return (output[:, 0] - target).abs()[task.known(target)].mean()


def mean_of_known_and_more(task: Task, output: Tensor, target: Tensor) -> Tensor:
    return Huber.loss(task, output, target) + 1e-9 * output.square().sum() * bool(task.known(target).any())


def overflowing(task: Task, output: Tensor, target: Tensor) -> Tensor:
    there = task.known(target)
    each = output[:, 0].exp() - target.nan_to_num(0) * output[:, 0]
    return each.where(there, 0).sum() / there.sum().clamp(min=1)


def huge_share(totals: Tensor) -> dict[str, float]:
    near, count = totals.tolist()
    return {"accuracy": 100 * near / count} if count else {}


def last_batch(task: Task, output: Tensor, target: Tensor) -> Tensor:
    there = task.known(target)
    near = (1 / (1 + (output[:, 0] - target).abs())).where(there, 0).double().sum()
    return torch.stack([near * len(output), there.sum().double()])


def learned_by_first(self: Task, targets: Any) -> Task:
    return self


class Unlike(Task):
    """Computes several tasks at once, and not as each."""

    @classmethod
    def stacked_losses(cls, tasks: Any, outputs: Tensor, targets: Tensor, *more: Any, **others: Any) -> Tensor:
        each = [Huber.loss(tasks[0], output, target) for output, target in zip(outputs, targets, strict=True)]
        return torch.stack(each).flip(0)

    @classmethod
    def all_losses(cls, tasks: Any, outputs: Tensor, targets: Tensor, *more: Any, **others: Any) -> Tensor:
        there = targets == targets
        errors = outputs[..., 0] - targets.where(there, 0)
        each = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), reduction="none")
        return each.where(there, 0).sum(dim=1) / there.sum(dim=1).clamp(min=1)

    @classmethod
    def mixed_totals(cls, tasks: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        both = zip(tasks, outputs, targets, strict=True)
        return torch.stack([task.totals(output, target) for task, output, target in both]).flip(0)

    alike: ClassVar[str] = "all"  # type: ignore[assignment]


BROKEN: dict[str, tuple[type[Task], str]] = {
    "no kind": (changed(kind="two words"), "A kind has a name that is a word"),
    "no metrics": (changed(metrics=()), "A kind has a name that is a word, metrics"),
    "no meaning": (changed(output_means=Task.output_means), "says what an output of a trained network means"),
    "shape of the loss": (loss(lambda self, o, t: (o[:, 0] - t).abs()), "The loss is one finite number"),
    "no gradient": (loss(lambda self, o, t: (o[:, 0] - t).detach().abs().mean()), "The loss is one finite number"),
    "an output without a gradient": (changed(outputs=2), "whose gradient reaches every one of them; .* the output 1"),
    "a sum": (
        loss(lambda self, o, t: Huber.loss(self, o, t) * self.known(t).sum()),
        "The loss is a mean over the targets that are there",
    ),
    "an error without a constant": (
        changed(metrics=(Metric("near_error", higher_is_better=False),)),
        "A kind whose first metric is an error says `constant_error`",
    ),
    "a share above 1": (
        changed(metrics=(Metric("accuracy"),), scores=lambda self, totals: huge_share(totals)),
        "as their names say, .* of `accuracy`, which its name says is from 0.0 to 1.0",
    ),
    "nan behind a mask": (loss(overflowing), "a gradient of their outputs that is nan: mask these, not the losses"),
    "missing ones are no number": (loss(mean_of_known), "Without any target the loss is 0"),
    "missing ones are 0": (loss(plain_mean), "Without any target the loss is 0"),
    "a gradient where nothing is known": (loss(mean_of_known_and_more), "leave out samples without a target"),
    "counts missing ones": (
        totals(lambda self, o, t: torch.stack([(1 / (1 + (o[:, 0] - t.nan_to_num(0)).abs())).sum(), torch.ones(())])),
        "Without any target .* there are no metrics",
    ),
    "batches": (totals(last_batch), "same in batches of any size|leave out samples"),
    "metrics": (changed(metrics=(Metric("near"), Metric("far"))), "Metrics are those of its list"),
    "order of losses": (
        dataclass(frozen=True)(type("Changed", (Huber,), {"alike": "all", "stacked_losses": Unlike.stacked_losses})),
        "computed at once, and their gradients, are those of each",
    ),
    "order of scores": (
        changed(alike="all", stacked_losses=Unlike.all_losses, stacked_totals=Unlike.mixed_totals),
        "The metrics of several tasks that are computed at once",
    ),
    "operations": (changed(alike="all"), "the losses of forty are as many operations as those of two"),
    "plain data": (changed(describe=lambda self: {"kind": object()}), "is plain data for JSON"),
    "known": (changed(known=classmethod(lambda cls, t: (t == t) | True)), "Without any target|It is known"),
    "direction": (changed(quality=lambda self, scores: -scores["near"]), "lower the loss raise the quality"),
    "above 1": (changed(quality=lambda self, scores: 3 * scores["near"]), "which is 1 at most"),
}


def test_a_kind_that_says_what_it_has_to_keeps_the_contract() -> None:
    check_task(Huber)
    check_task(Huber("any"), perfect=lambda task, targets: torch.from_numpy(targets)[:, None].nan_to_num(0))


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_told_in_one_sentence(case: str) -> None:
    kind, rule = BROKEN[case]
    with pytest.raises(AssertionError, match=rule) as found:
        check_task(kind)
    assert str(found.value).startswith("`Changed` breaks a rule: ")
    assert "\n" not in str(found.value)


def test_what_is_called_perfect_must_be() -> None:
    with pytest.raises(AssertionError, match="To know everything has the quality 1"):
        check_task(Huber, perfect=lambda task, targets: torch.zeros(len(targets), 1))


def test_a_kind_that_learns_from_another_split_is_told() -> None:
    seen: list[int] = []

    @dataclass(frozen=True)
    class Counts(Huber):
        number: int = 0

        def learned(self, targets: Any) -> "Counts":
            seen.append(1)
            return Counts(self.name, len(seen))

    with pytest.raises(AssertionError, match="A task learns from the training targets only"):
        check_task(Counts)


def test_a_split_without_targets_must_be_refused() -> None:
    kind = changed(check=lambda self, targets, inputs, split: None)
    with pytest.raises(AssertionError, match="A split without any target is refused"):
        check_task(kind)


def test_whole_numbers_below_those_that_are_missing_are_refused() -> None:
    kind = dataclass(frozen=True)(type("Steps", (Huber,), {"integer": True}))
    with pytest.raises(DatasetError, match="row 2: targets must be at least 0, or -1 where missing, but got -2"):
        kind("steps").check(np.array([0, -1, -2]), (3, 4), "train")


def test_options_are_those_of_the_task_that_is_given() -> None:
    check_task(Classification("pets", classes=2))
    with pytest.raises(AssertionError, match="targets must be"):
        check_task(Classification("pets", classes=2), targets=torch.arange(60).numpy())
