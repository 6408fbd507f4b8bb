"""What a trained network says of samples, in the words of the data: labels by their names, numbers in their units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets._columns import BETWEEN
from mtl_search.datasets._pictures import write_png
from mtl_search.datasets._tables.frames import frame_of
from mtl_search.tasks import Binary, Classification, MultiLabel, Task
from mtl_search.tasks._maps import BinaryMap

HALF = 0.5
"""The probability above which the answer is yes: a logit above 0."""
MOST_CLASSES = 256
"""Classes that a PNG of 8 bits has numbers for."""


@dataclass(frozen=True)
class Predictions:
    """What a trained network says of samples, in their order.

    :param columns: Name of each column -> its values, ``[samples]``: ``<task>`` is the label by its name (of several
        labels those that the sample has, with ``|`` between them) or the number in its units; ``<task>/<class>`` is the
        probability of a class or label, ``<task>/probability`` that of the second of two; ``<task>/<name>`` is one of
        several numbers.
    :param maps: Task with an answer for every pixel -> its maps: of ``segmentation`` the numbers of the classes,
        ``[samples, height, width]``, int16; of ``edges`` and ``saliency`` probabilities and of ``depth`` depths,
        likewise, float32; of ``normals`` vectors of length 1, ``[samples, 3, height, width]``.
    :param files: The file of each sample, where they are pictures; else empty.
    :param notes: What is worth telling of the samples, each as a sentence.
    :param index: Labels of the rows of the frame that was given; ``None`` where none was.
    """

    columns: Mapping[str, NDArray[Any]]
    maps: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    files: Sequence[str] = ()
    notes: Sequence[str] = ()
    index: Any = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, or the maps of a task."""
        return self.columns[name] if name in self.columns else self.maps[name]

    def frame(self) -> Any:
        """The columns as a frame of pandas, with the index of the frame that was given."""
        return frame_of(self.columns, self.index)


def answer(task: Task, output: Tensor, in_units: bool = False) -> Tensor:
    """Probabilities of what the head of a task puts out, or numbers in their units.

    :param task: The task that the head is of.
    :param output: What the head puts out for some samples, ``[samples, outputs, ...]``.
    :param in_units: Whether numbers are in their units already.
    """
    output = output if task.dense else output.double()
    chances = task.probabilities(output)
    if chances is not None:
        return chances
    return output if in_units else task.in_units(output)


def columns_of(task: Task, answers: Tensor) -> dict[str, NDArray[Any]]:
    """The columns that a task without maps has in :class:`Predictions`.

    :param task: The task, which knows the names of its classes.
    :param answers: What :func:`answer` gives for some samples, ``[samples, outputs]``.
    """
    if not isinstance(task, Classification | Binary | MultiLabel):
        found = answers.double().numpy()
        names = getattr(task, "names", ()) or range(found.shape[1])
        single = found.shape[1] == 1
        return {task.name if single else f"{task.name}/{name}": found[:, at] for at, name in enumerate(names)}
    shares = answers.float().numpy()
    if isinstance(task, Binary):
        yes = (answers[:, 0] > HALF).numpy().astype(np.int64)
        return {task.name: _named(task.names, yes), f"{task.name}/probability": shares[:, 0]}
    names = task.names or tuple(str(number) for number in range(task.outputs))
    of_classes = {f"{task.name}/{name}": shares[:, at] for at, name in enumerate(names)}
    if isinstance(task, MultiLabel):
        has = (answers > HALF).numpy()
        said = [BETWEEN.join(name for name, there in zip(names, row, strict=True) if there) for row in has]
        return {task.name: np.array(said, object), **of_classes}
    return {task.name: _named(task.names, answers.argmax(dim=1).numpy()), **of_classes}


def _named(names: Sequence[str], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Classes by their names, or their numbers where they have none."""
    return np.array(names, object)[numbers] if names else numbers


def maps_of(task: Task, answers: Tensor) -> NDArray[Any]:
    """The maps of a task in :class:`Predictions`.

    :param task: The task with an answer for every pixel.
    :param answers: What :func:`answer` gives for some samples, ``[samples, outputs, height, width]``.
    """
    if isinstance(task, Classification):
        return answers.argmax(dim=1).to(torch.int16).numpy()
    return (answers[:, 0] if answers.shape[1] == 1 else answers).float().numpy()


def write_map(folder: Path, name: str, task: Task, found: NDArray[Any]) -> Path:
    """Write a map of :func:`maps_of`: classes as PNG, yes or no as PNG of 0 to 255 for 0 to 1, all others as npy.

    :param folder: Where the file is to be.
    :param name: The name of the file, without its ending.
    :param task: The task that the map is of.
    :param found: The map of one sample.
    """
    if isinstance(task, Classification) and task.classes <= MOST_CLASSES:
        write_png(path := folder / f"{name}.png", found.astype(np.uint8))
    elif isinstance(task, BinaryMap):
        write_png(path := folder / f"{name}.png", np.rint(255 * found).astype(np.uint8))
    else:
        np.save(path := folder / f"{name}.npy", found)
    return path
