"""A network in which every task has several candidate paths through a backbone and reads a mixture of their ends."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtl_search.networks.inputs import opened
from mtl_search.networks.paths import Path, PathModules
from mtl_search.spaces.backbone import Backbone
from mtl_search.tasks import Task

Place = tuple[int, int]
"""A module: its place in the backbone, and its number there."""


class RelaxedNetwork(PathModules):
    """Every task reads a weighted sum of the features at the ends of its candidate paths.

    ``z_t = sum_k softmax(alpha_t)_k * features(candidate k of task t)`` and ``y_t = head_t(z_t)``; of a dense task
    there is a ``z_t`` at every place that its decoder reads (our reading). What candidates have in common from the
    input on is computed once; a module that they reach by different ways has batch statistics for each. The strengths
    ``alpha`` are ones at the start, and no part of what a trainer of the weights is given. Heads start with zeros, and
    decoders alike with a last layer of zeros: drawn by lot, they would pull shared features apart even where tasks are
    the same.

    :param candidates: For each task its paths.
    """

    def __init__(
        self,
        backbone: Backbone,
        candidates: Sequence[Sequence[Path]],
        tasks: Sequence[Task],
        input_shape: tuple[int, ...],
        seed: int = 0,
        width_multiplier: float = 1.0,
    ) -> None:
        paths = [path for of_task in candidates for path in of_task]
        super().__init__(backbone, paths, tasks, input_shape, seed, width_multiplier)
        self.candidates = {task.name: tuple(paths) for task, paths in zip(tasks, candidates, strict=True)}
        self.alpha = nn.ParameterList(nn.Parameter(torch.ones(len(paths)), requires_grad=False) for paths in candidates)
        self.heads.start_alike()

    def forward(
        self, x: Tensor, only: Sequence[str] | None = None, shares: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Outputs of the tasks.

        :param x: ``[batch, channels, height, width]``, or rows ``[batch, features]``.
        :param only: Names of the tasks to compute; all if left out.
        :param shares: For each task, ``[candidates]``: the weights of the sum; ``softmax(alpha)`` if left out.
        :returns: Name of the task -> ``[batch, outputs]``, of a dense one ``[batch, outputs, height, width]``.
        """
        return self.mixed(self.features(x, only), self.shares() if shares is None else shares, x)

    def features(self, x: Tensor, only: Sequence[str] | None = None) -> dict[str, list[list[Tensor]]]:
        """Name of the task -> at every place that its head reads the features of each of its candidates."""
        start, mask = opened(x)
        reached: dict[Path, Tensor] = {(): start}
        return {
            task: [
                [self.walk(path[: place + 1], reached, mask) for path in paths] for place in self.heads.places(number)
            ]
            for number, (task, paths) in enumerate(self.candidates.items())
            if only is None or task in only
        }

    def mixed(
        self, features: Mapping[str, Sequence[Sequence[Tensor]]], shares: Sequence[Tensor], x: Tensor
    ) -> dict[str, Tensor]:
        """Outputs of the tasks that there are features of.

        :param shares: For each task, ``[candidates]``: the weights of the sum over its candidates.
        :param x: The network's input: ``[batch, channels, height, width]``, or rows ``[batch, features]``.
        """
        outputs = {}
        for number, (task, of_task) in enumerate(zip(self.candidates, shares, strict=True)):
            if task in features:
                outputs[task] = self.heads.read(number, [_mixture(of_task, each) for each in features[task]], x)
        return outputs

    def shares(self) -> list[Tensor]:
        """``softmax(alpha)`` of each task, ``[candidates]``."""
        return [F.softmax(alpha, dim=0) for alpha in self.alpha]

    def users(self) -> dict[Place, list[int]]:
        """The modules, input to output -> numbers of the tasks that have a candidate through them."""
        users: dict[Place, set[int]] = {}
        for task, paths in enumerate(self.candidates.values()):
            for place in {place for path in paths for place in enumerate(path)}:
                users.setdefault(place, set()).add(task)
        return {place: sorted(users[place]) for place in sorted(users)}

    def module(self, place: Place) -> nn.Module:
        """One of the modules."""
        modules = self.places[place[0]]
        assert isinstance(modules, nn.ModuleDict)
        return modules[str(place[1])]

    @torch.no_grad()
    def start_from(self, known: Mapping[str, Tensor]) -> None:
        """Take over weights by their names; a module without any starts as a copy of that with number 0 at its place.

        :param known: Those of an earlier network; those of the modules with number 0 may be left out.
        """
        known = {**{name: weight for name, weight in self._weights() if name == _of_number_0(name)}, **known}
        for name, parameter in self._weights():
            parameter.copy_(known[name] if name in known else known[_of_number_0(name)])

    def weights(self) -> dict[str, Tensor]:
        """Copies of all weights by their names, for :meth:`start_from`."""
        return {name: parameter.detach().clone() for name, parameter in self._weights()}

    def _weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, parameter) for name, parameter in self.named_parameters() if not name.startswith("alpha."))


def _mixture(shares: Tensor, features: Sequence[Tensor]) -> Tensor:
    """The weighted sum of the candidates' features; of those who have them in common the shares are added up first."""
    distinct = {id(feature): feature for feature in features}
    if len(distinct) == 1:
        return features[0]
    parts = []
    for key, feature in distinct.items():
        own = [share for share, other in zip(shares.unbind(), features, strict=True) if id(other) == key]
        parts.append((own[0] if len(own) == 1 else torch.stack(own).sum()) * feature)
    return torch.stack(parts).sum(dim=0)


def _of_number_0(name: str) -> str:
    """``places.2.1.norms.0.weight`` -> ``places.2.0.norms.0.weight``; other names as they are."""
    parts = name.split(".")
    return ".".join([*parts[:2], "0", *parts[3:]]) if parts[0] == "places" else name
