"""The ETR-NLP layer (Ding et al., CVPR 2023, arXiv 2308.02066), fused.

With shared features ``S`` and own features ``P_t`` of every task ``t``, a layer makes (strict routing)

    S'   = act(norm(F_s(S)))            P_t' = act(norm(F_t([S, P_t])))

where each ``F`` is a bank of non-learnable primitives followed by a learned 1x1 recombination. As no ``S`` depends on
the task, one pass serves all tasks: ``S`` to ``S'``, ``S`` to all ``P'``, and one grouped convolution ``P`` to ``P'``,
with the tasks stacked along the channels.

:mod:`mtl_search.networks.reference` is the definition that this must equal.
"""

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.kernels.operations import Activations, Measured, materialize, recombine, recombine_into
from mtl_search.networks.geometry import LayerGeometry
from mtl_search.networks.inputs import Mask
from mtl_search.networks.norm import Norm
from mtl_search.networks.operators import Operator, make_operator
from mtl_search.networks.sequences import make_sequence_operator
from mtl_search.networks.vectors import make_vector_operator
from mtl_search.spaces.banks import CONVOLUTION

State = tuple[Tensor | None, Tensor | None]
"""Shared features ``[batch, streams * shared, height, width]`` and own ones ``[batch, tasks * own, height, width]``."""
LazyState = tuple[Activations | None, Activations | None]
"""The same as a layer makes them."""


class SubLayer(nn.Module):
    """One further learned layer in the branches of all tasks: ``P_t' = act(norm(F_t(P_t)))``.

    :param operator: Bank of primitives, or convolution, that is applied to the own channels of all tasks.
    :param tasks: Number of tasks, of which each has a branch.
    :param channels: Own channels of each task, in and out.
    """

    def __init__(self, operator: Operator, tasks: int, channels: int, weights: Generator) -> None:
        super().__init__()
        self.tasks, self.operator = tasks, operator
        self.weight = _recombination(tasks * channels, operator, channels, operator.reach(channels), weights)
        self.norm = Norm(tasks * channels)

    def forward(self, specific: Activations, activate: bool, mask: Mask = None) -> Activations:
        made = recombine_into(None, self.operator, specific, self.weight, 1, self.tasks, mask)
        return self.norm.deferred(made.features, activate, made.moments, mask)


class ETRLayer(nn.Module):
    """One layer: what it makes and what it carries on.

    :param geometry: Channels and pixels before and after the layer.
    :param tasks: Number of tasks, of which each may have a branch.
    :param branch_kind: ``nlp`` or ``conv``, see :class:`~mtl_search.spaces.architecture.Architecture`.
    :param weights: What the initial weights are drawn from.
    :param primitives: What the frozen values are drawn from.

    What reads or makes features that are specific to a task has a name with ``own``, for files of weights have it so.
    """

    def __init__(
        self, geometry: LayerGeometry, tasks: int, branch_kind: str, weights: Generator, primitives: Generator
    ) -> None:
        super().__init__()
        before = geometry.before
        bank = geometry.choice.bank
        branch_bank = bank if branch_kind == "nlp" or geometry.pointwise else CONVOLUTION
        self.geometry, self.tasks = geometry, tasks
        self.operator: Operator | None = None
        self.branch_operator: Operator | None = None
        self.own_operator: Operator | None = None
        self.mixed_operator: Operator | None = None
        same = bank == branch_bank
        if before.shared and (geometry.makes_shared or (geometry.makes_specific and same)):
            self.operator = self._make_operator(bank, before.shared, 1, primitives)
        if before.shared and geometry.makes_specific and not same:
            self.branch_operator = self._make_operator(branch_bank, before.shared, 1, primitives)
        if before.specific and geometry.makes_specific:
            self.own_operator = self._make_operator(branch_bank, before.specific, tasks, primitives)
        if geometry.shared_reads_specific and not (self.own_operator and same):
            self.mixed_operator = self._make_operator(bank, before.specific, tasks, primitives)
        if geometry.makes_shared:
            self._make_shared_weights(weights)
        if geometry.makes_specific:
            self._make_own_weights(branch_bank, weights, primitives)

    def _make_operator(self, bank: str, channels: int, streams: int, primitives: Generator) -> Operator:
        """The operator of a bank over streams of so many channels, each with frozen values of its own."""
        if self.geometry.reads == "sequences":
            length, dilation = self.geometry.before.width, self.geometry.dilation
            return make_sequence_operator(bank, channels, streams, length, primitives, dilation)
        if self.geometry.reads == "rows":
            return make_vector_operator(bank, channels, streams, self.geometry.groups, primitives)
        return make_operator(bank, streams * channels, primitives, self.geometry.dilation)

    @property
    def shared_own_operator(self) -> Operator | None:
        """What the shared branch applies to the tasks' own features, where it reads them (mixed routing)."""
        return (self.mixed_operator or self.own_operator) if self.geometry.shared_reads_specific else None

    def _make_shared_weights(self, weights: Generator) -> None:
        before, after = self.geometry.before, self.geometry.after
        assert self.operator is not None
        inputs = _read(self.operator, before.shared) + _read(self.shared_own_operator, before.specific)
        self.shared_weight = _recombination(after.shared, self.operator, before.shared, inputs, weights)
        if (operator := self.shared_own_operator) is not None:
            self.shared_own_weight = _recombination(after.shared, operator, before.specific, inputs, weights)
        self.shared_norm = Norm(after.shared, after.streams)

    def _make_own_weights(self, bank: str, weights: Generator, primitives: Generator) -> None:
        before, after = self.geometry.before, self.geometry.after
        reads, outputs = self.branch_operator or self.operator, self.tasks * after.specific
        inputs = _read(reads, before.shared) + _read(self.own_operator, before.specific)
        if before.shared:
            assert reads is not None
            self.branch_weight = _recombination(outputs, reads, before.shared, inputs, weights)
        if self.own_operator is not None:
            self.own_weight = _recombination(outputs, self.own_operator, before.specific, inputs, weights)
        self.own_norm = Norm(outputs)
        count, tasks = after.specific, self.tasks
        self.deeper = nn.ModuleList(
            SubLayer(self._make_operator(bank, count, tasks, primitives), tasks, count, weights)
            for _ in range(self.geometry.choice.branch_depth - 1)
        )

    def forward(self, state: LazyState, activate: bool = True, mask: Mask = None) -> LazyState:
        """The fused form.

        :param activate: Whether the last thing that is made goes through the ReLU; not before a skip is added.
        :param mask: Which positions of sequences are none of padding; features are 0 at the others, before and after.
        """
        shared, specific = state
        for_shared, for_specific = (None, None) if shared is None else self._recombined(shared, mask)
        made_shared = self._shared(for_shared, shared, specific, activate, mask)
        return made_shared, self._specific(for_specific, specific, activate, mask)

    def _recombined(self, shared: Activations, mask: Mask) -> tuple[Measured | None, Measured | None]:
        """The shared features as ``S'`` and as the ``P'`` of all tasks read them, where the layer makes these."""
        stride, streams = self.geometry.stride, self.geometry.before.streams
        weights = [self.shared_weight.repeat(streams, 1, 1)] if self.geometry.makes_shared else []
        branches = [streams] * len(weights)
        normed = [self.shared_own_operator is None] * len(weights)
        if self.geometry.makes_specific and self.branch_operator is None:
            weights.append(self.branch_weight)
            branches.append(self.tasks)
            normed.append(self.own_operator is None)
        made: list[Measured] = []
        if self.operator is not None:
            made = recombine(self.operator, shared, weights, stride, streams, branches, normed, mask)
        if self.branch_operator is not None:
            weights, branches = [self.branch_weight], [self.tasks]
            made += recombine(self.branch_operator, shared, weights, stride, streams, branches, mask=mask)
        for_shared = made.pop(0) if self.geometry.makes_shared else None
        return for_shared, made.pop() if made else None

    def _shared(
        self,
        made: Measured | None,
        shared: Activations | None,
        specific: Activations | None,
        activate: bool,
        mask: Mask,
    ) -> Activations | None:
        geometry = self.geometry
        if not geometry.makes_shared:
            return carry(materialize(shared), geometry.stride) if geometry.after.shared else None
        assert made is not None
        features, moments = made
        if self.shared_own_operator is not None:
            assert specific is not None
            features = features.repeat(1, geometry.after.streams // geometry.before.streams, 1, 1)
            weight = self.shared_own_weight.repeat(self.tasks, 1, 1)
            specific_features = self.shared_own_operator.features(materialize(specific), geometry.stride, mask)
            features.add_(self.shared_own_operator.convolve(specific_features, weight, geometry.stride, self.tasks))
        return self.shared_norm.deferred(features, activate, moments, mask)

    def _specific(
        self, made: Measured | None, specific: Activations | None, activate: bool, mask: Mask
    ) -> Activations | None:
        geometry = self.geometry
        if not geometry.makes_specific:
            return carry(materialize(specific), geometry.stride)
        if self.own_operator is not None:
            assert specific is not None
            before = None if made is None else made.features
            own, stride = self.own_operator, geometry.stride
            made = recombine_into(before, own, specific, self.own_weight, stride, self.tasks, mask)
        assert made is not None
        after = self.own_norm.deferred(made.features, activate or len(self.deeper) > 0, made.moments, mask)
        for number, layer in enumerate(self.deeper, start=1):
            after = layer(after, activate or number < len(self.deeper), mask)
        return after


def carry(features: Tensor | None, stride: int) -> Tensor | None:
    """Features that are carried on, averaged over the stride; the output has ``ceil(size / stride)`` pixels."""
    if features is None or stride == 1:
        return features
    return F.avg_pool2d(features, stride, stride, ceil_mode=True, count_include_pad=False)


def _recombination(outputs: int, operator: Operator, channels: int, inputs: int, generator: Generator) -> nn.Parameter:
    """Initial weights ``[outputs, taps, reach]``: He et al. (ICCV 2015) for kernels of unit energy.

    :param channels: Number of channels that the operator is applied to.
    :param inputs: All channels that one output reads, by this weight and others.
    """
    deviation = math.sqrt(2 / (operator.taps * inputs))
    shape = outputs, operator.taps, operator.reach(channels)
    return nn.Parameter(torch.randn(shape, generator=generator) * deviation)


def _read(operator: Operator | None, channels: int) -> int:
    """How many of so many channels one output reads through an operator, where there is one."""
    return 0 if operator is None else operator.reach(channels)
