"""Balancings that each break one rule, and the sentence that says which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from mtl_search.balancing import Balancing, GradientBalancing, LossBalancing, present_share
from mtl_search.internal.registry import BALANCINGS
from mtl_search.testing import check_balancing


@dataclass
class BySize(LossBalancing):
    """The larger the loss was in the last step, the less it counts."""

    name = "by_size"

    def start(self, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
        super().start(tasks, parameters, seed)
        self.last = torch.ones(len(tasks))

    def combine(self, losses: Tensor, present: Tensor | None = None) -> Tensor:
        weights = 1 / (1 + self.last)
        weights = len(losses) * weights / weights.sum()
        return losses @ present_share(weights, present)

    def end_epoch(self, losses: Tensor, present: Tensor | None = None) -> None:
        self.last = losses.clone() if present is None else self.last.where(~present, losses)

    def state(self) -> dict[str, Tensor]:
        return {"last": self.last}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.last = state["last"]


@dataclass
class Largest(GradientBalancing):
    """The largest gradient, as long as all together."""

    name = "largest"

    def aggregate(self, jacobian: Tensor) -> Tensor:
        return len(jacobian) * jacobian[int(jacobian.norm(dim=1).argmax())]


def changed(base: type[Balancing], **attributes: Any) -> type[Balancing]:
    return dataclass(type("Changed", (base,), attributes))


def combine(change: Any) -> type[Balancing]:
    return changed(BySize, combine=lambda self, losses, present=None: change(self, losses, present))


def started_once(self: Any, tasks: Sequence[str], parameters: Sequence[Parameter], seed: int) -> None:
    if not hasattr(self, "last"):
        BySize.start(self, tasks, parameters, seed)
    LossBalancing.start(self, tasks, parameters, seed)


def raises_if_not_finite(self: Any, losses: Tensor, present: Tensor | None) -> Tensor:
    if not bool(losses.isfinite().all()):
        raise ValueError("not finite")
    return BySize.combine(self, losses, present)


def doubled(self: Any, losses: Tensor, present: Tensor | None = None) -> None:
    Largest.backward(self, losses, present)
    for parameter in self.trained:
        parameter.grad = 2 * parameter.grad


def mended(self: Any, losses: Tensor, present: Tensor | None = None) -> None:
    BySize.backward(self, losses, present)
    for parameter in self.trained:
        parameter.grad = parameter.grad.nan_to_num(0, 0, 0)


def without_the_last(self: Any, losses: Tensor, present: Tensor | None = None) -> None:
    BySize.backward(self, losses, present)
    self.trained[-1].grad = None


def grows(self: Any, losses: Tensor, present: Tensor | None) -> Tensor:
    return -BySize.combine(self, losses, present)


def gone_for_good(self: Any, losses: Tensor, present: Tensor | None) -> Tensor:
    if present is not None and bool(present.any()) and not bool(present.all()):
        self.kept = present
    return BySize.combine(self, losses, getattr(self, "kept", present))


def none_ends_it(self: Any, losses: Tensor, present: Tensor | None) -> Tensor:
    if present is not None and not bool(present.any()):
        raise ValueError("no task")
    return BySize.combine(self, losses, present)


def doubled_if_single(self: Any, losses: Tensor, present: Tensor | None = None) -> None:
    BySize.backward(self, losses * (2 if len(losses) == 1 else 1), present)


def longer_where_shared(self: Any, losses: Tensor, present: Tensor | None = None) -> None:
    Largest.backward(self, losses, present)
    tasks = len(losses) if present is None else int(present.sum())
    if tasks > 1 and self.trained[0].ndim > 1:
        self.trained[0].grad = 1.5 * self.trained[0].grad


BROKEN: dict[str, tuple[type[Balancing], str]] = {
    "name": (changed(BySize, name=""), "has a name that is a word"),
    "no gradient": (changed(BySize, backward=without_the_last), "writes the gradient of every parameter"),
    "global generator": (
        combine(lambda self, losses, present: losses @ torch.rand(len(losses))),
        "The same seed gives",
    ),
    "keeps the last training": (changed(BySize, start=started_once), "A new start forgets the last training"),
    "no state": (
        changed(BySize, state=lambda self: {}, restore=lambda self, state: None),
        "goes on from it bit for bit",
    ),
    "not its own": (changed(Largest, backward=doubled), "What a task has for itself gets its own gradient"),
    "scale": (combine(lambda self, losses, present: losses.where(losses > 0, 0).mean()), "Tasks that agree take the"),
    "absent ones count": (
        combine(lambda self, losses, present: BySize.combine(self, losses, None)),
        "The steps with an absent task are those of the others alone",
    ),
    "absent ones end it": (
        changed(BySize, end_epoch=lambda self, losses, present=None: BySize.end_epoch(self, losses / losses, None)),
        "The steps with an absent task are|comes back",
    ),
    "comes back": (combine(gone_for_good), "A task that was absent from the first step on comes back"),
    "none": (combine(none_ends_it), "A step with one task is its own; .*no task|A step with one task.*ValueError"),
    "single": (changed(BySize, backward=doubled_if_single), "A single task, and tasks that share nothing"),
    "all present": (
        combine(lambda self, losses, present: BySize.combine(self, losses, present) * (1 if present is None else 2)),
        "To say that all tasks are present is to say nothing",
    ),
    "shared": (changed(Largest, backward=longer_where_shared), "is what `aggregate` makes of their gradients"),
    "passes": (changed(Largest, passes=1), "Backward passes are counted"),
    "an error": (combine(raises_if_not_finite), "gives gradients that are not finite, and no error"),
    "finite": (changed(BySize, backward=mended), "no error: .*; with a loss of inf, found finite gradients"),
    "does not learn": (combine(grows), "learn: the loss falls"),
    "rows of one task": (
        changed(
            Largest, _shared=lambda self, gradients: [torch.ones(len(one), dtype=torch.bool) for one in gradients[0]]
        ),
        "What a task has for itself gets its own|the rows of one task get its own gradient",
    ),
}


@pytest.mark.parametrize("kind", [BySize, Largest])
def test_what_others_are_made_of_keeps_the_contract(kind: type[Balancing]) -> None:
    before = BALANCINGS.names()
    check_balancing(kind)
    assert BALANCINGS.names() == before


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.thin(3)
def test_a_broken_rule_is_told_in_one_sentence(case: str) -> None:
    kind, rule = BROKEN[case]
    with pytest.raises(AssertionError, match=rule) as found:
        check_balancing(kind, own_scale=case != "scale")
    assert str(found.value).startswith("`Changed` breaks a rule: ")
    assert "\n" not in str(found.value)
