"""Proposes candidates. The only home of Optuna, used through ask and tell.

The study lives in the run's ``journal.log``. Every suggestion that is asked for is told an end: its values, a failure
with its reason, or that it breaks a constraint. None stays open.
"""

import functools
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from mtl_search.architecture import Architecture
from mtl_search.pareto import direction_of
from mtl_search.space import SearchSpace

REPEATS = 3
"""Suggestions in a row that were made before, after which a neighbour of the last one is proposed instead."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Proposals:
    """Proposes the architectures of a space, each at most once.

    :param space: What to propose from.
    :param objectives: Names of the objectives, in the order of the values told.
    :param sampler: ``tpe``, ``nsga2`` or ``random``.
    :param seed: Of the sampler.
    :param journal: File for Optuna's journal.
    """

    def __init__(self, space: SearchSpace, objectives: Sequence[str], sampler: str, seed: int, journal: Path) -> None:
        self.space, self.seed = space, seed
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="search",
            directions=[direction_of(objective) for objective in objectives],
            sampler=_sampler(sampler, seed),
        )
        self._open: dict[Architecture, optuna.Trial] = {}
        self._seen: set[Architecture] = set()

    def ask(self) -> Architecture | None:
        """The next architecture, one that was not proposed before; ``None`` when the space holds no further one."""
        if len(self._seen) == self.space.size:
            return None
        for _ in range(REPEATS):
            trial = self.study.ask()
            architecture = self.space.resolve(functools.partial(_suggest, trial))
            if architecture not in self._seen:
                return self._propose(architecture, trial)
            self._close(trial, "proposed before")
        architecture = self._unseen(architecture)
        self.study.enqueue_trial(_answers(self.space, architecture))
        trial = self.study.ask()
        again = self.space.resolve(functools.partial(_suggest, trial))
        assert again == architecture
        return self._propose(architecture, trial)

    def tell(self, architecture: Architecture, values: Sequence[float]) -> None:
        """The objectives' values of a proposed architecture that was trained."""
        self.study.tell(self._open.pop(architecture), list(values))

    def tell_failed(self, architecture: Architecture, reason: str) -> None:
        """That a proposed architecture could not be trained."""
        self._close(self._open.pop(architecture), reason)

    def tell_infeasible(self, architecture: Architecture, excess: Mapping[str, float]) -> None:
        """That a proposed architecture breaks constraints and was not trained.

        The sampler learns from it: Optuna counts a pruned trial with a constraint above 0 as infeasible.

        :param excess: Name of the constraint -> value - limit, in the units of the cost.
        """
        trial = self._open.pop(architecture)
        for name, value in excess.items():
            trial.set_constraint(name, value)
        self.study.tell(trial, state=TrialState.PRUNED)

    def _propose(self, architecture: Architecture, trial: optuna.Trial) -> Architecture:
        trial.set_user_attr("architecture", architecture.id)
        self._open[architecture] = trial
        self._seen.add(architecture)
        return architecture

    def _close(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("error", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _unseen(self, suggested: Architecture) -> Architecture:
        """Near what was suggested: by lot among its neighbours; where these are used up, by lot among all."""
        lot = random.Random(f"{self.seed} {len(self._seen)}")
        near = [neighbour for neighbour in self.space.neighbours(suggested) if neighbour not in self._seen]
        if near:
            return lot.choice(near)
        if self.space.size > 2 * len(self._seen) + 1000:
            drawn: Iterator[Architecture] = (self.space.sample(lot.getrandbits(31)) for _ in itertools.count())
        else:
            drawn = self.space.architectures()
        return next(architecture for architecture in drawn if architecture not in self._seen)


def _sampler(name: str, seed: int) -> BaseSampler:
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "nsga2":
        return NSGAIISampler(seed=seed)
    assert name == "random"
    return RandomSampler(seed=seed)


def _suggest(trial: optuna.Trial, name: str, options: Sequence[Any]) -> Any:
    """Ask Optuna a question. Evenly spaced numbers keep their order; other options are categories."""
    step = _even_step(options)
    if step is None:
        return trial.suggest_categorical(name, options)
    value = trial.suggest_float(name, min(options), max(options), step=step)
    return min(options, key=lambda option: abs(option - value))


def _even_step(options: Sequence[Any]) -> float | None:
    """The distance between evenly spaced numbers, three or more; ``None`` for other options."""
    if len(options) < 3 or not all(isinstance(option, int | float) for option in options):
        return None
    ordered = sorted(options)
    steps = [after - before for before, after in itertools.pairwise(ordered)]
    return float(steps[0]) if max(steps) - min(steps) < 1e-9 else None


def _answers(space: SearchSpace, architecture: Architecture) -> dict[str, Any]:
    """The answers that lead to an architecture: name of the question -> option."""
    answers: dict[str, Any] = {}
    groups = dict(zip(_group_names(space), space.groups(), strict=True))

    def answer(name: str, options: Sequence[Any]) -> Any:
        key, _, field = name.partition(".")
        source = architecture.layers[groups[key][0]] if field else architecture
        answers[name] = getattr(source, field or key)
        return answers[name]

    space.resolve(answer)
    return answers


def _group_names(space: SearchSpace) -> list[str]:
    if space.granularity == "network":
        return ["network"]
    return [f"{space.granularity}{index}" for index in range(len(space.groups()))]
