"""What an experiment and its data hold, found out without training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets import Dataset
from mtl_search.datasets._sequences import lengths
from mtl_search.execution.capacity import bank_note, check_here, first_banks
from mtl_search.internal.arrays import Array, parts
from mtl_search.searching.cost_range import cost_ends
from mtl_search.searching.preparation import prepare
from mtl_search.searching.remarks import remarks
from mtl_search.spaces.experiment import Experiment, load_experiment
from mtl_search.spaces.ranges import offer_text
from mtl_search.tasks import Binary, Classification, Edges, MultiLabel, Saliency, Task, class_counts


@dataclass(frozen=True)
class CheckedExperiment:
    """What was found in an experiment and its data: what ``mtl-search check`` prints.

    :param name: Name of the experiment.
    :param dataset: Name of the dataset.
    :param samples: Name of the split -> number of its samples.
    :param inputs: What the inputs are: kind, shape, type, and what was done to the columns of a table.
    :param tasks: For each task its kind, and the classes, labels or ranges that each split holds of it.
    :param architectures: Number of architectures in the space.
    :param training: Setting that is left open -> what is offered for it, in words.
    :param learnable_parameters: Least and most learnable parameters in the space.
    :param fixed_parameters: Least and most fixed parameters in the space.
    :param macs: Least and most multiply-accumulates of a forward pass of one sample.
    :param costs_are_about: Whether these ends were looked for, not proved.
    :param trials: Number of trials of the search.
    :param epochs: Number of epochs of each trial.
    :param sampler: Name of the sampler.
    :param embedding_parameters: Least and most learnable parameters of embeddings, counted apart.
    :param remarks: What may not be meant, each as a sentence.
    """

    name: str
    dataset: str
    samples: Mapping[str, int]
    inputs: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]
    architectures: int
    training: Mapping[str, str]
    learnable_parameters: Sequence[int]
    fixed_parameters: Sequence[int]
    macs: Sequence[int]
    costs_are_about: bool
    trials: int
    epochs: int
    sampler: str
    embedding_parameters: Sequence[int]
    remarks: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data for JSON."""
        return asdict(self)


def check(experiment: Experiment | str | Path) -> CheckedExperiment:
    """Check an experiment and its data without training, and say what was found.

    :param experiment: An experiment, the name of one that comes with the package, or a YAML file.
    :raises UserError: If the experiment cannot be run, here and as it is, or its data is of no use.
    """
    experiment = experiment if isinstance(experiment, Experiment) else load_experiment(experiment)
    check_here(experiment.search, changeable=True)
    dataset = prepare(experiment)
    ends = cost_ends(experiment.search_space, tuple(dataset.tasks), dataset.input_shape)
    return CheckedExperiment(
        name=experiment.name,
        dataset=dataset.name,
        samples={name: len(split) for name, split in dataset.splits.items()},
        inputs=_inputs(dataset, bank_note(first_banks(experiment), dataset)),
        tasks=[_task(task, dataset) for task in dataset.tasks],
        architectures=experiment.search_space.size,
        training={name: offer_text(offer) for name, offer in experiment.space.training.items()},
        learnable_parameters=[ends.low.learnable_parameters, ends.high.learnable_parameters],
        fixed_parameters=[ends.low.fixed_parameters, ends.high.fixed_parameters],
        macs=[ends.low.macs, ends.high.macs],
        costs_are_about=ends.about,
        trials=experiment.search.trials,
        epochs=experiment.training.epochs,
        sampler=experiment.search.sampler,
        embedding_parameters=[ends.low.embedding_parameters, ends.high.embedding_parameters],
        remarks=remarks(experiment, dataset),
    )


def _inputs(dataset: Dataset, remark: str | None) -> dict[str, Any]:
    """:param remark: What is said of them besides the notes of the dataset."""
    values = dataset.splits["train"].inputs
    kind = {1: "table", 2: "sequence", 3: "image"}[len(dataset.input_shape)]
    told = ("features", "filled", "unknown_categories", "notes")
    found = {key: dataset.found[key] for key in told if key in dataset.found}
    if remark is not None:
        found["notes"] = [*found.get("notes", []), remark]
    if kind == "sequence":
        found |= _of_sequences(dataset)
    return {"kind": kind, "shape": list(dataset.input_shape), "type": str(values.dtype), **found}


def _of_sequences(dataset: Dataset) -> dict[str, Any]:
    """How long sequences are, in all splits, and of tokens how many there are and how many are not trained on."""
    of_all = np.concatenate([lengths(split.inputs) for split in dataset.splits.values()])
    found: dict[str, Any] = {"lengths": [int(of_all.min()), float(np.median(of_all)), int(of_all.max())]}
    if dataset.vocabulary:
        of_splits = {name: np.unique(split.inputs) for name, split in dataset.splits.items()}
        unseen = set(np.concatenate(list(of_splits.values())).tolist()) - set(of_splits["train"].tolist()) - {-1}
        found |= {"tokens": dataset.vocabulary, "unseen_tokens": len(unseen)}
    return found


def _task(task: Task, dataset: Dataset) -> dict[str, Any]:
    """What the data holds for a task."""
    targets = {name: split.targets[task.name] for name, split in dataset.splits.items()}
    about = {
        "name": task.name,
        "kind": task.kind,
        "kind_found": task.name in dataset.found.get("kinds_found", {}),
        "dense": task.dense,
        "missing": {name: _missing(task, values) for name, values in targets.items()},
    }
    if isinstance(task, MultiLabel):
        names = task.names or [str(number) for number in range(task.labels)]
        counts = {name: sum((part == 1).sum(axis=0) for _, part in parts(values)) for name, values in targets.items()}
        return {**about, "labels": _named(names, counts)}
    if isinstance(task, Classification | Binary | Edges | Saliency):
        number = task.classes if isinstance(task, Classification) else 2
        given = task.names if isinstance(task, Classification | Binary) else ()
        counts = {name: class_counts(values, number) for name, values in targets.items()}
        return {**about, "classes": _named(given or [str(one) for one in range(number)], counts)}
    return {**about, "ranges": {name: _range(task, values) for name, values in targets.items()}}


def _named(names: Sequence[str], counts: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Each name, with how often it is in each split."""
    return [
        {"name": name, **{split: int(found[number]) for split, found in counts.items()}}
        for number, name in enumerate(names)
    ]


def _missing(task: Task, targets: Array) -> int:
    return sum(int(np.count_nonzero(~task.known(part))) for _, part in parts(targets))


def _range(task: Task, targets: Array) -> list[float]:
    """The lowest and the highest target; empty where there is none."""
    found = []
    for _, part in parts(targets):
        known = task.known(part)
        there = part[known] if known.ndim == part.ndim else np.moveaxis(part, 1, 0)[:, known]
        if there.size:
            found += [float(there.min()), float(there.max())]
    return [min(found), max(found)] if found else []
