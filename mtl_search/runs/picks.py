"""Which trial of a run is meant: by name, by number, or where none is named. One rule for every command."""

from dataclasses import dataclass, replace
from typing import Any

from mtl_search.errors import RunFolderError, UnknownNameError
from mtl_search.metrics.pareto import direction_of
from mtl_search.metrics.scores import MEANS, WORST_TASK, is_share
from mtl_search.runs.belief import Estimate
from mtl_search.runs.folder import Run
from mtl_search.runs.front import best_of
from mtl_search.runs.trial import State, Trial

PICKS = ("knee", "best", "smallest")
"""Names of trials of a front."""


@dataclass(frozen=True)
class Pick:
    """A trial of a run that was taken.

    :param trial: The trial that was picked.
    :param name: What it is: one of ``PICKS``, or its number where that was given.
    :param reason: Why it was taken: ``the knee of the front of 8``.
    :param estimate: What is believed of the mean of its first quality.
    :param chance: How likely it truly is what it was taken as, ``knee`` or ``best``, or of another name of the front;
        ``None`` where nothing is known of means.
    """

    trial: Trial
    name: str
    reason: str
    estimate: Estimate | None = None
    chance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON: the trial, why, its scores and costs."""
        trial = self.trial
        return {
            "trial": trial.number,
            "name": self.name,
            "reason": self.reason,
            "state": trial.state.value,
            "accuracy": trial.accuracy,
            **({} if trial.worst_task is None else {WORST_TASK: trial.worst_task}),
            "scores": dict(trial.scores),
            "learnable_parameters": trial.learnable_parameters,
            "fixed_parameters": trial.fixed_parameters,
            "macs": trial.macs,
            "mean": self.estimate.mean if self.estimate else None,
            "error": self.estimate.error if self.estimate else None,
            "trainings": self.estimate.trainings if self.estimate else 1,
            "chance": self.chance,
        }


def pick(run: Run, which: str | int | None = None) -> Pick:
    """The trial of a run that is meant.

    :param which: ``knee`` (the best where the front has none), ``best``, ``smallest``, or the number of a trial (``7``,
        ``trial-7``); the knee if left out.
    :raises UnknownNameError: If it is no such name.
    :raises RunFolderError: If there is no trial of that number; for a name, if no trial is complete.
    """
    return believed(run, _picked(run, which))


def believed(run: Run, found: Pick) -> Pick:
    """A pick with what is believed of it."""
    estimate = run.beliefs.of(run.qualities[0]).estimates.get(found.trial.number)
    chances = run.chances
    if estimate is None or chances is None:
        return replace(found, estimate=estimate)
    asked = {"knee": chances.knee, "best": chances.best}.get(found.name, chances.front)
    return replace(found, estimate=estimate, chance=asked[found.trial.number])


def _picked(run: Run, which: str | int | None) -> Pick:
    name = "knee" if which is None else str(which)
    number = name.removeprefix("trial-")
    if number.isascii() and number.isdecimal():
        return _numbered(run, int(number))
    if name not in PICKS:
        raise UnknownNameError("pick", name, [*PICKS, "<trial>"])
    if not run.front:
        raise RunFolderError(f"{run.path}: no trial of this run is complete, so there is none to pick.")
    if name == "smallest":
        return Pick(run.front[0], name, _as_part_of_the_front(run, "smallest"))
    assert run.best is not None
    if name == "best":
        return Pick(run.best, name, _as_part_of_the_front(run, "best"))
    if run.knee is not None:
        return Pick(run.knee, name, _as_part_of_the_front(run, "knee"))
    without = ", which has no knee" if len(run.front) > 1 else ""
    return Pick(run.best, "best", _as_part_of_the_front(run, "best") + without)


def pick_text(run: Run, found: Pick) -> str:
    """A pick as a sentence: which trial, why, its scores, its size."""
    trial = found.trial
    told = [found.reason, *scores_text(run, trial), f"{trial.learnable_parameters:,} parameters"]
    return f"trial {trial.number}: {', '.join(told)}{_sure(run, found)}"


def _sure(run: Run, found: Pick) -> str:
    """How sure it is that a pick is what it was taken as; empty where that is not known."""
    if found.chance is None:
        return ""
    what = f"the {found.name}" if found.name in ("knee", "best") else "of the front"
    trained = found.estimate.trainings if found.estimate else 1
    of = "one training" if trained == 1 else f"{trained} trainings"
    of += " and the model" if run.beliefs.of(run.qualities[0]).source == "model" else ""
    return f"; truly {what} with a chance of {found.chance:.0%}, by {of}"


def hard_sharing(run: Run) -> Trial | None:
    """The best complete trial that is hard sharing: every layer shared, of ordinary convolutions; ``None`` without."""
    shared = [trial for trial in run.complete if trial.architecture.is_hard_sharing]
    return best_of(shared, run.experiment.objectives, run.beliefs.value) if shared else None


def hard_sharing_text(run: Run) -> str:
    """What hard sharing reached in the search, as a sentence; empty where no trial is it."""
    trial = hard_sharing(run)
    if trial is None:
        return ""
    told = ", ".join([*scores_text(run, trial), f"{trial.learnable_parameters:,} parameters"])
    return f"hard sharing, everything shared and no primitives: trial {trial.number}, {told}"


def means_text(run: Run) -> str:
    """What the front goes by, as a sentence."""
    belief = run.beliefs.of(run.qualities[0])
    again = sum(not one.error for one in run.confirmations)
    failed = len(run.confirmations) - again
    what = {
        "model": "means over seeds, as a model of choices and costs expects them from all trainings; bars are 95 %",
        "means": f"means over trainings, for {belief.reason}",
        "trained": f"single trainings, for {belief.reason}",
    }[belief.source]
    confirmed = f"; {again} of these are with another seed, to confirm" if again else ""
    return f"The front goes by {what}{confirmed}{f'; {failed} more failed' if failed else ''}."


def scores_text(run: Run, trial: Trial) -> list[str]:
    """The qualities of a trial for reading: the mean, and what else the search had as an objective or a limit."""
    names = dict.fromkeys(["accuracy", *run.wanted])
    values = {name: value for name in names if (value := trial.value(name)) is not None}
    word = run.mean_name.removeprefix("mean ")
    return [_quality_text(name, value, word) + _mean_text(run, trial, name) for name, value in values.items()]


def limit_texts(run: Run) -> list[str]:
    """The limits on qualities for reading: ``left/accuracy at least 90.0 %``."""
    names = {"accuracy": run.mean_name, WORST_TASK: "the worst task"}
    return [
        f"{names.get(name, name)} {'at least' if direction_of(name) == 'maximize' else 'at most'} {_shown(name, limit)}"
        for name, limit in run.experiment.constraints.qualities().items()
    ]


def _quality_text(name: str, value: float, word: str) -> str:
    names = {"accuracy": word, WORST_TASK: "in the worst task"}
    return f"{_shown(name, value)} {names.get(name, name)}"


def _mean_text(run: Run, trial: Trial, name: str) -> str:
    """What is believed of the mean of a quality, behind the value as trained; empty where that is all there is."""
    belief = run.beliefs.of(name)
    estimate = belief.estimates.get(trial.number)
    if belief.source == "trained" or estimate is None or estimate.bar is None:
        return ""
    if name in MEANS or is_share(name):
        return f" (mean {100 * estimate.mean:.1f} ± {100 * estimate.bar:.1f} %)"
    return f" (mean {estimate.mean:.4g} ± {estimate.bar:.2g})"


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name in MEANS or is_share(name) else f"{value:.4g}"


def _numbered(run: Run, number: int) -> Pick:
    trial = run.trial(number)
    if trial in run.front:
        reason = f"of the front of {len(run.front)}"
    elif trial.state is State.COMPLETE:
        reason = f"not of the front of {len(run.front)}"
    else:
        reason = trial.state.value.lower()
    return Pick(trial, str(number), reason)


def _as_part_of_the_front(run: Run, what: str) -> str:
    if len(run.front) == 1:
        return "the only one of the front"
    return f"the {what} of the front of {len(run.front)}"
