"""The contract of kinds of tasks: many are computed at once, missing targets count for nothing, metrics mean what they
say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import Dataset, Split, make_dataset
from mtl_search.errors import DatasetError
from mtl_search.tasks import Task, TaskGroups
from mtl_search.testing._problems import operators_of
from mtl_search.testing._rules import check_rules, kept_by_json, one_thread, require, require_close, seeded
from mtl_search.training.batches import DeviceSplit

SAMPLES, SIDE = 60, 6
"""Of the targets that are made where none are given."""
SHARES = (0.0, 0.3, 0.7)
"""Of the targets that are missing, each by itself."""
STEPS = 200
"""Of gradient descent on the outputs themselves: so many raise the quality of every kind that ships."""
CPU = torch.device("cpu")
Perfect = Callable[[Task, NDArray[Any]], Tensor]
"""What a network that knows everything puts out, from a task that knows its data and its targets."""


def check_task(task: Task | type[Task], targets: NDArray[Any] | None = None, perfect: Perfect | None = None) -> None:
    """Check that a kind of task keeps the contract.

    :param task: The task, with its options; a class is taken without any. Its name does not matter.
    :param targets: ``[60 or more, ...]``, complete and with samples that differ, of a dense kind maps of 6 x 6; left
        out they are drawn: 0 or 1, or standard normal numbers.
    :param perfect: What a network that knows everything puts out. Only with it is it checked that this is perfect.
    :raises AssertionError: If a rule is broken: the sentence says which, with what input, and what was found.
    """
    made = task("task") if isinstance(task, type) else replace(task, name="task")
    case = TaskCase(made, drawn_targets(made) if targets is None else targets, perfect)
    with one_thread():
        check_rules(type(made).__name__, RULES if perfect is None else (*RULES, to_know_everything_is_perfect), case)


def drawn_targets(task: Task) -> NDArray[Any]:
    """Targets of a kind that takes 0 and 1, or any numbers."""
    rng, shape = np.random.default_rng(0), (SAMPLES, *task.target_shapes(SIDE, SIDE)[0])
    return rng.integers(0, 2, shape) if task.integer else rng.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class TaskCase:
    """A task with complete targets."""

    task: Task
    complete: NDArray[Any]
    perfect: Perfect | None

    def targets(self, seed: int = 0, missing: float = 0.0) -> NDArray[Any]:
        """The targets with samples drawn anew, of which a share is missing, each by itself."""
        rng = np.random.default_rng(seed)
        chosen = rng.integers(0, len(self.complete), len(self.complete)) if seed else slice(None)
        targets = self.complete[chosen]
        there = self.task.known(targets)
        gone = rng.random(there.shape) < missing
        if there.ndim < targets.ndim:  # a target is a vector, along the second dimension
            gone = np.broadcast_to(gone[:, None], targets.shape)
        return np.where(gone, self.absent(targets), targets)

    def absent(self, targets: NDArray[Any]) -> Any:
        """What stands for a target that is missing."""
        return np.asarray(-1 if self.task.integer else np.nan, targets.dtype)

    def without(self, targets: NDArray[Any], samples: Any) -> NDArray[Any]:
        """The same targets without those of some samples."""
        changed = targets.copy()
        changed[samples] = self.absent(targets)
        return changed

    def learned(self, targets: NDArray[Any], name: str = "task") -> Task:
        """The task as a dataset brings it."""
        return dataset_of([replace(self.task, name=name)], {name: targets}).tasks[0]

    def outputs(self, samples: int, seed: int = 0) -> Tensor:
        """Outputs drawn at random, ``[samples, outputs, ...]``."""
        shape = (samples, self.task.outputs, *(self.complete.shape[-2:] if self.task.dense else ()))
        return 2 * torch.randn(shape, generator=seeded(seed))


@dataclass(frozen=True)
class Several:
    """Tasks of one kind that know their data, their outputs, and their targets as they are loaded."""

    tasks: list[Task]
    outputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    @property
    def groups(self) -> TaskGroups:
        """The tasks as they are computed at once."""
        return TaskGroups(self.tasks, CPU)


def several(case: TaskCase, count: int, missing: float = 0.0) -> Several:
    """So many tasks of the kind, a share of whose targets is missing."""
    raw = {f"task {number}": case.targets(number, missing) for number in range(count)}
    tasks = [case.learned(targets, name) for name, targets in raw.items()]
    outputs = {name: case.outputs(len(case.complete), seed) for seed, name in enumerate(raw)}
    return Several(tasks, outputs, {name: torch.from_numpy(targets) for name, targets in raw.items()})


def as_split(targets: Mapping[str, NDArray[Any]], side: tuple[int, ...] = (SIDE, SIDE)) -> Split:
    """Pictures with these targets."""
    samples = len(next(iter(targets.values())))
    return Split(np.random.default_rng(9).integers(0, 256, (samples, 1, *side), dtype=np.uint8), targets)


def dataset_of(tasks: Sequence[Task], targets: Mapping[str, NDArray[Any]]) -> Dataset:
    """With the same samples for training and validation."""
    first = next(iter(targets.values()))
    split = as_split(targets, first.shape[-2:] if tasks[0].dense else (SIDE, SIDE))
    return make_dataset("checked", tuple(tasks), {"train": split, "val": split})


def prepared(task: Task, targets: NDArray[Any]) -> Tensor:
    """Targets as a step has them."""
    return task.prepared(torch.from_numpy(targets))


def scores_of(task: Task, outputs: Tensor, targets: NDArray[Any], size: int | None = None) -> dict[str, float]:
    """The metrics, accumulated over batches of a size; in one batch if left out."""
    wanted = prepared(task, targets)
    size = size or len(wanted)
    parts = zip(outputs.split(size), wanted.split(size), strict=True)
    return task.scores(torch.stack([task.totals(*part) for part in parts]).sum(dim=0))


def require_scores(found: Mapping[str, float], expected: Mapping[str, float], given: str, rtol: float) -> None:
    """Raise ``BrokenRule`` unless the metrics are the same ones, in the same order, and agree."""
    near = list(found) == list(expected) and np.allclose(
        list(found.values()), list(expected.values()), rtol=rtol, atol=1e-12, equal_nan=False
    )
    require(near, given, f"{dict(found)} and not {dict(expected)}")


# Rules


def it_says_what_it_is(case: TaskCase) -> None:
    """A kind has a name that is a word, metrics, and says what an output of a trained network means."""
    kind = getattr(case.task, "kind", None)
    require(isinstance(kind, str) and kind.isidentifier(), "its attribute `kind`", repr(kind))
    require(bool(case.task.metrics), "its attribute `metrics`", "no metric")
    require(case.task.output_means != Task.output_means, "its attribute `output_means`", "that of every kind")


def what_it_learned_is_plain_data(case: TaskCase) -> None:
    """What a task is and learned of the training targets is plain data for JSON."""
    told = case.learned(case.targets()).describe()
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    require(kept_by_json(plain), "a task that knows its data", told)


def the_loss_is_one_finite_number(case: TaskCase) -> None:
    """The loss is one finite number, in the type of the outputs, whose gradient reaches them."""
    task, outputs = case.learned(case.targets()), case.outputs(len(case.complete)).requires_grad_()
    loss, given = task.loss(outputs, prepared(task, case.targets())), f"outputs {list(outputs.shape)}"
    require(loss.shape == (), given, f"a loss of the shape {list(loss.shape)}")
    require(bool(loss.isfinite()) and loss.requires_grad, given, f"the loss {loss}")
    (gradient,) = torch.autograd.grad(loss, outputs)
    require(bool(gradient.isfinite().all() and gradient.any()), given, "a gradient of zeros, or one that is not finite")


def losses_at_once_are_those_of_each(case: TaskCase) -> None:
    """The losses of several tasks of the kind that are computed at once, and their gradients, are those of each."""
    for missing in SHARES:
        for smoothing in (0.0, 0.2):
            those, given = several(case, 3, missing), f"three tasks, {missing:.0%} of the targets missing"
            for output in those.outputs.values():
                output.requires_grad_()
            found = those.groups.losses(those.outputs, those.groups.targets(those.targets), smoothing)
            each = [
                task.loss(those.outputs[task.name], task.prepared(those.targets[task.name]), smoothing)
                for task in those.tasks
            ]
            expected = torch.stack(each)
            require_close(found, expected, given, 1e-5, 0)
            require(len(set(found.tolist())) == 3, f"{given}, each other ones", "losses that are the same")
            weights, outputs = torch.tensor([1.0, 2.0, 3.0]), list(those.outputs.values())
            both = [torch.autograd.grad((weights * losses).sum(), outputs) for losses in (found, expected)]
            for one, other in zip(*both, strict=True):
                require(bool(one.any()), given, "a gradient of zeros")
                require_close(one, other, f"{given}, of the gradients", 1e-5, 1e-9)


def tasks_that_are_alike_cost_no_operations(case: TaskCase) -> None:
    """Where tasks of the kind are alike, the losses of forty are as many operations as those of two."""
    if case.learned(case.targets()).alike == "task":
        return

    def losses_of(count: int) -> Callable[[], Tensor]:
        those = several(case, count, missing=0.2)
        groups, stacked = those.groups, those.groups.targets(those.targets)
        return lambda: groups.losses(those.outputs, stacked.map(lambda of_group: of_group))

    few, many = (operators_of(losses_of(count)) for count in (2, 40))
    require(few == many, "2 and 40 tasks", f"{len(few)} and {len(many)} operations")


def scores_are_the_same_in_batches_of_any_size(case: TaskCase) -> None:
    """Metrics are those of its list, in their order, and the same in batches of any size."""
    for missing in SHARES:
        for seed in (0, 1):
            targets = case.targets(seed, missing)
            task, outputs = case.learned(targets), case.outputs(len(targets), seed)
            whole, given = scores_of(task, outputs, targets), f"{missing:.0%} of the targets missing"
            names = [metric.name for metric in task.metrics]
            require(list(whole) == names, given, f"the metrics {list(whole)} and not {names}")
            for size in (1, 7, 32):
                require_scores(scores_of(task, outputs, targets, size), whole, f"{given} in batches of {size}", 1e-7)


def scores_at_once_are_those_of_each(case: TaskCase) -> None:
    """The metrics of several tasks that are computed at once are those of each."""
    those = several(case, 3, missing=0.3)
    found = those.groups.scores(those.groups.totals(those.outputs, those.groups.targets(those.targets)))
    expected = {
        f"{task.name}/{metric}": value
        for task in those.tasks
        for metric, value in scores_of(task, those.outputs[task.name], those.targets[task.name].numpy()).items()
    }
    require_scores(found, expected, "three tasks", 1e-6)


def samples_without_a_target_count_for_nothing(case: TaskCase) -> None:
    """Loss, gradient and metrics leave out samples without a target, whatever is put out for them."""
    whole = case.targets()
    gone = np.arange(0, len(whole), 3)
    some, kept = case.without(whole, gone), np.flatnonzero(np.arange(len(whole)) % 3)
    task, outputs = case.learned(whole), case.outputs(len(whole))
    given = "no targets of every third sample"
    outputs[::3] *= 1e6
    outputs.requires_grad_()
    loss = task.loss(outputs, prepared(task, some), 0.1)
    expected = task.loss(outputs[kept], prepared(task, whole[kept]), 0.1)
    require_close(loss, expected, f"{given}, of the loss", 1e-6, 0)
    found, wanted = (torch.autograd.grad(one, outputs)[0] for one in (loss, expected))
    require(not found[::3].any(), given, "a gradient of their outputs")
    require_close(found, wanted, f"{given}, of the gradient", 1e-5, 1e-9)
    others = scores_of(task, outputs.detach()[kept], whole[kept])
    require_scores(scores_of(task, outputs.detach(), some), others, given, 1e-9)


def without_any_target_there_is_nothing(case: TaskCase) -> None:
    """Without any target the loss is 0, its gradient is 0, and there are no metrics."""
    task, nothing = case.learned(case.targets()), case.without(case.targets(), slice(None))
    outputs, given = case.outputs(len(nothing)).requires_grad_(), "no target at all"
    loss = task.loss(outputs, prepared(task, nothing))
    require(float(loss.detach()) == 0, given, f"the loss {float(loss.detach())}")
    (gradient,) = torch.autograd.grad(loss, outputs)
    require(not gradient.any(), given, "a gradient that is not zero")
    scores = scores_of(task, outputs.detach(), nothing)
    require(scores == {}, given, f"the metrics {scores}")


def it_is_known_which_targets_are_there(case: TaskCase) -> None:
    """It is known in which batches a task has a target; nothing is looked for where none of the split is missing."""
    targets = {"here": case.targets(), "gone": case.without(case.targets(1), slice(0, 20))}
    tasks = [replace(case.task, name=name) for name in targets]
    data = DeviceSplit((dataset := dataset_of(tasks, targets)).splits["train"], dataset, CPU)
    for batch, expected in ((slice(0, 20), [True, False]), (slice(10, 30), [True, True])):
        present = data.batch(batch)[1].present
        found = None if present is None else present.tolist()
        require(found == expected, f"samples {batch.start} to {batch.stop}, of which 0 to 20 have none", found)
    complete = dataset_of(tasks[:1], {"here": targets["here"]})
    present = DeviceSplit(complete.splits["train"], complete, CPU).batch(slice(0, 20))[1].present
    require(present is None, "a split that misses no target", present)


def only_the_training_split_is_learned_from(case: TaskCase) -> None:
    """A task learns from the training targets only."""
    first, second = case.targets(), case.targets(1)
    shape = first.shape[-2:] if case.task.dense else (SIDE, SIDE)
    splits = {name: as_split({"task": one}, shape) for name, one in (("train", first), ("val", second))}
    (found,) = make_dataset("checked", (case.task,), splits).tasks
    require(found == case.learned(first), "another validation split", "a task that knows something else")


def a_split_without_any_target_is_refused(case: TaskCase) -> None:
    """A split without any target is refused, with a message that names the task and the split."""
    shape = case.complete.shape[-2:] if case.task.dense else (SIDE, SIDE)
    for split in ("train", "val"):
        splits = {name: as_split({"task": case.targets()}, shape) for name in ("train", "val")}
        splits[split] = as_split({"task": case.without(case.targets(), slice(None))}, shape)
        given = f"no target in the split `{split}`"
        try:
            make_dataset("checked", (case.task,), splits)
        except DatasetError as error:
            told = str(error).startswith(f"task `task`, split `{split}`: every target is missing")
            require(told, given, f"the message {error}")
        else:
            require(False, given, "no error")


def what_lowers_the_loss_raises_the_quality(case: TaskCase) -> None:
    """Outputs that lower the loss raise the quality, which is 1 at most."""
    targets = case.targets()
    task, outputs = case.learned(targets), case.outputs(len(targets))
    before = task.quality(scores_of(task, outputs, targets))
    learned = outputs.clone().requires_grad_()
    optimiser = torch.optim.Adam([learned], 0.1 * task.output_scale[1])
    for _ in range(STEPS):
        optimiser.zero_grad()
        task.loss(learned, prepared(task, targets)).backward()
        optimiser.step()
    after = task.quality(scores_of(task, learned.detach(), targets))
    require(before < after <= 1 + 1e-6, f"{STEPS} steps down the loss", f"the quality {after:.4g} after {before:.4g}")


def to_know_everything_is_perfect(case: TaskCase) -> None:
    """To know everything has the quality 1, outputs at random have less than 0.9."""
    targets = case.targets(missing=0.2)
    task = case.learned(targets)
    assert case.perfect is not None
    perfect = task.quality(scores_of(task, case.perfect(task, targets), targets))
    require(abs(perfect - 1) < 1e-6, "perfect outputs", f"the quality {perfect}")
    guessed = task.quality(scores_of(task, case.outputs(len(targets)), targets))
    require(guessed < 0.9, "outputs at random", f"the quality {guessed}")


RULES: Sequence[Callable[[TaskCase], None]] = (
    it_says_what_it_is,
    the_loss_is_one_finite_number,
    without_any_target_there_is_nothing,
    samples_without_a_target_count_for_nothing,
    losses_at_once_are_those_of_each,
    tasks_that_are_alike_cost_no_operations,
    scores_are_the_same_in_batches_of_any_size,
    scores_at_once_are_those_of_each,
    it_is_known_which_targets_are_there,
    what_it_learned_is_plain_data,
    only_the_training_split_is_learned_from,
    a_split_without_any_target_is_refused,
    what_lowers_the_loss_raises_the_quality,
)
