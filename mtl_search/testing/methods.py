"""The contract of methods: the same budget for all, networks that learn in every part, the same seed the same end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import nn

from mtl_search import cost
from mtl_search.exporting.formats import quiet_exporter
from mtl_search.methods import Method, MethodContext, TrainedModel
from mtl_search.networks.deployment import deployed
from mtl_search.spaces.backbone import Kind
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.testing._budget import budget_of_all, recorded, require_ordinary_weights_in_the_first_group
from mtl_search.testing._networks import (
    reads_only_some,
    require_output_shapes,
    require_rebuilt,
    require_samples_by_themselves,
    require_some_alone,
    require_that_all_learns,
)
from mtl_search.testing._problems import (
    MAPS,
    MIXED,
    Solved,
    generic,
    inputs_for,
    map_problem,
    picture_problem,
    row_problem,
    solve,
)
from mtl_search.testing._rules import check_rules, kept_by_json, one_thread, require, require_close, require_equal
from mtl_search.training.scoring import scores_on

PICTURE_KINDS: Sequence[Kind] = ("plain", "residual")
MAP_KINDS: Sequence[Kind] = ("plain", "residual", "bottleneck")


def check_method(method: Method | type[Method], maps: bool = True, rows: bool = True) -> None:
    """Check that a method keeps the contract.

    :param method: The method, with its options; a class is taken with its default ones.
    :param maps: Whether it is for dense tasks, too, as all that come with the package are.
    :param rows: Whether it is for the rows of a table, too.
    :raises AssertionError: If a rule is broken: the sentence says which, with what input, and what was found.
    """
    made = method() if isinstance(method, type) else method
    case = MethodCase(made)
    rules = (*RULES, *(MAP_RULES if maps else ()), *(ROW_RULES if rows else ()))
    with one_thread():
        check_rules(type(made).__name__, rules, case)


@dataclass(frozen=True)
class MethodCase:
    """A method, and what it did, trained once for all rules."""

    method: Method

    @cached_property
    def networks(self) -> list[tuple[MethodContext, nn.Module, str]]:
        """Networks that are not trained and have no special values, for one task to three, and in words what for."""
        found = []
        for kind in PICTURE_KINDS:
            for tasks in (1, 2, 3):
                problem = picture_problem(tasks, kind)
                found.append((problem, generic(self.method.build(problem)), f"{tasks} tasks on a {kind} backbone"))
        return found

    @cached_property
    def solved(self) -> Solved:
        """On two tasks of pictures."""
        return solve(self.method, picture_problem())

    @cached_property
    def solved_maps(self) -> Solved:
        """On maps with a task that is none between them."""
        return solve(self.method, map_problem())


# On pictures


def networks_put_out_all_tasks(case: MethodCase) -> None:
    """A network maps inputs to one output for each task, [batch, outputs], in the order of the tasks."""
    for problem, model, given in case.networks:
        require_output_shapes(model, problem, given)


def any_name_of_a_task_will_do(case: MethodCase) -> None:
    """A task may have any name, with dots in it, too, as those of a union have, or that of an attribute."""
    problem = picture_problem(names=("north.wind", "items"))
    require_output_shapes(case.method.build(problem), problem, "tasks named `north.wind` and `items`")


def every_sample_is_computed_by_itself(case: MethodCase) -> None:
    """In evaluation the outputs of a sample depend on that sample and on nothing else, and inputs are not changed."""
    for problem, model, given in case.networks:
        require_samples_by_themselves(model, problem, given)


def every_parameter_learns(case: MethodCase) -> None:
    """Every parameter that is trained has a gradient; with several tasks none that is zero."""
    for problem, model, given in case.networks:
        require_that_all_learns(model, problem, given)


def some_tasks_alone_are_the_same(case: MethodCase) -> None:
    """A network that takes the names of tasks as `only` puts out these alone, as with all; for another one the method
    says `macs_of_one_task` itself."""
    for problem, model, _ in case.networks:
        if reads_only_some(model):
            names = [task.name for task in problem.tasks]
            require_some_alone(model, problem, [*([name] for name in names), names[1:]])
        else:
            own = type(case.method).macs_of_one_task is not Method.macs_of_one_task
            found = "the default `macs_of_one_task`: give `forward` an argument `only=None`, or say it yourself"
            require(own, "a network without `only`", found)


def any_number_of_tasks_is_trained(case: MethodCase) -> None:
    """Any number of tasks can be trained, also on a residual backbone without a stem."""
    for tasks in (1, 3):
        problem = picture_problem(tasks, "residual", stem=0, epochs=1)
        model, given = solve(case.method, problem).trained.model, f"{tasks} tasks, after training"
        require_output_shapes(model, problem, given)
        if reads_only_some(model):
            names = [task.name for task in problem.tasks]
            require_some_alone(model, problem, [*([name] for name in names), names[1:]])


def labels_may_be_missing(case: MethodCase) -> None:
    """Where labels are missing, and whole batches have none of a task, losses and weights stay finite."""
    for balancing in ("equal", "mgda"):
        problem = picture_problem(3, epochs=1, batch_size=8, balancing=BalancingSettings(name=balancing))
        train, given = problem.dataset.splits["train"], f"a third of the labels missing and the balancing {balancing}"
        gone = np.random.default_rng(0).random((3, len(train))) < 0.3
        gone[1] |= np.arange(len(train)) >= 4
        targets = {one: np.where(rows, -1, train.targets[one]) for one, rows in zip(train.targets, gone, strict=True)}
        splits = {**problem.dataset.splits, "train": replace(train, targets=targets)}
        solved = solve(case.method, replace(problem, dataset=replace(problem.dataset, splits=splits)))
        losses = [epoch.loss for epoch in solved.epochs]
        require(all(math.isfinite(loss) and loss > 0 for loss in losses), given, f"the losses {losses}")
        values = solved.trained.model.state_dict().values()
        require(all(bool(value.isfinite().all()) for value in values), given, "weights that are not finite")
        require(kept_by_json(solved.trained.details), given, "details that are no plain data")


def one_task_alone_costs_no_more_than_all(case: MethodCase) -> None:
    """One task alone takes multiply-accumulates, and no more than all tasks."""
    problem, model = picture_problem(), case.solved.trained.model
    one, everything = case.method.macs_of_one_task(model, problem), cost.count_macs(model, problem.input_shape)
    require(0 < one <= everything, "the trained network", f"{one} for one task and {everything} for all")


def a_training_ends_with_a_network(case: MethodCase) -> None:
    """A training yields its epochs, and returns the network that is measured as a TrainedModel."""
    trained = case.solved.trained
    require(isinstance(trained, TrainedModel), "a training to its end", f"{type(trained).__name__}")


def pictures_are_rebuilt(case: MethodCase) -> None:
    """`rebuild` gives the network from the details: it takes the weights that were kept, parameters and buffers, and
    computes what the trained one does."""
    trained = case.solved.trained
    require_rebuilt(case.method, picture_problem(), trained.model, trained.details)


def it_can_be_exported(case: MethodCase) -> None:
    """A trained network can be exported: what it does follows from the shapes of the inputs, not from their values."""
    problem, model = picture_problem(), case.solved.trained.model
    with quiet_exporter():
        graph = deployed(model, problem.input_shape)
    x = inputs_for(problem)
    with torch.no_grad():
        found, expected = graph(x), model.eval()(x)
    for name, output in expected.items():
        require_close(found[name], output, f"the exported network, of task `{name}`", 1e-4)


def same_seed_same_network(case: MethodCase) -> None:
    """The same seed trains the same network, bit for bit; another seed another one."""
    first, again = case.solved, solve(case.method, picture_problem())
    seen = [[replace(epoch, seconds=0) for epoch in one.epochs] for one in (first, again)]
    found = "other epochs: draw from a torch.Generator of `context.seed`, or call torch.manual_seed first in `build`"
    require(seen[0] == seen[1], "the same seed twice", found)
    require_equal(again.trained.details, first.trained.details, "the same seed twice")
    states = [one.trained.model.state_dict() for one in (first, again)]
    require_equal(list(states[1]), list(states[0]), "the same seed twice")
    for name, value in states[0].items():
        require_equal(states[1][name], value, f"the same seed twice, of `{name}`")
    other = solve(case.method, picture_problem(seed=1))
    losses = [[epoch.loss for epoch in one.epochs] for one in (first, other)]
    require(losses[0] != losses[1], "the seeds 0 and 1", "the same losses")


def the_network_that_is_measured_has_the_budget_of_all(case: MethodCase) -> None:
    """The network that is measured is trained last, in the phase `training`, with the optimiser, samples, learning
    rates and weight decay of hard sharing."""
    found = recorded(case.method)
    for name, value in vars(budget_of_all()).items():
        given = f"{found.trainer.settings.epochs} epochs, of the budget's {name}"
        require_equal(getattr(found.budget, name), value, given)
    require_ordinary_weights_in_the_first_group(found.trainer)


def epochs_name_their_phase_and_count_their_work(case: MethodCase) -> None:
    """Epochs name their phase and count samples and multiply-accumulates; those of `training` are the last ones."""
    epochs = case.solved.epochs
    given = "every epoch"
    require(all(epoch.macs > 0 and epoch.samples > 0 and epoch.phase for epoch in epochs), given, "one without work")
    last = [epoch for epoch in epochs if epoch.phase == "training"]
    require(last == epochs[-len(last) :], "the phases", [epoch.phase for epoch in epochs])
    require_equal([(epoch.number, epoch.samples) for epoch in last], [(1, 64), (2, 64)], "72 samples in batches of 16")
    forward = cost.count_macs(case.solved.trained.model, picture_problem().input_shape)
    fewest = min(epoch.macs / epoch.samples for epoch in last)
    require(fewest >= 3 * forward, f"{forward} MACs of a forward pass", f"{fewest:.0f} for a sample of a step")


def details_are_plain_data(case: MethodCase) -> None:
    """What a method tells of a training is plain data for JSON."""
    details = case.solved.trained.details
    require(kept_by_json(details), "the details", details)


# On maps


def maps_have_the_size_of_the_input(case: MethodCase) -> None:
    """The output of a dense task is a map as large as the input, [batch, outputs, height, width]."""
    for kind in MAP_KINDS:
        problem = map_problem(kind=kind)
        require_output_shapes(case.method.build(problem), problem, f"inputs of 13 x 15 on a {kind} backbone")


def every_parameter_learns_of_maps(case: MethodCase) -> None:
    """With dense tasks, too, every parameter that is trained has a gradient that is not zero."""
    for tasks in (MIXED, MAPS):
        problem = map_problem(tasks, stem=8)
        require_that_all_learns(generic(case.method.build(problem)), problem, f"{len(tasks)} tasks, dense ones")


def some_maps_alone_are_the_same(case: MethodCase) -> None:
    """With dense tasks, too, a network that takes `only` puts out these tasks alone, as with all."""
    model = case.solved_maps.trained.model
    if reads_only_some(model):
        require_some_alone(model, map_problem(), [["depth"], ["large", "normals"]], 1e-5)


def what_was_trained_is_rebuilt(case: MethodCase) -> None:
    """The loss falls, and `rebuild` gives the network from the details: it takes the weights, computes the same, and is
    scored in every metric."""
    problem, trained = map_problem(), case.solved_maps.trained
    losses = [epoch.loss for epoch in case.solved_maps.epochs if epoch.phase == "training"]
    require(losses[-1] < losses[0], "two epochs", f"the losses {losses}")
    model = require_rebuilt(case.method, problem, trained.model, trained.details)
    scores = scores_on(model, problem.tasks, problem.dataset, "val", torch.device("cpu"))
    require_equal(set(scores), set(problem.dataset.score_names), "the validation split, of the metrics")
    one, everything = case.method.macs_of_one_task(model, problem), cost.count_macs(model, problem.input_shape)
    require(0 < one < everything, "the rebuilt network", f"{one} MACs for one task and {everything} for all")


# On rows


def rows_are_trained_and_rebuilt(case: MethodCase) -> None:
    """A backbone of linear layers is trained on the rows of a table, and rebuilt; none of its kernels is larger than
    1x1."""
    problem = row_problem()
    trained = solve(case.method, problem).trained
    require_output_shapes(trained.model, problem, "rows of 12 features")
    model = require_rebuilt(case.method, problem, trained.model, trained.details)
    kernels = {module.kernel_size for module in model.modules() if isinstance(module, nn.Conv2d)}
    require(kernels <= {(1, 1)}, "rows of 12 features", f"the kernels {sorted(kernels)}")


RULES: Sequence[Callable[[MethodCase], None]] = (
    networks_put_out_all_tasks,
    every_parameter_learns,
    every_sample_is_computed_by_itself,
    some_tasks_alone_are_the_same,
    a_training_ends_with_a_network,
    details_are_plain_data,
    same_seed_same_network,
    the_network_that_is_measured_has_the_budget_of_all,
    pictures_are_rebuilt,
    epochs_name_their_phase_and_count_their_work,
    one_task_alone_costs_no_more_than_all,
    any_number_of_tasks_is_trained,
    labels_may_be_missing,
    any_name_of_a_task_will_do,
    it_can_be_exported,
)
MAP_RULES: Sequence[Callable[[MethodCase], None]] = (
    maps_have_the_size_of_the_input,
    every_parameter_learns_of_maps,
    some_maps_alone_are_the_same,
    what_was_trained_is_rebuilt,
)
ROW_RULES: Sequence[Callable[[MethodCase], None]] = (rows_are_trained_and_rebuilt,)
