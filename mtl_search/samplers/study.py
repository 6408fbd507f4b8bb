"""Proposes candidates. The only home of Optuna, used through ask and tell.

The study lives in the run's ``journal.log``. Every suggestion that is asked for is told an end: its values, a failure
with its reason, or that it breaks a constraint. What is proposed next depends on the seed, on how many architectures
were proposed, and on what was told of them: not on the process that asks, so a search that was cut off goes on alike.
"""

import functools
import itertools
import random
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseGASampler, BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from mtl_search.internal.layout import ARCHITECTURES, JOURNAL, TRIALS
from mtl_search.internal.seeds import derived_seed
from mtl_search.metrics.pareto import Direction, direction_of
from mtl_search.samplers.bayesian import POOL, Bayesian
from mtl_search.samplers.evolution import Evolution
from mtl_search.samplers.journal import Journal
from mtl_search.samplers.sampler import CostOf, OwnSampler
from mtl_search.samplers.sobol import Sobol
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.spaces.ranges import Range

STUDY = "search"
POPULATION = 20
"""Of NSGA-II and NSGA-III. Optuna's 50 would leave most of a search of 60 trials to chance."""

Told = Literal["extrapolated", "infeasible", "nothing"]

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Proposals:
    """Proposes the architectures of a space, each at most once.

    :param space: What to propose from.
    :param objectives: Names of the objectives, in the order of the values told.
    :param cost_of: What an architecture costs; known before it is trained.
    :param sampler: ``bayesian``, ``tpe``, ``nsga2``, ``nsga3``, ``random``, ``qmc`` or ``evolution``.
    :param seed: Of the sampler.
    :param journal: File for Optuna's journal; one that exists is gone on with (:meth:`remember`). ``None``: in memory.
    :param points: Proposals of the space that are proposed first.
    :param limits: Cost -> largest value allowed, for a sampler that keeps to what it knows.
    :param stopped: What the sampler is told of a trial that was stopped early: nothing, but that it was; that it is
        infeasible; or its values extrapolated to the full budget. Nothing was best, or as good as any, for every
        sampler in ``benchmarks/search_quality.py``: early epochs say too little of candidates that come close to the
        front, and extrapolating from them misleads.
    :param pool: How many architectures ``bayesian`` draws from a large space to choose from.
    :raises StorageError: If the journal cannot be written; so do all methods that write.
    """

    def __init__(
        self,
        space: ProposalSpace,
        objectives: Sequence[str],
        cost_of: CostOf,
        sampler: str,
        seed: int,
        journal: Path | None,
        points: Sequence[Proposal] = (),
        limits: Mapping[str, float] | None = None,
        stopped: Told = "nothing",
        pool: int = POOL,
    ) -> None:
        self.space, self.seed, self.stopped = space, seed, stopped
        self.points = list(points)
        self.remarks: list[str] = []
        """What of the journal was damaged and made again, a sentence each."""
        self._directions, self._sampler = [direction_of(objective) for objective in objectives], sampler
        self._journal = None if journal is None else _Journal(journal)
        held = _loaded(self._journal, self._directions) if self._journal is not None and self._journal.unread else None
        self.study = self._new_study() if held is None else held
        self.study.sampler = _optuna_sampler(sampler, seed)
        self._own = _own_sampler(sampler, space, objectives, cost_of, limits, seed, pool)
        self._open: dict[Proposal, optuna.Trial] = {}
        self._seen: set[Proposal] = set()

    def ask(self) -> Proposal | None:
        """The next proposal, one that was not proposed before; ``None`` when the space holds no further one."""
        with self._in_one_write():
            return self._asked()

    def _asked(self) -> Proposal | None:
        if len(self._seen) == self.space.size:
            return None
        point = next((point for point in self.points if point not in self._seen), None)
        if point is not None:
            return self._enqueue(point)
        if self._own is not None:
            suggested = self._own.suggest(self._seen, list(self._open))
            if suggested is None:
                return None
            return self._enqueue(suggested if suggested not in self._seen else self._unseen(suggested))
        _reseed(self.study.sampler, derived_seed(self.seed, f"suggestion {len(self._seen)}") % 2**31)
        trial = self._suggested()
        suggested = self.space.resolve(functools.partial(_suggest, trial))
        if suggested not in self._seen:
            return self._propose(suggested, trial)
        self._close(trial, "proposed before")
        return self._enqueue(self._unseen(suggested))

    def tell(self, proposal: Proposal, values: Sequence[float]) -> None:
        """The objectives' values of a proposal that was trained."""
        with self._in_one_write():
            self.study.tell(self._open.pop(proposal), list(values))
        self.remember_values(proposal, values)

    def tell_failed(self, proposal: Proposal, reason: str) -> None:
        """That a proposal could not be trained."""
        with self._in_one_write():
            self._close(self._open.pop(proposal), reason)

    def tell_stopped(self, proposal: Proposal, values: Sequence[float]) -> None:
        """That the training of a proposal was stopped early.

        :param values: Of the objectives, extrapolated to the full budget.
        """
        if self.stopped == "extrapolated":
            self.tell(proposal, values)
        elif self.stopped == "infeasible":
            self.tell_infeasible(proposal, {"stopped early": 1.0})
        else:
            self.tell_failed(proposal, "stopped early")

    def tell_infeasible(self, proposal: Proposal, excess: Mapping[str, float]) -> None:
        """That a proposal breaks constraints and was not trained.

        The sampler learns from it: Optuna counts a pruned trial with a constraint above 0 as infeasible.

        :param excess: Name of the constraint -> value - limit, in the units of the cost.
        """
        trial = self._open.pop(proposal)
        with self._in_one_write():
            for name, value in excess.items():
                if name not in trial.constraints:  # a search that was cut off right here has set some
                    trial.set_constraint(name, value)
            self.study.tell(trial, state=TrialState.PRUNED)
        self.remember_infeasible(proposal, excess)

    def remember(self, ended: Sequence[Proposal], under_way: Sequence[Proposal]) -> list[Proposal]:
        """Take up a search that was cut off. A study that does not hold these trials is made again from them.

        :param ended: What has ended, in that order, whatever its end.
        :param under_way: What was being trained: it stays open and is to be told.
        :returns: Those of ``ended`` whose end the study was not told; they are open and are to be told now.
        """
        known = {proposal.id: proposal for proposal in (*ended, *under_way)}
        self._seen = set(known.values())
        missing = known and self._missing(known, under_way)
        if missing:
            self._make_again(known.values(), missing)
            return list(ended)
        for _ in self.study.get_trials(deepcopy=False, states=[TrialState.WAITING]):
            self._close(self.study.ask(), "cut off before it began")
        for found in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            trial = optuna.Trial(self.study, found._trial_id)
            proposal = known.get(trial.user_attrs.get("architecture", ""))
            if proposal is not None:
                self._open[proposal] = trial
            else:
                self._close(trial, "cut off before it began")
        return [proposal for proposal in ended if proposal in self._open]

    def _missing(self, known: Mapping[str, Proposal], under_way: Sequence[Proposal]) -> str:
        """In what the study is not that of the trials known; empty where it is."""
        trials = self.study.get_trials(deepcopy=False)
        of = {str(trial.user_attrs.get("architecture")): trial for trial in trials}
        if self._journal is not None and self._journal.problem:
            return self._journal.problem
        if any(name not in of or not self._is_of(of[name], known[name]) for name in known):
            return "trials are missing in it"
        if any(of[proposal.id].state is not TrialState.RUNNING for proposal in under_way):
            return "it holds the end of a trial that has not ended"
        if any(of[name].state in (TrialState.COMPLETE, TrialState.PRUNED) for name in of if name not in known):
            return "it holds trials that are not there"
        return ""

    def _is_of(self, trial: FrozenTrial, proposal: Proposal) -> bool:
        """Whether a trial of the study has the answers that make a proposal, and values for all objectives."""
        questions = self.space.questions()
        found = {name: _rounded(questions.get(name, ()), value) for name, value in trial.params.items()}
        wanted = {name: _rounded(questions[name], value) for name, value in self.space.answers(proposal).items()}
        is_complete = trial.state is TrialState.COMPLETE
        return found == wanted and (not is_complete or len(trial.values or ()) == len(self._directions))

    def _make_again(self, known: Iterable[Proposal], why: str) -> None:
        """Begin the study anew with the trials known; all of them are open then, and are to be told."""
        self.remarks.append(f"{JOURNAL}: {why}; it was made again from {TRIALS} and {ARCHITECTURES}.")
        with self._in_one_write():
            self.study = self._new_study()
            for proposal in known:
                self._enqueue(proposal)

    def _new_study(self) -> optuna.Study:
        if self._journal is not None:
            self._journal.begin_anew()
        storage = None if self._journal is None else _Storage(self._journal)
        sampler = _optuna_sampler(self._sampler, self.seed)
        return optuna.create_study(storage=storage, sampler=sampler, study_name=STUDY, directions=self._directions)

    def remember_values(self, proposal: Proposal, values: Sequence[float]) -> None:
        """What :meth:`tell` was told in an earlier process; in the same order."""
        if self._own is not None:
            self._own.learn(proposal, values)

    def remember_infeasible(self, proposal: Proposal, excess: Mapping[str, float]) -> None:
        """What :meth:`tell_infeasible` was told in an earlier process."""
        if self._own is not None:
            self._own.learn_infeasible(proposal, [name for name, value in excess.items() if value > 0])

    def remember_stopped(self, proposal: Proposal, values: Sequence[float]) -> None:
        """What :meth:`tell_stopped` was told in an earlier process."""
        if self.stopped == "extrapolated":
            self.remember_values(proposal, values)

    def _in_one_write(self) -> AbstractContextManager[None]:
        return nullcontext() if self._journal is None else self._journal.in_one_write()

    def _propose(self, proposal: Proposal, trial: optuna.Trial) -> Proposal:
        trial.set_user_attr("architecture", proposal.id)
        self._open[proposal] = trial
        self._seen.add(proposal)
        return proposal

    def _suggested(self) -> optuna.Trial:
        """A trial for the sampler; Optuna would first look for an enqueued one among all, and there is none."""
        self.study._pop_waiting_trial_id = lambda: None  # type: ignore[method-assign]
        try:
            return self.study.ask()
        finally:
            del self.study._pop_waiting_trial_id

    def _enqueue(self, proposal: Proposal) -> Proposal:
        """Propose a proposal that Optuna did not suggest, and let the study hold it like the others."""
        self.study.enqueue_trial(self.space.answers(proposal))
        trial = self.study.ask()
        again = self.space.resolve(functools.partial(_suggest, trial))
        assert again == proposal
        return self._propose(proposal, trial)

    def _close(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("error", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _unseen(self, suggested: Proposal) -> Proposal:
        """Near what was suggested: by lot among its neighbours; where these are used up, by lot among all."""
        lot = random.Random(f"{self.seed} {len(self._seen)}")
        near = [neighbour for neighbour in self.space.neighbours(suggested) if neighbour not in self._seen]
        if near:
            return lot.choice(near)
        if self.space.size > 2 * len(self._seen) + 1000:
            drawn: Iterator[Proposal] = (self.space.sample(lot.getrandbits(31)) for _ in itertools.count())
        else:
            drawn = self.space.proposals()
        return next(proposal for proposal in drawn if proposal not in self._seen)


class _Journal(Journal, BaseJournalBackend):
    """The journal as Optuna's storage uses it."""


class _Storage(JournalStorage):
    """Optuna's, which goes through all trials each time it is asked for them; here the list is there at once."""

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        trials = self._replay_result._trials.values()  # of the one study, in their order
        return list(trials) if states is None else [trial for trial in trials if trial.state in states]


def _loaded(journal: _Journal, directions: Sequence[Direction]) -> optuna.Study | None:
    """The study that a journal holds; ``None``, and the journal says why, where that is not the one of this search.

    Whatever Optuna stumbles over while it reads a file that others may have written: the file is then of no use, and
    what it should hold is known from the tables.
    """
    try:
        study = optuna.load_study(study_name=STUDY, storage=(storage := _Storage(journal)))
        names = [direction.name.lower() for direction in study.directions]
        is_ours = len(storage.get_all_studies()) == 1 and names == list(directions)
        journal.problem = "" if is_ours else "it is of another search"
    except Exception as error:
        journal.problem = f"it cannot be read: {type(error).__name__}"
    return None if journal.problem else study


def _own_sampler(
    name: str,
    space: ProposalSpace,
    objectives: Sequence[str],
    cost_of: CostOf,
    limits: Mapping[str, float] | None,
    seed: int,
    pool: int,
) -> OwnSampler | None:
    """The samplers that are ours; ``None`` for Optuna's."""
    if name == "bayesian":
        return Bayesian(space, objectives, cost_of, limits or {}, seed, pool)
    if name == "evolution":
        return Evolution(space, [direction_of(objective) for objective in objectives], seed)
    return Sobol(space, seed) if name == "qmc" else None


def _reseed(sampler: Any, seed: int) -> None:
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


def _optuna_sampler(name: str, seed: int) -> BaseSampler:
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


def _rounded(offer: Range | Sequence[Any], value: Any) -> Any:
    """An answer as a proposal has it. Optuna gets to numbers among options by steps: six decimals of these count."""
    if isinstance(offer, Range) and isinstance(value, float):
        return offer.rounded(value)
    return round(value, 6) if isinstance(value, float) else value


def _suggest(trial: optuna.Trial, name: str, options: Range | Sequence[Any]) -> Any:
    """Ask Optuna a question. Evenly spaced numbers keep their order; other options are categories."""
    if isinstance(options, Range):
        return options.rounded(trial.suggest_float(name, options.low, options.high, log=options.log))
    step = _even_step(options)
    if step is None:
        return trial.suggest_categorical(name, options)
    value = trial.suggest_float(name, min(options), max(options), step=step)
    return min(options, key=lambda option: abs(option - value))


def _even_step(options: Sequence[Any]) -> float | None:
    """The distance between evenly spaced numbers, three or more; ``None`` for other options."""
    if len(options) < 3 or not all(isinstance(option, int | float) for option in options):
        return None
    ordered = sorted(Decimal(str(option)) for option in options)
    steps = {after - before for before, after in itertools.pairwise(ordered)}
    return float(steps.pop()) if len(steps) == 1 else None
