"""The contract of balancings: what tasks have for themselves is theirs, absent tasks have no part, seeds decide."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from mtl_search.balancing import Balancing, GradientBalancing, LossBalancing
from mtl_search.internal.gradients import task_gradients
from mtl_search.internal.registry import BALANCINGS
from mtl_search.testing._balanced import (
    Agreeing,
    Alone,
    BalancingCase,
    Disagreeing,
    backward,
    balanced_networks_train,
    descend,
    gradient_of,
    step,
    weights_of,
    without_last,
)
from mtl_search.testing._gradients import rows_of_one_task_are_its_own, what_is_shared_gets_the_balanced_gradient
from mtl_search.testing._rules import check_rules, one_thread, require, require_close, require_equal

AGREES = 1e-4
"""Relative difference of two steps that are the same."""


def check_balancing(
    balancing: type[Balancing], options: Mapping[str, Any] | None = None, own_scale: bool = False
) -> None:
    """Check that a balancing keeps the contract.

    :param options: Options of the balancing, for tasks of the names ``a``, ``b`` and ``c``.
    :param own_scale: Whether its weights need not add up to the number of tasks, for they are the user's.
    :raises AssertionError: If a rule is broken: the sentence says which, with what input, and what was found.
    """
    of_gradients = issubclass(balancing, GradientBalancing)
    rules = (*(() if own_scale else SCALE_RULES), *RULES, *(GRADIENT_RULES if of_gradients else ()))
    with one_thread(), BALANCINGS.lending(balancing) as name:
        check_rules(balancing.__name__, rules, BalancingCase(name, options or {}))


# Rules


def it_has_a_name(case: BalancingCase) -> None:
    """A balancing has a name that is a word, and is made of its options."""
    name = getattr(type(case.made()), "name", None)
    require(isinstance(name, str) and name.isidentifier(), "its attribute `name`", repr(name))


def every_parameter_has_a_gradient(case: BalancingCase) -> None:
    """A step writes the gradient of every parameter, of what is learned besides, too."""
    model = Disagreeing()
    balancing = case.started(model)
    backward(balancing, model)
    without = [number for number, one in enumerate([*model.parameters(), *balancing.parameters()]) if one.grad is None]
    require(not without, "three tasks", f"none for the parameters {without}")


def same_seed_same_result(case: BalancingCase) -> None:
    """The same seed gives the same steps, whatever the global generator holds, and that is left alone."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = case.trained()
    require(torch.equal(torch.get_rng_state(), before), "six steps", "draws from torch's global generator")
    torch.manual_seed(2)
    require_equal(case.trained(), first, "the same seed twice")


def a_new_start_forgets(case: BalancingCase) -> None:
    """A new start forgets the last training."""
    model, again = Disagreeing(), Disagreeing()
    balancing = case.started(model)
    descend(balancing, model)
    balancing.start(list("abc"), list(again.parameters()), 0)
    descend(balancing, again)
    require_equal(again.trunk, model.trunk, "two trainings with one instance")


def what_it_remembers_is_its_state(case: BalancingCase) -> None:
    """What it remembers is its state: a training goes on from it bit for bit."""
    model = Disagreeing()
    balancing = case.started(model)
    descend(balancing, model, 3)
    other = Disagreeing()
    other.load_state_dict(model.state_dict())
    again = case.started(other)
    again.restore({name: value.clone() for name, value in balancing.state().items()})
    with torch.no_grad():
        for one, kept in zip(again.parameters(), balancing.parameters(), strict=True):
            one.copy_(kept)
    descend(balancing, model, 3)
    descend(again, other, 3)
    require_equal(other.trunk, model.trunk, "a training that goes on from the state after three steps")


def what_a_task_has_for_itself_is_its_own(case: BalancingCase) -> None:
    """What a task has for itself gets its own gradient, times its weight where losses are weighed."""
    model, twin_model = Disagreeing(), Disagreeing()
    balancing, twin = case.started(model), case.started(twin_model)
    descend(balancing, model)
    descend(twin, twin_model)
    own = [of_task[1 + task] for task, of_task in enumerate(task_gradients(model.losses(), list(model.parameters())))]
    weights = weights_of(twin, model)
    backward(balancing, model)
    for task, (weight, head, gradient) in enumerate(zip(weights, model.heads, own, strict=True)):
        require_close(gradient_of(head), weight * gradient, f"the head of task {task}")


def tasks_that_agree_take_the_plain_step(case: BalancingCase) -> None:
    """Tasks that agree take the step that they take where losses are added up: weights add up to the number of
    tasks."""
    for tasks in (2, 3):
        model = Agreeing(tasks)
        (expected,) = torch.autograd.grad(model.losses().sum(), [model.trunk])
        backward(case.started(model), model)
        apart = float((gradient_of(model.trunk) - expected).norm() / expected.norm())
        require(apart < AGREES, f"{tasks} tasks that are the same", f"a step that is {apart:.1%} apart")


def single_tasks_and_those_that_share_nothing(case: BalancingCase) -> None:
    """A single task, and tasks that share nothing, get their own gradients, times their weights."""
    for model in (Disagreeing(1), Alone()):
        backward(case.started(model), model)
        weights = weights_of(case.started(model), model)
        expected = torch.autograd.grad((weights * model.losses()).sum(), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            require_close(gradient_of(parameter), gradient, f"{len(weights)} tasks that share nothing")


def an_absent_task_changes_nothing(case: BalancingCase) -> None:
    """The steps with an absent task are those of the others alone; what belongs to it does not move."""
    model, twin = Disagreeing(), Disagreeing()
    balancing, alone = case.started(model), case.made()
    alone.start(["a", "b"], list(twin.parameters()), 0)
    # weights for three tasks may take more of a generator than those for two
    drawn_weights = case.draws and isinstance(balancing, LossBalancing)
    for _ in range(1 if drawn_weights else 5):
        losses, present = without_last(model)
        balancing.backward(losses, present)
        alone.backward(twin.losses()[:2])
        step(balancing, model)
        step(alone, twin)
        balancing.end_epoch(model.losses().detach().where(present, 0), present)
        alone.end_epoch(twin.losses()[:2].detach())
    given = "one of three tasks absent"
    require_close(model.trunk, twin.trunk, given)
    require(not torch.equal(model.trunk, Disagreeing().trunk), given, "no step at all")
    for head, other in zip(model.heads, twin.heads, strict=True):
        require_close(head, other, f"{given}, of the heads")
    require_equal(model.heads[2], Disagreeing().heads[2], f"{given}, of its own head")
    for own, others in zip(balancing.parameters(), alone.parameters(), strict=True):
        require_close(own[:2], others, f"{given}, of what is learned besides")
        require(not bool(own[2]), given, "that what is learned for it has moved")


def an_absent_task_comes_back(case: BalancingCase) -> None:
    """A task that was absent from the first step on comes back, and is trained."""
    model = Disagreeing()
    balancing = case.started(model)
    for _ in range(3):
        losses, present = without_last(model)
        balancing.backward(losses, present)
        step(balancing, model)
        balancing.end_epoch(losses.detach(), present)
    descend(balancing, model, 3)
    given = "three steps without the last task, and three with it"
    require(bool(model.trunk.isfinite().all()), given, "values that are not finite")
    require(not torch.equal(model.heads[2], Disagreeing().heads[2]), given, "a head that is not trained")


def a_step_with_one_task_or_none(case: BalancingCase) -> None:
    """A step with one task is its own; a step with none writes no gradient but zeros."""
    present = torch.tensor([True, False, False])
    model, twin = Disagreeing(), Disagreeing()
    case.started(model).backward(torch.where(present, model.losses(), 0), present)
    alone = case.made()
    alone.start(["a"], list(twin.parameters()), 0)
    alone.backward(twin.losses()[:1])
    require_close(gradient_of(model.trunk), gradient_of(twin.trunk), "one of three tasks present")
    require(bool(gradient_of(model.trunk).any()), "one of three tasks present", "a gradient of zeros")
    nothing = Disagreeing()
    case.started(nothing).backward(torch.where(present & False, nothing.losses(), 0), present & False)
    moved = [one for one in nothing.parameters() if one.grad is not None and bool(one.grad.any())]
    require(not moved, "none of three tasks present", "gradients that are not zero")


def to_say_that_all_are_present_changes_nothing(case: BalancingCase) -> None:
    """To say that all tasks are present is to say nothing."""
    models = Disagreeing(), Disagreeing()
    for model, present in zip(models, (None, torch.ones(3, dtype=torch.bool)), strict=True):
        balancing = case.started(model)
        for _ in range(3):
            balancing.backward(model.losses(), present)
            step(balancing, model)
            balancing.end_epoch(model.losses().detach(), present)
    require_close(models[1].trunk, models[0].trunk, "three tasks that are present", 1e-6, 1e-7)


def backward_passes_are_counted(case: BalancingCase) -> None:
    """Backward passes are counted: one where losses are weighed, one for each task where gradients are combined."""
    balancing = case.started(Disagreeing())
    expected = 1 if isinstance(balancing, LossBalancing) else 3
    if isinstance(balancing, LossBalancing | GradientBalancing):
        require_equal(balancing.passes, expected, "three tasks")


def what_is_not_finite_stays_so(case: BalancingCase) -> None:
    """A loss that is not finite gives gradients that are not finite, and no error: the training ends as diverged."""
    for factor in (float("inf"), float("nan")):
        model = Disagreeing()
        balancing = case.started(model)
        model.sizes = model.sizes * torch.tensor([1, factor, 1])
        backward(balancing, model)
        require(not bool(gradient_of(model.trunk).isfinite().all()), f"a loss of {factor}", "finite gradients")


def real_networks_train(case: BalancingCase) -> None:
    """Networks that share, of convolutions and of primitives, learn: the loss falls and weights stay finite."""
    for network, losses, finite in balanced_networks_train(case.name, case.options):
        falls = losses[-1] < 0.97 * losses[0]  # 3 %: a loss that only wavers is not learned
        require(falls and finite, f"four epochs of {network}", f"the losses {losses}, weights finite: {finite}")


Rules = Sequence[Callable[[BalancingCase], None]]
RULES: Rules = (
    it_has_a_name,
    every_parameter_has_a_gradient,
    same_seed_same_result,
    a_new_start_forgets,
    what_it_remembers_is_its_state,
    what_a_task_has_for_itself_is_its_own,
    single_tasks_and_those_that_share_nothing,
    to_say_that_all_are_present_changes_nothing,
    an_absent_task_changes_nothing,
    an_absent_task_comes_back,
    a_step_with_one_task_or_none,
    backward_passes_are_counted,
    what_is_not_finite_stays_so,
    real_networks_train,
)
SCALE_RULES: Rules = (tasks_that_agree_take_the_plain_step,)
GRADIENT_RULES: Rules = (rows_of_one_task_are_its_own, what_is_shared_gets_the_balanced_gradient)
