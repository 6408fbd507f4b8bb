"""A dataset of what is in memory: a frame, arrays, a dataset of torch, samples one by one."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mtl_search.datasets import SPLITS, Dataset
from mtl_search.datasets._archives import Archive
from mtl_search.datasets._collecting import as_array, collected
from mtl_search.datasets._declared import FOLLOW, expanded, matching
from mtl_search.datasets._saving import kind_name
from mtl_search.datasets._splits import split_columns
from mtl_search.datasets._tables.frames import category_order, is_frame, joined_frames, table_of
from mtl_search.datasets.arrays import Arrays
from mtl_search.datasets.table import TableFile
from mtl_search.errors import DatasetError, UserError, suggestion
from mtl_search.internal.options import build
from mtl_search.tasks import Task

TITLE = "dataset_from"
"""What messages begin with, in place of a file."""
Tasks = Sequence[str | Task] | Mapping[str, Any]


def dataset_from(
    data: Any,
    targets: Mapping[str, Any] | None = None,
    *,
    tasks: Tasks | None = None,
    inputs: Sequence[str] | None = None,
    split: Any = None,
    missing_inputs: str | None = None,
    categories: Sequence[str] = (),
    exclude: Sequence[str] = (),
    channels: str | None = None,
    layout: str | None = None,
    name: str = "data",
) -> Dataset:
    """A dataset of what is in memory, to be searched: ``search(space, dataset_from(...))``.

    What is read of it is what the datasets ``table`` and ``arrays`` read of files; kinds of tasks are found as there.
    Missing labels are NaN, ``None``, and -1 in whole numbers that are classes.

    :param data: A frame of pandas, whose columns are inputs and tasks; or an array or tensor of inputs, ``[samples,
        features]`` or images, with ``targets``; or a ``torch.utils.data.Dataset``, or any iterable, of ``(input, {task:
        target})``. Or a mapping of ``train``, ``val`` and ``test`` to such ones, each frames or datasets.
    :param targets: Name -> array, ``[samples, ...]``, beside an array of inputs.
    :param tasks: Names of columns or targets, or patterns of a frame's columns (``label_*``); or a mapping from the
        name of a task to its kind, to a mapping of ``kind`` and options, or to a task of
        :func:`~mtl_search.make_task`; or a list of such tasks. All targets if left out; a frame needs it.
    :param inputs: Columns of a frame that are inputs; all that are no task and no split if left out.
    :param split: Which rows are which, as an experiment says it: name of a column of ``train``, ``val`` and ``test``,
        rows ``{train: [0, 1], ...}``, or ``{val: 0.15, test: 0.15, seed: 0, stratify: task, group: column}`` to draw
        them, which is done if it is left out.
    :param missing_inputs: What fills empty inputs of a frame: the training ``mean``, or ``zero``; refused if left out.
    :param categories: Columns of a frame whose numbers are names, beside those of the type ``category``.
    :param exclude: Columns of a frame, or patterns of them, that are no inputs.
    :param channels: Which axis of images the channels are, ``first`` or ``last``; found from its size if left out.
    :param layout: ``sequence`` for an array of sequences: whole numbers ``[samples, length]`` are tokens, -1 where
        padded; others are ``[samples, length, channels]``, NaN where padded. Padding is at the end.
    :param name: What the dataset, and a search of it, is called.
    :raises DatasetError: If something in it is of no use; the message names the row, and the column or the task.
    """
    try:
        if isinstance(data, Mapping):
            _check_splits(data, targets, split)
            data, targets, split = _joined(data)
        if is_frame(data):
            made = _of_frame(data, targets, tasks, inputs, split, missing_inputs, categories, exclude)
        else:
            if targets is None:
                _check_samples(data)
                data, targets = collected(data)
            made = _of_arrays(data, targets, tasks, split, channels, layout)
    except UserError as error:
        text = str(error).replace("`dataset.", "`").removeprefix(f"{TITLE}: ").removeprefix(f"{TITLE}, ")
        raise DatasetError(f"{TITLE}: {text}") from error
    return dataclasses.replace(made, name=name)


def _check_splits(data: Mapping[Any, Any], targets: Any, split: Any) -> None:
    if set(data) != set(SPLITS):
        found = ", ".join(map(str, data)) or "nothing"
        raise DatasetError(f"a mapping must hold data for {', '.join(SPLITS)}, but this one holds {found}.")
    if targets is not None or split is not None:
        raise DatasetError("beside a mapping of splits there must be no `targets` and no `split`: leave them out.")


def _check_samples(data: Any) -> None:
    if isinstance(data, np.ndarray | torch.Tensor):
        raise DatasetError("arrays need their targets: say `dataset_from(inputs, {task: targets})`.")


def _joined(data: Mapping[str, Any]) -> tuple[Any, dict[str, NDArray[Any]] | None, dict[str, list[int]]]:
    """The data of all splits one after the other, their targets, and the rows of each."""
    ordered = {split: data[split] for split in SPLITS}
    if all(is_frame(one) for one in ordered.values()):
        return joined_frames(ordered), None, _rows(ordered)
    made = {}
    for split, one in ordered.items():
        try:
            _check_samples(one)
            made[split] = collected(one)
        except DatasetError as error:
            raise DatasetError(f"split `{split}`: {error}") from error
    names = list(dict.fromkeys(name for _, targets in made.values() for name in targets))
    for split, (_, targets) in made.items():
        lacking = next((name for name in names if name not in targets), None)
        if lacking is not None:
            raise DatasetError(f"split `{split}`: no sample has a target of task `{lacking}`.")
    shapes = {split: inputs.shape[1:] for split, (inputs, _) in made.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{list(shape)} in {split}" for split, shape in shapes.items())
        raise DatasetError(f"inputs of all splits must be of one shape, but they are {found}.")
    targets = {name: np.concatenate([targets[name] for _, targets in made.values()]) for name in names}
    return np.concatenate([inputs for inputs, _ in made.values()]), targets, _rows({s: i for s, (i, _) in made.items()})


def _rows(parts: Mapping[str, Any]) -> dict[str, list[int]]:
    """The rows of each split, where one follows the other."""
    ends = np.cumsum([len(part) for part in parts.values()]).tolist()
    return {split: list(range(end - len(part), end)) for (split, part), end in zip(parts.items(), ends, strict=True)}


def _of_frame(
    frame: Any,
    targets: Mapping[str, Any] | None,
    tasks: Tasks | None,
    inputs: Sequence[str] | None,
    split: Any,
    missing_inputs: str | None,
    categories: Sequence[str],
    exclude: Sequence[str],
) -> Dataset:
    if targets is not None:
        raise DatasetError(
            "the tasks of a frame are columns of it: add the targets as columns, and name them in `tasks`."
        )
    if tasks is None:
        raise DatasetError("say which columns are to be predicted: `tasks=[...]`.")
    columns = [str(column) for column in frame.columns]
    declared = _declarations(expanded(tasks, columns, TITLE) if _are_names(tasks) else tasks)
    orders = category_order(frame)
    declared = {task: _in_order(task, one, orders) for task, one in declared.items()}
    of_tasks = {column for task, one in declared.items() for column in _columns(task, one)}
    used = {*(inputs or ()), *of_tasks, *split_columns(split, list(frame.columns))}
    table = table_of(frame, TITLE, used if inputs is not None and used <= {*frame.columns} else None)
    outside = of_tasks | split_columns(split, table.columns)
    outside |= {name for given in exclude for name in matching(given, table.columns, "dataset.exclude", TITLE)}
    names = [column for column in (table.columns if inputs is None else inputs) if column not in outside]
    typed = [column for column in names if column in orders and column not in categories]
    options = {"split": split, "missing_inputs": missing_inputs, "inputs": inputs if inputs is None else [*inputs]}
    options |= {"tasks": declared, "categories": (*categories, *typed), "exclude": tuple(exclude), "file": TITLE}
    return build(TableFile, options, "dataset", TITLE).of(table)


def _are_names(tasks: Tasks) -> bool:
    """Whether tasks are a list of the names of columns alone, of which some may be patterns."""
    return not isinstance(tasks, str | Mapping) and all(isinstance(one, str) for one in tasks)


def _columns(task: str, declared: Any) -> list[str]:
    """The columns where the targets of a task stand."""
    found = dict(declared) if isinstance(declared, Mapping) else {}
    return [*found.get("columns", [found.get("column", task)])]


def _in_order(task: str, declared: Any, orders: Mapping[str, list[str]]) -> Any:
    """A task whose column is of the type ``category`` has the categories as its classes, in the order of the type."""
    said = dict(declared) if isinstance(declared, Mapping) else {"kind": declared}
    (column, *more) = _columns(task, declared)
    if more or column not in orders or "classes" in said or said.get("kind") not in (None, "classification", "binary"):
        return declared
    classes = orders[column]
    if len(classes) < 2:
        return declared
    return {
        **said,
        "kind": said.get("kind") or ("binary" if len(classes) == 2 else "classification"),
        "classes": classes,
    }


def _of_arrays(
    inputs: Any,
    targets: Mapping[str, Any],
    tasks: Tasks | None,
    split: Any,
    channels: str | None,
    layout: str | None,
) -> Dataset:
    if not isinstance(targets, Mapping) or not targets:
        raise DatasetError("targets must be a mapping from the name of each task to its array, `{task: targets}`.")
    name = next(name for name in ("inputs", "the inputs") if name not in targets)
    arrays = {name: as_array(inputs, "inputs")}
    arrays |= {task: as_array(values, f"targets `{task}`") for task, values in targets.items()}
    if tasks is None:
        tasks = [task for task in targets if task not in split_columns(split, list(targets))]
    options = {"tasks": _declarations(tasks), "inputs": name, "split": split, "file": TITLE}
    options |= {"channels": channels, "layout": layout}
    return build(Arrays, options, "dataset", TITLE).of(InMemory(Path(TITLE), tuple(arrays), arrays=arrays))


@dataclass(frozen=True)
class InMemory(Archive):
    """Arrays as an archive holds them.

    :param arrays: Name -> the array.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def array(self, name: str, key: str) -> NDArray[Any]:
        if name not in self.arrays:
            raise DatasetError(f"there is no array `{name}` for `{key}`.{suggestion(name, self.columns)}")
        found, title = self.arrays[name], self.title(name)
        if 0 in found.shape or not found.shape:
            raise DatasetError(f"{title}: must have rows and hold something, but its shape is {list(found.shape)}.")
        if self.rows and len(found) != self.rows:
            raise DatasetError(f"{title}: must have a row for each of the {self.rows} inputs, but has {len(found)}.")
        return found

    def rows_of(self, name: str, key: str) -> NDArray[Any]:
        return self.array(name, key)


def _declarations(tasks: Tasks) -> dict[str, Any]:
    """Tasks as an experiment declares them: name -> kind, mapping, or nothing."""
    if isinstance(tasks, Mapping):
        return {name: _declaration(one) for name, one in tasks.items()}
    if isinstance(tasks, str):
        raise DatasetError(f"`tasks` must be a list or a mapping, but got '{tasks}': say `tasks=['{tasks}']`.")
    names = [one.name if isinstance(one, Task) else one for one in tasks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(f"`tasks` must name each task once, but names {twice!r} twice.")
    return {name: _declaration(one) if isinstance(one, Task) else None for name, one in zip(names, tasks, strict=True)}


def _declaration(task: Any) -> Any:
    """A task object as an experiment would declare it."""
    if not isinstance(task, Task):
        return task
    names = list(getattr(task, "names", ()))
    with_classes = task.kind in ("classification", "binary", "segmentation")
    if names and not with_classes:
        raise DatasetError(
            f"task `{task.name}`: its names follow from the columns: give a frame, and say "
            f"`{{'kind': '{task.kind}', 'columns': {names}}}`."
        )
    options = {one.name: getattr(task, one.name) for one in dataclasses.fields(task) if one.name not in FOLLOW}
    usual = {one.name: one.default for one in dataclasses.fields(task) if one.default is not MISSING}
    changed = {name: value for name, value in options.items() if name not in usual or value != usual[name]}
    return {"kind": kind_name(task), **changed, **({"classes": names} if names else {})}
