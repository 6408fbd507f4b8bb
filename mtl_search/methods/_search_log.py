"""What is noted of a search for branch points, for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl_search.methods import MethodContext
from mtl_search.networks.paths import Path
from mtl_search.networks.relaxed import Place


@dataclass
class SearchLog:
    """What the report shows of a search.

    :param places: Names of the modules of the backbone.
    """

    places: Sequence[str]
    alpha: list[list[list[float]]] = field(default_factory=list)
    conflicts: list[dict[str, float]] = field(default_factory=list)
    frozen: list[float] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    margins: dict[int, float] = field(default_factory=dict)
    """Number of the task -> how far its largest share was above the second when it was decided."""

    def epoch(
        self, shares: Sequence[Sequence[float]], conflicts: Mapping[Place, float], frozen: Mapping[Place, float]
    ) -> None:
        """Note an epoch.

        :param shares: Share of each candidate of a task, ``[task][candidate]``.
        :param conflicts: For each shared module the share of steps with a conflict; empty where it is not looked for.
        :param frozen: For each shared module the share of steps in which it did not learn; empty where all did.
        """
        self.alpha.append([list(of_task) for of_task in shares])
        self.frozen.append(sum(frozen.values()) / max(1, len(frozen)))
        self.conflicts.append({self._name(place): rate for place, rate in conflicts.items()})

    def end(self) -> None:
        """Note how clear the shares of the last epoch are, which decide."""
        found = {task: _margin(shares) for task, shares in enumerate(self.alpha[-1])}
        self.margins |= {task: margin for task, margin in found.items() if margin is not None}

    def stage(self, place: int, epochs: int, stayed: Sequence[str]) -> None:
        """Note what one stage of the progressive search decided."""
        self.stages.append({"place": self.places[place], "epochs": epochs, "stayed": list(stayed)})

    def details(self, context: MethodContext, paths: Sequence[Path]) -> dict[str, Any]:
        """As plain data: shares, conflicts and margins epoch by epoch, margins at the end, and what came out.

        ``margins`` has ``None`` for a task that was decided before, ``frozen`` the mean over the shared modules.
        """
        return {
            "places": list(self.places),
            "alpha": self.alpha,
            "margins": [
                [_margin(shares) if len(shares) > 1 else None for shares in of_epoch] for of_epoch in self.alpha
            ],
            "margin": [self.margins[number] for number in range(len(context.tasks))],
            "largest_share": [of_task.index(max(of_task)) for of_task in self.alpha[-1]],
            "conflicts": self.conflicts,
            "frozen": self.frozen,
            "stages": self.stages,
            "branch_points": {
                task.name: sum(number == 0 for number in path) for task, path in zip(context.tasks, paths, strict=True)
            },
            "paths": {task.name: list(path) for task, path in zip(context.tasks, paths, strict=True)},
        }

    def _name(self, place: Place) -> str:
        name = self.places[place[0]]
        return f"{name}, module {place[1]}" if place[1] else name


def _margin(shares: Sequence[float]) -> float | None:
    """How far the largest share is above the second; ``None`` where there is none."""
    largest = sorted(shares, reverse=True)
    return largest[0] - largest[1] if len(shares) > 1 else None
