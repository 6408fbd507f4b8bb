"""CoNAL (Yue, Zhang & Liang, AAAI 2023, pp. 11078-11086): learns at which place each task leaves a shared trunk."""

import dataclasses
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from mtl_search import cost
from mtl_search.batches import Batch, DeviceSplit
from mtl_search.datasets import Dataset, Split
from mtl_search.errors import UserError
from mtl_search.experiment import BalancingSettings, Training
from mtl_search.methods import Epochs, Finished, Method, Problem
from mtl_search.networks.paths import Path, PathNetwork
from mtl_search.networks.relaxed import Place, RelaxedNetwork
from mtl_search.seeds import generator
from mtl_search.tasks import Targets
from mtl_search.training import BACKWARD_MACS, Epoch, Trainer, autocast

Conflict = Literal["module", "pair", "none"]
TEMPERATURE = 1.0
"""Of the Gumbel-softmax."""


@dataclass(frozen=True)
class CoNAL(Method):
    """A branching network, found by gradient descent on a relaxed one and trained anew.

    In the relaxed network there are a trunk and, for every task, a private copy of all its modules. Task t may leave
    the trunk before any module p, or never, and reads a sum of what all these choices give, weighted by
    ``softmax(alpha_t)``. On every batch alpha takes a step on held out samples, then the weights take one on training
    samples (bi-level, first order). Where tasks conflict at a module of the trunk it does not learn, so that private
    modules do better on what is held out.

    The steps follow the paper and its public code. The code never calls the handling of conflicts and would erase
    private gradients, both against the paper; it is not followed there. Ours: the resolved mean is multiplied by the
    number of tasks, so that without a conflict the step is that of the summed losses, as everywhere here; the weights
    have the experiment's optimiser and schedule; private copies start with the weights of
    the trunk, and heads with zeros, so that nothing but the tasks tells the choices apart. The authors' rate of alpha,
    5e-5, moves it by less than .1 in a run of theirs; the default here lets it decide within some 500 steps. Balancing
    is that of the experiment in the last phase; in the search the handling of conflicts stands in its place.

    :param alpha_rate: Learning rate of Adam on alpha.
    :param alpha_decay: Its weight decay (L2).
    :param alpha_epsilon: Its epsilon. Adam moves alpha at full rate even where nothing but noise tells places apart, as
        for tasks that are alike; gradients well below a larger epsilon, .01 say, move it little (ours).
    :param relaxation: ``softmax``, or ``gumbel``: one choice in each forward pass, drawn by hard Gumbel-softmax.
    :param conflict: What a conflict does to a module of the trunk, see :func:`resolve_conflicts`.
    :param carry: Whether a conflict counts in all deeper modules of the trunk, too.
    :param on_conflict: ``zero``: the optimiser gets a gradient of zeros, under which momentum and weight decay still
        move a module. ``skip``: it leaves the module alone in that step (ours).
    :param clip: Largest norm of the gradient of all weights; ``None`` for any.
    :param validation: Part of the training samples that alpha is learned on. In the last phase they are trained on.
    :param search_epochs: Epochs of the search; ``None``: those of the experiment.
    :param margin: A task leaves at the deepest place whose share is at most this part of the largest below it (ours:
        sharing wins near-ties). 0 is the paper's argmax.
    :param least_conflict: A module of the trunk is one of conflict if tasks conflict there in at least this share of
        the steps. A task stays in the trunk up to the first such module from the place on where alpha would have it
        leave (ours: alpha drifts even where the tasks agree throughout, and the trunk then learns as well as a private
        module). 0 leaves it to alpha alone, as the paper does.
    :param progressive: For many tasks: one branch point after the other, last one first, with two branches for each
        task instead of one for every place. The paper shows it in a figure; our reading: at each place the undecided
        tasks choose between the group's module and modules of their own from there on. Those who stay are decided;
        they share what follows, a subgroup. Those who leave go on to the place before. The epochs are divided over the
        places.
    """

    name = "conal"
    measured_as_built = False
    alpha_rate: Annotated[float, Field(gt=0)] = 0.01
    alpha_decay: Annotated[float, Field(ge=0)] = 1e-5
    alpha_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    relaxation: Literal["softmax", "gumbel"] = "softmax"
    conflict: Conflict = "module"
    carry: bool = False
    on_conflict: Literal["zero", "skip"] = "zero"
    clip: Annotated[float, Field(gt=0)] | None = 5.0
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    search_epochs: Epochs | None = None
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    least_conflict: Annotated[float, Field(ge=0, le=1)] = 0.02
    progressive: bool = False

    def build(self, problem: Problem) -> RelaxedNetwork:
        tasks, places = len(problem.tasks), len(problem.shapes)
        if self.progressive:
            return relaxed_network(problem, [[_leaving(t, places - 1, places), (0,) * places] for t in range(tasks)])
        return relaxed_network(
            problem, [[_leaving(task, place, places) for place in range(places + 1)] for task in range(tasks)]
        )

    def train(self, problem: Problem) -> Generator[Epoch, None, Finished]:
        """Search, then train the network that was found from scratch, on all training samples.

        :raises UserError: If the search has fewer epochs than the progressive one has stages.
        """
        log = SearchLog([shape.name for shape in problem.shapes])
        find = self._find_progressively if self.progressive else self._find
        paths = yield from find(problem, log)
        model = problem.path_network(paths)
        yield from problem.trainer(model).epochs()
        return Finished(model, log.details(problem, paths))

    def rebuild(self, problem: Problem, details: Mapping[str, Any]) -> PathNetwork:
        return problem.network_of(details["paths"])

    def _find(self, problem: Problem, log: "SearchLog") -> Generator[Epoch, None, list[Path]]:
        model = self.build(problem)
        epochs = self.search_epochs or problem.training.epochs
        shares = yield from log.watch(self.search(problem, model, epochs))
        rates = self._trunk_conflicts(log.conflicts, log.places)
        return [
            paths[self._with_reason(self._choice(of_task), rates)]
            for paths, of_task in zip(model.candidates.values(), shares, strict=True)
        ]

    def _find_progressively(self, problem: Problem, log: "SearchLog") -> Generator[Epoch, None, list[Path]]:
        places, tasks = len(problem.shapes), range(len(problem.tasks))
        budget = _divided(self.search_epochs or problem.training.epochs, places)
        decided: dict[int, Path] = {}
        model, known, done = self.build(problem), dict[str, Tensor](), 0
        for place, epochs in zip(reversed(range(places)), budget, strict=True):
            leave = {task: _leaving(task, place, places) for task in tasks}
            stay = (0,) * (place + 1) + (_group_after(place, len(tasks)),) * (places - place - 1)
            if known:
                candidates = [[decided[t]] if t in decided else [leave[t], stay] for t in tasks]
                model = relaxed_network(problem, candidates, known)
            shares = yield from log.watch(self.search(problem, model, epochs, place), done)
            agreed = self._with_reason(place, self._trunk_conflicts(log.conflicts[-epochs:], log.places)) > place
            stayed = [t for t in tasks if t not in decided and (agreed or self._choice(shares[t]) == 1)]
            decided.update(dict.fromkeys(stayed, stay))
            log.stage(place, epochs, [problem.tasks[task].name for task in stayed])
            known, done = {**known, **model.weights()}, done + epochs
            if len(decided) == len(tasks):
                break
        return [decided.get(task, _leaving(task, 0, places)) for task in tasks]

    def search(self, problem: Problem, model: RelaxedNetwork, epochs: int, stage: int = 0) -> "Search":
        """The search on a relaxed network.

        :param stage: Tells the random numbers of several searches apart.
        """
        settings = problem.training.model_copy(update={"epochs": epochs, "balancing": BalancingSettings()})
        one_task = self.macs_of_one_task(model, problem)
        return Search(model, problem, settings, self, one_task * len(problem.tasks), stage)

    def _choice(self, shares: Sequence[float]) -> int:
        """Number of the deepest candidate whose share is large enough."""
        return max(number for number, share in enumerate(shares) if share >= (1 - self.margin) * max(shares))

    def _with_reason(self, place: int, rates: Sequence[float]) -> int:
        """The first place from this one on where tasks conflict; the end of the trunk if there is none."""
        return next((at for at in range(place, len(rates)) if rates[at] >= self.least_conflict), len(rates))

    def _trunk_conflicts(self, epochs: Sequence[Mapping[str, float]], places: Sequence[str]) -> list[float]:
        """Of each module of the trunk the share of steps with a conflict; all of them where it is not looked for."""
        return [sum(rates.get(place, 1.0) for rates in epochs) / len(epochs) for place in places]


class Search(Trainer):
    """The bi-level search on a relaxed network.

    :param method: Its options.
    :param macs_by_task: MACs of a forward pass for each task by itself, all of them added up.
    :param stage: Tells the random numbers of several searches apart.
    """

    def __init__(
        self,
        model: RelaxedNetwork,
        problem: Problem,
        settings: Training,
        method: CoNAL,
        macs_by_task: int,
        stage: int = 0,
    ) -> None:
        dataset = divided(problem.dataset, method.validation, problem.seed)
        super().__init__(model, problem.tasks, dataset, settings, problem.seed, phase="search")
        self.network, self.method, self.macs_by_task = model, method, macs_by_task
        self.held_out = DeviceSplit(dataset.splits["val"], dataset, self.device, self.tasks)
        self.batches = self._held_out_batches(generator(problem.seed, f"order of held out samples {stage}"))
        self.noise = generator(problem.seed, f"gumbel noise {stage}")
        self.strengths = torch.optim.Adam(
            model.alpha, method.alpha_rate, eps=method.alpha_epsilon, weight_decay=method.alpha_decay
        )
        users = model.users()
        self.shared = {place: tasks for place, tasks in users.items() if len(tasks) > 1}
        self.own = [
            [parameter for place, of in users.items() if of == [task] for parameter in model.module(place).parameters()]
            + list(model.heads[task].parameters())
            for task in range(len(self.tasks))
        ]
        self.conflicts = torch.zeros(len(self.shared), device=self.device)
        self.told = torch.zeros((), device=self.device)

    @property
    def resolves(self) -> bool:
        """Whether gradients are computed task by task."""
        return self.method.conflict != "none" and bool(self.shared)

    def rates(self) -> list[float]:
        """Of each shared module the share of steps with a conflict, since it was asked for last."""
        told = self.told.clamp(min=1) if self.data.may_miss else self.steps
        found: list[float] = (self.conflicts / told).tolist()
        self.conflicts.zero_()
        self.told.zero_()
        return found

    @property
    def macs_per_sample(self) -> int:
        """Of a sample trained on and its part of the held out samples: two forward passes, one backward pass for the
        weights or one for every task, and one through the heads for alpha."""
        forward = super().macs_per_sample // (1 + BACKWARD_MACS)
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
            yield dataclasses.replace(epoch, samples=epoch.samples + self.steps * self.held_out_size)

    def step(self, inputs: Tensor, targets: Targets) -> Tensor:
        """One step of alpha, then one of the weights."""
        self.step_alpha(*next(self.batches))
        return super().step(inputs, targets)

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
        """Write the gradients: each task's own for what is its own, resolved ones for what is shared; then clip.

        A task without a target in the batch has a gradient of zeros, which conflicts with none and adds nothing. Steps
        with less than two others tell nothing of conflicts, and are not counted among those that do.
        """
        if present is not None:
            self.told += present.sum() > 1
        if self.resolves:
            self._write_resolved(losses)
        else:
            super().backward(losses, present)
        if self.method.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.method.clip)

    def _write_resolved(self, losses: Tensor) -> None:
        modules = [list(self.network.module(place).parameters()) for place in self.shared]
        jacobians = self._jacobians(losses, modules)
        pairs = self._pairs(jacobians)
        self.conflicts += torch.stack([of_module.any() for of_module in pairs])
        kept = [_kept(of_module, self.method.conflict) for of_module in pairs]
        learns = torch.stack([keep.any() for keep in kept]).tolist() if self.method.on_conflict == "skip" else None
        for number, (parameters, jacobian, keep) in enumerate(zip(modules, jacobians, kept, strict=True)):
            if learns is None or learns[number]:
                _write(len(losses) * _mean_of(jacobian, keep), parameters)

    def _jacobians(self, losses: Tensor, modules: Sequence[Sequence[Parameter]]) -> list[Tensor]:
        """Of each shared module ``[tasks, parameters]``; gradients of what is a task's own are written on the way."""
        shared = [parameter for module in modules for parameter in module]
        jacobians: list[list[Tensor]] = [[] for _ in modules]
        for task, loss in enumerate(losses.unbind()):
            wanted = [*shared, *self.own[task]]
            found = torch.autograd.grad(loss, wanted, retain_graph=task < len(losses) - 1, allow_unused=True)
            for parameter, gradient in zip(self.own[task], found[len(shared) :], strict=True):
                parameter.grad = gradient
            rest = iter(found)
            for jacobian, module in zip(jacobians, modules, strict=True):
                jacobian.append(_flat(module, [next(rest) for _ in module]))
        return [torch.stack(rows) for rows in jacobians]

    def _pairs(self, jacobians: Sequence[Tensor]) -> list[Tensor]:
        """Which pairs of tasks conflict at each shared module, ``[tasks, tasks]`` bool."""
        pairs = [conflicting_pairs(jacobian) for jacobian in jacobians]
        if not self.method.carry:
            return pairs
        uses = [torch.tensor([t in tasks for t in range(len(self.tasks))]) for tasks in self.shared.values()]
        both = [(mask[:, None] & mask[None, :]).to(self.device) for mask in uses]
        return [carried & mask for carried, mask in zip(accumulate(pairs, torch.logical_or), both, strict=True)]

    def _drawn(self, strength: Tensor) -> Tensor:
        """Hard Gumbel-softmax (Jang et al., ICLR 2017): one of the candidates forward, the soft draw backward."""
        uniform = torch.rand(strength.shape, generator=self.noise).clamp_min(1e-20).to(strength.device)
        soft = F.softmax((strength - (-uniform.log()).log()) / TEMPERATURE, dim=0)
        hard = F.one_hot(soft.argmax(), len(soft)).to(soft.dtype)
        return hard + soft - soft.detach()

    def _held_out_batches(self, order: torch.Generator) -> Iterator[Batch]:
        """Batches for alpha without end, in a new order each time that all have been used."""
        while True:
            samples = torch.randperm(len(self.held_out), generator=order).to(self.device)
            for start in range(0, len(samples) - self.held_out_size + 1, self.held_out_size):
                yield self.held_out.batch(samples[start : start + self.held_out_size])


@dataclass
class SearchLog:
    """What the report shows of a search.

    :param places: Names of the modules of the backbone.
    """

    places: Sequence[str]
    alpha: list[list[list[float]]] = field(default_factory=list)
    conflicts: list[dict[str, float]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    margins: dict[int, float] = field(default_factory=dict)
    """Number of the task -> how far its largest share was above the second when it was decided."""

    def watch(self, search: Search, done: int = 0) -> Generator[Epoch, None, list[list[float]]]:
        """Go through the epochs of a search; returns the shares that it ends with, ``[task][candidate]``.

        :param done: Epochs before it.
        """
        for epoch in search.epochs():
            self.alpha.append([of_task.tolist() for of_task in search.network.shares()])
            rates = search.rates() if search.resolves else []
            names = [self._name(place) for place in search.shared]
            self.conflicts.append(dict(zip(names, rates, strict=bool(rates))))
            yield dataclasses.replace(epoch, number=done + epoch.number)
        self.margins |= {task: _margin(shares) for task, shares in enumerate(self.alpha[-1]) if len(shares) > 1}
        return self.alpha[-1]

    def stage(self, place: int, epochs: int, stayed: Sequence[str]) -> None:
        """Note what one stage of the progressive search decided."""
        self.stages.append({"place": self.places[place], "epochs": epochs, "stayed": list(stayed)})

    def details(self, problem: Problem, paths: Sequence[Path]) -> dict[str, Any]:
        """As plain data: shares and conflicts epoch by epoch, margins in the last, and what came out."""
        return {
            "places": list(self.places),
            "alpha": self.alpha,
            "margin": [self.margins[number] for number in range(len(problem.tasks))],
            "largest_share": [of_task.index(max(of_task)) for of_task in self.alpha[-1]],
            "conflicts": self.conflicts,
            "stages": self.stages,
            "branch_points": {
                task.name: sum(number == 0 for number in path) for task, path in zip(problem.tasks, paths, strict=True)
            },
            "paths": {task.name: list(path) for task, path in zip(problem.tasks, paths, strict=True)},
        }

    def _name(self, place: Place) -> str:
        name = self.places[place[0]]
        return f"{name}, module {place[1]}" if place[1] else name


def resolve_conflicts(gradients: Tensor, conflict: Conflict = "module") -> Tensor:
    """One gradient for a shared module from those of all tasks.

    Two tasks conflict where the inner product of their gradients is negative.

    :param gradients: ``[tasks, parameters]``
    :param conflict: ``module``: zeros if any two tasks conflict, else the mean over tasks (the paper). ``pair``: the
        mean over all tasks with zeros for those that conflict with another. ``none``: the mean.
    :returns: ``[parameters]``
    """
    return _mean_of(gradients, _kept(conflicting_pairs(gradients), conflict))


def conflicting_pairs(gradients: Tensor) -> Tensor:
    """Which pairs of tasks have a negative inner product, ``[tasks, tasks]`` bool.

    :param gradients: ``[tasks, parameters]``
    """
    return gradients @ gradients.T < 0


def divided(dataset: Dataset, part: float, seed: int) -> Dataset:
    """The training samples by themselves, in two splits: what weights are trained on as ``train``, the rest as ``val``.

    :param part: Of the samples, those held out; at least one.
    :param seed: Of the draw.
    """
    samples = dataset.splits["train"]
    order = torch.randperm(len(samples), generator=generator(seed, "samples held out for the search")).numpy()
    count = max(1, round(part * len(samples)))
    splits = {"train": _samples(samples, order[count:]), "val": _samples(samples, order[:count])}
    return dataclasses.replace(dataset, splits=splits)


def relaxed_network(
    problem: Problem, candidates: Sequence[Sequence[Path]], known: Mapping[str, Tensor] | None = None
) -> RelaxedNetwork:
    """The relaxed network on a problem's backbone; new modules start with the weights of the trunk.

    :param candidates: For each task its paths.
    :param known: Weights of an earlier network to go on from.
    """
    model = RelaxedNetwork(
        problem.backbone, candidates, problem.tasks, problem.input_shape, problem.seed, problem.width_multiplier
    )
    model.start_from(known or {})
    return model


def _leaving(task: int, place: int, places: int) -> Path:
    """The trunk up to a place, and from there on the task's private modules."""
    return (0,) * place + (task + 1,) * (places - place)


def _group_after(place: int, tasks: int) -> int:
    """Number of the modules that those share who have the trunk in common up to a place, besides private ones."""
    return tasks + 1 + place


def _divided(epochs: int, stages: int) -> list[int]:
    if epochs < stages:
        raise UserError(
            f"`options.search_epochs` must be at least the {stages} modules of the backbone when `progressive`, "
            f"but got {epochs}."
        )
    return [epochs // stages + (stage < epochs % stages) for stage in range(stages)]


def _kept(pairs: Tensor, conflict: Conflict) -> Tensor:
    """Which tasks' gradients are kept, ``[tasks]`` bool, given the pairs that conflict."""
    if conflict == "none":
        return torch.ones_like(pairs[0])
    return ~(pairs.any(dim=1) if conflict == "pair" else pairs.any().expand(len(pairs)))


def _mean_of(gradients: Tensor, keep: Tensor) -> Tensor:
    """Mean over all tasks with zeros for those that are not kept."""
    return torch.where(keep[:, None], gradients, 0).mean(dim=0)


def _flat(parameters: Sequence[Parameter], gradients: Sequence[Tensor | None]) -> Tensor:
    return torch.cat(
        [
            (torch.zeros_like(parameter) if gradient is None else gradient).flatten()
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
    )


def _write(values: Tensor, parameters: Sequence[Parameter]) -> None:
    """Give each parameter its part of a flat gradient."""
    parts = values.split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view(parameter.shape)


def _margin(shares: Sequence[float]) -> float:
    """How far the largest share is above the second."""
    largest = sorted(shares, reverse=True)
    return largest[0] - largest[1]


def _samples(split: Split, numbers: "np.typing.NDArray[np.int64]") -> Split:
    parts = None if split.parts is None else split.parts[numbers]
    return Split(split.inputs[numbers], {name: target[numbers] for name, target in split.targets.items()}, parts)
