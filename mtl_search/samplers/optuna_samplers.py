"""Optuna's samplers, made to draw alike wherever a search was cut off, and fast in long searches."""

import warnings
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseGASampler, BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

POPULATION = 20
"""Trials of a generation of NSGA-II and NSGA-III. Optuna's 50 would leave most of a search of 60 trials to chance."""


def reseed(sampler: Any, seed: int) -> None:
    """Let what a sampler draws next depend on a seed, not on what it drew before.

    Optuna itself reseeds from the system only. A new sampler for each suggestion would do, too, but each goes through
    all trials once to find what they have in common.
    """
    own = (sampler,) if isinstance(sampler, RandomSampler) else (sampler, sampler._random_sampler)
    for one in own:
        one._rng.rng.seed(seed)


class _Generations(BaseGASampler):
    """Finds the generation of a new trial from the latest trials, and parents by their numbers.

    Optuna goes through all trials for either. No trial belongs to an older generation than one that was asked for
    before it. Parents are in the order of their numbers, also for the first child of a generation, for which Optuna has
    them in another: a child that was lost is so proposed again.
    """

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        key = self._get_generation_key()
        if key in trial.system_attrs:
            return int(trial.system_attrs[key])
        latest, members = 0, 0
        for other in reversed(study._get_trials(deepcopy=False, use_cache=True)):
            generation = other.system_attrs.get(key, -1) if other.state is TrialState.COMPLETE else -1
            if 0 <= generation < latest:
                break
            if generation > latest:
                latest, members = generation, 0
            members += generation == latest
        assert self.population_size is not None
        generation = latest + (members >= self.population_size)
        study._storage.set_trial_system_attr(trial._trial_id, key, generation)
        return generation

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        chosen = study._storage.get_study_system_attrs(study._study_id).get(
            f"{self._get_parent_cache_key_prefix()}{generation}"
        )
        if chosen is None:
            chosen = [trial._trial_id for trial in super().get_parent_population(study, generation)]
        return [study._storage.get_trial(number) for number in sorted(chosen)]


class _NSGAII(_Generations, NSGAIISampler):
    """Optuna's, which is faster in long searches."""


class _NSGAIII(_Generations, NSGAIIISampler):
    """Optuna's, which is faster in long searches."""


def optuna_sampler(name: str, seed: int) -> BaseSampler:
    """One of Optuna's; the random one beside a sampler of ours, which the study then asks nothing that is open."""
    if name == "tpe":
        return TPESampler(seed=seed)
    if name == "nsga2":
        return _NSGAII(population_size=POPULATION, seed=seed)
    if name == "nsga3":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _NSGAIII(population_size=POPULATION, seed=seed)
    return RandomSampler(seed=seed)
