"""Trains one architecture, trial or baseline from scratch, on the data of a run or of an experiment."""

import os
from pathlib import Path

from mtl_search.comparison.compare import train_alone
from mtl_search.comparison.results import Comparison
from mtl_search.comparison.trainings import FinalSplit
from mtl_search.errors import UserError
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import pick
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, experiment_on, load_experiment


def train(
    what: Architecture | Run | str | Path,
    which: str | int | None = None,
    *,
    dataset: str | None = None,
    like: Experiment | str | Path | None = None,
    seeds: int = 1,
    epochs: int | None = None,
    split: FinalSplit = "test",
    out: str | Path | None = None,
) -> Comparison:
    """Train an architecture or a baseline from scratch, in this process, and measure it.

    A run brings its own data and settings; for anything else give ``dataset`` or ``like``.

    :param what: A run or its folder, of which a trial is taken; an architecture or its JSON file; or the name or the
        YAML file of a baseline.
    :param which: The trial of a run: ``knee``, ``best``, ``smallest`` or a number, as everywhere
        (:func:`~mtl_search.runs.picks.pick`); the knee if left out, or the best where the front has none.
    :param dataset: Name of a dataset, with its default options and the backbone that comes with it.
    :param like: An experiment, its name or its file, that brings dataset, backbone and training.
    :param seeds: Number of trainings, with the seeds 0 to ``seeds - 1``.
    :param epochs: Epochs of each training; those of the run or the experiment if left out.
    :param split: What it is measured on: ``test`` after training on training and validation samples, or ``val``.
    :param out: Folder for weights and scores, new or empty; nothing is kept if left out.
    :raises UserError: If something given is wrong; nothing is written then.
    """
    target = _loaded(what)
    if isinstance(target, Run):
        trial = pick(target, which).trial
        if dataset is None and like is None:
            experiment, run = target.experiment.changed({"training": trial.training}), target
        else:
            experiment, run = experiment_for(dataset, like), None
        target = trial.architecture
    elif dataset is None and like is None:
        holds = "a baseline" if isinstance(target, str) else "a file" if isinstance(what, str | Path) else "it"
        raise UserError(
            f"{holds} holds no data: say `--dataset NAME`, or `--like EXPERIMENT` for its data and settings."
        )
    else:
        experiment, run = experiment_for(dataset, like), None
    return train_alone(target, with_epochs(experiment, epochs), seeds=seeds, split=split, out=out, run=run)


def _loaded(what: Architecture | Run | str | Path) -> Architecture | Run | str:
    """What is meant, loaded; a baseline stays a name."""
    if not isinstance(what, str | Path):
        return what
    if os.path.isdir(what):
        return load_run(what)
    return Architecture.load(what) if str(what).endswith(".json") else str(what)


def experiment_for(dataset: str | None, like: Experiment | str | Path | None, epochs: int | None = None) -> Experiment:
    """An experiment by name or path, or the one that comes with the package for a dataset.

    :param dataset: Name of a dataset, instead of the experiment's own where both are given.
    :param like: An experiment, its name or its file.
    :param epochs: Epochs of a training, instead of the experiment's own.
    :raises UserError: If neither is given, or there is none of that name.
    """
    if like is None and dataset is None:
        raise UserError("give the folder of a run, or `--dataset NAME`, or `--like EXPERIMENT`.")
    if like is None:
        return with_epochs(experiment_on(str(dataset)), epochs)
    found = like if isinstance(like, Experiment) else load_experiment(like)
    if dataset is not None and dataset != found.dataset.name:
        found = found.changed({"dataset": {"name": dataset}})
    return with_epochs(found, epochs)


def with_epochs(experiment: Experiment, epochs: int | None) -> Experiment:
    """The experiment with other epochs of a training; as it is for ``None``."""
    return experiment if epochs is None else experiment.changed({"training": {"epochs": epochs}})
