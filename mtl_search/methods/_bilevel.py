"""The bi-level search of CoNAL on a relaxed network: strengths on held out samples, weights on training samples."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search import cost
from mtl_search.internal.seeds import generator
from mtl_search.methods import MethodContext
from mtl_search.methods._conflicts import Conflict
from mtl_search.methods._phase import PhaseTrainer
from mtl_search.methods._search_log import SearchLog
from mtl_search.methods._trunk import Trunk
from mtl_search.networks.relaxed import RelaxedNetwork
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Targets
from mtl_search.training.batches import Batch, DeviceSplit
from mtl_search.training.devices import autocast
from mtl_search.training.held_out import divided
from mtl_search.training.trainer import BACKWARD_MACS, Epoch

TEMPERATURE = 1.0
"""Of the Gumbel-softmax: the chances are those of the softmax, whatever it is; lower, gradients get rarer and
larger."""
TINY = 1e-20
"""In the place of a draw of 0, whose logarithm is infinite."""


class Options(Protocol):
    """What of the options of :class:`~mtl_search.methods.conal.CoNAL` is for the search itself."""

    @property
    def alpha_rate(self) -> float: ...

    @property
    def alpha_decay(self) -> float: ...

    @property
    def alpha_epsilon(self) -> float: ...

    @property
    def relaxation(self) -> str: ...

    @property
    def conflict(self) -> Conflict: ...

    @property
    def carry(self) -> bool: ...

    @property
    def on_conflict(self) -> str: ...

    @property
    def clip(self) -> float | None: ...

    @property
    def validation(self) -> float: ...


class BilevelSearch(PhaseTrainer):
    """The bi-level search on a relaxed network.

    :param method: The method, with the options of its search.
    :param macs_by_task: MACs of a forward pass for each task by itself, all of them added up.
    :param stage: Tells the random numbers of several searches apart.
    :param waits: Epochs at the beginning in which alpha waits, and the trunk learns from all tasks.
    """

    def __init__(
        self,
        model: RelaxedNetwork,
        context: MethodContext,
        settings: Training,
        method: Options,
        macs_by_task: int,
        stage: int = 0,
        waits: int = 0,
    ) -> None:
        dataset = divided(context.dataset, method.validation, context.seed)
        super().__init__(model, dataclasses.replace(context, dataset=dataset, training=settings), phase="search")
        self.network, self.method, self.macs_by_task = model, method, macs_by_task
        self.held_out = DeviceSplit(dataset.splits["val"], dataset, self.device, self.tasks)
        self.batches = self._held_out_batches(generator(context.seed, f"order of held out samples {stage}"))
        self.noise = generator(context.seed, f"gumbel noise {stage}")
        self.strengths = torch.optim.Adam(
            model.alpha, method.alpha_rate, eps=method.alpha_epsilon, weight_decay=method.alpha_decay
        )
        self.trunk = Trunk(self.network, method.conflict, method.carry, skip=method.on_conflict == "skip")
        self.waits, self.waiting = waits, waits > 0

    @property
    def resolves(self) -> bool:
        """Whether gradients are computed task by task."""
        return self.method.conflict != "none" and bool(self.trunk.shared) and not self.waiting

    @property
    def macs_per_sample(self) -> int:
        """Of a sample trained on and its part of the held out samples: two forward passes, one backward pass for the
        weights or one for every task, and one through the heads for alpha. While alpha waits, nothing is held out."""
        forward = super().macs_per_sample // (1 + BACKWARD_MACS)
        if self.waiting:
            return forward * (1 + BACKWARD_MACS)
        backward = BACKWARD_MACS * (self.macs_by_task if self.resolves else forward)
        held_out = (forward + cost.head_macs(self.network.heads)) * self.held_out_size / self.settings.batch_size
        return round(forward + backward + held_out)

    @property
    def held_out_size(self) -> int:
        """Samples in a batch for alpha."""
        return min(self.settings.batch_size, len(self.held_out))

    def epochs(self) -> Iterator[Epoch]:
        """As of the base class; held out samples count as seen."""
        for epoch in super().epochs():
            held_out = 0 if self.waiting else self.steps * self.held_out_size
            yield dataclasses.replace(epoch, samples=epoch.samples + held_out)

    def watched(self, log: SearchLog, done: int = 0) -> Generator[Epoch, None, list[list[float]]]:
        """Go through the epochs and note each; returns the shares at the end, ``[task][candidate]``.

        :param done: Epochs before this search.
        """
        for epoch in self.epochs():
            shared = self.trunk.shared if self.resolves else ()
            conflicts, frozen = (dict(zip(shared, rates, strict=False)) for rates in self.trunk.rates())
            log.epoch([of_task.tolist() for of_task in self.network.shares()], conflicts, frozen)
            yield dataclasses.replace(epoch, number=done + epoch.number)
        log.end()
        return log.alpha[-1]

    def step(self, inputs: Tensor, targets: Targets) -> Tensor:
        """One step of alpha, where it does not wait, then one of the weights."""
        if not self.waiting:
            self.step_alpha(*next(self.batches))
        return super().step(inputs, targets)

    def _epoch(self) -> tuple[Tensor, Tensor | None]:
        self.waiting = self.done < self.waits
        return super()._epoch()

    def step_alpha(self, inputs: Tensor, targets: Targets) -> None:
        """One step of alpha. The features do not depend on it: only the sum and the heads are differentiated.

        In full precision: what tells places apart is much smaller than what they have in common.
        """
        alpha = [strength.detach().requires_grad_() for strength in self.network.alpha]
        with torch.no_grad():
            features = self.network.features(inputs)
        outputs = self.network.mixed(features, self.shares(alpha), inputs)
        found = torch.autograd.grad(self.losses_of(outputs, targets).sum(), alpha, allow_unused=True)
        for strength, gradient in zip(self.network.alpha, found, strict=True):
            strength.grad = gradient
        self.strengths.step()

    def losses(self, inputs: Tensor, targets: Targets) -> Tensor:
        with autocast(self.device):
            outputs = self.network(inputs, shares=self.shares(list(self.network.alpha)))
        return self.losses_of(outputs, targets)

    def shares(self, alpha: Sequence[Tensor]) -> list[Tensor]:
        """The weights of the sums, one tensor ``[candidates]`` for each task."""
        if self.method.relaxation == "softmax":
            return [F.softmax(strength, dim=0) for strength in alpha]
        return [self._drawn(strength) for strength in alpha]

    def backward(self, losses: Tensor, present: Tensor | None = None) -> None:
        """Write the gradients: each task's own for what is its own, resolved ones for what is shared; then clip."""
        if self.resolves:
            self.trunk.write(losses, present)
        else:
            super().backward(losses, present)
        if self.method.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.method.clip)

    def _drawn(self, strength: Tensor) -> Tensor:
        """Hard Gumbel-softmax (Jang et al., ICLR 2017): one of the candidates forward, the soft draw backward."""
        uniform = torch.rand(strength.shape, generator=self.noise).clamp_min(TINY).to(strength.device)
        soft = F.softmax((strength - (-uniform.log()).log()) / TEMPERATURE, dim=0)
        hard = F.one_hot(soft.argmax(), len(soft)).to(soft.dtype)
        return hard + soft - soft.detach()

    def _held_out_batches(self, order: torch.Generator) -> Iterator[Batch]:
        """Batches for alpha without end, in a new order each time that all have been used."""
        while True:
            samples = torch.randperm(len(self.held_out), generator=order).to(self.device)
            for start in range(0, len(samples) - self.held_out_size + 1, self.held_out_size):
                yield self.held_out.batch(samples[start : start + self.held_out_size])
