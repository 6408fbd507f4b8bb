"""What the arguments of commands name: runs, trials, architectures, experiments."""

import os
from typing import TYPE_CHECKING, Any

from mtl_search.errors import UserError, existing_folder

if TYPE_CHECKING:
    from mtl_search.runs.folder import Run
    from mtl_search.runs.trial import Trial
    from mtl_search.spaces.architecture import Architecture
    from mtl_search.spaces.experiment import Experiment


def divided(target: str) -> tuple[str, str]:
    """``RUN:ID`` as folder and name."""
    path, _, name = target.rpartition(":")
    existing_folder(path or target)
    return path, name


def of_run(target: str) -> "tuple[Run, Trial] | tuple[None, None]":
    """A run and the trial of it that is meant, if the target is a run: the one named, or its knee."""
    from mtl_search.runs.folder import load_run

    path, colon, name = target.rpartition(":")
    if colon and os.path.isdir(path):
        number = name.removeprefix("trial-")
        if not number.isdecimal():
            raise UserError(f"{path}: `{name}` is no trial; give its number, or no name for the knee.")
        run = load_run(path)
        return run, run.trial(int(number))
    if not os.path.isdir(target):
        return None, None
    run = load_run(target)
    if run.knee is None:
        raise UserError(f"{target}: no trial of this run is complete; name one as {target}:ID.")
    return run, run.knee


def architecture_of(path: str) -> "Architecture":
    from mtl_search.spaces.architecture import Architecture

    return Architecture.load(path)


def trained(
    target: str, dataset: str | None, like: str | None, epochs: int | None
) -> "tuple[Architecture | None, Experiment, Run | None]":
    """What to train, ``None`` for a baseline; the experiment that brings the rest; the run whose data it must have."""
    is_file = target.endswith(".json")
    if is_file or os.path.isdir(target.rpartition(":")[0] or target):
        run, trial = of_run(target)
        architecture = trial.architecture if trial else architecture_of(target)
        if run is not None and dataset is None and like is None:
            assert trial is not None
            return architecture, with_epochs(run.experiment.changed({"training": trial.training}), epochs), run
    else:
        architecture = None
    if dataset is None and like is None:
        raise UserError(
            f"{'a file' if is_file else 'a baseline'} holds no data: say `--dataset NAME`, "
            "or `--like EXPERIMENT` for its data and settings."
        )
    return architecture, experiment_for(dataset, like, epochs), None


def experiment_for(dataset: str | None, like: str | None, epochs: int | None) -> "Experiment":
    """An experiment by name or path, or the one that comes with the package for a dataset."""
    from mtl_search.spaces.experiment import experiment_on, load_experiment

    if like is None and dataset is None:
        raise UserError("give the folder of a run, or `--dataset NAME`, or `--like EXPERIMENT`.")
    found = load_experiment(like) if like is not None else experiment_on(str(dataset))
    if like is not None and dataset is not None and dataset != found.dataset.name:
        found = found.changed({"dataset": {"name": dataset}})
    return with_epochs(found, epochs)


def with_epochs(experiment: "Experiment", epochs: int | None) -> "Experiment":
    return experiment if epochs is None else experiment.changed({"training": {"epochs": epochs}})


def names_in(text: str) -> list[str]:
    """Names with commas between them; ``none`` is no name.

    :raises UserError: If there is nothing else in it.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UserError("`--baselines` and `--pick` must hold names with commas between them, or `none`, but got none.")
    return [] if names == ["none"] else names


def architecture_data(architecture: "Architecture", trial: "Trial | None") -> dict[str, Any]:
    from dataclasses import asdict

    from mtl_search.reporting.drawing import layer_table

    data = {**architecture.to_dict(), "id": architecture.id}
    data["channels"] = [asdict(row) for row in layer_table(architecture)]
    if trial is not None:
        names = ("learnable_parameters", "fixed_parameters", "macs")
        if trial.training:
            data["training"] = dict(trial.training)
        data["cost"] = {name: getattr(trial, name) for name in names}
    return data
