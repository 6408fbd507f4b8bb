"""The network: stem, blocks, heads. One forward pass gives the outputs of all tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.errors import FieldError
from mtl_search.internal.seeds import generator
from mtl_search.kernels.operations import Activations, materialize
from mtl_search.networks.decoder import Decoder, dense_places, parts_of
from mtl_search.networks.deployment import deployed
from mtl_search.networks.geometry import BlockGeometry, Features, Geometry, check_size, geometry
from mtl_search.networks.inputs import Mask, TokenEmbedding, opened, pooled
from mtl_search.networks.layer import ETRLayer, LazyState, State, carry
from mtl_search.networks.norm import Norm
from mtl_search.networks.reference import reference_decoder, reference_layer
from mtl_search.networks.stem import Stem, make_stem
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task

Implementation = Literal["fused", "reference", "deploy"]


class Projection(nn.Module):
    """A learned 1x1 convolution and norm on a skip, after averaging over the stride.

    :param outputs: Channels out, of one stream.
    :param inputs: Channels in, of one stream.
    :param streams: Streams that are projected with the same weights.
    :param groups: Parts of the channels with weights of their own.
    """

    def __init__(self, outputs: int, inputs: int, streams: int, groups: int, stride: int, weights: Generator) -> None:
        super().__init__()
        self.streams, self.groups, self.stride = streams, groups, stride
        deviation = (1 / (inputs // groups)) ** 0.5
        drawn = torch.randn(outputs, inputs // groups, 1, 1, generator=weights)
        self.weight = nn.Parameter(drawn * deviation)
        self.norm = Norm(outputs, streams)

    def forward(self, x: Tensor) -> Tensor:
        pooled = carry(x, self.stride)
        assert pooled is not None
        weight = self.weight.repeat(self.streams, 1, 1, 1) if self.streams > 1 else self.weight
        return self.norm(F.conv2d(pooled, weight, groups=self.streams * self.groups))


class Block(nn.Module):
    """What one choice decides: a layer, or in a residual backbone two or three layers with a skip around them.

    The skip of the shared features comes from the shared ones; that of a task's own from its own where it has some,
    otherwise from the shared ones (our reading: the paper does not say how its branches are made residual).
    """

    def __init__(self, block: BlockGeometry, tasks: int, branch_kind: str, weights: Generator, primitives: Generator):
        super().__init__()
        self.geometry = block
        self.layers = nn.ModuleList(ETRLayer(layer, tasks, branch_kind, weights, primitives) for layer in block.layers)
        self.shared_skip: nn.Module | None = None
        self.own_skip: nn.Module | None = None
        if block.residual and block.layers[-1].makes_shared:
            self.shared_skip = _shared_skip(block, weights)
        if block.residual and block.layers[-1].makes_specific:
            self.own_skip = _specific_skip(block, tasks, weights)

    def forward(self, state: LazyState, implementation: Implementation, mask: Mask = None) -> LazyState:
        after = state
        for layer in self.layers:
            last_of_residual = self.geometry.residual and layer is self.layers[-1]
            after = self._layer(layer, after, implementation, not last_of_residual, mask)
        return (
            self._add(after[0], state, self.shared_skip, specific=False),
            self._add(after[1], state, self.own_skip, True),
        )

    def _layer(
        self, layer: nn.Module, state: LazyState, implementation: Implementation, activate: bool, mask: Mask
    ) -> LazyState:
        assert isinstance(layer, ETRLayer)
        if implementation == "reference":
            return reference_layer(layer, (materialize(state[0]), materialize(state[1])), activate, mask)
        made: LazyState = layer(state, activate, mask)
        return made

    def _add(
        self, made: Activations | None, state: LazyState, skip: nn.Module | None, specific: bool
    ) -> Activations | None:
        if skip is None:
            return made
        assert made is not None
        made = materialize(made)
        source = state[1] if specific and state[1] is not None else state[0]
        skipped = skip(materialize(source))
        if skipped.shape[1] < made.shape[1]:
            skipped = skipped.repeat(1, made.shape[1] // skipped.shape[1], 1, 1)
        return F.relu(made + skipped)


def _shared_skip(block: BlockGeometry, weights: Generator) -> nn.Module:
    before, after = block.before, block.after
    if before.shared == after.shared and block.stride == 1:
        return nn.Identity()
    return Projection(after.shared, before.shared, before.streams, 1, block.stride, weights)


def _specific_skip(block: BlockGeometry, tasks: int, weights: Generator) -> nn.Module:
    before, after = block.before, block.after
    if not before.specific:
        return Projection(tasks * after.specific, before.shared, 1, 1, block.stride, weights)
    if before.specific == after.specific and block.stride == 1:
        return nn.Identity()
    return Projection(tasks * after.specific, tasks * before.specific, 1, tasks, block.stride, weights)


class Heads(nn.Module):
    """A linear head for each task that is not dense, on the pooled features that it may read: shared ones and its own.

    The weights of all heads are stacked along the outputs, so that one product serves all tasks.

    :param features: What the last block puts out.
    :param tasks: All tasks of the network; of the dense ones nothing is read.
    :param backbone: How features are pooled: see :func:`~mtl_search.networks.inputs.pooled`.
    """

    task_of_output: Tensor

    def __init__(self, features: Features, tasks: Sequence[Task], backbone: Backbone, weights: Generator) -> None:
        super().__init__()
        self.features, self.tasks = features, len(tasks)
        self.grid, self.sequences = backbone.head_pool, backbone.reads == "sequences"
        self.places = [number for number, task in enumerate(tasks) if not task.dense]
        self.outputs = {tasks[number].name: tasks[number].outputs for number in self.places}
        total = sum(self.outputs.values())
        shared, specific = features.shared * backbone.head_cells, features.specific * backbone.head_cells
        deviation = (1 / (shared + specific)) ** 0.5
        if shared:
            self.shared_weight = nn.Parameter(torch.randn(total, shared, generator=weights) * deviation)
        if specific:
            self.own_weight = nn.Parameter(torch.randn(total, specific, generator=weights) * deviation)
        self.bias = nn.Parameter(torch.zeros(total))
        counts = torch.tensor(list(self.outputs.values()))
        task_of_output = torch.arange(len(counts)).repeat_interleave(counts)
        self.register_buffer("task_of_output", task_of_output, persistent=False)

    def forward(self, state: State, mask: Mask = None) -> dict[str, Tensor]:
        shared, specific = state
        logits: Tensor = self.bias
        if shared is not None:
            logits = logits + self._read(shared, self.features.streams, self.shared_weight, mask)
        if specific is not None:
            logits = logits + self._read(specific, self.tasks, self.own_weight, mask)
        return dict(zip(self.outputs, logits.split(list(self.outputs.values()), dim=1), strict=True))

    def _read(self, features: Tensor, streams: int, weight: Tensor, mask: Mask) -> Tensor:
        if streams > 1:
            features, streams = parts_of(features, streams, self.places), len(self.places)
        read = pooled(features, self.grid, self.sequences, mask).unflatten(1, (streams, -1)).flatten(2)
        if streams == 1:
            return F.linear(read[:, 0], weight)
        by_output = read.transpose(0, 1)[self.task_of_output]
        return torch.bmm(by_output, weight[:, :, None]).squeeze(2).T


@dataclass(frozen=True)
class _Plain:
    """The graph of ``deploy``.

    :param made_from: Size of the inputs and versions of the weights.
    :param held: The weights themselves and what they hold, so that no others can be in their place in memory.
    """

    graph: nn.Module
    made_from: object
    held: Sequence[tuple[Tensor, Tensor]]


def _version_of(tensor: Tensor) -> tuple[int, int, int]:
    """What changes when a tensor does."""
    return id(tensor), tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


class MultiTaskNetwork(nn.Module):
    """An ETR-NLP network for several tasks.

    :param architecture: Every choice that makes the network: backbone, banks, routing, ratios.
    :param tasks: The tasks that are predicted, each with a head.
    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table; of a sequence
        ``(length, channels)``, the longest, and with the number of different tokens in place of channels.
    :param seed: Seed of the initial weights and, independently, of the primitives.
    :param implementation: ``fused`` for training; ``reference`` for the layer as the paper writes it, the same numbers;
        ``deploy`` for use once it is trained: in evaluation mode the network is one plain graph, see
        :mod:`mtl_search.networks.deployment`, made anew when weights or the size of the inputs have changed (but not
        for weights that are written through ``.data``, which torch keeps no count of).
    """

    def __init__(
        self,
        architecture: Architecture,
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        implementation: Implementation = "fused",
    ) -> None:
        super().__init__()
        if implementation not in get_args(Implementation):
            raise FieldError("implementation", "must be `fused`, `reference` or `deploy`", implementation)
        if not tasks or len({task.name for task in tasks}) != len(tasks):
            raise FieldError("tasks", "must be at least one task, each with its own name", [t.name for t in tasks])
        self.architecture, self.tasks, self.implementation = architecture, tuple(tasks), implementation
        self.geometry: Geometry = geometry(architecture, len(tasks), input_shape)
        check_size(self.geometry, [task.outputs for task in tasks], architecture.backbone.head_cells)
        weights = generator(seed, "weights")
        self.embedding: TokenEmbedding | None = None
        if self.geometry.embedding:
            self.embedding = TokenEmbedding(input_shape[1], self.geometry.embedding, generator(seed, "embedding"))
        self.stem: Stem | None = None
        if self.geometry.stem:
            self.stem = make_stem(architecture.backbone, input_shape, self.geometry.stem, weights)
        self.blocks = nn.ModuleList(
            Block(block, len(tasks), architecture.specific, weights, generator(seed, f"primitives of block {number}"))
            for number, block in enumerate(self.geometry.blocks)
        )
        self.heads: Heads | None = None
        self.decoder: Decoder | None = None
        dense = dense_places(tasks)
        if len(dense) < len(tasks):
            self.heads = Heads(self.geometry.after, tasks, architecture.backbone, weights)
        if dense:
            self.decoder = Decoder(self.geometry.taps, tasks, self.geometry.decoder, generator(seed, "decoder"))
        self._plain: list[_Plain] = []
        """The graph of ``deploy``, in a list, so that it is no part of the state."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of all tasks.

        :param x: ``[batch, channels, height, width]``, rows ``[batch, features]``, or sequences: see
            :func:`~mtl_search.networks.inputs.opened`.
        :returns: Name of the task -> ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.
        """
        if self.implementation == "deploy" and not self.training and not torch.compiler.is_exporting():
            return self._deployed(x)(x)
        features, mask = opened(x)
        taps = self._taps(features, mask)
        outputs = {} if self.heads is None else self.heads(taps[-1], mask)
        if self.decoder is not None:
            size = (x.shape[2], x.shape[3])
            by_definition = self.implementation == "reference"
            outputs |= reference_decoder(self.decoder, taps, size) if by_definition else self.decoder(taps, size)
        return {task.name: outputs[task.name] for task in self.tasks}

    def _taps(self, x: Tensor, mask: Mask) -> list[State]:
        """The features that decoders read, finest first, as far as there are any; the last ones are those of heads."""
        tapped = self.geometry.tapped if self.decoder is not None else ()
        if self.embedding is not None:
            x = self.embedding(x, mask)
        state: LazyState = (x if self.stem is None else self.stem.deferred(x, mask), None)
        taps = []
        for number, block in enumerate(self.blocks):
            if number in tapped:
                taps.append(state)
            state = block(state, self.implementation, mask)
        return [(materialize(shared), materialize(specific)) for shared, specific in [*taps, state]]

    def _deployed(self, x: Tensor) -> nn.Module:
        """The plain graph of the network as it is now."""
        tensors = list(self.state_dict(keep_vars=True).values())
        made_from = x.shape[1:], x.dtype, x.device, [_version_of(tensor) for tensor in tensors]
        if not self._plain or self._plain[0].made_from != made_from:
            held = [(tensor, tensor.detach()) for tensor in tensors]
            self._plain[:] = [_Plain(deployed(self, tuple(x.shape[1:])), made_from, held)]
        return self._plain[0].graph

    def __getstate__(self) -> dict[str, Any]:
        """To be copied or saved: without what is made again where it is needed."""
        return {**vars(self), "_plain": []}

    def layer_parameters(self) -> dict[str, list[nn.Parameter]]:
        """``stem``, ``layer 0`` and so on -> their parameters."""
        entries = {"embedding": self.embedding, "stem": self.stem}
        found = {name: list(entry.parameters()) for name, entry in entries.items() if entry is not None}
        return found | {f"layer {number}": list(block.parameters()) for number, block in enumerate(self.blocks)}


def build_model(
    architecture: Architecture,
    tasks: Sequence[Task],
    input_shape: tuple[int, ...],
    seed: int = 0,
    implementation: Implementation = "fused",
) -> MultiTaskNetwork:
    """Build the network of an architecture.

    All implementations hold the same ``state_dict`` and compute the same numbers; see :class:`MultiTaskNetwork`.

    :raises FieldError: If ``implementation`` is none of them, or the tasks do not have names of their own.
    """
    return MultiTaskNetwork(architecture, tasks, input_shape, seed, implementation)
