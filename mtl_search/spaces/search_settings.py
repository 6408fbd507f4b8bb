"""The section ``search`` of an experiment, with its limits."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from mtl_search.spaces.section import (
    MOST,
    MOST_HOURS,
    MOST_MACHINES,
    MOST_POINTS,
    SEED_BITS,
    Section,
    defaults_for_true,
)


class EarlyStopping(Section):
    """As :class:`~mtl_search.searching.early_stopping.SuccessiveHalving`.

    :param grace: Epochs that every trial gets. On Multi-Fashion the order of architectures after 1 of 6 epochs had a
        Kendall's tau of .03 with that at the end, after 3 of .26.
    :param factor: One in so many trials goes on, and is compared again after so many times as many epochs.
        Li et al. (JMLR 2018) advise 3 or 4; a larger one stops more of what would have become good.
    """

    grace: int = Field(3, ge=1, le=MOST)
    factor: float = Field(3, gt=1, le=MOST)


class Confirm(Section):
    """How what a search found is confirmed: its promising trials are trained again, with other seeds.

    Off unless it is asked for: at equal compute the trials that it takes from the search are worth more to what is
    found (``benchmarks/confirm.py``). It is for a number that can be told: without, the pick looks better than it is.

    :param top: How many trials: those that most likely are the best or the knee. 3 of the default 24 trials keep most
        of the search for new candidates.
    :param seeds: How often each of them is trained again.
    """

    top: int = Field(3, ge=1, le=MOST)
    seeds: int = Field(1, ge=1, le=MOST)

    @property
    def trainings(self) -> int:
        """How many trainings that is."""
        return self.top * self.seeds


class Target(Section):
    """What is good enough: the search ends with the first complete trial that reaches it.

    :param metric: ``accuracy``, ``worst_task`` or ``<task>/<metric>``.
    :param value: Reached from below, for an error from above.
    """

    metric: str = "accuracy"
    value: float


class SearchSettings(Section):
    """How the space is searched. It ends with ``trials``, ``hours`` or ``target``, whichever comes first.

    :param trials: Candidates to train, to their end or until they are stopped early. The default 24 show what a search
        does, in minutes; the shipped experiments have more.
    :param hours: Time for the search, over all calls that go on with it. Trials under way are kept at their last epoch.
    :param target: A quality that is good enough.
    :param early_stopping: Whether to stop trials that others are ahead of: ``true``, or its settings.
    :param confirm: Whether the last of the trials go to confirming the promising ones: ``true``, or its settings. Of
        ``hours`` the same share is kept for it.
    :param learning_curves: Whether to score every epoch, into ``epochs.csv``, and not only those that decide something.
    :param points: Architectures that are tried first, each a mapping of questions to answers: of the keys of ``space``
        (``shared_ratio: 1.0``) or of one layer's (``layer0.shared_ratio: 1.0``). What is left out is its first option.
    :param retries: How often a trial goes on from its last checkpoint after the death of its worker. What dies three
        times does not die by accident.
    :param workers: Trials at the same time; ``auto``: as many as the processors allow; 0: in this process, one by one.
    :param sampler: Name of the sampler that proposes candidates.
    :param seed: Seed of the sampler and of every training.
    :param cpus: Processors, and threads, of each trial.
    :param gpus: GPUs of each trial; a fraction puts several trials on one.
    :param track: Where else to write how trials go: ``tensorboard``, into the folder ``tensorboard`` of the run.
    """

    trials: int = Field(24, ge=1, le=MOST)
    hours: float | None = Field(None, gt=0, le=MOST_HOURS)
    target: Target | None = None
    workers: int | Literal["auto"] = "auto"
    sampler: Literal["bayesian", "tpe", "nsga2", "nsga3", "random", "qmc", "evolution"] = "bayesian"
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(defaults_for_true)] = None
    confirm: Annotated[Confirm | None, BeforeValidator(defaults_for_true)] = None
    learning_curves: bool = False
    points: tuple[dict[str, Any], ...] = Field((), max_length=MOST_POINTS)
    retries: int = Field(2, ge=0, le=MOST)
    seed: int = Field(0, ge=0, lt=2**SEED_BITS)
    cpus: int = Field(1, ge=1, le=MOST_MACHINES)
    gpus: float = Field(0, ge=0, le=MOST_MACHINES)
    track: Literal["tensorboard"] | None = None

    @field_validator("workers", mode="before")
    @classmethod
    def _not_negative(cls, workers: Any) -> Any:
        if workers != "auto" and (not isinstance(workers, int) or not 0 <= workers <= MOST_MACHINES):
            raise ValueError(f"must be `auto` or a whole number from 0 to {MOST_MACHINES:,}")
        return workers
