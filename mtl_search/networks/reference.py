"""The ETR-NLP layer as the paper writes it, and the decoders task by task: the definitions that fused forms must equal.

Task by task: concatenate what the branch reads, apply each primitive in turn, concatenate the responses, recombine them
with a learned 1x1 convolution, normalise, activate. On the rows of a table the convolution is grouped, and the channels
are shuffled before and after it, so that a group reads a window of every response.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.networks.decoder import Decoder, Level, resized
from mtl_search.networks.inputs import Mask
from mtl_search.networks.layer import ETRLayer, State, SubLayer, carry
from mtl_search.networks.operators import Operator

Stream = Tensor | None
Part = tuple[Operator, slice, Tensor, Tensor]
"""One input of a branch: its operator, which of the operator's channels these are, the features, the weight."""


def reference_layer(layer: ETRLayer, state: State, activate: bool, mask: Mask = None) -> State:
    """What ``layer(state, activate, mask)`` returns, computed by definition."""
    geometry, tasks = layer.geometry, layer.tasks
    streams = _streams(state[0], geometry.before.streams)
    specific = _streams(state[1], tasks) if geometry.before.specific else [None] * tasks
    made_shared: list[Stream] = [None]
    if geometry.makes_shared:
        numbers = range(geometry.after.streams)
        made_shared = [
            _shared_branch(layer, streams[t % len(streams)], specific[t], t, activate, mask) for t in numbers
        ]
    elif geometry.after.shared:
        made_shared = [carry(stream, geometry.stride) for stream in streams]
    if geometry.makes_specific:
        made_specific: list[Stream] = [
            _specific_branch(layer, streams[t % len(streams)], specific[t], t, activate, mask) for t in range(tasks)
        ]
    else:
        made_specific = [carry(features, geometry.stride) for features in specific]
    return _stack(made_shared), _stack(made_specific)


def reference_decoder(decoder: Decoder, taps: Sequence[State], size: tuple[int, int]) -> dict[str, Tensor]:
    """What ``decoder(taps, size)`` returns, computed by definition: task by task."""
    last_layer = [part.split(list(decoder.outputs.values())) for part in decoder.last_layer()]
    outputs = {}
    for number, (name, weight, bias) in enumerate(zip(decoder.outputs, *last_layer, strict=True)):
        made: Tensor | None = None
        for level, (shared, specific) in zip(reversed(decoder.levels), reversed(taps), strict=True):
            assert isinstance(level, Level)
            place = decoder.places[number]
            streams = _streams(shared, level.tap.streams)
            features = streams[place % len(streams)], _streams(specific, decoder.tasks)[place]
            made = _level_of_task(level, features, made, number)
        assert made is not None
        outputs[name] = resized(F.conv2d(made, weight, bias), size)
    return outputs


def _level_of_task(level: Level, features: State, coarser: Tensor | None, number: int) -> Tensor:
    """What the decoder of one task makes at a resolution.

    :param number: Place of the task among the dense ones, from 0.
    """
    rows = slice(number * level.channels, (number + 1) * level.channels)
    names = ("shared_weight", "own_weight")
    read = [(part, getattr(level, name)[rows]) for part, name in zip(features, names, strict=True) if part is not None]
    made = F.conv2d(torch.cat([part for part, _ in read], dim=1), torch.cat([weight for _, weight in read], dim=1))
    if coarser is not None:
        made = made + resized(F.conv2d(coarser, level.coarser_weight[rows], padding=1), (made.shape[2], made.shape[3]))
    return F.relu(level.norm.part(made, number))


def _shared_branch(layer: ETRLayer, shared: Stream, specific: Stream, task: int, activate: bool, mask: Mask) -> Tensor:
    assert layer.operator is not None
    assert shared is not None
    parts: list[Part] = [(layer.operator, slice(None), shared, layer.shared_weight)]
    if layer.shared_own_operator is not None:
        assert specific is not None
        parts.append((layer.shared_own_operator, _part(specific, task), specific, layer.shared_own_weight))
    made = layer.shared_norm.stream(_recombine(parts, layer.geometry.stride, mask), task, mask)
    return F.relu(made) if activate else made


def _specific_branch(
    layer: ETRLayer, shared: Stream, specific: Stream, task: int, activate: bool, mask: Mask
) -> Tensor:
    outputs = slice(task * layer.geometry.after.specific, (task + 1) * layer.geometry.after.specific)
    parts: list[Part] = []
    if shared is not None:
        operator = layer.branch_operator or layer.operator
        assert operator is not None
        parts.append((operator, slice(None), shared, layer.branch_weight[outputs]))
    if layer.own_operator is not None:
        assert specific is not None
        parts.append((layer.own_operator, _part(specific, task), specific, layer.own_weight[outputs]))
    made = layer.own_norm.part(_recombine(parts, layer.geometry.stride, mask), task, mask)
    made = F.relu(made) if activate or len(layer.deeper) else made
    for number, deeper in enumerate(layer.deeper, start=1):
        assert isinstance(deeper, SubLayer)
        part = (deeper.operator, _part(made, task), made, deeper.weight[outputs])
        made = deeper.norm.part(_recombine([part], 1, mask), task, mask)
        made = F.relu(made) if activate or number < len(layer.deeper) else made
    return made


def _recombine(parts: list[Part], stride: int, mask: Mask) -> Tensor:
    """Every primitive on the concatenated inputs, in turn; concatenate the responses; 1x1 convolution, in groups."""
    responses = [operator.responses(x, stride, channels, mask) for operator, channels, x, _ in parts]
    weight = torch.cat([weight for _, _, _, weight in parts], dim=2)
    operators = [operator for operator, _, _, _ in parts]
    groups = operators[0].windows
    made = []
    for group in range(groups):
        by_primitive = [_read(operators, group, of_parts) for of_parts in zip(*responses, strict=True)]
        kernel = weight[group::groups].flatten(1)[:, :, None, None]
        made.append(F.conv2d(torch.cat(by_primitive, dim=1), kernel))
    if groups == 1:
        return made[0]
    order = torch.cat([torch.arange(len(weight))[group::groups] for group in range(groups)])
    return torch.cat(made, dim=1)[:, order.argsort()]


def _read(operators: Sequence[Operator], group: int, responses: Sequence[Tensor]) -> Tensor:
    """What a group of outputs reads of the responses of one primitive to several inputs."""
    parts = zip(operators, responses, strict=True)
    return torch.cat([response[:, operator.window(group, response.shape[1])] for operator, response in parts], dim=1)


def _part(features: Tensor, task: int) -> slice:
    return slice(task * features.shape[1], (task + 1) * features.shape[1])


def _streams(features: Tensor | None, count: int) -> list[Tensor | None]:
    return [None] * count if features is None else list(features.chunk(count, dim=1))


def _stack(features: list[Tensor | None]) -> Tensor | None:
    present = [part for part in features if part is not None]
    return torch.cat(present, dim=1) if present else None
