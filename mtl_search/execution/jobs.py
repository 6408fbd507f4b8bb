"""Jobs: trainings to be done, and where they come from.

A *source* is asked for jobs, and told what became of them: by :mod:`.local`, or by :mod:`.ray_tune`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from mtl_search.datasets import Dataset
from mtl_search.evaluation import FROM_SCRATCH, Entrant, Evaluate, EvaluationOptions, Report
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.settings import Training


@dataclass(frozen=True)
class Job:
    """One training to be done.

    :param number: Number of the trial.
    :param what: The architecture or entrant to train.
    :param seed: Seed of the training.
    :param options: What is wanted on the way, and where to begin.
    """

    number: int
    what: Architecture | Entrant
    seed: int
    options: EvaluationOptions = FROM_SCRATCH


class Wait:
    """The answer of a source whose next job depends on one that is not done yet."""


@dataclass(frozen=True)
class Work:
    """What is the same for all jobs: sent to every worker once."""

    evaluate: Evaluate
    dataset: Dataset
    training: Training
    threads: int

    def reports(self, job: Job) -> Iterator[Report]:
        """Do a job, report by report up to the last one, with as many threads as it was given processors."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        for report in self.evaluate(job.what, self.dataset, self.training, job.seed, job.options):
            yield report
            if report.done:
                return
        raise RuntimeError("the evaluation ended without a last report")


class Source(Protocol):
    """Where jobs come from, and where their results go."""

    def ask(self) -> Job | Wait | None:
        """The next job; ``None`` when there is none left."""

    def report(self, number: int, report: Report) -> bool:
        """What is known of a job after an epoch, also after its last; whether it is to go on, which ends with that."""

    def fail(self, number: int, reason: str) -> None:
        """That a job ended by an error."""
