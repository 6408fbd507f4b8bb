"""Which trials of a run are compared: named by what they are on its front, or by their numbers."""

from collections.abc import Mapping, Sequence

from mtl_search.errors import RunFolderError, UnknownNameError, UserError
from mtl_search.internal.layout import COMPARISON, TUNING
from mtl_search.runs.folder import Run
from mtl_search.runs.front import best_of
from mtl_search.runs.picks import PICKS, Pick, pick, pick_text
from mtl_search.runs.trial import State, Trial

MATCHED = "matched:"


class Picks:
    """Which trials of a run are compared, and as what.

    :param run: Where they are picked from.
    :param names: Names of picks, as the ``picks`` of :func:`compare`; ``None``: the default ones, if the run has
        trials.
    :param known: Baseline -> learnable parameters, where known before training. Others are known later.
    :raises UserError: If a name is none, a trial is not there, or none is small enough.
    """

    def __init__(self, run: Run, names: Sequence[str] | None, known: Mapping[str, int]) -> None:
        only_compared = not run.trials and any((run.path / name).exists() for name in (COMPARISON, TUNING))
        self.run = run
        self.names = list(names if names is not None else () if only_compared else PICKS)
        self.chosen: dict[int, list[str]] = {}
        self.picked: list[Pick] = []
        """What was chosen, each with why, in that order."""
        self.waiting: dict[str, str] = {}
        self.unresolved: dict[str, str] = {}
        if self.names and not run.front:
            raise RunFolderError(f"{run.path}: no trial of this run is complete, so there is none to pick.")
        for name in self.names:
            self._choose(name, known)

    @classmethod
    def none(cls) -> "Picks":
        """No picks: a comparison without a search."""
        picks = cls.__new__(cls)
        picks.names, picks.chosen, picks.picked, picks.waiting, picks.unresolved = [], {}, [], {}, {}
        return picks

    def baselines_needed(self) -> set[str]:
        """The baselines that a pick waits for."""
        return set(self.waiting.values())

    def resolve(self, baseline: str, parameters: int | None) -> Trial | None:
        """The pick that waited for a baseline, now that its trainings ended.

        :param parameters: Learnable parameters of the baseline's network; ``None`` if none of its trainings is
            complete.
        """
        name = next(pick for pick, key in self.waiting.items() if key == baseline)
        del self.waiting[name]
        if parameters is None:
            self.unresolved[name] = f"no training of {baseline} is complete"
            return None
        found = self._matched(name, parameters)
        if found is None:
            self.unresolved[name] = f"no trial of the front has at most the {parameters:,} parameters of {baseline}"
            return None
        self._take(found)
        return found.trial

    def reasons(self, number: int) -> dict[str, str]:
        """What a trial was chosen as -> why."""
        return {one.name: one.reason for one in self.picked if one.trial.number == number}

    def texts(self) -> list[str]:
        """What was chosen, a sentence each."""
        return [pick_text(self.run, one) for one in self.picked]

    def _choose(self, name: str, known: Mapping[str, int]) -> None:
        if name.startswith(MATCHED) and name.removeprefix(MATCHED) not in known:
            self.waiting[name] = name.removeprefix(MATCHED)
        else:
            self._take(self._pick(name, known))

    def _take(self, found: Pick) -> None:
        names = self.chosen.setdefault(found.trial.number, [])
        if found.name not in names:
            names.append(found.name)
            self.picked.append(found)

    def _pick(self, name: str, known: Mapping[str, int]) -> Pick:
        if name.startswith(MATCHED):
            limit = known[name.removeprefix(MATCHED)]
            found = self._matched(name, limit)
            if found is None:
                least = self.run.front[0].learnable_parameters
                raise UserError(
                    f"pick `{name}`: no trial of the front has at most {limit:,} learnable parameters; "
                    f"the smallest has {least:,}."
                )
            return found
        try:
            found = pick(self.run, name)
        except UnknownNameError as error:
            raise UnknownNameError("pick", name, [*error.valid, f"{MATCHED}<baseline>"]) from error
        if found.trial.state is not State.COMPLETE:
            state = found.trial.state.value
            raise RunFolderError(f"{self.run.path}: trial {found.trial.number} is {state}, not complete.")
        return found

    def _matched(self, name: str, limit: float) -> Pick | None:
        small = [trial for trial in self.run.front if trial.learnable_parameters <= limit]
        if not small:
            return None
        reason = f"the best of the front of {len(self.run.front)} with at most {limit:,} parameters"
        return Pick(best_of(small, self.run.experiment.objectives, self.run.beliefs.value), name, reason)
