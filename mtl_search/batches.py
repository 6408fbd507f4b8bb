"""Samples on their way into a network: where they are held, and the batches that are made of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mtl_search.augmentation import Moves
from mtl_search.datasets import Dataset, Split
from mtl_search.tasks import Targets, Task, TaskGroups

RESIDENT_SHARE = 0.25
"""Of the free memory of a GPU: a split that takes no more of it is held there. Networks and other trials need room."""

Batch = tuple[Tensor, Targets]
Found = TypeVar("Found")


class DeviceSplit:
    """A split where the network trains: inputs stay uint8, batches are normalised as they are made.

    It is held on the device; where a GPU has no room for it, in the memory of the machine.

    :param dataset: Gives the mean and deviation of the inputs.
    :param tasks: Whose targets are wanted, in the order of the losses; those of the dataset if left out.
    """

    def __init__(
        self, split: Split, dataset: Dataset, device: torch.device, tasks: Sequence[Task] | None = None
    ) -> None:
        self.device, self.groups = device, TaskGroups(dataset.tasks if tasks is None else tasks, device)
        inputs = _tensor(split.inputs)
        targets = self.groups.targets({name: _tensor(split.targets[name]) for name in self.groups.places})
        self.resident = is_resident(sum(held.nbytes for held in (inputs, *targets.stacked)), device)
        place = device if self.resident else torch.device("cpu")
        self.inputs, self.targets = inputs.to(place), targets.map(lambda of_group: of_group.to(place))
        self.mean = _tensor(dataset.mean).to(device).view(-1, 1, 1)
        self.scale = 1 / _tensor(dataset.std).to(device).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, samples: Tensor | slice, moves: Moves | None = None) -> Batch:
        """Normalised inputs ``[batch, channels, height, width]`` and the targets of all tasks.

        :param moves: Of these samples, while they are still uint8; none if left out.
        """
        return self._made(self._taken(samples), moves)

    def batches(self, order: Tensor, size: int, moves: Moves | None = None) -> Iterator[Batch]:
        """One batch after the other; where the split is not held on the device each is copied there ahead of time.

        :param order: Numbers of the samples.
        :param size: Of a batch; the last one takes what is left.
        :param moves: Of the samples, in this order.
        """
        parts = order.to(self.inputs.device).split(size)
        moved = [None] * len(parts) if moves is None else moves.to(self.device).split(size)
        if self.resident:
            return map(self.batch, parts, moved)
        return map(self._made, one_ahead(map(self._taken, parts), self.device), moved)

    def _taken(self, samples: Tensor | slice) -> Batch:
        """Samples as they are held, on the device: one operation for each group of tasks."""
        inputs, targets = self.inputs[samples], self.targets.map(lambda of_group: of_group[:, samples])
        return (inputs, targets) if self.resident else (self._sent(inputs), targets.map(self._sent))

    def _sent(self, held: Tensor) -> Tensor:
        """On the device; nothing waits for the copy, which is made from pinned memory."""
        return held.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else held

    def _made(self, taken: Batch, moves: Moves | None) -> Batch:
        inputs, targets = taken
        if moves is not None:
            inputs, targets = moves.apply(inputs), moved(targets, self.groups, moves)
        inputs = inputs.to(torch.float32, memory_format=torch.channels_last)
        return inputs.sub_(self.mean).mul_(self.scale), targets


def moved(targets: Targets, groups: TaskGroups, moves: Moves) -> Targets:
    """The targets of moved pictures: maps move alike, and what comes in is missing; others are as they were."""
    stacked, rules = [], []
    for tasks, of_group, rule in zip(groups.groups, targets.stacked, targets.rules, strict=True):
        kind = type(tasks[0])
        if kind.dense:
            of_group = _moved_maps(kind, of_group, moves)
            rule = kind.known if moves.shift else rule
        stacked.append(of_group)
        rules.append(rule)
    return targets.replaced(stacked, rules)


def _moved_maps(kind: type[Task], maps: Tensor, moves: Moves) -> Tensor:
    """``[tasks, batch, ..., height, width]``, the nearest pixels taken as they are."""
    if not maps.is_floating_point():
        maps = maps.long()
    by_sample = maps.movedim(1, 0)
    missing = math.nan if maps.is_floating_point() else -1
    found = moves.apply(by_sample.flatten(1, -3), missing).view_as(by_sample)
    turned = moves.mirrored.view(-1, *[1] * (found.ndim - 1))
    return torch.where(turned, kind.mirrored(found), found).movedim(0, 1)


def is_resident(size: int, device: torch.device) -> bool:
    """Whether a split of so many bytes is held on the device."""
    return device.type != "cuda" or size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def one_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches, each begun before the one ahead of it is given out.

    On a GPU they are copied on a stream of their own, while the batch before is computed on.
    """
    aside = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begun() -> Batch | None:
        with nullcontext() if aside is None else torch.cuda.stream(aside):
            return next(batches, None)

    coming = begun()
    while coming is not None:
        arrived = coming
        if aside is not None:
            _hand_over(arrived, aside)
        coming = begun()
        yield arrived


def _hand_over(batch: Batch, aside: torch.cuda.Stream) -> None:
    """What is computed from now on waits for what was copied, whose memory is kept until that is done."""
    now = torch.cuda.current_stream(aside.device)
    now.wait_stream(aside)
    inputs, targets = batch
    for tensor in (inputs, *targets.stacked):
        tensor.record_stream(now)


class LargestBatch:
    """The batch that networks are scored in: as large as there is memory for, found once in a process.

    :param size: Tried first, and halved for good whenever the memory of a GPU is too small.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def parts(self, samples: int, work: Callable[[slice], Found]) -> Iterator[Found]:
        """What ``work`` gives for one part of so many samples after the other.

        :raises torch.OutOfMemoryError: If there is no room for a single sample.
        """
        start = 0
        while start < samples:
            part = slice(start, min(start + self.size, samples))
            try:
                found = work(part)
            except torch.OutOfMemoryError:
                if part.stop == start + 1:
                    raise
                self.size = (part.stop - start) // 2
                continue
            yield found
            start = part.stop


LARGEST_BATCH = {"cpu": LargestBatch(256), "cuda": LargestBatch(4096)}
"""Kind of device -> the batch. A larger one only leaves the caches of a processor: over six networks on pictures of
36 x 36, 256 takes at most 3 % longer than the best of 128 to 1024, 512 up to 31 %, 1024 up to 2.2 times as long."""


def _tensor(array: np.typing.NDArray[np.generic]) -> Tensor:
    """Copied where it lies in memory that workers share and may not write to."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())
