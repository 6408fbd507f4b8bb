"""Proposes candidates, by Optuna through ask and tell, or by a sampler of ours.

The study lives in the run's ``journal.log``. Every suggestion that is asked for is told an end: its values, a failure
with its reason, or that it breaks a constraint. What is proposed next depends on the seed, on how many architectures
were proposed, and on what was told of them: not on the process that asks, so a search that was cut off goes on alike.
"""

import functools
import itertools
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from mtl_search.internal.layout import ARCHITECTURES, JOURNAL, TRIALS
from mtl_search.internal.seeds import derived_seed
from mtl_search.metrics.pareto import direction_of
from mtl_search.samplers.bayesian import POOL, Bayesian
from mtl_search.samplers.evolution import Evolution
from mtl_search.samplers.optuna_samplers import optuna_sampler, reseed
from mtl_search.samplers.questions import rounded, suggest
from mtl_search.samplers.sampler import CostOf, OwnSampler
from mtl_search.samplers.sobol import Sobol
from mtl_search.samplers.storage import STUDY, StudyJournal, StudyStorage, loaded_study
from mtl_search.spaces.proposal import Proposal, ProposalSpace
from mtl_search.spaces.section import SEED_BITS

Told = Literal["extrapolated", "infeasible", "nothing"]

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """Proposes the architectures of a space, each at most once.

    :param space: What to propose from.
    :param objectives: Names of the objectives, in the order of the values told.
    :param cost_of: What an architecture costs; known before it is trained.
    :param sampler: ``bayesian``, ``tpe``, ``nsga2``, ``nsga3``, ``random``, ``qmc`` or ``evolution``.
    :param seed: Seed of the sampler.
    :param journal: File for Optuna's journal; one that exists is gone on with (:meth:`remember`). ``None``: in memory.
    :param points: Proposals of the space that are proposed first.
    :param limits: Cost -> largest value allowed, for a sampler that keeps to what it knows.
    :param stopped: What the sampler is told of a trial that was stopped early: nothing, but that it was; that it is
        infeasible; or its values extrapolated to the full budget. Nothing was best, or as good as any, for every
        sampler in ``benchmarks/search_quality.py``: early epochs say too little of candidates that come close to the
        front, and extrapolating from them misleads.
    :param pool: How many architectures ``bayesian`` draws from a large space to choose from.
    :param about: What a new journal says of the search, for those who look at it with Optuna's tools.
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
        about: Mapping[str, str] | None = None,
    ) -> None:
        self.objectives, self.about = list(objectives), dict(about or {})
        self.space, self.seed, self.stopped = space, seed, stopped
        self.points = list(points)
        self.remarks: list[str] = []
        """What of the journal was damaged and made again, a sentence each."""
        self._directions, self._sampler = [direction_of(objective) for objective in objectives], sampler
        self._journal = None if journal is None else StudyJournal(journal)
        held = (
            loaded_study(self._journal, self._directions)
            if self._journal is not None and self._journal.unread
            else None
        )
        self.study = self._new_study() if held is None else held
        self.study.sampler = optuna_sampler(sampler, seed)
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
        reseed(self.study.sampler, derived_seed(self.seed, f"suggestion {len(self._seen)}") % 2**SEED_BITS)
        trial = self._suggested()
        suggested = self.space.resolve(functools.partial(suggest, trial))
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

        :param values: Values of the objectives, extrapolated to the full budget.
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
        found = {name: rounded(questions.get(name, ()), value) for name, value in trial.params.items()}
        wanted = {name: rounded(questions[name], value) for name, value in self.space.answers(proposal).items()}
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
        storage = None if self._journal is None else StudyStorage(self._journal)
        sampler = optuna_sampler(self._sampler, self.seed)
        study = optuna.create_study(storage=storage, sampler=sampler, study_name=STUDY, directions=self._directions)
        self._name_what_it_holds(study)
        return study

    def _name_what_it_holds(self, study: optuna.Study) -> None:
        """Names of the values and of the search, for dashboards; no decision depends on them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of a method that is there since Optuna 3.2
            study.set_metric_names(self.objectives)
        for name, text in self.about.items():
            study.set_user_attr(name, text)

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
        again = self.space.resolve(functools.partial(suggest, trial))
        assert again == proposal
        return self._propose(proposal, trial)

    def _close(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("error", reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _unseen(self, suggested: Proposal) -> Proposal:
        """Near what was suggested: by lot among its neighbours; where these are used up, by lot among all."""
        rng = random.Random(f"{self.seed} {len(self._seen)}")
        near = [neighbour for neighbour in self.space.neighbours(suggested) if neighbour not in self._seen]
        if near:
            return rng.choice(near)
        if self.space.size > 2 * len(self._seen) + 1000:  # half of them are new: a draw or two; others are gone through
            drawn: Iterator[Proposal] = (self.space.sample(rng.getrandbits(SEED_BITS)) for _ in itertools.count())
        else:
            drawn = self.space.proposals()
        return next(proposal for proposal in drawn if proposal not in self._seen)


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
