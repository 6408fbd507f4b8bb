"""Arrays of the user's own, in an npz file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._archives import Archive, as_column, open_archive, raw_inputs
from mtl_search.datasets._array_inputs import Made, array_inputs
from mtl_search.datasets._columns import Labelled, class_names, is_dense, label, told
from mtl_search.datasets._declared import Declared, declared_tasks
from mtl_search.datasets._own import own_dataset
from mtl_search.datasets._sequences import sequence_inputs
from mtl_search.datasets._splits import split_rows
from mtl_search.errors import DatasetError, FieldError
from mtl_search.internal.arrays import Array


@dataclass(frozen=True)
class Arrays(DatasetSource):
    """The user's own arrays in an npz file: inputs, and the targets of every task, by their names.

    Inputs are ``[samples, features]``, or images: ``[samples, height, width]``, ``[samples, channels, height, width]``
    or ``[samples, height, width, channels]``: channels are the last axis where that is 1, 3 or 4 and the second is not.
    Or they are sequences, where ``layout`` says so: whole numbers ``[samples, length]`` are tokens, -1 where padded;
    other numbers ``[samples, length, channels]``, of one channel ``[samples, length]``, NaN where padded. Padding is at
    the end of a sequence.
    Whole numbers of 0 to 255 in images are kept as uint8, all others are made float32, less a centre where that would
    make one of several. Large inputs stay in the file
    and may be larger than memory, where nothing has to be changed: an npz file that is not compressed
    (``numpy.savez``), float32, or uint8 images, channels before height and width.

    :param file: The file. What is pickled in it is never read.
    :param inputs: Name of the array of inputs.
    :param tasks: A list of arrays, whose kinds are then found from the data; or a mapping from the name of a task to
        its kind, or to a mapping of ``kind``, ``array``, ``missing`` and options of the kind. Missing are NaN, in
        classes -1, and the number that ``missing`` says.
    :param split: How the samples are split: as for ``table``, with arrays for columns.
    :param channels: Which axis of images the channels are, where that is not found: ``first`` or ``last``.
    :param layout: ``sequence`` for inputs that are sequences.
    """

    name = "arrays"
    file: str
    inputs: str
    tasks: list[Any] | dict[Any, Any]
    split: Any = None
    channels: Literal["first", "last"] | None = None
    layout: Literal["sequence"] | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.channels is not None:
            raise FieldError("dataset.channels", "must be left out of sequences, where they come last", self.channels)

    def load(self) -> Dataset:
        self._declared()  # what is wrong there is said before a large file is read
        return self.of(open_archive(Path(self.file)))

    def of(self, archive: Archive) -> Dataset:
        """The dataset of an archive that was opened."""
        declared = self._declared()
        raw = raw_inputs(archive, self.inputs)
        archive = dataclasses.replace(archive, rows=len(raw))
        labelled = [_labelled(archive, one) for one in declared]
        rows = split_rows(self.split, archive, labelled)
        inputs, centre, notes = self._inputs(archive, raw, rows["train"])
        found = {"notes": notes} if notes else {}
        return own_dataset(self.name, archive.path, inputs, labelled, rows, found, centre)

    def _inputs(self, archive: Archive, raw: Array, training: NDArray[np.int64]) -> Made:
        if self.layout is None:
            return array_inputs(archive, self.inputs, raw, self.channels, training)
        title = archive.title(self.inputs)
        return sequence_inputs(raw, title, lambda row: f"{archive.at(row)}, array `{self.inputs}`"), None, []

    def _declared(self) -> tuple[Declared, ...]:
        declared = declared_tasks(self.tasks, "array")
        for one in declared:
            if self.inputs in one.columns:
                rule = f"must not be the array that task `{one.name}` is to predict"
                raise FieldError("dataset.inputs", rule, self.inputs)
        return declared


def _labelled(archive: Archive, declared: Declared) -> Labelled:
    """A task and its targets, from its arrays."""
    options = dict(declared.options)
    missing = options.pop("missing", None)
    if isinstance(missing, bool) or not isinstance(missing, int | float | None):
        raise FieldError(f"{declared.key}.missing", "must be a number", missing)
    declared = dataclasses.replace(declared, options=options)
    arrays = [archive.array(name, declared.key) for name in declared.columns]
    dense = declared.kind is not None and is_dense(declared.kind)
    if len(arrays) == 1 and (dense or arrays[0].ndim > 2):
        return _dense(archive, declared, arrays[0], missing)
    if missing is None and declared.kind != "regression":
        missing = -1 if all(array.dtype.kind in "iu" for array in arrays) else None
    name = declared.columns[0]
    if len(arrays) == 1 and arrays[0].ndim == 2:
        columns = [as_column(archive, name, values, missing) for values in arrays[0].T]
        numbered = tuple(str(number) for number in range(len(columns)))
        return label(dataclasses.replace(declared, columns=numbered), columns)
    named = zip(declared.columns, arrays, strict=True)
    return label(declared, [as_column(archive, name, values, missing) for name, values in named])


def _dense(archive: Archive, declared: Declared, values: NDArray[Any], missing: float | None) -> Labelled:
    """A task with a target for every pixel."""
    name, title = declared.columns[0], archive.title(declared.columns[0])
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{title}: must hold numbers, but got {values.dtype}.")
    if declared.kind is None and not (values.ndim == 3 and values.dtype.kind in "iu"):
        raise DatasetError(f"{title}: `{declared.key}` must say its kind, for {values.dtype} {list(values.shape)}.")
    kind, options = declared.kind or "segmentation", dict(declared.options)
    gone = np.zeros(values.shape, np.bool_) if missing is None else values == missing
    if kind == "segmentation":
        given = options.pop("classes", int(np.where(gone, -1, values).max()) + 1)
        names = class_names(given, f"{declared.key}.classes")
        options |= {"classes": len(names), "names": told(names)}
    task = declared.make(kind, options)
    targets = _targets(archive, name, values, task.integer)
    if gone.any():
        targets = np.where(gone, -1 if task.integer else np.nan, targets).astype(targets.dtype)
    broken = task.wrong(targets)
    if broken.any():
        place = tuple(np.argwhere(broken)[0])
        raise DatasetError(
            f"{archive.at(int(place[0]))}, array `{name}`: must be {task.rule}, but got {values[place]} at "
            f"{list(map(int, place[1:]))}."
        )
    return Labelled(task, targets, found=declared.kind is None)


def _targets(archive: Archive, name: str, values: NDArray[Any], integer: bool) -> NDArray[Any]:
    """Targets of every pixel as they are computed on: int16, where that holds them, or float32."""
    if not integer:
        return values.astype(np.float32, copy=False)
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        raise DatasetError(f"{archive.title(name)}: must hold whole numbers, but got {values.dtype}.")
    low, high = values.min(), values.max()
    if low < -(2**15) or high >= 2**15:  # what int16 holds
        raise DatasetError(f"{archive.title(name)}: must hold classes, but its numbers are {low} to {high}.")
    return values.astype(np.int16)
