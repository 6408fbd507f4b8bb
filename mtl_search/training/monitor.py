"""Looks at a training after every epoch, and adds up what its phases take."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from mtl_search.datasets import Dataset
from mtl_search.training.checkpoint import Checkpoint
from mtl_search.training.cosines import CosineObserver
from mtl_search.training.scoring import scores_on
from mtl_search.training.trainer import Epoch, Trainer


@dataclass(frozen=True)
class Phase:
    """What one phase of a training took.

    :param epochs: Passes over its training samples.
    :param samples: Number of samples that it has seen.
    :param seconds: Seconds that were spent on training.
    :param macs: Multiply-accumulates, forward and backward.
    """

    epochs: int = 0
    samples: int = 0
    seconds: float = 0.0
    macs: int = 0

    def __add__(self, epoch: Epoch) -> "Phase":
        return Phase(
            self.epochs + 1, self.samples + epoch.samples, self.seconds + epoch.seconds, self.macs + epoch.macs
        )


class EpochMonitor:
    """Looks at a training after every epoch: scores, checkpoints and cosines, as they are asked for.

    :param dataset: The dataset of the training.
    :param split: The split that the network is scored on.
    :param scored_after: Epochs after which the network is scored, besides the last one.
    :param checkpoints: Whether to take a checkpoint after every epoch.
    :param start: The checkpoint that the training goes on from; ``None`` if it begins from scratch.
    :param cosines: Whether to follow the cosines between the tasks' gradients.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        scored_after: tuple[int, ...] = (),
        checkpoints: bool = False,
        start: Checkpoint | None = None,
        cosines: bool = False,
    ) -> None:
        self.dataset, self.split, self.scored_after, self.checkpoints = dataset, split, scored_after, checkpoints
        self.cosines = CosineObserver() if cosines else None
        self.seconds = float(start.values["scoring_seconds"]) if start else 0.0
        """Spent on scoring so far, also before the checkpoint."""
        self.scores: dict[str, float] = {}
        """The scores after the latest epoch; empty where none were asked for."""
        self._checkpoint: Checkpoint | None = None

    def __call__(self, trainer: Trainer) -> None:
        if self.cosines is not None:
            self.cosines(trainer)
        self.scores = {}
        if trainer.done in self.scored_after and trainer.done < trainer.settings.epochs:
            self.scores = self.score(trainer.model, trainer.device)
        self._checkpoint = trainer.checkpoint() if self.checkpoints else None

    def score(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """The scores of a network, which is in evaluation mode afterwards; the time counts."""
        start = time.perf_counter()
        scores = scores_on(model, self.dataset.tasks, self.dataset, self.split, device)
        self.seconds += time.perf_counter() - start
        return scores

    def checkpoint(self, phases: Mapping[str, Phase]) -> Checkpoint | None:
        """The checkpoint of the latest epoch, with what phases and scoring took; ``None`` if none was asked for."""
        if self._checkpoint is None:
            return None
        took = {name: asdict(phase) for name, phase in phases.items()}
        values = {**self._checkpoint.values, "phases": took, "scoring_seconds": self.seconds}
        return replace(self._checkpoint, values=values)


def phases_until(start: Checkpoint | None) -> dict[str, Phase]:
    """What the phases took up to a checkpoint; nothing from scratch."""
    return {} if start is None else {name: Phase(**phase) for name, phase in start.values["phases"].items()}


def seconds_of(phases: Mapping[str, Phase]) -> float:
    """Seconds that the phases took together."""
    return sum(phase.seconds for phase in phases.values())
