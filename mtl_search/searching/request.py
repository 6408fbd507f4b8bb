"""What the arguments of a search ask for: the experiment, what it is called, and the folder of its run."""

import copy
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mtl_search.datasets import Dataset
from mtl_search.errors import FieldError
from mtl_search.searching.starting import experiment_for
from mtl_search.spaces.changes import anchor
from mtl_search.spaces.experiment import Experiment, experiment_of
from mtl_search.spaces.settings import Training
from mtl_search.spaces.space import SearchSpace


def requested_experiment(
    space: SearchSpace | Experiment | None,
    name: str,
    dataset: Dataset | None,
    settings: Mapping[str, object],
    training: Training | None,
    epochs: int | None,
) -> Experiment:
    """The experiment that the arguments of :func:`search` describe, checked."""
    options = {} if dataset is None else copy.deepcopy(dict(dataset.options))
    anchor(options, Path())
    if isinstance(space, Experiment):
        experiment = space
    else:
        assert dataset is not None, "there is no name without one"
        named = {"name": dataset.name, **options}
        experiment = experiment_for(dataset, name) if space is None else experiment_of(space, name, named)
    changes = {
        "search": {name: value for name, value in settings.items() if value is not None},
        "training": {**(training.model_dump() if training else {}), **({} if epochs is None else {"epochs": epochs})},
    }
    if dataset is not None:
        changes["dataset"] = {"name": dataset.name, **options}
    return experiment.changed(changes)


def experiment_name(space: SearchSpace | Experiment | None, dataset: Dataset | None) -> str:
    """What the experiment is called: as it says, or as its data if there is a bare space or none.

    :raises FieldError: If there are no data to be called by, or what was given is no dataset.
    """
    if dataset is not None and not isinstance(dataset, Dataset):
        rule = "must be a dataset: `dataset_from` makes one of a frame, of arrays, or of a dataset of torch"
        raise FieldError("dataset", rule, type(dataset).__name__)
    if isinstance(space, Experiment):
        return space.name
    if dataset is None:
        raise FieldError("dataset", "must be given where there is no experiment", dataset)
    return dataset.title


def default_folder(name: str) -> Path:
    """``results/<name>-<time>``, with a number behind it where two would be the same."""
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 1000))  # in one second
    return next(folder for folder in map(Path("results").joinpath, names) if not folder.exists())
