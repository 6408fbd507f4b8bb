"""A trial: one training of one candidate, and what came out of it. Plain data, as a row of ``trials.csv`` holds it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.proposal import Proposal


class State(StrEnum):
    """What became of a trial."""

    RUNNING = "RUNNING"
    """Is being trained. In memory alone: files hold trials that ended."""

    COMPLETE = "COMPLETE"
    """Trained for its whole budget. Only these can be on the front."""
    STOPPED = "STOPPED"
    """Stopped early by a scheduler."""
    FAILED = "FAILED"
    """Ended by an error, which is in the trial's ``error``."""
    INFEASIBLE = "INFEASIBLE"
    """Breaks a constraint; was not trained."""


ENDS = (State.COMPLETE, State.STOPPED, State.FAILED, State.INFEASIBLE)
"""How trials end."""


@dataclass(frozen=True)
class Trial:
    """One training of one candidate.

    :param number: Number of the trial in its run, from 0.
    :param state: Whether it is being trained, or how it ended.
    :param architecture: The architecture that was trained.
    :param training: Training setting -> value, of those that the search chose; the others are the experiment's.
    :param method: Name of the method.
    :param seed: Seed of the initial weights, the primitives and the order of the data.
    :param epochs: Number of epochs that were trained.
    :param seconds: Seconds of training and evaluation on its worker.
    :param accuracy: Mean over tasks of each task's quality, after its last epoch: the headline metric where that is a
        share of 1, of an error the skill (see ``Task.quality``); ``None`` where there is none.
    :param delta_m: Mean relative gain over single-task networks in percent; ``None`` where these were not trained.
    :param learnable_parameters: Number of parameters that training changes.
    :param fixed_parameters: Number of frozen values: kernels and masks of the primitives.
    :param macs: Multiply-accumulates of one forward pass for all tasks, one sample. (A MAC is two FLOPs.)
    :param latency_ms: Milliseconds of a forward pass for all tasks, one sample; ``None`` where nothing depends on it.
    :param worst_task: Quality of the task that is done worst; ``None`` where nothing depends on it.
    :param error: Why it failed or is infeasible; empty otherwise.
    :param scores: Name of the score, ``<task>/<metric>`` -> value.
    """

    number: int
    state: State
    architecture: Architecture
    training: dict[str, Any] = field(default_factory=dict)
    method: str = "etr_nlp"
    seed: int = 0
    epochs: int = 0
    seconds: float = 0.0
    accuracy: float | None = None
    delta_m: float | None = None
    learnable_parameters: int = 0
    fixed_parameters: int = 0
    macs: int = 0
    latency_ms: float | None = None
    worst_task: float | None = None
    error: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def proposal(self) -> Proposal:
        """What the search chose: architecture and training."""
        return Proposal(self.architecture, tuple(self.training.items()))

    @property
    def total_parameters(self) -> int:
        """Learnable and fixed parameters together."""
        return self.learnable_parameters + self.fixed_parameters

    def value(self, objective: str) -> float | None:
        """The value of a quality or a cost, by its name; ``None`` where it was not measured."""
        return self.scores.get(objective) if "/" in objective else getattr(self, objective)
