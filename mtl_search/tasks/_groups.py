"""Tasks in groups that are computed at once, and their targets."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mtl_search.tasks._task import Task

Known = Callable[[Any], Any]
"""Says which targets are there."""


class Targets(Mapping[str, Tensor]):
    """The targets of all tasks, stacked where tasks are computed at once; a task's own by its name.

    :param places: Name of the task -> number of its group, and its place there.
    :param stacked: Targets of each group, ``[tasks, samples, ...]``.
    :param rules: For each group the rule that says which targets are there; ``None`` where none is missing in the whole
        split.
    """

    def __init__(
        self, places: Mapping[str, tuple[int, int]], stacked: Sequence[Tensor], rules: Sequence[Known | None]
    ) -> None:
        self.places, self.stacked, self.rules = places, stacked, rules

    def __getitem__(self, name: str) -> Tensor:
        group, place = self.places[name]
        return self.stacked[group][place]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def replaced(self, stacked: Sequence[Tensor], rules: Sequence[Known | None]) -> "Targets":
        """Other targets of the same tasks."""
        return Targets(self.places, stacked, rules)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Targets":
        """The same targets, each group's changed: a part of them, or on another device."""
        return Targets(self.places, [change(of_group) for of_group in self.stacked], self.rules)

    @property
    def may_miss(self) -> bool:
        """Whether a target of the split that these come from is missing."""
        return any(rule is not None for rule in self.rules)

    @cached_property
    def known(self) -> list[Tensor | None]:
        """Of each group which targets are there; ``None`` where all of the whole split are."""
        parts = zip(self.rules, self.stacked, strict=True)
        return [None if rule is None else rule(of_group) for rule, of_group in parts]

    @cached_property
    def present(self) -> Tensor | None:
        """Which tasks have a target here, ``[tasks]`` bool, on their device; ``None`` where all of the split are."""
        if not self.may_miss:
            return None
        found = [
            of_group.new_ones(len(of_group), dtype=torch.bool) if known is None else known.flatten(1).any(dim=1)
            for known, of_group in zip(self.known, self.stacked, strict=True)
        ]
        return torch.stack([found[group][place] for group, place in self.places.values()])


class TaskGroups:
    """Tasks in groups that are computed at once: those of one kind that are :attr:`Task.alike`.

    :param tasks: The tasks, in the order of their losses.
    :param device: Device that losses are computed on.
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

    def targets(self, of_tasks: Mapping[str, Tensor], rules: Sequence[Known | None] | None = None) -> Targets:
        """Targets task by task, ``[samples, ...]`` each, as they are computed on.

        Looks at all of them for missing ones, so that nothing has to in a step.

        :param rules: What was found of the whole split that these are a part of, by :meth:`rules`.
        """
        prepared = {task.name: task.prepared(of_tasks[task.name]) for task in self.tasks}
        stacked = [_stacked(group, prepared) for group in self.groups]
        if rules is None:
            every = [type(group[0]).known for group in self.groups]
            complete = [bool(rule(of_group).all()) for rule, of_group in zip(every, stacked, strict=True)]
            rules = [None if whole else rule for rule, whole in zip(every, complete, strict=True)]
        return Targets(self.places, stacked, rules)

    def rules(self, parts: Iterable[Mapping[str, Tensor]]) -> list[Known | None]:
        """Of each group what says which targets are there; ``None`` where none is missing in any part of a split."""
        found: list[Known | None] = [None] * len(self.groups)
        for of_tasks in parts:
            in_part = self.targets(of_tasks).rules
            found = [before or rule for before, rule in zip(found, in_part, strict=True)]
        return found

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets, label_smoothing: float = 0.0) -> Tensor:
        """The tasks' mean losses over a batch, ``[tasks]``.

        :param targets: Targets of a batch, from :meth:`targets` of the same tasks.
        """
        found = torch.cat(
            [
                type(group[0]).stacked_losses(group, _stacked(group, outputs).float(), of_group, label_smoothing, known)
                for group, of_group, known in zip(self.groups, targets.stacked, targets.known, strict=True)
            ]
        )
        return found if self.in_order else found.index_select(0, self.order)

    def totals(self, outputs: Mapping[str, Tensor], targets: Targets) -> list[Tensor]:
        """The tasks' totals over a batch, those of each group stacked; those of several batches may be added."""
        return [
            type(group[0]).stacked_totals(group, _stacked(group, outputs).float(), of_group)
            for group, of_group in zip(self.groups, targets.stacked, strict=True)
        ]

    def scores(self, totals: Sequence[Tensor]) -> dict[str, float]:
        """``"<task>/<metric>"`` -> value, from summed totals. A task without any target has no scores."""
        by_task = Targets(self.places, [of_group.cpu() for of_group in totals], [None] * len(totals))
        return {
            f"{task.name}/{metric}": value
            for task in self.tasks
            for metric, value in task.scores(by_task[task.name]).items()
        }


def _stacked(tasks: Sequence[Task], of_tasks: Mapping[str, Tensor]) -> Tensor:
    """What tasks have one by one as one tensor, ``[tasks, ...]``."""
    return torch.stack([of_tasks[task.name] for task in tasks])
