"""Datasets that each break one rule, and the sentence that says which."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from mtl_search import Split, dataset_function, make_dataset, make_task
from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.tasks import Regression
from mtl_search.testing import check_dataset

TASKS = (make_task("binary", "rising"), make_task("regression", "height"))


def splits(seed: int | None = 0, samples: int = 80) -> dict[str, Split]:
    rng = np.random.default_rng(seed)
    found = {}
    for name in ("train", "val", "test"):
        x = rng.normal(size=(samples, 4)).astype(np.float32)
        found[name] = Split(x, {"rising": (x[:, 0] > 0).astype(np.int64), "height": x.sum(axis=1)})
    return found


def whole(**changes: Any) -> Dataset:
    return replace(make_dataset("waves", TASKS, splits()), **changes)


def from_the_global_generator() -> dict[str, Split]:
    return splits(int(np.random.randint(1000)))


def same_samples() -> dict[str, Split]:
    train = splits()["train"]
    return dict.fromkeys(("train", "val", "test"), train)


def with_inputs(change: Callable[[Any], Any]) -> Dataset:
    made = whole()
    return replace(made, splits={name: replace(one, inputs=change(one.inputs)) for name, one in made.splits.items()})


def with_targets(change: Callable[[Any], Any]) -> Dataset:
    made = whole()
    changed = {name: replace(one, targets=change(dict(one.targets))) for name, one in made.splits.items()}
    return replace(made, splits=changed)


def with_lists() -> Any:
    return TASKS, {name: replace(one, inputs=one.inputs.tolist()) for name, one in splits().items()}  # type: ignore


def pictures() -> dict[str, Split]:
    rng = np.random.default_rng(0)
    drawn = {name: rng.integers(0, 256, (80, 8, 9, 3), dtype=np.uint8) for name in splits()}
    return {name: replace(one, inputs=drawn[name]) for name, one in splits().items()}


def mixed_up(targets: dict[str, Any]) -> dict[str, Any]:
    return {"rising": targets["rising"].astype(np.float32), "height": targets["height"]}


class Endless(Regression):
    """Its loss is no number."""

    def loss(self, output: Any, target: Any, label_smoothing: float = 0.0) -> Any:
        return super().loss(output, target, label_smoothing) * float("inf")


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "A dataset loads with its options"),
    "two splits": (lambda: whole().without("test"), "There are the splits train, val and test"),
    "lengths": (lambda: with_inputs(lambda x: x[:70]), "with a target of every sample for every task"),
    "types": (
        lambda: with_inputs(lambda x: x.astype(np.float64)),
        "Inputs are images .* must be float32, and tokens",
    ),
    "finite": (lambda: with_inputs(lambda x: np.where(x > 2, np.nan, x).astype(np.float32)), "Inputs are images"),
    "targets": (lambda: with_targets(mixed_up), "of the type, the shape and the values of its kind"),
    "no targets": (lambda: with_targets(lambda found: {"rising": found["rising"]}), "Every task has a name of its own"),
    "names": (lambda: whole(tasks=(TASKS[0], TASKS[0])), "Every task has a name of its own"),
    "not learned": (lambda: whole(tasks=TASKS), "Tasks have learned from the training targets"),
    "mean": (lambda: whole(mean=np.ones(4, np.float32)), "Mean and deviation are those of the training inputs"),
    "seed": (lambda: (TASKS, splits(None)), "The same options give the same data"),
    "global generator": (lambda: (TASKS, from_the_global_generator()), "The same options give the same data"),
    "lists": (lambda: with_lists(), "split `train`, `inputs`: must be an array of numpy, but got a list"),
    "tasks by name": (lambda: (("rising", "height"), splits()), "made by `make_task`, but got 'rising'"),
    "no training split": (lambda: (TASKS, {"training": splits()["train"]}), "split `train`, but got 'training'"),
    "channels last": (
        lambda: (TASKS, pictures()),
        r"`inputs.transpose\(0, 3, 1, 2\)`.* 8 channels, and images 3 pixels",
    ),
    "leak": (lambda: (TASKS, same_samples()), "100% of its samples in the training split"),
    "cannot be trained": (
        lambda: ((TASKS[0], Endless("height")), splits()),
        "A network is trained on the training split and measured",
    ),
    "one sample": (lambda: (TASKS, splits(samples=1)), "breaks a rule"),
}


@dataset_function
def waves(samples: int = 80) -> Any:
    return TASKS, splits(samples=samples)


def test_what_others_are_made_of_keeps_the_contract() -> None:
    check_dataset(waves)
    check_dataset(waves, samples=100)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_told_in_one_sentence(case: str) -> None:
    make, rule = BROKEN[case]

    @dataset_function
    def broken() -> Any:
        return make()

    with pytest.raises(AssertionError, match=rule) as found:
        check_dataset(broken)
    assert str(found.value).startswith("`broken` breaks a rule: ")
    assert "\n" not in str(found.value)


def test_a_function_that_takes_any_option_is_told() -> None:
    @dataset_function
    def broken(**options: Any) -> Any:
        return TASKS, splits()

    with pytest.raises(AssertionError, match="An option that there is not is refused by its name"):
        check_dataset(broken)


def test_a_class_whose_load_returns_no_dataset_is_told() -> None:
    parts = type("Parts", (DatasetSource,), {"name": "parts", "load": lambda self: (TASKS, splits())})
    with pytest.raises(AssertionError, match=r"`load` returns a Dataset, .* found a tuple: `make_dataset` makes"):
        check_dataset(dataclass(frozen=True)(parts))


def test_a_function_that_is_not_marked_is_told() -> None:
    with pytest.raises(AssertionError, match="`splits` breaks a rule: A dataset is a class derived from DatasetSource"):
        check_dataset(splits)
