"""The contract of datasets: the same options give the same samples, splits that a network can be trained and measured
on."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mtl_search.datasets import SPLITS, Dataset, DatasetSource, Split, dataset_source
from mtl_search.datasets._inputs import check_inputs, mean_and_deviation
from mtl_search.errors import DatasetError
from mtl_search.internal.arrays import Array
from mtl_search.internal.own_code import is_dataset_function
from mtl_search.internal.registry import DATASETS
from mtl_search.methods import MethodContext
from mtl_search.methods.hard_sharing import HardSharing
from mtl_search.spaces.backbone import Backbone, Kind, Stage
from mtl_search.spaces.settings import Training
from mtl_search.testing._problems import solve
from mtl_search.testing._rules import check_rules, one_thread, require
from mtl_search.training.scoring import scores_on

MOST_SEEN = 0.5
"""Share of the samples of a split that may stand in the training split, too: rows of a table do repeat."""
CHANNELS = (1, 3, 4)
"""Of grey, of coloured, and of transparent pictures."""
TRAINED = 256
"""Samples that a network is trained on."""
NORMALISED = (1e-3, 1e-3)
"""Relative and absolute difference of a mean or a deviation from that of the training inputs."""


def check_dataset(source: type[DatasetSource] | Callable[..., Any], **options: Any) -> None:
    """Check that a dataset keeps the contract. It is loaded three times; give options that make it small.

    :param source: A class derived from ``DatasetSource``, or a function marked with ``@dataset_function``.
    :param options: Options of the dataset, as ``dataset:`` in an experiment has them.
    :raises AssertionError: If a rule is broken: the sentence says which, with what input, and what was found.
    """
    name = getattr(source, "__name__", "dataset")
    with one_thread(), DATASETS.lending(source) as lent:
        check_rules(name, (it_is_a_source,), source)
        check_rules(name, RULES, DatasetCase(lent, options))


@dataclass(frozen=True)
class DatasetCase:
    """A dataset under a name that experiments know it by."""

    name: str
    options: dict[str, Any]

    def load(self) -> Dataset:
        """With its options."""
        return dataset_source(self.name, self.options).load()

    @cached_property
    def loaded(self) -> Dataset:
        """Once for all rules."""
        return self.load()


def it_is_a_source(source: Any) -> None:
    """A dataset is a class derived from DatasetSource with a `name`, or a function with `@dataset_function` above
    it."""
    named = isinstance(source, type) and issubclass(source, DatasetSource) and isinstance(source.name, str)
    require(named or is_dataset_function(source), "what was given", repr(source))


def it_loads(case: DatasetCase) -> None:
    """A dataset loads with its options: `load` returns a Dataset, a function its tasks and its splits or a Dataset."""
    loaded = case.loaded
    found = f"a {type(loaded).__name__}: `make_dataset` makes a Dataset"
    require(isinstance(loaded, Dataset), f"the options {case.options}", found)


def unknown_options_are_refused(case: DatasetCase) -> None:
    """An option that there is not is refused by its name."""
    option = "no_such_option"
    try:
        dataset_source(case.name, {**case.options, option: 1})
    except DatasetError as error:
        require(option in str(error), f"the option `{option}`", f"the message {error}")
    else:
        require(False, f"the option `{option}`", "no error")


def there_are_three_splits(case: DatasetCase) -> None:
    """There are the splits train, val and test, each with samples and with a target of every sample for every task."""
    require(
        set(case.loaded.splits) == set(SPLITS), f"the options {case.options}", f"the splits {[*case.loaded.splits]}"
    )
    for name, split in case.loaded.splits.items():
        lengths = {"inputs": len(split.inputs)} | {task: len(values) for task, values in split.targets.items()}
        alike = len(set(lengths.values())) == 1 and len(split) > 0
        require(alike, f"the split `{name}`", f"the samples {lengths}")


def inputs_are_as_networks_read_them(case: DatasetCase) -> None:
    """Inputs are images [samples, channels, height, width] in uint8, uint16 or float32, rows [samples, features] in
    float32, or sequences of tokens [samples, length] in int16 or int32 or of vectors [samples, length, channels] in
    float32, with padding at their end; finite, and of one shape in all splits."""
    for name, split in case.loaded.splits.items():
        check_inputs(split.inputs, case.loaded.splits["train"].inputs.shape[1:], name)


def channels_stand_before_pixels(case: DatasetCase) -> None:
    """Images are [samples, channels, height, width]: `inputs.transpose(0, 3, 1, 2)` brings those whose channels are
    last there."""
    if len(case.loaded.input_shape) == 3:
        channels, _, width = case.loaded.input_shape
        turned = width in CHANNELS and channels not in CHANNELS
        require(not turned, "the inputs", f"{channels} channels, and images {width} pixels wide")


def targets_are_as_their_tasks_have_them(case: DatasetCase) -> None:
    """Every task has a name of its own, and targets in every split of the type, the shape and the values of its
    kind."""
    names = [task.name for task in case.loaded.tasks]
    require(bool(names) and len(set(names)) == len(names), "the tasks", f"the names {names}")
    for name, split in case.loaded.splits.items():
        for task in case.loaded.tasks:
            require(task.name in split.targets, f"the split `{name}`", f"no targets of the task `{task.name}`")
            task.check(split.targets[task.name], split.inputs.shape, name)


def tasks_know_the_training_targets(case: DatasetCase) -> None:
    """Tasks have learned from the training targets, and from no others: `make_dataset` does it."""
    train = case.loaded.splits["train"]
    for task in case.loaded.tasks:
        told, right = task.describe(), task.learned(train.targets[task.name]).describe()
        require(told == right, f"the task `{task.name}`", f"{told} and not {right}")


def inputs_are_normalised_by_the_training_split(case: DatasetCase) -> None:
    """Mean and deviation are those of the training inputs, by channel or feature: `make_dataset` finds them."""
    both = zip((case.loaded.mean, case.loaded.std), mean_and_deviation(case.loaded.splits["train"].inputs), strict=True)
    for name, (told, found) in zip(("mean", "std"), both, strict=True):
        near = told.shape == found.shape and np.allclose(told, found, *NORMALISED)
        require(near, f"the training inputs, of `{name}`", f"{told.tolist()} and not {found.tolist()}")


def same_options_same_data(case: DatasetCase) -> None:
    """The same options give the same data, whatever the global generators hold, and these are left alone."""
    loads = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = _generators()
        loads.append(case.load())
        require(_generators() == before, "loading", "draws from a global generator")
    first, again = loads
    require(first.tasks == again.tasks, "the same options twice", "other tasks")
    for name, split in first.splits.items():
        require(_same(split, again.splits[name]), f"the same options twice, of the split `{name}`", "other samples")


def splits_do_not_share_their_samples(case: DatasetCase) -> None:
    """What is measured on was not trained on: fewer than half of the samples of a split are training samples, too."""
    known = set(_digests(case.loaded.splits["train"]))
    for name in SPLITS[1:]:
        digests = _digests(case.loaded.splits[name])
        seen = sum(digest in known for digest in digests) / len(digests)
        require(seen < MOST_SEEN, f"the split `{name}`", f"{seen:.0%} of its samples in the training split")


def a_network_is_trained_and_measured(case: DatasetCase) -> None:
    """A network is trained on the training split and measured on the validation split, in every metric of every
    task."""
    loaded = case.loaded
    splits = {name: _first(loaded.splits[name], TRAINED) for name in ("train", "val")}
    small = replace(loaded, splits=splits)
    kinds: dict[int, Kind] = {1: "vector", 2: "sequence", 3: "plain"}
    backbone = Backbone((Stage(8, 1),), kinds[len(loaded.input_shape)], embedding=8 if loaded.vocabulary else 0)
    training = Training(epochs=1, batch_size=min(32, len(splits["train"])), device="cpu")
    problem = MethodContext(backbone, small, training)
    solved = solve(HardSharing(), problem)
    losses, given = [epoch.loss for epoch in solved.epochs], f"{len(splits['train'])} training samples"
    require(bool(np.isfinite(losses).all()), given, f"the losses {losses}")
    scores = scores_on(solved.trained.model, small.tasks, small, "val", torch.device("cpu"))
    missing = {task.name for task in small.tasks if not task.known(np.asarray(splits["val"].targets[task.name])).any()}
    expected = [name for task in small.tasks if task.name not in missing for name in task.score_names]
    require(list(scores) == expected, given, f"the metrics {list(scores)} and not {expected}")


RULES: Sequence[Callable[[DatasetCase], None]] = (
    it_loads,
    unknown_options_are_refused,
    there_are_three_splits,
    inputs_are_as_networks_read_them,
    channels_stand_before_pixels,
    targets_are_as_their_tasks_have_them,
    tasks_know_the_training_targets,
    inputs_are_normalised_by_the_training_split,
    same_options_same_data,
    splits_do_not_share_their_samples,
    a_network_is_trained_and_measured,
)


def _generators() -> tuple[object, ...]:
    """Where the global generators stand."""
    return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), random.getstate()


def _same(one: Split, other: Split) -> bool:
    same = one.inputs.shape == other.inputs.shape and set(one.targets) == set(other.targets)
    pairs: list[tuple[Array, Array]] = [(one.inputs, other.inputs)]
    pairs += [(values, other.targets[name]) for name, values in one.targets.items() if same]
    return same and all(_bytes(a) == _bytes(b) for a, b in pairs)


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(np.asarray(array)).tobytes()


def _digests(split: Split) -> list[int]:
    """A number for every sample, the same for the same input and targets."""
    columns = [np.asarray(one) for one in (split.inputs, *split.targets.values())]
    return [hash(tuple(np.ascontiguousarray(column[row]).tobytes() for column in columns)) for row in range(len(split))]


def _first(split: Split, most: int) -> Split:
    targets = {name: np.asarray(values[:most]) for name, values in split.targets.items()}
    parts = None if split.parts is None else split.parts[:most]
    return Split(np.asarray(split.inputs[:most]), targets, parts)
