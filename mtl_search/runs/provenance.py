"""Whether a run may be gone on with: what it was made with, set beside what is there now."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mtl_search.datasets import Dataset
from mtl_search.errors import ChangedError, FieldError, RunFolderError
from mtl_search.internal.arrays import parts
from mtl_search.internal.layout import ARCHITECTURES, EXPERIMENT
from mtl_search.runs.environment import describe_environment
from mtl_search.runs.folder import Run
from mtl_search.runs.splits import changed_splits
from mtl_search.spaces.changes import PATHS
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.proposal import Proposal

FREE = ("name", "description", "search.workers", "search.retries", "search.hours", "search.target", "search.track")
"""Keys of an experiment that change no number of any trial."""
LIBRARIES = ("mtl_search", "torch", "optuna", "numpy")
"""Whose versions a number may depend on."""


def begin_environment(experiment: Experiment, dataset: Dataset) -> dict[str, Any]:
    """What stands in ``environment.json`` when a run begins."""
    environment = describe_environment(experiment.search.seed)
    return {
        **environment,
        **described(dataset),
        "experiment": experiment.to_dict(),
        "data_digest": data_digest(dataset),
        "sessions": [_session(environment)],
    }


OF_ALL_TRIALS = tuple(
    f"experiment.yaml: {section}"
    for section in ("space.", "backbone.", "objectives", "task_weights", "constraints.worst_task")
)
"""What all trials of a run must have in common: what they are drawn from, and what is measured of them."""


def resumed_environment(run: Run, experiment: Experiment, dataset: Dataset, allow_changes: bool) -> dict[str, Any]:
    """What stands in ``environment.json`` when a run is gone on with.

    :raises ChangedError: If something has changed that trials depend on, and changes are not allowed.
    :raises RunFolderError: If the folder does not say what was asked for, or the space is another one.
    """
    if "experiment" not in run.environment:
        raise RunFolderError(
            f"{run.path}: holds no search that can go on: it was made by a comparison alone, or by an older version."
        )
    current = describe_environment(experiment.search.seed)
    found = list(_differences(run, experiment, dataset, current))
    if found and not allow_changes:
        raise ChangedError(run.path, found)
    for difference in found:
        if difference.startswith(OF_ALL_TRIALS):
            raise RunFolderError(
                f"{run.path}: {difference}: what all trials have in common cannot change on the way, "
                "not with `--allow-changes` either. Start another search; `search.points` can name what this one found."
            )
    _check_proposals(run)
    sessions = [*run.environment.get("sessions", []), _session(current, len(run.epochs), found)]
    environment = {**run.environment, "finished": None, "sessions": sessions, "experiment": experiment.to_dict()}
    return {**environment, "data_digest": data_digest(dataset)} if found else environment


def _check_proposals(run: Run) -> None:
    """Check that the trials of a search are of its space, no two of them alike: samplers rely on it.

    :raises RunFolderError: If one is not; the message names its file.
    """
    all_of_them = {**{trial.number: trial.proposal for trial in run.trials}, **run.under_way}
    space, first = run.experiment.proposal_space, dict[Proposal, int]()
    for number, proposal in sorted(all_of_them.items()):
        path = run.path / ARCHITECTURES / f"{number}.json"
        if not space.contains(proposal):
            raise RunFolderError(f"{path}: is not of the space in {EXPERIMENT}. Put it back from a copy.")
        if first.setdefault(proposal, number) != number:
            raise RunFolderError(f"{path}: is the same as {first[proposal]}.json. Put it back from a copy.")


def described(dataset: Dataset) -> dict[str, Any]:
    """The tasks with their kinds, options, and what they learned of the training data; what was found in files."""
    tasks = {"tasks": [task.describe() for task in dataset.tasks]}
    return {**tasks, "found": dict(dataset.found)} if dataset.found else tasks


def _session(environment: Mapping[str, Any], epochs_before: int = 0, changes: Sequence[str] = ()) -> dict[str, Any]:
    """One call that works on a run: when, with what, and what it found done."""
    names = ("started", "finished", "command", "source_revision", "source_digest", "versions", "kernels")
    kept = {name: environment[name] for name in names}
    return {**kept, "seconds": 0.0, "epochs_before": epochs_before, "changes": list(changes)}


def grown(run: Run, trials: int | None, hours: float | None, workers: int | None) -> Experiment:
    """The experiment of a run, with a budget that may have grown.

    :raises FieldError: If a budget would shrink.
    """
    before = run.experiment.search
    if trials is not None and trials < before.trials:
        raise FieldError("--trials", f"must be at least the {before.trials} that were asked for", trials)
    if hours is not None and before.hours is not None and hours < before.hours:
        raise FieldError("--hours", f"must be at least the {before.hours:g} that were asked for", hours)
    changes = {"trials": trials, "hours": hours, "workers": workers}
    return run.experiment.changed({"search": {key: value for key, value in changes.items() if value is not None}})


def data_digest(dataset: Dataset) -> str:
    """A digest of what trials see: the samples and labels of the splits ``train`` and ``val``."""
    digest = hashlib.blake2b(digest_size=8)  # bytes: no two datasets agree by accident
    if dataset.centre is not None:
        digest.update(np.ascontiguousarray(dataset.centre).view(np.uint8).data)
    for name in ("train", "val"):
        split = dataset.splits[name]
        arrays = [split.inputs, *(split.targets[task] for task in sorted(split.targets))]
        for array in arrays:
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            for _, part in parts(array):
                digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    return digest.hexdigest()


def changed_data(run: Run, dataset: Dataset) -> list[str]:
    """In what a dataset is not what a run saw, each as ``what: before -> now``."""
    found = data_digest(dataset)
    before = run.environment.get("data_digest", found)
    samples = [] if before == found else [f"the samples of dataset {dataset.name}: {before} -> {found}"]
    return [*samples, *changed_splits(run.path, dataset.rows)]


def _differences(run: Run, experiment: Experiment, dataset: Dataset, current: Mapping[str, Any]) -> Iterator[str]:
    """What has changed since a run was last worked on, each as ``what: before -> now``."""
    before = (run.environment.get("sessions") or [run.environment])[-1]
    asked, wanted = _flat(run.environment.get("experiment", {})), _flat(experiment.to_dict())
    for key in sorted(asked.keys() | wanted.keys()):
        grows = key == "search.trials" and isinstance(asked.get(key), int) and asked[key] <= wanted[key]
        moved = key.startswith("dataset.") and key.rpartition(".")[2] in PATHS
        if asked.get(key) != wanted.get(key) and not grows and not moved and not key.startswith(FREE):
            yield f"experiment.yaml: {key}: {asked.get(key)!r} -> {wanted.get(key)!r}"
    yield from changed_data(run, dataset)
    if before.get("source_digest") != current["source_digest"]:
        old, new = ((one.get("source_revision") or one.get("source_digest")) for one in (before, current))
        yield f"the source of mtl_search: {old} -> {new if new != old else f'{new}, with other changes'}"
    for name in LIBRARIES:
        old, new = before.get("versions", {}).get(name), current["versions"].get(name)
        if old != new:
            yield f"the version of {name}: {old} -> {new}"
    old, new = before.get("kernels", current["kernels"]), current["kernels"]
    if old != new:
        yield f"the kernels: {old} -> {new}"


def _flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat
