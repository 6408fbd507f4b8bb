"""Samples on their way into a network: where they are held, and the batches that are made of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import Dataset, Split
from mtl_search.datasets._sequences import is_sequences, is_tokens, lengths
from mtl_search.internal.arrays import AT_ONCE, Array, FileArray
from mtl_search.internal.memory import available_bytes
from mtl_search.tasks import Targets, Task, TaskGroups
from mtl_search.training.augmentation import Moves

RESIDENT_SHARE = 0.25
"""Of the free memory of a GPU: a split that takes no more of it is held there. Networks and other trials need room."""
MEMORY_SHARE = 0.1
"""Of the memory that is available to the process: a split in files that takes no more of it is read into memory. Every
trial at the same time reads its own, and a training split and its validation split are two."""

Batch = tuple[Tensor, Targets]
Found = TypeVar("Found")


class DeviceSplit:
    """A split where the network trains: inputs stay as they are, batches are normalised as they are made.

    It is held on the device; where a GPU has no room for it, in the memory of the machine; where that has none either,
    it stays in its files, and every batch is read by itself.

    :param dataset: Gives the mean and deviation of the inputs.
    :param tasks: Whose targets are wanted, in the order of the losses; those of the dataset if left out.
    :param trimmed: Whether batches of sequences are cut to their longest sample; else all are of one length.
    """

    def __init__(
        self,
        split: Split,
        dataset: Dataset,
        device: torch.device,
        tasks: Sequence[Task] | None = None,
        trimmed: bool = True,
    ) -> None:
        self.device, self.groups = device, TaskGroups(dataset.tasks if tasks is None else tasks, device)
        wanted = Split(split.inputs, {name: split.targets[name] for name in self.groups.places})
        self.held = InFiles(wanted, self.groups) if stays_in_files(wanted) else InMemory(wanted, self.groups, device)
        self.resident = self.held.on_device
        of_channels = (-1, *[1] * (split.inputs.ndim - 2)) if split.inputs.ndim == 4 else (-1,)
        self.lengths = torch.from_numpy(lengths(split.inputs)) if trimmed and is_sequences(split.inputs) else None
        self.mean = _tensor(dataset.mean).to(device).view(of_channels)
        self.scale = 1 / _tensor(dataset.std).to(device).view(of_channels)
        self.tokens = is_tokens(split.inputs)
        self.layout = torch.channels_last if split.inputs.ndim == 4 else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.held.inputs)

    @property
    def may_miss(self) -> bool:
        """Whether a target of the split is missing."""
        return any(rule is not None for rule in self.held.rules)

    def batch(self, samples: Tensor | slice, moves: Moves | None = None) -> Batch:
        """Normalised inputs, as :func:`~mtl_search.networks.inputs.opened` takes them, and targets of all tasks.

        :param moves: How these samples are moved, before they are normalised; none if left out.
        """
        return self._made(self._taken(samples), moves)

    def batches(self, order: Tensor, size: int, moves: Moves | None = None) -> Iterator[Batch]:
        """One batch after the other; where the split is not held on the device each is copied there ahead of time.

        :param order: Numbers of the samples.
        :param size: Samples of a batch; the last one takes what is left.
        :param moves: How the samples are moved, in this order.
        """
        parts = (order if self.lengths is not None else order.to(self.held.place)).split(size)
        moved = [None] * len(parts) if moves is None else moves.to(self.device).split(size)
        if self.resident:
            return map(self.batch, parts, moved)
        return map(self._made, one_ahead(map(self._taken, parts), self.device), moved)

    def _taken(self, samples: Tensor | slice) -> Batch:
        """Samples as they are held, on the device; sequences cut to the longest of them.

        :param samples: Numbers of the samples; of sequences on the processor, where the lengths are.
        """
        on_place = samples.to(self.held.place) if isinstance(samples, Tensor) else samples
        inputs, targets = self.held.take(on_place)
        if self.lengths is not None:
            inputs = inputs[:, : int(self.lengths[samples].max())]
        return (inputs, targets) if self.resident else (self._sent(inputs), targets.map(self._sent))

    def _sent(self, held: Tensor) -> Tensor:
        """On the device; nothing waits for the copy, which is made from pinned memory."""
        return held.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else held

    def _made(self, taken: Batch, moves: Moves | None) -> Batch:
        inputs, targets = taken
        if self.tokens:
            return inputs.long(), targets
        if moves is not None:
            inputs = inputs.float() if inputs.dtype == torch.uint16 else inputs  # which torch does not gather
            inputs, targets = moves.apply(inputs), moved(targets, self.groups, moves)
        inputs = inputs.to(torch.float32, copy=True, memory_format=self.layout)
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


class InMemory:
    """Samples in the memory of the device, or of the machine where the device has no room.

    What is in files is read.
    """

    def __init__(self, split: Split, groups: TaskGroups, device: torch.device) -> None:
        inputs = _tensor(split.inputs)
        targets = groups.targets({name: _tensor(values) for name, values in split.targets.items()})
        self.on_device = is_resident(sum(held.nbytes for held in (inputs, *targets.stacked)), device)
        self.place = device if self.on_device else torch.device("cpu")
        self.inputs, self.targets = inputs.to(self.place), targets.map(lambda of_group: of_group.to(self.place))
        self.rules = targets.rules

    def take(self, samples: Tensor | slice) -> Batch:
        """Inputs and targets as they are held: one operation for each group of tasks."""
        return self.inputs[samples], self.targets.map(lambda of_group: of_group[:, samples])


class InFiles:
    """Samples that are read when they are taken."""

    on_device, place = False, torch.device("cpu")

    def __init__(self, split: Split, groups: TaskGroups) -> None:
        self.inputs, self.of_tasks, self.groups = split.inputs, split.targets, groups
        largest = max(values.size // max(1, len(values)) for values in split.targets.values())
        size = max(1, AT_ONCE // max(1, largest))
        starts = range(0, len(split), size)
        self.rules = groups.rules(self._targets(slice(start, start + size)) for start in starts)

    def take(self, samples: Tensor | slice) -> Batch:
        """Inputs and targets, as :class:`InMemory` gives them."""
        rows = samples if isinstance(samples, slice) else samples.numpy()
        return _tensor(self.inputs[rows]), self.groups.targets(self._targets(rows), self.rules)

    def _targets(self, rows: slice | NDArray[np.int64]) -> dict[str, Tensor]:
        return {name: _tensor(values[rows]) for name, values in self.of_tasks.items()}


def stays_in_files(split: Split) -> bool:
    """Whether there is no room in memory for what a split has in files."""
    in_files = [array for array in (split.inputs, *split.targets.values()) if isinstance(array, FileArray)]
    return bool(in_files) and sum(array.nbytes for array in in_files) > MEMORY_SHARE * available_bytes()


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


OF_32_BITS = ("INT_MAX", "integer out of range", "canUse32BitIndexMath")
"""What torch's kernels say where a tensor has more values than they can count."""


class LargestBatch:
    """The batch that networks are scored in: as large as there is memory for, found once in a process.

    :param size: Tried first, and halved for good whenever it is too large for a GPU.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def parts(self, samples: int, work: Callable[[slice], Found], most: int | None = None) -> Iterator[Found]:
        """What ``work`` gives for one part of so many samples after the other.

        :param most: Samples that a part may have, however large the batch; any number if left out.
        :raises RuntimeError: If there is no room for a single sample (:class:`torch.OutOfMemoryError`), or ``work``
            fails in another way.
        """
        start = 0
        while start < samples:
            part = slice(start, min(start + min(self.size, most or self.size), samples))
            try:
                found = work(part)
            except RuntimeError as error:
                if part.stop == start + 1 or not _is_of_size(error):
                    raise
                self.size = (part.stop - start) // 2
                continue
            yield found
            start = part.stop


def _is_of_size(error: RuntimeError) -> bool:
    """Whether a batch was too large: for the memory, or for kernels that count in 32 bits."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in OF_32_BITS)


LARGEST_BATCH = {"cpu": LargestBatch(256), "cuda": LargestBatch(4096)}
"""Kind of device -> the batch. A larger one only leaves the caches of a processor: over six networks on pictures of
36 x 36, 256 takes at most 3 % longer than the best of 128 to 1024, 512 up to 31 %, 1024 up to 2.2 times as long."""
PIXELS_AT_ONCE = 2**20
"""Of the inputs of a batch that a processor scores: 64 features at each in float32 are 256 MiB."""


def most_at_once(inputs: tuple[int, ...], device: torch.device) -> int | None:
    """Samples that may be scored in one batch for the memory that large pictures take; ``None`` for any number.

    A GPU says by itself when its memory is too small.

    :param inputs: Shape of a sample, as :attr:`~mtl_search.datasets.Dataset.input_shape`.
    """
    pixels = inputs[0] if len(inputs) == 2 else math.prod(inputs[1:])
    return None if device.type == "cuda" else max(1, PIXELS_AT_ONCE // pixels)


def _tensor(array: Array) -> Tensor:
    """Read where it is in a file; copied where it lies in memory that workers share and may not write to."""
    held = np.asarray(array)
    return torch.from_numpy(held if held.flags.writeable else held.copy())
