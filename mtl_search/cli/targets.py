"""What the arguments of commands name: runs, trials, architectures, experiments."""

import os
import sys
from typing import TYPE_CHECKING, Any

from mtl_search.cli.printing import say
from mtl_search.errors import UserError, existing_folder

if TYPE_CHECKING:
    from mtl_search.runs.folder import Run
    from mtl_search.runs.picks import Pick
    from mtl_search.spaces.architecture import Architecture
    from mtl_search.spaces.experiment import Experiment


def divided(target: str) -> tuple[str, str | None]:
    """``RUN:ID`` as folder and name; a RUN alone has no name."""
    path, colon, name = target.rpartition(":")
    if os.path.isdir(target) and not (colon and os.path.isdir(path)):
        return target, None
    existing_folder(path or target)
    return path, name


def of_run(target: str) -> "tuple[Run, Pick] | tuple[None, None]":
    """A run and the trial of it that is meant, if the target is a run; which one and why is said."""
    from mtl_search.runs.folder import load_run
    from mtl_search.runs.picks import pick

    if not is_of_run(target):
        return None, None
    path, name = divided(target)
    run = load_run(path)
    found = pick(run, name)
    say_pick(run, found)
    return run, found


def is_of_run(target: str) -> bool:
    """Whether a target is a folder, or a name in one."""
    path, colon, _ = target.rpartition(":")
    return os.path.isdir(target) or (bool(colon) and os.path.isdir(path))


def say_pick(run: "Run", found: "Pick") -> None:
    """Which trial is taken, why, and its scores: on standard error, so that what is printed stays as it is."""
    from mtl_search.runs.picks import pick_text

    say(pick_text(run, found), sys.stderr)


def say_entrant(run: "Run", key: str, seed: int | None) -> None:
    """Which training of a comparison is taken, and its scores: on standard error, too."""
    from mtl_search.exporting.trained import entrant_text

    say(entrant_text(run, key, seed), sys.stderr)


def architecture_of(path: str) -> "Architecture":
    from mtl_search.spaces.architecture import Architecture

    return Architecture.load(path)


def trained(
    target: str, dataset: str | None, like: str | None, epochs: int | None
) -> "tuple[Architecture | None, Experiment, Run | None]":
    """What to train, ``None`` for a baseline; the experiment that brings the rest; the run whose data it must have."""
    is_file = target.endswith(".json")
    if is_file or is_of_run(target):
        run, found = of_run(target)
        architecture = found.trial.architecture if found else architecture_of(target)
        if run is not None and dataset is None and like is None:
            assert found is not None
            changed = run.experiment.changed({"training": found.trial.training})
            return architecture, with_epochs(changed, epochs), run
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


def architecture_data(architecture: "Architecture", found: "Pick | None") -> dict[str, Any]:
    from dataclasses import asdict

    from mtl_search.reporting.drawing import layer_table

    data = {**architecture.to_dict(), "id": architecture.id}
    data["channels"] = [asdict(row) for row in layer_table(architecture)]
    if found is not None:
        names = ("learnable_parameters", "fixed_parameters", "macs")
        if found.trial.training:
            data["training"] = dict(found.trial.training)
        data["cost"] = {name: getattr(found.trial, name) for name in names}
        data["pick"] = found.to_dict()
    return data
