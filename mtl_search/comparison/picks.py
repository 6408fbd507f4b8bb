"""Which trials of a run are compared: named by what they are on its front, or by their numbers."""

from collections.abc import Mapping, Sequence

from mtl_search.errors import RunFolderError, UnknownNameError, UserError
from mtl_search.internal.layout import COMPARISON, TUNING
from mtl_search.metrics.pareto import direction_of
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State, Trial

PICKS = ("knee", "best", "smallest")
MATCHED = "matched:"


class Picks:
    """Which trials of a run are compared, and as what.

    :param run: Where they are picked from.
    :param names: As :func:`compare` has them; the default ones of a run with complete trials for ``None``.
    :param known: Baseline -> learnable parameters, where known before training. Others are known later.
    :raises UserError: If a name is none, a trial is not there, or none is small enough.
    """

    def __init__(self, run: Run, names: Sequence[str] | None, known: Mapping[str, int]) -> None:
        only_compared = not run.trials and any((run.path / name).exists() for name in (COMPARISON, TUNING))
        self.run = run
        self.names = list(names if names is not None else () if only_compared else PICKS)
        self.chosen: dict[int, list[str]] = {}
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
        picks.names, picks.chosen, picks.waiting, picks.unresolved = [], {}, {}, {}
        return picks

    def baselines_needed(self) -> set[str]:
        """The baselines that a pick waits for."""
        return set(self.waiting.values())

    def resolve(self, baseline: str, parameters: int | None) -> Trial | None:
        """The pick that waited for a baseline, now that its trainings ended.

        :param parameters: Its learnable parameters; ``None`` if no training of it is complete.
        """
        name = next(pick for pick, key in self.waiting.items() if key == baseline)
        del self.waiting[name]
        if parameters is None:
            self.unresolved[name] = f"no training of {baseline} is complete"
            return None
        trial = self._matched(parameters)
        if trial is None:
            self.unresolved[name] = f"no trial of the front has at most the {parameters:,} parameters of {baseline}"
            return None
        self.chosen.setdefault(trial.number, []).append(name)
        return trial

    def _choose(self, name: str, known: Mapping[str, int]) -> None:
        if name.startswith(MATCHED) and name.removeprefix(MATCHED) not in known:
            self.waiting[name] = name.removeprefix(MATCHED)
        else:
            self.chosen.setdefault(self._pick(name, known).number, []).append(name)

    def _pick(self, name: str, known: Mapping[str, int]) -> Trial:
        if name.isdecimal():
            trial = self.run.trial(int(name))
            if trial.state is not State.COMPLETE:
                raise RunFolderError(f"{self.run.path}: trial {name} is {trial.state.value}, not complete.")
            return trial
        if name.startswith(MATCHED):
            limit = known[name.removeprefix(MATCHED)]
            found = self._matched(limit)
            if found is None:
                least = self.run.front[0].learnable_parameters
                raise UserError(
                    f"pick `{name}`: no trial of the front has at most {limit:,} learnable parameters; "
                    f"the smallest has {least:,}."
                )
            return found
        if name == "knee":
            assert self.run.knee is not None
            return self.run.knee
        if name == "smallest":
            return min(self.run.front, key=lambda trial: (trial.learnable_parameters, trial.number))
        if name == "best":
            return max(self.run.front, key=self._quality)
        raise UnknownNameError("pick", name, [*PICKS, f"{MATCHED}<baseline>", "<trial>"])

    def _matched(self, limit: float) -> Trial | None:
        small = [trial for trial in self.run.front if trial.learnable_parameters <= limit]
        return max(small, key=self._quality, default=None)

    def _quality(self, trial: Trial) -> float:
        """The experiment's first quality, higher is better."""
        quality = self.run.qualities[0]
        value = trial.value(quality)
        assert value is not None
        return float(value) if direction_of(quality) == "maximize" else -float(value)
