"""Methods that each break one rule, and the sentence that says which."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_search.methods import Method, MethodContext, TrainedModel
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.networks.paths import PathNetwork
from mtl_search.testing import check_method
from mtl_search.training.optimiser import Group
from mtl_search.training.trainer import Epoch, Trainer


class Wrapped(nn.Module):
    """A network whose outputs are changed."""

    def __init__(self, network: nn.Module, change: Any) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.change(self.network(x, only))
        return found


class WithoutOnly(Wrapped):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return super().forward(x)


class All(Wrapped):
    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        return super().forward(x)


class ByName(Wrapped):
    """Holds a part of each task by the task's name."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__(network, same)
        self.parts = nn.ModuleDict({name: nn.Identity() for name in names})


class Outside(Wrapped):
    """Learns what it has not registered."""

    def __init__(self, network: nn.Module, change: Any) -> None:
        super().__init__(network, change)
        self.shifts = [torch.zeros(1, requires_grad=True)]

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        return {name: one + self.shifts[0] for name, one in super().forward(x, only).items()}


class Remembering(Wrapped):
    """Remembers what its state does not hold."""

    seen = 0.0

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        self.seen += float(self.training)
        return {name: one + self.seen for name, one in super().forward(x, only).items()}


class Changing(Wrapped):
    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        return super().forward(x.mul_(0.5), only)


class Branching(Wrapped):
    """What it does depends on the largest number of a sample, of those of a batch that are alike."""

    def forward(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, Tensor]:
        return super().forward(x if x.max() < 1000 else -x, only)


def same(outputs: Any) -> Any:
    return outputs


def changed(**attributes: Any) -> type[Method]:
    """Hard sharing with other attributes."""
    return dataclass(frozen=True)(type("Changed", (HardSharing,), attributes))


def outputs(change: Any, network: type[Wrapped] = Wrapped) -> type[Method]:
    return changed(build=lambda self, problem: network(HardSharing.build(self, problem), change))


def backwards(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(reversed(outputs.items()))


def with_idle_weights(self: Any, problem: MethodContext) -> nn.Module:
    model = HardSharing.build(self, problem)
    model.idle = nn.Parameter(torch.ones(3))
    return model


def drawn_anew(self: Any, problem: MethodContext) -> nn.Module:
    model = HardSharing.build(self, problem)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def trained(details: Any = None, **settings: Any) -> Any:
    def train(self: Any, problem: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        model = self.build(problem)
        yield from problem.with_training(**settings).trainer(model).epochs()
        return TrainedModel(model, details or {})

    return train


def trained_in_another_group(self: Any, problem: MethodContext) -> Generator[Epoch, None, TrainedModel]:
    model = self.build(problem)
    groups = [Group(list(model.parameters()), rate=2.0)]
    yield from Trainer(model, problem.tasks, problem.dataset, problem.training, problem.seed, groups).epochs()
    return TrainedModel(model)


def warmed_up_afterwards(self: Any, problem: MethodContext) -> Generator[Epoch, None, TrainedModel]:
    model = self.build(problem)
    yield from problem.trainer(model).epochs()
    yield Epoch(1, 1.0, 64, 0.1, 1, "afterwards")
    return TrainedModel(model)


def without_work(self: Any, problem: MethodContext) -> Generator[Epoch, None, TrainedModel]:
    finished = HardSharing.train(self, problem)
    while True:
        try:
            epoch = next(finished)
        except StopIteration as end:
            return end.value
        yield Epoch(epoch.number, epoch.loss, epoch.samples, epoch.seconds, 0)


def rebuilt_with_another_seed(self: Any, problem: MethodContext, details: Mapping[str, Any]) -> nn.Module:
    return PathNetwork(
        problem.backbone, [(n,) * len(problem.shapes) for n, _ in enumerate(problem.tasks)], problem.tasks
    )


def ends_if(condition: Any) -> Any:
    """A training that ends with an error for some problems."""

    def train(self: Any, problem: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        if condition(problem):
            raise ValueError("not for this")
        return (yield from HardSharing.train(self, problem))

    return train


def idle_with_maps(self: Any, problem: MethodContext) -> nn.Module:
    return (with_idle_weights if any(task.dense for task in problem.tasks) else HardSharing.build)(self, problem)


def scaled_with_maps(self: Any, problem: MethodContext) -> nn.Module:
    model = HardSharing.build(self, problem)
    if not any(task.dense for task in problem.tasks):
        return model
    return Wrapped(model, lambda found: {name: one * len(found) for name, one in found.items()})


BROKEN: dict[str, tuple[type[Method], str]] = {
    "order of tasks": (outputs(backwards), "in the order of the tasks; with 2 tasks on a plain backbone"),
    "shape": (outputs(lambda found: {name: one[:, :2] for name, one in found.items()}), "one output for each task"),
    "idle weights": (changed(build=with_idle_weights), r"Every parameter .* no output depends on \['idle'\]"),
    "gradients of zeros": (
        outputs(lambda found: {name: one * (name != "b") for name, one in found.items()}),
        "none that is zero; .* gradients of zeros for",
    ),
    "only": (outputs(same, All), "takes the names of tasks as `only`"),
    "names": (
        changed(build=lambda self, one: ByName(HardSharing.build(self, one), [task.name for task in one.tasks])),
        "A task may have any name, .* north.wind",
    ),
    "weights outside": (outputs(same, Outside), r"found weights \[1\] that are no parameters: nn.ModuleList"),
    "a batch as a whole": (
        outputs(lambda found: {name: one - one.mean(dim=0) / 2 for name, one in found.items()}),
        "In evaluation the outputs of a sample depend on that sample",
    ),
    "changed inputs": (outputs(same, Changing), "and inputs are not changed; .*, of the inputs"),
    "outside of the state": (outputs(same, Remembering), "takes the weights that were kept, parameters and buffers"),
    "branches": (outputs(same, Branching), "A trained network can be exported"),
    "ends with nothing": (
        changed(train=lambda self, problem: (epoch for epoch in HardSharing.train(self, problem))),
        "returns the network that is measured as a TrainedModel; .* found NoneType",
    ),
    "no only": (outputs(same, WithoutOnly), "says `macs_of_one_task` itself"),
    "other tasks alone": (
        outputs(lambda found: {name: one * len(found) for name, one in found.items()}),
        "puts out these alone, as with all",
    ),
    "seed": (changed(build=drawn_anew), "The same seed trains the same network"),
    "no seed": (
        changed(
            train=lambda self, problem: HardSharing.train(
                self, type(problem)(problem.backbone, problem.dataset, problem.training, 0)
            )
        ),
        "another seed another one",
    ),
    "budget": (changed(train=trained(epochs=3)), "with the optimiser, samples, learning rates and weight decay"),
    "learning rate": (changed(train=trained(learning_rate=0.1)), "of the budget's steps"),
    "groups": (changed(train=trained_in_another_group), "with the optimiser, samples"),
    "phases": (changed(train=warmed_up_afterwards), "those of `training` are the last ones"),
    "work": (changed(train=without_work), "Epochs name their phase and count"),
    "details": (changed(train=trained({"network": nn.Identity()})), "is plain data for JSON"),
    "cost of one": (changed(macs_of_one_task=lambda self, model, problem: 10**9), "and no more than all tasks"),
    "maps": (
        outputs(lambda found: {name: one[..., :5] for name, one in found.items()}),
        "The output of a dense task is a map as large as the input",
    ),
    "rebuilt": (changed(rebuild=rebuilt_with_another_seed), "`rebuild` gives the network from the details"),
    "three tasks": (changed(train=ends_if(lambda one: not one.backbone.stem)), "Any number of tasks can be trained"),
    "missing labels": (changed(train=ends_if(lambda one: one.training.batch_size == 8)), "Where labels are missing"),
    "idle with maps": (changed(build=idle_with_maps), "With dense tasks, too, every parameter"),
    "maps alone": (changed(build=scaled_with_maps), "With dense tasks, too, a network that takes `only`"),
    "rows": (changed(train=ends_if(lambda one: one.backbone.kind == "vector")), "on the rows of a table, and rebuilt"),
    "one task of several": (
        changed(build=lambda self, problem: HardSharing.build(self, problem) if len(problem.tasks) > 1 else 1 / 0),
        "ZeroDivisionError",
    ),
}


def test_what_others_are_made_of_keeps_the_contract() -> None:
    check_method(changed())


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.thin(4)
def test_a_broken_rule_is_told_in_one_sentence(case: str) -> None:
    kind, rule = BROKEN[case]
    with pytest.raises(AssertionError, match=rule) as found:
        check_method(kind)
    assert str(found.value).startswith("`Changed` breaks a rule: ")
    assert "\n" not in str(found.value)


def test_a_method_for_pictures_alone_is_checked_on_them_alone() -> None:
    def build(self: Any, problem: MethodContext) -> nn.Module:
        if problem.backbone.kind == "vector" or any(task.dense for task in problem.tasks):
            raise NotImplementedError("pictures only")
        return HardSharing.build(self, problem)

    check_method(changed(build=build), maps=False, rows=False)
    with pytest.raises(AssertionError, match="NotImplementedError: pictures only"):
        check_method(changed(build=build), maps=False)
