"""The plain network that a trained one is used as: one graph of ordinary operations, whatever method made it.

The graph comes from :func:`torch.export.export`. What depends on weights only is computed once: a bank of linear
primitives is then one convolution. Batch normalisation becomes part of the convolutions before it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from mtl_search.networks.inputs import example, reads_tokens
from mtl_search.tasks import Task

BATCH = 2
"""Of the example that the graph is made from; with 1 it would be taken as fixed."""
aten = torch.ops.aten
CONVOLUTIONS = (aten.conv2d.default,)
ADDITIONS = (aten.add.Tensor, aten.add_.Tensor)
INTERPOLATIONS = (aten.upsample_bilinear2d.vec,)
"""Sums of pixels with weights that add up to 1: what is scaled and shifted before is so afterwards."""


class FromRawInputs(nn.Module):
    """A network behind the normalisation of its inputs.

    :param mean: Mean of the inputs, ``[channels]`` or ``[features]``.
    :param std: Standard deviation of the inputs, ``[channels]`` or ``[features]``.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param centre: What is subtracted from the inputs, which are float64 then, before they become float32;
        ``[channels]`` or ``[features]``.
    """

    mean: Tensor
    scale: Tensor
    centre: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        mean: NDArray[np.float32],
        std: NDArray[np.float32],
        input_shape: tuple[int, ...],
        centre: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.tokens = len(input_shape) == 2 and reads_tokens(network)
        of_channels = (-1, *[1] * (len(input_shape) - 1)) if len(input_shape) == 3 else (-1,)
        self.register_buffer("mean", torch.from_numpy(np.array(mean)).view(of_channels))
        self.register_buffer("scale", 1 / torch.from_numpy(np.array(std)).view(of_channels))
        taken = None if centre is None else torch.from_numpy(np.array(centre)).view(of_channels)
        self.register_buffer("centre", taken)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``[batch, *input_shape]`` in the units of the data, or tokens as they are, to a dictionary of outputs."""
        if self.tokens:
            found: dict[str, Tensor] = self.network(x)
            return found
        if self.centre is not None:
            x = (x - self.centre).to(self.mean.dtype)
        return self.network((x - self.mean) * self.scale)


class InUnits(nn.Module):
    """A network whose outputs are in the units of the targets.

    :param network: The network whose outputs are those of its heads.
    :param tasks: The tasks of the outputs.
    :param probabilities: Whether to give the probability of each class or label instead of its logit.
    """

    def __init__(self, network: nn.Module, tasks: Sequence[Task], probabilities: bool = False) -> None:
        super().__init__()
        self.network, self.tasks, self.probabilities = network, tuple(tasks), probabilities

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``[batch, *input_shape]`` to a dictionary of outputs."""
        outputs = self.network(x)
        return {task.name: self._answer(task, outputs[task.name]) for task in self.tasks}

    def _answer(self, task: Task, output: Tensor) -> Tensor:
        chances = task.probabilities(output) if self.probabilities else None
        return task.in_units(output) if chances is None else chances


def deployed(network: nn.Module, input_shape: tuple[int, ...], input_type: torch.dtype | None = None) -> fx.GraphModule:
    """A trained network as one plain graph: ordinary convolutions, no batch normalisation, nothing left to fold.

    It is no longer trained; the network given stays as it is.

    :param network: ``[batch, *input_shape]`` to a dictionary of outputs. It is used in evaluation mode.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table.
    :param input_type: Type of the input's numbers; that of the network's parameters if left out.
    :returns: The same function up to rounding, of batches of any size.
    """
    device = next(network.parameters()).device
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        return _plain_graph(network, input_shape, input_type)


def _plain_graph(network: nn.Module, input_shape: tuple[int, ...], input_type: torch.dtype | None) -> fx.GraphModule:
    modes = {module: module.training for module in network.modules()}
    inputs = (example(network, input_shape, BATCH, input_type),)
    try:
        for module in modes:
            module.training = False
        exported = torch.export.export(network, inputs, dynamic_shapes=(dynamic_axes(input_shape),))
    finally:
        for module, mode in modes.items():
            module.training = mode
    graph = exported.run_decompositions({}).module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    _fold_constants(graph)
    _fold_norms(graph)
    _fold_constants(graph)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _keep_only(graph, {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"})
    graph.recompile()
    return graph


def dynamic_axes(input_shape: tuple[int, ...]) -> dict[int, Any]:
    """The axes of a batch that may have any size: the samples, and of sequences the positions."""
    return dict.fromkeys((0, 1) if len(input_shape) == 2 else (0,), torch.export.Dim.DYNAMIC)


def _fold_constants(module: fx.GraphModule) -> None:
    """Compute what depends on constants only."""
    known: dict[fx.Node, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            known[node] = _attribute(module, str(node.target))
        elif node.op == "call_function" and node.all_input_nodes and all(one in known for one in node.all_input_nodes):
            arguments = fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*arguments[0], **arguments[1])
    for node, value in known.items():
        needed = node.op != "get_attr" and any(user not in known for user in node.users)
        if needed and isinstance(value, Tensor):
            node.replace_all_uses_with(_constant(module, value, before=node))
    module.graph.eliminate_dead_code()


def _fold_norms(module: fx.GraphModule) -> None:
    """Make batch normalisation part of the convolutions whose sum it normalises."""
    for node in list(module.graph.nodes):
        if node.op != "call_function" or "batch_norm" not in str(node.target):
            continue
        x, weight, bias, mean, var = node.args[:5]
        epsilon = float(node.args[-1])
        parts = _summed_convolutions(x)
        constants = [value for one in (weight, bias, mean, var) if (value := _value(module, one)) is not None]
        if parts is None or len(constants) < 4:
            continue
        gain, offset, centre, spread = constants
        scale = gain * (spread + epsilon).rsqrt()
        shift = offset - centre * scale
        for number, part in enumerate(parts):
            _scale_convolution(module, part, scale, shift if number == 0 else None)
        for user in [user for user in node.users if user.op == "call_function" and _is_first_item(user, node)]:
            user.replace_all_uses_with(x)
        if not isinstance(node.meta.get("val"), tuple):
            node.replace_all_uses_with(x)
    module.graph.eliminate_dead_code()


def _summed_convolutions(node: Any) -> list[fx.Node] | None:
    """The convolutions that a value is the sum of, and that nothing else reads; ``None`` where it is anything else.

    Those that are interpolated before they are added count as they are.
    """
    if not isinstance(node, fx.Node) or len(node.users) != 1:
        return None
    if node.target in CONVOLUTIONS:
        weights_known = all(isinstance(one, fx.Node) and one.op == "get_attr" for one in node.args[1:2])
        return [node] if weights_known else None
    if node.target in INTERPOLATIONS:
        return _summed_convolutions(node.args[0])
    if node.target in ADDITIONS and not node.kwargs and len(node.args) == 2:
        first, second = (_summed_convolutions(one) for one in node.args)
        return first + second if first is not None and second is not None else None
    return None


def _scale_convolution(module: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor | None) -> None:
    """Multiply the outputs of a convolution, channel by channel, then add."""
    arguments = [*node.args, None][: max(3, len(node.args))]
    kernel = _value(module, arguments[1])
    bias = _value(module, arguments[2])
    assert kernel is not None
    total = None if bias is None else bias * scale
    if shift is not None:
        total = shift if total is None else total + shift
    arguments[1] = _constant(module, kernel * scale[:, None, None, None], before=node)
    arguments[2] = None if total is None else _constant(module, total, before=node)
    node.args = tuple(arguments)


def _is_first_item(user: fx.Node, node: fx.Node) -> bool:
    return getattr(user.target, "__name__", "") == "getitem" and user.args == (node, 0)


def _value(module: fx.GraphModule, node: Any) -> Tensor | None:
    """A constant of the graph; ``None`` for what is none."""
    if isinstance(node, fx.Node) and node.op == "get_attr":
        found = _attribute(module, str(node.target))
        return found if isinstance(found, Tensor) else None
    return None


def _attribute(module: nn.Module, target: str) -> Any:
    found: Any = module
    for name in target.split("."):
        found = getattr(found, name)
    return found


def _constant(module: fx.GraphModule, value: Tensor, before: fx.Node) -> fx.Node:
    """A new constant of the graph."""
    number = sum(name.startswith("folded") for name, _ in module.named_buffers())
    module.register_buffer(f"folded{number}", value.detach().clone(memory_format=torch.contiguous_format))
    with module.graph.inserting_before(before):
        return module.graph.get_attr(f"folded{number}")


def _keep_only(module: nn.Module, names: Iterable[str]) -> None:
    """Forget the tensors that the graph no longer reads."""
    kept = set(names)
    for full in [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in kept]:
        path, _, name = full.rpartition(".")
        delattr(module.get_submodule(path), name)
