"""The contract of balancings that combine gradients: what is shared, and what is not."""

import torch
from torch import Tensor

from mtl_search.balancing import GradientBalancing
from mtl_search.internal.gradients import task_gradients
from mtl_search.testing._balanced import (
    BalancingCase,
    etr_nlp_network,
    gradient_of,
    hard_sharing_network,
    losses_of,
)
from mtl_search.testing._rules import require_close, require_equal


def rows_of_one_task_are_its_own(case: BalancingCase) -> None:
    """Where weights of several tasks lie stacked in one parameter, the rows of one task get its own gradient."""
    model = etr_nlp_network()
    parameters = list(model.parameters())
    each = task_gradients(losses_of(model), parameters)
    taken_by_size = []
    for size in (1.0, 1024.0):
        balancing = case.made()
        balancing.start(["a", "b"], parameters, 0)
        balancing.backward(losses_of(model, (1.0, size)))
        taken_by_size.append([gradient_of(parameter).clone() for parameter in parameters])
    stacked = 0
    for first, second, taken, changed in zip(*each, *taken_by_size, strict=True):
        of_first, of_second = rows_with_gradient(first), rows_with_gradient(second)
        only_first, only_second = of_first & ~of_second, of_second & ~of_first
        require_equal(taken[only_first], first[only_first], "rows of the first task")
        require_equal(changed[only_first], first[only_first], "rows of the first task, the other loss 1024-fold")
        require_close(changed[only_second], 1024 * second[only_second], "rows of the second task, its loss 1024-fold")
        stacked += bool(only_first.any()) and bool(only_second.any())
    assert stacked, "no parameter holds rows of both tasks"


def what_is_shared_gets_the_balanced_gradient(case: BalancingCase) -> None:
    """The step at the rows that tasks share is what `aggregate` makes of their gradients there."""
    for model in (hard_sharing_network(), etr_nlp_network()):
        parameters = list(model.parameters())
        first, second = task_gradients(losses_of(model), parameters)
        shared = [rows_with_gradient(a) & rows_with_gradient(b) for a, b in zip(first, second, strict=True)]
        jacobian = torch.stack(
            [torch.cat([one[rows].flatten() for one, rows in zip(of, shared, strict=True)]) for of in (first, second)]
        )
        balancing, twin = case.made(), case.made()
        assert isinstance(twin, GradientBalancing)
        for one in (balancing, twin):
            one.start(["a", "b"], parameters, 0)
        for parameter in parameters:
            parameter.grad = None
        balancing.backward(losses_of(model))
        taken = torch.cat([gradient_of(one)[rows].flatten() for one, rows in zip(parameters, shared, strict=True)])
        assert len(taken) > 100, "the tasks share little"  # a layer, and not only a bias
        require_close(taken, twin.aggregate(jacobian), f"two tasks and {len(taken)} shared values")


def rows_with_gradient(gradient: Tensor) -> Tensor:
    """Which rows of a gradient are not zero, ``[rows]`` bool."""
    return gradient.flatten(1).any(dim=1) if gradient.ndim > 1 else gradient != 0
