"""What is required of a network that a method builds: its outputs, its gradients, and that it can be built again."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_search.methods import Method, MethodContext
from mtl_search.testing._problems import inputs_for, weighted_sum
from mtl_search.testing._rules import require, require_close, require_equal, shapes_of

PASSES = 12
"""Forward passes at most, over which gradients are added up: where modules are drawn by lot, one does not reach all."""
BATCH = 20
"""Samples of which each is computed by itself, too."""


def reads_only_some(model: nn.Module) -> bool:
    """Whether the network can be asked for some tasks."""
    return "only" in inspect.signature(model.forward).parameters


def require_output_shapes(model: nn.Module, problem: MethodContext, given: str) -> None:
    """All tasks, in their order, dense ones as maps."""
    x = inputs_for(problem)
    found = shapes_of(model(x))
    maps = tuple(problem.input_shape[1:])
    expected = {task.name: (len(x), task.outputs, *(maps if task.dense else ())) for task in problem.tasks}
    require_equal(list(found.items()), list(expected.items()), given)


def require_that_all_learns(model: nn.Module, problem: MethodContext, given: str) -> None:
    """Every parameter that is trained has a gradient."""
    model.train()
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    outside = list(strangers(model, model(inputs_for(problem))))
    found = f"weights {', '.join(outside)} that are no parameters: nn.ModuleList and nn.ModuleDict hold layers"
    require(not outside, given, found)
    for _ in range(PASSES):
        weighted_sum(model(inputs_for(problem))).backward()
        missing = [name for name, one in trained.items() if one.grad is None]
        zero = [name for name, one in trained.items() if one.grad is not None and not one.grad.any()]
        if not missing and not zero:
            break
    require(not missing, given, f"that no output depends on {missing}")
    require(not zero or len(problem.tasks) == 1, given, f"gradients of zeros for {zero}")


def require_some_alone(
    model: nn.Module, problem: MethodContext, each: Sequence[Sequence[str]], atol: float = 1e-6
) -> None:
    """Tasks that are asked for alone have the outputs that they have with all."""
    model.eval()
    with torch.no_grad():
        together = model(inputs_for(problem))
        for wanted in each:
            alone = model(inputs_for(problem), only=wanted)
            require_equal(list(alone), list(wanted), f"`only` {wanted}, of the outputs' names")
            for name in wanted:
                require_close(alone[name], together[name], f"`only` {wanted}", 1e-5, atol)


def require_rebuilt(method: Method, problem: MethodContext, trained: nn.Module, details: Any) -> nn.Module:
    """The network that a method rebuilds computes what the trained one does."""
    model = method.rebuild(problem, details)
    model.load_state_dict(trained.state_dict())
    with torch.no_grad():
        found, expected = model.eval()(inputs_for(problem)), trained.eval()(inputs_for(problem))
        for task, output in expected.items():
            require_close(found[task], output, f"the weights of a training, of task `{task}`")
    return model


def require_samples_by_themselves(model: nn.Module, problem: MethodContext, given: str) -> None:
    """In evaluation a sample has the outputs that it has among others, and the inputs stay as they are."""
    model.eval()
    x = inputs_for(problem, BATCH)
    before = x.clone()
    with torch.no_grad():
        together, alone = model(x), model(x[-1:].clone())
    require_equal(x, before, f"{given}, of the inputs")
    for name, output in alone.items():
        require_close(output, together[name][-1:], f"{given} in evaluation, of the last of {BATCH} samples alone", 1e-4)


def strangers(model: nn.Module, outputs: Mapping[str, Tensor]) -> Iterator[str]:
    """Shapes of what the outputs have a gradient for, and what is no parameter of the network."""
    known, seen = {id(parameter) for parameter in model.parameters()}, set()
    nodes: list[Any] = [output.grad_fn for output in outputs.values()]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # only nodes that add gradients up have it: those of leaves
        if leaf is not None and id(leaf) not in known:
            yield str(list(leaf.shape))
        nodes += [before for before, _ in node.next_functions]
