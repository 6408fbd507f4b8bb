"""Tasks: what is predicted, how it is scored.

A kind of task says its loss, its metrics, and what its head has to put out. Classification stands here; other kinds
(dense ones too) are further classes with the same four methods. A kind that also says how several of its tasks are
computed at once makes a step of forty tasks as many operations as one of two.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from mtl_search.errors import FieldError


@dataclass(frozen=True)
class Task(ABC):
    """Something to predict.

    :param name: Its name in results; no ``/`` in it.
    """

    name: str

    headline = "accuracy"
    """The metric that stands for the task where one number is wanted; higher is better."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """A kind with a loss or totals of its own does not inherit another kind's way to compute those of several."""
        super().__init_subclass__(**arguments)
        for one, several in (("loss", "stacked_losses"), ("totals", "stacked_totals")):
            if one in vars(cls) and several not in vars(cls):
                setattr(cls, several, vars(Task)[several])

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "," in self.name:
            raise FieldError("name", "must be a word without `/` and `,`", self.name)

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the head puts out for one sample."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss over a batch, ``[]``. ``output`` is ``[batch, outputs]``, ``target`` is ``[batch]``."""

    @abstractmethod
    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        """Sums over a batch from which :meth:`scores` computes the metrics; sums of several batches may be added."""

    @abstractmethod
    def scores(self, totals: Tensor, samples: int) -> dict[str, float]:
        """The metrics, name -> value, from the summed totals of ``samples`` samples."""

    @property
    def alike(self) -> Hashable:
        """Tasks of one kind for which this is equal are computed at once; by default each by itself.

        Their outputs have one shape, and so have their targets and their totals.
        """
        return self.name

    @classmethod
    def stacked_losses(
        cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0
    ) -> Tensor:
        """The losses of tasks that are :attr:`alike`, ``[tasks]``: each that of :meth:`loss`, which is the default.

        :param outputs: ``[tasks, batch, outputs]``, those of :meth:`loss` stacked; as the targets are.
        """
        parts = zip(tasks, outputs.unbind(), targets.unbind(), strict=True)
        return torch.stack([task.loss(output, target, label_smoothing) for task, output, target in parts])

    @classmethod
    def stacked_totals(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor) -> Tensor:
        """The totals of tasks that are :attr:`alike`, stacked: each those of :meth:`totals`, which is the default."""
        parts = zip(tasks, outputs.unbind(), targets.unbind(), strict=True)
        return torch.stack([task.totals(output, target) for task, output, target in parts])


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes for each sample; cross entropy, accuracy.

    :param classes: Number of classes. Targets are 0 to ``classes - 1``.
    """

    classes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2:
            raise FieldError("classes", "must be at least 2", self.classes)

    @property
    def outputs(self) -> int:
        return self.classes

    @property
    def alike(self) -> Hashable:
        return self.classes

    def loss(self, output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return torch.nn.functional.cross_entropy(output, target, label_smoothing=label_smoothing)

    def totals(self, output: Tensor, target: Tensor) -> Tensor:
        losses = torch.nn.functional.cross_entropy(output, target, reduction="sum")
        correct = (output.argmax(dim=1) == target).sum()
        return torch.stack([correct.double(), losses.double()])

    def scores(self, totals: Tensor, samples: int) -> dict[str, float]:
        correct, losses = totals.tolist()
        return {"accuracy": correct / samples, "loss": losses / samples}

    @classmethod
    def stacked_losses(
        cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0
    ) -> Tensor:
        return _cross_entropies(outputs, targets, label_smoothing).mean(dim=1)

    @classmethod
    def stacked_totals(cls, tasks: Sequence[Self], outputs: Tensor, targets: Tensor) -> Tensor:
        correct = (outputs.argmax(dim=2) == targets).sum(dim=1)
        return torch.stack([correct.double(), _cross_entropies(outputs, targets).double().sum(dim=1)], dim=1)


class Targets(Mapping[str, Tensor]):
    """The targets of all tasks, stacked where tasks are computed at once; a task's own by its name.

    :param places: Name of the task -> number of its group, and its place there.
    :param stacked: Those of each group, ``[tasks, samples, ...]``.
    """

    def __init__(self, places: Mapping[str, tuple[int, int]], stacked: Sequence[Tensor]) -> None:
        self.places, self.stacked = places, stacked

    def __getitem__(self, name: str) -> Tensor:
        group, place = self.places[name]
        return self.stacked[group][place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Targets":
        """The same targets, each group's changed: a part of them, or on another device."""
        return Targets(self.places, [change(of_group) for of_group in self.stacked])


class TaskGroups:
    """Tasks in groups that are computed at once: those of one kind that are :attr:`Task.alike`.

    :param tasks: In the order of their losses.
    :param device: Where they are computed.
    """

    def __init__(self, tasks: Sequence[Task], device: torch.device) -> None:
        groups: dict[Hashable, list[Task]] = {}
        for task in tasks:
            groups.setdefault((type(task), task.alike), []).append(task)
        self.tasks, self.groups = tuple(tasks), list(groups.values())
        grouped = {task.name: (n, place) for n, group in enumerate(self.groups) for place, task in enumerate(group)}
        names = list(grouped)
        self.places = {task.name: grouped[task.name] for task in tasks}
        self.order = torch.tensor([names.index(name) for name in self.places], device=device)
        self.in_order = names == list(self.places)

    def targets(self, of_tasks: Mapping[str, Tensor]) -> Targets:
        """Targets task by task, ``[samples, ...]`` each, as they are computed on."""
        return Targets(self.places, [_stacked(group, of_tasks) for group in self.groups])

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets, label_smoothing: float = 0.0) -> Tensor:
        """The tasks' mean losses over a batch, ``[tasks]``.

        :param targets: From :meth:`targets` of the same tasks.
        """
        found = torch.cat(
            [
                type(group[0]).stacked_losses(group, _stacked(group, outputs).float(), of_group, label_smoothing)
                for group, of_group in zip(self.groups, targets.stacked, strict=True)
            ]
        )
        return found if self.in_order else found.index_select(0, self.order)

    def totals(self, outputs: Mapping[str, Tensor], targets: Targets) -> list[Tensor]:
        """The tasks' totals over a batch, those of each group stacked; those of several batches may be added."""
        return [
            type(group[0]).stacked_totals(group, _stacked(group, outputs).float(), of_group)
            for group, of_group in zip(self.groups, targets.stacked, strict=True)
        ]

    def scores(self, totals: Sequence[Tensor], samples: int) -> dict[str, float]:
        """``"<task>/<metric>"`` -> value, from the summed totals of ``samples`` samples."""
        by_task = Targets(self.places, [of_group.cpu() for of_group in totals])
        return {
            f"{task.name}/{metric}": value
            for task in self.tasks
            for metric, value in task.scores(by_task[task.name], samples).items()
        }


def _stacked(tasks: Sequence[Task], of_tasks: Mapping[str, Tensor]) -> Tensor:
    """What tasks have one by one as one tensor, ``[tasks, ...]``."""
    return torch.stack([of_tasks[task.name] for task in tasks])


def _cross_entropies(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Of every sample, ``[tasks, batch]``, from outputs ``[tasks, batch, classes]``."""
    losses = torch.nn.functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(targets.shape)
