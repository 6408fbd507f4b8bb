"""What a network costs: parameters and MACs, computed from the architecture or measured on the built network."""

import functools
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.networks.bank_counts import (
    first_taps,
    fixed_of_images,
    fixed_of_rows,
    fixed_of_sequences,
    row_recombination,
    sequence_recombination,
    taps_of,
)
from mtl_search.networks.decoder import Decoder, Level
from mtl_search.networks.geometry import BlockGeometry, Features, Geometry, LayerGeometry, geometry, image_shape
from mtl_search.networks.heads import LinearHead, TaskHeads
from mtl_search.networks.inputs import example
from mtl_search.networks.operators import Operator
from mtl_search.primitives import (
    NonlinearVectorPrimitive,
    UnfoldedSequencePrimitive,
)
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.banks import CONVOLUTION, primitives_of
from mtl_search.tasks import Task

WARM_UP = 5
"""Forward passes before those whose time counts: what torch makes at the first ones, threads, memory and kernels, is
there by then."""


@dataclass(frozen=True)
class Cost:
    """The cost of a network.

    :param learnable_parameters: Values that training changes, but for those of embeddings.
    :param fixed_parameters: Frozen values: kernels and masks of the primitives.
    :param macs: Multiply-accumulates of convolutions and linear layers in one forward pass for all tasks, one sample.
        One MAC is two FLOPs. What does not depend on the batch (folding kernels) is not counted.
    :param embedding_parameters: Values that training changes in the embeddings of tokens. They are counted apart, for
        there are so many of them that they hide what is searched: a vocabulary of 5,000 in 64 channels has 320,000,
        layers of 64 channels some 10,000. Looking one up takes no multiplication.
    """

    learnable_parameters: int = 0
    fixed_parameters: int = 0
    macs: int = 0
    embedding_parameters: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.learnable_parameters + other.learnable_parameters,
            self.fixed_parameters + other.fixed_parameters,
            self.macs + other.macs,
            self.embedding_parameters + other.embedding_parameters,
        )

    @property
    def total_parameters(self) -> int:
        """Learnable and fixed parameters together, embeddings apart."""
        return self.learnable_parameters + self.fixed_parameters


def measure(model: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """The cost of a built network, counted on its tensors and, for MACs, by torch's own counter on a forward pass.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table, ``(length,
        channels)`` of a sequence, of tokens with their number in place of channels.
    """
    operators = [module for module in model.modules() if isinstance(module, Operator)]
    embeddings = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    of_embeddings = sum(weight.numel() for weight in embeddings if weight.requires_grad)
    return Cost(
        sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) - of_embeddings,
        sum(operator.fixed_parameters() for operator in operators),
        count_macs(model, input_shape),
        of_embeddings,
    )


@torch.no_grad()
def latency_ms(model: nn.Module, input_shape: tuple[int, ...], passes: int = 30) -> float:
    """Milliseconds of a forward pass for one sample, in evaluation mode, with torch's threads as they are: the median.

    Measured where it is called, on the device of the model: other work on the machine makes it longer.

    :param passes: Number of forward passes whose time counts, after a few that are not. Of 30 the median does not move
        where other work disturbs some.
    """
    reference = next(model.parameters())
    inputs = example(model, input_shape, 1)
    seconds = []
    with _evaluating(model):
        for _ in range(WARM_UP + passes):
            start = time.perf_counter()
            model(inputs)
            if reference.is_cuda:
                torch.cuda.synchronize(reference.device)
            seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[WARM_UP:])


def count_macs(model: nn.Module, input_shape: tuple[int, ...], only: Sequence[str] | None = None) -> int:
    """MACs of a forward pass, for one more sample in the batch: what does not depend on the batch is not counted.

    :param only: Names of the tasks to compute, for a network whose ``forward`` takes them; all if left out.
    """
    inputs = example(model, input_shape, 2)
    options = {} if only is None else {"only": only}
    counted = []
    with _evaluating(model), torch.no_grad():
        model(inputs, **options)  # what a network makes at its first use does not count
        for batch in (1, 2):
            with FlopCounterMode(display=False) as counter:
                model(inputs[:batch], **options)
            counted.append(counter.get_total_flops() // 2)
    return counted[1] - counted[0]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards every module in its own again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def estimate(architecture: Architecture, tasks: Sequence[Task], input_shape: tuple[int, ...]) -> Cost:
    """The cost of the (fused) network of an architecture, without building it: equal to what :func:`measure` finds."""
    network = geometry(architecture, len(tasks), input_shape)
    dense = [task.outputs for task in tasks if task.dense]
    total = _heads(network, [task.outputs for task in tasks if not task.dense], architecture.backbone.head_cells)
    if dense:
        total += decoder(network.taps, dense, network.decoder)
    if network.stem:
        total += _stem(network, architecture.backbone)
    total += Cost(embedding_parameters=network.embedding * input_shape[-1])
    for block in network.blocks:
        for layer in block.layers:
            total += _of_layer(layer, len(tasks), architecture.specific)
        if block.residual:
            total += sum(_skips(block, len(tasks)), Cost())
    return total


def _stem(network: Geometry, backbone: Backbone) -> Cost:
    weights = network.stem * image_shape(network.input_shape)[0] * backbone.kernel_size * backbone.kernel_height
    first = network.blocks[0].before
    return Cost(weights + 2 * network.stem, 0, weights * first.height * first.width)


def decoder(taps: Sequence[Features], outputs: Sequence[int], channels: int) -> Cost:
    """The decoders of dense tasks.

    :param taps: Features that they read, finest first.
    :param outputs: Numbers that each task puts out at a pixel.
    :param channels: Channels of each task's decoder.
    """
    width, finest = len(outputs) * channels, taps[0].height * taps[0].width
    weights = sum(outputs) * channels
    total = Cost(weights + sum(outputs), 0, weights * finest)
    for tap in taps:
        weights = width * (tap.shared + tap.specific)
        total += Cost(weights + 2 * width, 0, weights * tap.height * tap.width)
    for coarser in taps[1:]:
        weights = width * channels * 9  # kernels of 3x3
        total += Cost(weights, 0, weights * coarser.height * coarser.width)
    return total


def head_macs(heads: TaskHeads) -> int:
    """MACs of the heads of all tasks, for features of the size that they were built for."""
    total = 0
    for head in heads:
        if isinstance(head, Decoder):
            taps = [level.tap for level in head.levels if isinstance(level, Level)]
            total += decoder(taps, list(head.outputs.values()), head.channels).macs
        else:
            assert isinstance(head, LinearHead)
            total += head.linear.weight.numel()
    return total


def _heads(network: Geometry, outputs: Sequence[int], cells: int) -> Cost:
    weights = sum(outputs) * (network.after.shared + network.after.specific) * cells
    return Cost(weights + sum(outputs), 0, weights)


@functools.lru_cache(maxsize=10_000)  # a deep network repeats its layers, and a space repeats those of its networks
def _of_layer(layer: LayerGeometry, tasks: int, branch_kind: str) -> Cost:
    return sum(_layer(layer, tasks, branch_kind), Cost())


def _layer(layer: LayerGeometry, tasks: int, branch_kind: str) -> Iterator[Cost]:
    """The parts of a layer, one by one as :class:`~mtl_search.networks.layer.ETRLayer` builds them."""
    before, after, bank = layer.before, layer.after, layer.choice.bank
    branch_bank = bank if branch_kind == "nlp" or layer.pointwise else CONVOLUTION
    specific_outputs = tasks * after.specific
    branch_is_same = layer.makes_specific and branch_bank == bank
    if before.shared and (layer.makes_shared or branch_is_same):
        yield _operator(bank, before.shared, 1, before.streams, layer)
    if before.shared and layer.makes_specific and not branch_is_same:
        yield _operator(branch_bank, before.shared, 1, before.streams, layer)
    if layer.makes_shared:
        yield _recombination(bank, after.shared, before.shared, before.streams, layer)
        yield Cost(2 * after.shared)
    if layer.shared_reads_specific:
        if not branch_is_same:
            yield _operator(bank, before.specific, tasks, tasks, layer)
        else:
            yield _responses(bank, before.specific, tasks, layer)
        yield _recombination(bank, after.shared, before.specific, tasks, layer)
    if layer.makes_specific:
        yield _recombination(branch_bank, specific_outputs, before.shared, 1, layer)
        if before.specific:
            yield _operator(branch_bank, before.specific, tasks, tasks, layer)
            yield _recombination(branch_bank, specific_outputs, before.specific, 1, layer)
        yield Cost(2 * specific_outputs)
        for _ in range(layer.choice.branch_depth - 1):
            yield _operator(branch_bank, after.specific, tasks, tasks, layer)
            yield _recombination(branch_bank, specific_outputs, after.specific, 1, layer)
            yield Cost(2 * specific_outputs)


def _operator(bank: str, channels: int, held: int, streams: int, layer: LayerGeometry) -> Cost:
    """A bank over ``streams`` streams of so many channels, with frozen values for each of them or for one."""
    if layer.reads == "rows":
        fixed = fixed_of_rows(bank, channels)
    elif layer.reads == "sequences":
        fixed = fixed_of_sequences(bank, channels, layer.before.width)
    else:
        fixed = fixed_of_images(bank) * channels
    return Cost(0, fixed * held) + _responses(bank, channels, streams, layer)


def _responses(bank: str, channels: int, streams: int, layer: LayerGeometry) -> Cost:
    """The primitives that are applied before their 1x1 convolution, where they are convolutions or products."""
    if bank == CONVOLUTION:
        return Cost()
    members = [PRIMITIVES.get(name)() for name in primitives_of(bank)]
    if layer.reads == "sequences":
        others = [member for member in members if isinstance(member, UnfoldedSequencePrimitive)]
        return Cost(macs=streams * sum(member.products(channels, layer.before.width) for member in others))
    if layer.reads == "rows":
        products = [member.macs(channels) for member in members if isinstance(member, NonlinearVectorPrimitive)]
        return Cost(macs=sum(products) * streams)
    return Cost(macs=first_taps(bank) * channels * streams * layer.after.height * layer.after.width)


def _recombination(bank: str, outputs: int, inputs: int, repeats: int, layer: LayerGeometry) -> Cost:
    """Learned weights from ``inputs`` to ``outputs`` channels, used for ``repeats`` streams."""
    if layer.reads == "sequences":
        taps, products = sequence_recombination(bank, layer.before.width)
        return Cost(outputs * taps * inputs, 0, products * outputs * inputs * repeats)
    if layer.reads == "rows":
        taps, reach, products = row_recombination(bank, inputs, layer.groups)
        return Cost(outputs * taps * reach, 0, products * outputs * inputs * repeats)
    taps, folded = taps_of(bank)
    pixels = layer.after.height * layer.after.width
    return Cost(outputs * taps * inputs, 0, folded * outputs * inputs * repeats * pixels)


def _skips(block: BlockGeometry, tasks: int) -> Iterator[Cost]:
    before, after = block.before, block.after
    pixels = after.height * after.width
    if block.layers[-1].makes_shared and (before.shared != after.shared or block.stride != 1):
        weights = after.shared * before.shared
        yield Cost(weights + 2 * after.shared, 0, weights * before.streams * pixels)
    if block.layers[-1].makes_specific and (before.specific != after.specific or block.stride != 1):
        outputs = tasks * after.specific
        weights = outputs * (before.specific or before.shared)
        yield Cost(weights + 2 * outputs, 0, weights * pixels)
