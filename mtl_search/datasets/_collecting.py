"""Arrays of any library, and samples one by one, as arrays of numpy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from mtl_search.datasets._tables.frames import is_frame, is_series, plain
from mtl_search.errors import DatasetError

Collected = tuple[NDArray[Any], dict[str, NDArray[Any]]]
"""Inputs ``[samples, ...]``, and the targets of every task, ``[samples, ...]``."""
PAIR = "must be a pair of an input and a mapping from each task to its target, `(input, {task: target})`"


def as_array(values: Any, title: str) -> NDArray[Any]:
    """An array of numpy: of one as it is, of a tensor, a column of pandas, a list.

    :param title: What it is, for messages.
    :raises DatasetError: If it is none, with what helps.
    """
    if isinstance(values, torch.Tensor):
        return _of_tensor(values, title)
    if is_series(values):
        return plain(values, title)
    if is_frame(values):
        values = values.to_numpy()
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise DatasetError(f"{title}: is masked: say what is missing, as `.filled(-1)` or `.filled(numpy.nan)` do.")
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise DatasetError(f"{title}: must be an array, but its rows differ in shape: make them alike.") from error
    return plain(found.tolist(), title) if found.dtype == object and found.ndim == 1 else found


def _of_tensor(values: torch.Tensor, title: str) -> NDArray[Any]:
    if values.layout is not torch.strided:
        raise DatasetError(f"{title}: is a sparse tensor: give `.to_dense()` of it.")
    if values.is_quantized:
        raise DatasetError(f"{title}: is a quantized tensor: give `.dequantize()` of it.")
    found = values.detach().cpu().resolve_conj().resolve_neg()
    return np.asarray((found.float() if found.dtype is torch.bfloat16 else found).numpy())


def collected(data: Any) -> Collected:
    """The samples of a dataset of torch, or of any iterable of ``(input, {task: target})``, each taken once.

    A task that a sample does not name, or whose target is ``None``, has no label there.

    :raises DatasetError: If it gives no samples, or one is of another form; the message says the number of the sample.
    """
    samples, count = _samples(data)
    room: NDArray[Any] | None = None
    inputs: list[NDArray[Any]] = []
    targets: dict[str, list[Any]] = {}
    number = -1
    for number, sample in enumerate(samples):
        one, of_tasks = _checked(sample, number)
        first = room[0] if room is not None else inputs[0] if inputs else one
        if (one.dtype, one.shape) != (first.dtype, first.shape):
            raise DatasetError(
                f"sample {number}: its input is {one.dtype} {list(one.shape)}, that of sample 0 {first.dtype} "
                f"{list(first.shape)}: bring all of them to one type and shape."
            )
        if count is None:
            inputs.append(one)
        else:
            room = np.empty((count, *one.shape), one.dtype) if room is None else room
            room[number] = one
        for name, target in of_tasks.items():
            known = targets.setdefault(name, [])
            known += [None] * (number - len(known))
            known.append(target)
    if number < 0:
        raise DatasetError("there are no samples.")
    for known in targets.values():
        known += [None] * (number + 1 - len(known))
    made = np.stack(inputs) if room is None else room
    return made, {name: _stacked(name, known) for name, known in targets.items()}


def _samples(data: Any) -> tuple[Iterable[Any], int | None]:
    """The samples, and how many they are where that is known."""
    if isinstance(data, DataLoader):
        raise DatasetError("a DataLoader gives batches, not samples: give the dataset that it loads, its `.dataset`.")
    if isinstance(data, TorchDataset) and not isinstance(data, IterableDataset):
        count = len(data)  # type: ignore[arg-type] # those that are no IterableDataset have one
        return (data[number] for number in range(count)), count
    if not isinstance(data, Iterable) or isinstance(data, str | bytes):
        raise DatasetError(
            f"data must be a frame of pandas, arrays with their targets, a dataset of torch, or samples, but got a "
            f"{type(data).__name__}."
        )
    return data, len(data) if isinstance(data, Sequence) else None


def _checked(sample: Any, number: int) -> tuple[NDArray[Any], Mapping[str, Any]]:
    """Input and targets of a sample."""
    if not isinstance(sample, tuple | list) or len(sample) != 2 or not isinstance(sample[1], Mapping):
        found = ", ".join(type(part).__name__ for part in sample) if isinstance(sample, tuple | list) else ""
        raise DatasetError(f"sample {number}: {PAIR}, but got a {type(sample).__name__}{found and f' of {found}'}.")
    title = f"sample {number}, task"
    return as_array(sample[0], f"sample {number}, input"), {
        name: None if target is None else _target(target, f"{title} `{name}`") for name, target in sample[1].items()
    }


def _target(value: Any, title: str) -> Any:
    """A number or a text by itself, or an array."""
    if isinstance(value, str | int | float):
        return value
    found = as_array(value, title)
    return found.item() if found.ndim == 0 else found


def _stacked(name: str, values: Sequence[Any]) -> NDArray[Any]:
    """The targets of a task, those that are missing filled with what stands for that."""
    title = f"targets of task `{name}`"
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if not arrays:
        return plain(list(values), title)
    odd = next(_odd(values, arrays[0].shape), None)
    if odd is not None:
        raise DatasetError(f"sample {odd}: {title} must all be of the shape {list(arrays[0].shape)}.")
    if len(arrays) == len(values):
        return np.stack(arrays)
    kind = np.result_type(*{one.dtype for one in arrays})
    gone: Any = np.nan if kind.kind == "f" else -1
    kind = kind if kind.kind == "f" else np.result_type(kind, np.int8)
    return np.stack([np.full(arrays[0].shape, gone, kind) if one is None else one.astype(kind) for one in values])


def _odd(values: Sequence[Any], shape: tuple[int, ...]) -> Iterator[int]:
    """Numbers of the samples whose target is neither missing nor of a shape."""
    return (n for n, value in enumerate(values) if value is not None and np.shape(value) != shape)
