"""The model in use: a trained network of a run, or an exported file, that is asked about new data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import Dataset
from mtl_search.datasets._sample_pictures import samples_of_pictures
from mtl_search.datasets._samples import (
    Reading,
    Samples,
    existing,
    reading_of,
    samples_of_archive,
    samples_of_array,
    samples_of_table,
)
from mtl_search.errors import UserError
from mtl_search.exporting.answers import Predictions, answer, columns_of, maps_of
from mtl_search.exporting.exported import is_exported, load_exported
from mtl_search.exporting.trained import load_trained
from mtl_search.networks.deployment import FromRawInputs
from mtl_search.runs.folder import Run, load_run
from mtl_search.searching.preparation import prepare
from mtl_search.tasks import Task

Compute = Callable[[Tensor], Mapping[str, Tensor]]
"""Samples in the units of the data, ``[samples, ...]``, to each task's answers, ``[samples, outputs, ...]``."""


@dataclass(frozen=True)
class Model:
    """A trained network, and what is known of the data that it was trained on.

    :param tasks: The tasks that it predicts.
    :param reading: How samples are read for it.
    :param compute: The network behind the normalisation of its inputs, with what
        :func:`~mtl_search.exporting.answers.answer` makes of its outputs.
    """

    tasks: tuple[Task, ...]
    reading: Reading
    compute: Compute

    def predict(self, data: Any) -> Predictions:
        """What the network says of samples, all at once in memory.

        :param data: A frame of pandas or the path of a table, with or without the columns of the tasks; an array of
            numpy or of torch, or the path of an npz file; the path of a picture, of a folder of pictures, or of a table
            that names them. All as the dataset that the network was trained on.
        :raises DatasetError: If the data cannot be read as that dataset was; the message names the column, with the
            nearest name, or the file and the row.
        """
        samples = self.samples(data)
        batches = list(self.outputs(samples))
        columns: dict[str, NDArray[Any]] = {}
        maps: dict[str, NDArray[Any]] = {}
        for task in self.tasks:
            output = torch.cat([outputs[task.name] for outputs in batches])
            if task.dense:
                maps[task.name] = maps_of(task, output)
            else:
                columns |= columns_of(task, output)
        return Predictions(columns, maps, samples.files, samples.notes, samples.index)

    def samples(self, data: Any) -> Samples:
        """Samples as :meth:`predict` takes them, checked, not computed on yet."""
        pictures = len(self.reading.input_shape) == 3
        if isinstance(data, Tensor):
            data = data.detach().cpu().numpy()
        if isinstance(data, np.ndarray):
            return samples_of_array(self.reading, data)
        if not isinstance(data, str | Path):
            return samples_of_table(self.reading, data)
        path = existing(Path(data))
        if path.suffix.lower() == ".npz":
            return samples_of_archive(self.reading, path)
        return (samples_of_pictures if pictures else samples_of_table)(self.reading, path)

    def outputs(self, samples: Samples) -> Iterator[Mapping[str, Tensor]]:
        """The answers of each task, a part of the samples at a time."""
        for batch in samples.batches(self.reading.numbers):
            with torch.inference_mode():
                found = self.compute(torch.from_numpy(batch))
            yield {task.name: found[task.name] for task in self.tasks}


def load_model(
    source: Run | str | Path,
    which: str | int | None = None,
    *,
    seed: int | None = None,
    dataset: Dataset | None = None,
) -> Model:
    """A trained network that predicts: of a run, or of a file that :func:`~mtl_search.export` wrote.

    :param source: A run or its folder; or the folder or file of an exported model.
    :param which: Which network of a run: ``knee``, ``best``, ``smallest``, the number of a trial on the front, or an
        entrant of its comparison, as for :func:`~mtl_search.export`.
    :param seed: Which training of an entrant; the first one if left out.
    :param dataset: Used instead of loading the one that the run names, as in :func:`~mtl_search.search`.
    :raises UserError: If there is no such network, its weights were not kept, or a file is no exported model.
    """
    if not isinstance(source, Run) and is_exported(Path(source)):
        if (which, seed, dataset) != (None, None, None):
            raise UserError(f"{source}: is an exported model, of which there is one; what else is said is for a run.")
        return Model(*load_exported(Path(source)))
    run = source if isinstance(source, Run) else load_run(source)
    data = prepare(run.experiment, dataset)
    trained = load_trained(run, which, data, seed)
    whole = FromRawInputs(trained.network, data.mean, data.std, data.input_shape, data.centre).eval()
    tasks = tuple(data.tasks)

    def compute(inputs: Tensor) -> Mapping[str, Tensor]:
        outputs = whole(inputs)
        return {task.name: answer(task, outputs[task.name]) for task in tasks}

    return Model(tasks, reading_of(data), compute)
