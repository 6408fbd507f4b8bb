"""The contract of kinds of tasks: many are computed at once, missing targets count for nothing, metrics mean what they
say."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mtl_search.datasets import make_dataset
from mtl_search.errors import DatasetError
from mtl_search.metrics.scores import bounds
from mtl_search.tasks import Task
from mtl_search.testing._kinds import (
    CPU,
    SIDE,
    Perfect,
    TaskCase,
    as_split,
    dataset_of,
    prepared,
    require_scores,
    scores_of,
    several,
)
from mtl_search.testing._problems import operators_of
from mtl_search.testing._rules import check_rules, kept_by_json, one_thread, require, require_close
from mtl_search.training.batches import DeviceSplit

SAMPLES = 60
"""Of the targets that are made where none are given."""
SHARES = (0.0, 0.3, 0.7)
"""Of the targets that are missing, each by itself."""
STEPS = 200
"""Of gradient descent on the outputs themselves: so many raise the quality of every kind that ships."""


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


# Rules


def it_says_what_it_is(case: TaskCase) -> None:
    """A kind has a name that is a word, metrics, and says what an output of a trained network means."""
    kind = getattr(case.task, "kind", None)
    require(isinstance(kind, str) and kind.isidentifier(), "its attribute `kind`", repr(kind))
    require(bool(case.task.metrics), "its attribute `metrics`", "no metric")
    require(case.task.output_means != Task.output_means, "its attribute `output_means`", "that of every kind")


def an_error_has_a_constant_one(case: TaskCase) -> None:
    """A kind whose first metric is an error says `constant_error`, that of the best constant prediction on the training
    targets, which `learned` is given."""
    task = case.learned(case.targets())
    if not task.headline.higher_is_better and type(task).quality is Task.quality:
        require(0 < task.constant_error < float("inf"), "a task that knows its data", task.constant_error)


def what_it_learned_is_plain_data(case: TaskCase) -> None:
    """What a task is and learned of the training targets is plain data for JSON."""
    told = case.learned(case.targets()).describe()
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    require(kept_by_json(plain), "a task that knows its data", told)


def the_loss_is_one_finite_number(case: TaskCase) -> None:
    """The loss is one finite number, in the type of the outputs, whose gradient reaches every one of them."""
    task, outputs = case.learned(case.targets()), case.outputs(len(case.complete)).requires_grad_()
    loss, given = task.loss(outputs, prepared(task, case.targets())), f"outputs {list(outputs.shape)}"
    require(loss.shape == (), given, f"a loss of the shape {list(loss.shape)}")
    require(bool(loss.isfinite()) and loss.requires_grad, given, f"the loss {loss}")
    (gradient,) = torch.autograd.grad(loss, outputs)
    require(bool(gradient.isfinite().all() and gradient.any()), given, "a gradient of zeros, or one that is not finite")
    reached = gradient.transpose(0, 1).flatten(1).any(dim=1).tolist()
    require(all(reached), given, f"no gradient of the output {reached.index(False) if not all(reached) else 0}")


def the_loss_is_a_mean(case: TaskCase) -> None:
    """The loss is a mean over the targets that are there: of every sample twice it is the same."""
    task, targets, outputs = case.learned(case.targets()), case.targets(missing=0.3), case.outputs(len(case.complete))
    twice = np.concatenate([targets, targets])
    found = task.loss(torch.cat([outputs, outputs]), prepared(task, twice))
    require_close(found, task.loss(outputs, prepared(task, targets)), "every sample twice", 1e-5, 1e-7)


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
    """Metrics are those of its list, in their order, as their names say, and the same in batches of any size."""
    for missing in SHARES:
        for seed in (0, 1):
            targets = case.targets(seed, missing)
            task, outputs = case.learned(targets), case.outputs(len(targets), seed)
            whole, given = scores_of(task, outputs, targets), f"{missing:.0%} of the targets missing"
            names = [metric.name for metric in task.metrics]
            require(list(whole) == names, given, f"the metrics {list(whole)} and not {names}")
            for name, value in whole.items():
                low, high = bounds(name)
                inside = (low is None or value >= low - 1e-6) and (high is None or value <= high + 1e-6)
                require(inside, f"{given}, of `{name}`, which its name says is from {low} to {high}", value)
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
    require(not found[::3].isnan().any(), given, "a gradient of their outputs that is nan: mask these, not the losses")
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
    an_error_has_a_constant_one,
    the_loss_is_one_finite_number,
    without_any_target_there_is_nothing,
    samples_without_a_target_count_for_nothing,
    the_loss_is_a_mean,
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
