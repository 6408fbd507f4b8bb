"""Datasets: inputs, and a target for every task, in splits. One file each, registered under the file's name.

Inputs are images, the rows of a table, or sequences of tokens or of vectors. They are held as they are, images mostly
as uint8; batches are made and normalised where the network trains.
"""

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from mtl_search.datasets._inputs import check_inputs, mean_and_deviation
from mtl_search.datasets._sequences import vocabulary
from mtl_search.errors import DatasetError, UserError, suggestion
from mtl_search.internal.arrays import Array, FileArray, joined
from mtl_search.internal.characters import cut, printable
from mtl_search.internal.layout import dataset_title
from mtl_search.internal.options import build
from mtl_search.internal.registry import DATASETS
from mtl_search.tasks import Task

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Samples.

    :param inputs: Images ``[samples, channels, height, width]``, uint8, uint16 or float32 in any units; the rows of a
        table ``[samples, features]``, float32; sequences of tokens ``[samples, length]``, int16 or int32, from 0; or
        sequences of vectors ``[samples, length, channels]``, float32. None of their numbers may be missing, but at the
        end of sequences, where they are padding: tokens are -1 there, vectors NaN.
    :param targets: Name of the task -> ``[samples, ...]``, integers or float32 as its kind has them. Any may be
        missing: an integer that is -1, a float that is NaN.
    :param parts: ``[samples]``, from which of several datasets each one is, from 0; ``None`` if all are of one.
    """

    inputs: Array
    targets: Mapping[str, Array]
    parts: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __add__(self, other: "Split") -> "Split":
        targets = {name: joined([values, other.targets[name]]) for name, values in self.targets.items()}
        parts = None if self.parts is None or other.parts is None else np.concatenate([self.parts, other.parts])
        return Split(joined([self.inputs, other.inputs]), targets, parts)


Predict = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""A trained network: inputs as splits hold them, ``[samples, ...]``, to each task's outputs, ``[samples, outputs]``."""


class Simulation(ABC):
    """What a trained network acts in, to be measured by what comes of it, which no target of a sample can tell."""

    @property
    @abstractmethod
    def score_names(self) -> list[str]:
        """``<task>/<metric>`` of all that is measured, whose end is in :data:`~mtl_search.metrics.scores.SIMULATED`."""

    @abstractmethod
    def run(self, predict: Predict) -> dict[str, float]:
        """Let a network act; the value of every score. The same network gives the same.

        :raises DatasetError: If something that the simulation needs is not installed.
        """


@dataclass(frozen=True)
class Dataset:
    """Inputs with a target for every task.

    :param name: Name it was loaded by.
    :param tasks: The tasks that are to be predicted.
    :param splits: ``train``, ``val`` and ``test``; a search is given the first two only.
    :param mean: ``[channels]`` or ``[features]``, mean of the training inputs, in the units of the inputs; 0 of tokens.
    :param std: ``[channels]`` or ``[features]``, their standard deviation; 1 of tokens.
    :param options: The options that it was loaded with, besides the defaults.
    :param rows: Split -> the rows of its samples in the user's file; empty where there is no such file.
    :param found: What was found in the files and is needed to use a network: names of features, what fills empty ones;
        ``notes``: sentences about what may not be as it is meant, which ``check`` shows.
    :param centre: ``[channels]`` or ``[features]``, what was subtracted from the inputs in float64 before they became
        float32, which would make one of several of them; ``None`` where nothing was. Mean and inputs are less this.
    :param simulation: What the networks of a comparison act in besides; ``None`` where there is none.
    :param columns: How the columns of a table became features, as plain data: what
        :class:`~mtl_search.datasets._input_columns.InputColumn` is made of; empty where there is no table.
    :param loadable: Whether :func:`load_dataset` gives it again by its name and its options. A search writes any other
        one into the folder of its run.
    :param vocabulary: Number of different tokens, of all splits; 0 where inputs are no tokens.
    """

    name: str
    tasks: tuple[Task, ...]
    splits: Mapping[str, Split]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    centre: NDArray[np.float64] | None = None
    simulation: Simulation | None = None
    columns: Sequence[Mapping[str, Any]] = ()
    loadable: bool = False
    vocabulary: int = 0

    @property
    def title(self) -> str:
        """What it is called in reports: its name, or what it was called before it was written into a run's folder."""
        return dataset_title(self.name, self.options)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(channels, height, width)`` of an image, ``(features,)`` of a row of a table, ``(length, channels)`` of a
        sequence, of tokens ``(length, different tokens)``: a token stands for a vector that is 1 at its place."""
        shape = self.splits["train"].inputs.shape[1:]
        return (*shape, self.vocabulary) if self.vocabulary else shape

    @property
    def score_names(self) -> list[str]:
        """``<task>/<metric>`` for every metric of every task, its headline first."""
        return [name for task in self.tasks for name in task.score_names]

    @property
    def final_score_names(self) -> list[str]:
        """What the networks of a comparison are measured by: :attr:`score_names`, then those of the simulation."""
        return [*self.score_names, *(self.simulation.score_names if self.simulation else ())]

    def without(self, split: str) -> "Dataset":
        """The same dataset with one split left out."""
        return dataclasses.replace(self, splits={name: data for name, data in self.splits.items() if name != split})

    def merged(self) -> "Dataset":
        """Training and validation samples as one training split, beside the test split: for a final training."""
        splits = {"train": self.splits["train"] + self.splits["val"], "test": self.splits["test"]}
        return dataclasses.replace(self, splits=splits)


def make_dataset(name: str, tasks: tuple[Task, ...], splits: Mapping[str, Split]) -> Dataset:
    """A dataset with the mean and deviation of its own training inputs, and tasks that know the training targets.

    :raises DatasetError: If a task has no targets in a split, or such as are of no use; if inputs are of a wrong type
        or shape, or not finite. The message names the task, the split and, where there is one, the row.
    """
    _check_types(tasks, splits)
    sample = splits["train"].inputs.shape[1:]
    for split, samples in splits.items():
        check_inputs(samples.inputs, sample, split)
    tokens = max(vocabulary(samples.inputs) for samples in splits.values())
    for split, samples in splits.items():
        shape = (*samples.inputs.shape, tokens) if tokens else samples.inputs.shape
        _check_targets(tasks, samples, shape, split)
    tasks = tuple(task.learned(splits["train"].targets[task.name]) for task in tasks)
    normal = mean_and_deviation(splits["train"].inputs)
    return Dataset(name, tasks, dict(splits), *normal, vocabulary=tokens)


def _check_types(tasks: tuple[Task, ...], splits: Mapping[str, Split]) -> None:
    """What a dataset of the user's own is made of is told by type before its shapes are looked at."""
    for task in tasks:
        if not isinstance(task, Task):
            raise DatasetError(f"tasks must be made by `make_task`, but got {task!r}.")
    if "train" not in splits:
        raise DatasetError(f"there must be a split `train`, but got {', '.join(map(repr, splits)) or 'none'}.")
    for split, samples in splits.items():
        for name, values in {"inputs": samples.inputs, **samples.targets}.items():
            if not isinstance(values, np.ndarray | FileArray):
                found = type(values).__name__
                raise DatasetError(
                    f"split `{split}`, `{name}`: must be an array of numpy, but got a {found}; `dataset_from` takes "
                    "tensors, lists and frames."
                )


def _check_targets(tasks: tuple[Task, ...], samples: Split, inputs: tuple[int, ...], split: str) -> None:
    for task in tasks:
        if task.name not in samples.targets:
            found = ", ".join(f"`{name}`" for name in samples.targets) or "none"
            raise DatasetError(f"task `{task.name}`, split `{split}`: has no targets, only {found}.")
        task.check(samples.targets[task.name], inputs, split)


@dataclass(frozen=True)
class DatasetSource(ABC):
    """Where a dataset comes from. The fields of a subclass are its options, in YAML and in :func:`load_dataset`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: ClassVar[str]

    @abstractmethod
    def load(self) -> Dataset:
        """Read or make the dataset. The same options give the same dataset.

        :raises DatasetError: If its files cannot be found or read.
        """


@dataclass(frozen=True)
class DatasetFunction(DatasetSource):
    """A function of the user's own that makes a dataset, marked with :func:`mtl_search.dataset_function`.

    :param function: Returns a :class:`Dataset`, or its tasks and its splits.
    :param options: Arguments of the dataset's function or class.
    """

    name = "function"
    function: Callable[..., Any]
    options: Mapping[str, Any]

    def load(self) -> Dataset:
        made = self.function(**self.options)
        if isinstance(made, Dataset):
            return made
        name = getattr(self.function, "__name__", "function")
        if not (isinstance(made, tuple) and len(made) == 2):
            raise DatasetError(
                f"`{name}` must return a Dataset, or its tasks and its splits, but returned {type(made).__name__}."
            )
        tasks, splits = made
        return make_dataset(name, tuple(tasks), splits)


def _function_source(function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> DatasetFunction:
    """The source that calls a function, whose parameters are the options."""
    parameters = inspect.signature(function).parameters.values()
    takes = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    names = [one.name for one in takes]
    unknown = [option for option in options if option not in names]
    if unknown and not any(one.kind is one.VAR_KEYWORD for one in parameters):
        valid = suggestion(unknown[0], names) if names else " It has none."
        raise DatasetError(f"`dataset.{printable(cut(unknown[0]))}` is no parameter of `{name}`.{valid}")
    for one in takes:
        if one.default is one.empty and one.name not in options:
            raise DatasetError(f"`dataset.{one.name}` is missing: `{name}` has no default for it.")
    return DatasetFunction(function, options)


def dataset_source(name: str, options: Mapping[str, Any]) -> DatasetSource:
    """The source registered under ``name``, or the marked function at ``my_package.module:name``, its options checked.

    :raises UnknownNameError: If there is no such dataset.
    :raises UserError: If something else than a dataset stands there.
    :raises DatasetError: If an option is unknown or breaks a rule.
    """
    source = DATASETS.get(name)
    if inspect.isroutine(source):
        return _function_source(source, name, options)
    try:
        made: DatasetSource = build(source, options, "dataset", name)
    except UserError as error:
        raise DatasetError(str(error)) from error
    return made


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a dataset by name; it brings its tasks.

    :param options: Options of that dataset, see ``mtl-search list datasets``.
    :raises UnknownNameError: If there is no such dataset.
    :raises DatasetError: If an option breaks a rule, or files cannot be found or read.
    """
    return dataclasses.replace(dataset_source(name, options).load(), name=name, options=dict(options), loadable=True)
