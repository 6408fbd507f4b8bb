"""CoNAL (Yue, Zhang & Liang, AAAI 2023, pp. 11078-11086): learns at which place each task leaves a shared trunk."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from mtl_search.errors import UserError
from mtl_search.methods import Epochs, Method, MethodContext, TrainedModel
from mtl_search.methods._bilevel import BilevelSearch
from mtl_search.methods._conflicts import Conflict
from mtl_search.methods._relaxed import group_after, leaving, relaxed_network
from mtl_search.methods._search_log import SearchLog
from mtl_search.networks.paths import Path, PathNetwork
from mtl_search.networks.relaxed import RelaxedNetwork
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.training.trainer import Epoch

FEW_TASKS = 4
"""Up to so many are searched at all places at once. Of 15 tasks, 105 pairs, some pair conflicts in 99.9 % of the steps
(measured on qm9): what all have in common then never learns, while what a smaller group shares may."""


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
    :param alpha_decay: Weight decay (L2) of the architecture parameters alpha.
    :param alpha_epsilon: Epsilon of the Adam that learns alpha. Adam moves alpha at full rate even where nothing but
        noise tells places apart, as for tasks that are alike; gradients well below a larger epsilon, .01 say, move it
        little (ours).
    :param relaxation: ``softmax``, or ``gumbel``: one choice in each forward pass, drawn by hard Gumbel-softmax.
    :param conflict: What a conflict does to a module of the trunk, see
        :func:`~mtl_search.methods._conflicts.resolve_conflicts`.
    :param carry: Whether a conflict counts in all deeper modules of the trunk, too.
    :param on_conflict: ``zero``: the optimiser gets a gradient of zeros, under which momentum and weight decay still
        move a module. ``skip``: it leaves the module alone in that step (ours).
    :param clip: Largest norm of the gradient of all weights; ``None`` for any. The default 5 is that of DARTS (Liu et
        al., ICLR 2019), whose search this is.
    :param validation: Part of the training samples that alpha is learned on; a fifth by default leaves most to the
        weights (ours). In the last phase they are trained on.
    :param search_epochs: Epochs of the search; ``None``: those of the experiment.
    :param warm_up: Part of these epochs, rounded down, in which alpha waits while all weights learn, the trunk as under
        hard sharing (ours; 0 is the paper's). Without, alpha decides in the first epoch, from a trunk that has not
        learned: on Multi-Fashion its largest share was .56 to .68 after that, above .92 at the end of 6, and the trunk
        was frozen in 70 % of the steps. What is seen in the first half of a training says little of its end: orders of
        architectures after 1 and 3 of 6 epochs have a Kendall's tau of .03 and .26 with that at the end.
    :param margin: A task leaves at the deepest place whose share is at most this part of the largest below it (ours:
        sharing wins near-ties). 0 is the paper's argmax.
    :param least_conflict: A module of the trunk is one of conflict if tasks conflict there in at least this share of
        the steps. A task stays in the trunk up to the first such module from the place on where alpha would have it
        leave (ours: alpha drifts even where the tasks agree throughout, and the trunk then learns as well as a private
        module). 0 leaves it to alpha alone, as the paper does.
    :param progressive: Whether branch points are searched one by one, for many tasks: one branch point after the other,
        last one first, with two branches for each task instead of one for every place. The paper shows it in a figure;
        our reading: at each place the undecided tasks choose between the group's module and modules of their own from
        there on. Those who stay are decided; they share what follows, a subgroup. Those who leave go on to the place
        before. The epochs after the warm-up are divided over the places; it is shorter where that would leave less than
        one for each. ``None``: where there are more than four tasks, and the search has an epoch for each place.
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
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.5
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    least_conflict: Annotated[float, Field(ge=0, le=1)] = 0.02
    progressive: bool | None = None

    def build(self, context: MethodContext) -> RelaxedNetwork:
        tasks, places = len(context.tasks), len(context.shapes)
        if self._is_progressive(context):
            return relaxed_network(context, [[leaving(t, places - 1, places), (0,) * places] for t in range(tasks)])
        return relaxed_network(
            context, [[leaving(task, place, places) for place in range(places + 1)] for task in range(tasks)]
        )

    def train(self, context: MethodContext) -> Generator[Epoch, None, TrainedModel]:
        """Search, then train the network that was found from scratch, on all training samples.

        :raises UserError: If the search has fewer epochs than the progressive one has stages.
        """
        log = SearchLog([shape.name for shape in context.shapes])
        find = self._find_progressively if self._is_progressive(context) else self._find
        paths = yield from find(context, log)
        model = context.path_network(paths)
        yield from context.trainer(model).epochs()
        return TrainedModel(model, log.details(context, paths))

    def rebuild(self, context: MethodContext, details: Mapping[str, Any]) -> PathNetwork:
        return context.network_of(details["paths"])

    def _find(self, context: MethodContext, log: SearchLog) -> Generator[Epoch, None, list[Path]]:
        model, epochs = self.build(context), self._epochs(context)
        waits = self._waits(epochs)
        shares = yield from self.search(context, model, epochs, waits=waits).watched(log)
        rates = self._trunk_conflicts(log.conflicts[waits:], log.places)
        return [
            paths[self._with_reason(self._choice(of_task), rates)]
            for paths, of_task in zip(model.candidates.values(), shares, strict=True)
        ]

    def _find_progressively(self, context: MethodContext, log: SearchLog) -> Generator[Epoch, None, list[Path]]:
        places, tasks = len(context.shapes), range(len(context.tasks))
        epochs = self._epochs(context)
        waits = min(self._waits(epochs), max(0, epochs - places))
        budget = _divided(epochs - waits, places)
        decided: dict[int, Path] = {}
        model, known, done = self.build(context), dict[str, Tensor](), 0
        for place, epochs in zip(reversed(range(places)), budget, strict=True):
            leave = {task: leaving(task, place, places) for task in tasks}
            stay = (0,) * (place + 1) + (group_after(place, len(tasks)),) * (places - place - 1)
            if known:
                candidates = [[decided[t]] if t in decided else [leave[t], stay] for t in tasks]
                model = relaxed_network(context, candidates, known)
            search = self.search(context, model, waits + epochs, place, waits)
            shares = yield from search.watched(log, done)
            agreed = self._with_reason(place, self._trunk_conflicts(log.conflicts[-epochs:], log.places)) > place
            stayed = [t for t in tasks if t not in decided and (agreed or self._choice(shares[t]) == 1)]
            decided.update(dict.fromkeys(stayed, stay))
            log.stage(place, waits + epochs, [context.tasks[task].name for task in stayed])
            known, done, waits = {**known, **model.weights()}, done + waits + epochs, 0
            if len(decided) == len(tasks):
                break
        return [decided.get(task, leaving(task, 0, places)) for task in tasks]

    def search(
        self, context: MethodContext, model: RelaxedNetwork, epochs: int, stage: int = 0, waits: int = 0
    ) -> BilevelSearch:
        """The search on a relaxed network.

        :param stage: Tells the random numbers of several searches apart.
        :param waits: Epochs at its beginning in which alpha waits.
        """
        settings = context.training.model_copy(update={"epochs": epochs, "balancing": BalancingSettings()})
        one_task = self.macs_of_one_task(model, context)
        return BilevelSearch(model, context, settings, self, one_task * len(context.tasks), stage, waits)

    def _epochs(self, context: MethodContext) -> int:
        return self.search_epochs or context.training.epochs

    def _waits(self, epochs: int) -> int:
        return int(self.warm_up * epochs)

    def _is_progressive(self, context: MethodContext) -> bool:
        if self.progressive is not None:
            return self.progressive
        return len(context.tasks) > FEW_TASKS and self._epochs(context) >= len(context.shapes)

    def _choice(self, shares: Sequence[float]) -> int:
        """Number of the deepest candidate whose share is large enough."""
        return max(number for number, share in enumerate(shares) if share >= (1 - self.margin) * max(shares))

    def _with_reason(self, place: int, rates: Sequence[float]) -> int:
        """The first place from this one on where tasks conflict; the end of the trunk if there is none."""
        return next((at for at in range(place, len(rates)) if rates[at] >= self.least_conflict), len(rates))

    def _trunk_conflicts(self, epochs: Sequence[Mapping[str, float]], places: Sequence[str]) -> list[float]:
        """Of each module of the trunk the share of steps with a conflict; all of them where it is not looked for."""
        return [sum(rates.get(place, 1.0) for rates in epochs) / len(epochs) for place in places]


def _divided(epochs: int, stages: int) -> list[int]:
    if epochs < stages:
        raise UserError(
            f"`options.search_epochs` must be at least the {stages} modules of the backbone when `progressive`, "
            f"but got {epochs}."
        )
    return [epochs // stages + (stage < epochs % stages) for stage in range(stages)]
