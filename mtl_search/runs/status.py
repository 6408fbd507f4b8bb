"""Where a run stands, computed from its folder: also while another process works on it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl_search.internal.layout import EPOCHS, TRIALS
from mtl_search.metrics.pareto import direction_of
from mtl_search.runs.belief import Estimate
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import pick
from mtl_search.runs.trial import State, Trial
from mtl_search.spaces.search_settings import Target


def reaches(trials: Iterable[Trial], target: Target | None) -> bool:
    """Whether one of the trials is good enough; ``False`` without a target."""
    if target is None:
        return False
    values = [value for trial in trials if (value := trial.value(target.metric)) is not None]
    if direction_of(target.metric) == "maximize":
        return any(value >= target.value for value in values)
    return any(value <= target.value for value in values)


def hours_spent(run: Run) -> float:
    """How long a run was worked on, over all of its sessions.

    Each notes how long it lasts by a clock that nobody sets. Of those from before they did, by the times of day: one
    that was killed lasted until its last write.
    """
    return sum(_seconds_of(session, run) for session in run.environment.get("sessions", [])) / 3600


def _seconds_of(session: Mapping[str, Any], run: Run) -> float:
    if session.get("seconds") is not None:
        return float(session["seconds"])
    last_write = max((run.path / name).stat().st_mtime for name in (TRIALS, EPOCHS) if (run.path / name).exists())
    end = _seconds(session["finished"]) if session.get("finished") else last_write
    return max(0.0, end - _seconds(session["started"]))


def ended_because(run: Run) -> str:
    """Why a search that nobody works on ended before its last trial; empty where that is for no good reason."""
    settings = run.experiment.search
    if settings.hours is not None and hours_spent(run) >= settings.hours - 1e-3:  # 4 s: it ends before, to write
        return f"the {settings.hours:g} hours are over"
    if len(run.confirmations) < confirmations_asked(run):
        return ""
    if reaches(run.complete, settings.target):
        assert settings.target is not None
        return f"the target is reached: {settings.target.metric} {settings.target.value:g}"
    if len(run.trials) == run.experiment.proposal_space.size:
        return f"the space holds {len(run.trials)} architectures: all were tried"
    return ""


def confirmations_asked(run: Run) -> int:
    """How many trainings confirm the trials of a run, once it has ended."""
    settings = run.experiment.search.confirm
    return 0 if settings is None else min(settings.top, len(run.complete)) * settings.seeds


def trained(run: Run) -> int:
    """Trials that ended after training, however they did, and the trainings that confirm others."""
    return sum(trial.state is not State.INFEASIBLE for trial in run.trials) + len(run.confirmations)


def broke_constraints_at_last(run: Run) -> int:
    """How many of the latest candidates in a row broke constraints."""
    states = [run.trial(number).state for number in reversed(run.ended)]
    return next((count for count, state in enumerate(states) if state is not State.INFEASIBLE), len(states))


def seconds_left(run: Run) -> float | None:
    """Of a run that is worked on now; ``None`` before there is anything to go by.

    From the epochs of this session, and from how many epochs trials took so far: some are stopped early.
    """
    sessions = run.environment.get("sessions", [])
    if not sessions or not run.is_running:
        return None
    settings, budget = run.experiment.search, run.experiment.training.epochs
    noted = float(sessions[-1].get("seconds") or 0.0)
    elapsed = max(noted, datetime.now(UTC).timestamp() - _seconds(sessions[-1]["started"]))
    trained = len(run.epochs) - sessions[-1].get("epochs_before", 0)
    ended = [trial for trial in run.trials if trial.state is not State.INFEASIBLE]
    if trained <= 0 or not ended or elapsed <= 0:
        return None
    of_a_trial = sum(trial.epochs for trial in ended) / len(ended)
    left = max(
        0.0,
        (settings.trials - len(ended) - len(run.confirmations)) * min(of_a_trial, budget)
        - sum(epochs_under_way(run).values()),
    )
    seconds = elapsed / trained * left
    if settings.hours is None:
        return seconds
    before = sum(_seconds_of(session, run) for session in sessions[:-1])
    return min(seconds, max(0.0, 3600 * settings.hours - before - elapsed))


def epochs_under_way(run: Run) -> dict[int, int]:
    """Trials that began and have not ended -> epochs trained."""
    last = dict.fromkeys(run.under_way, 0)
    for row in run.epochs:
        if row.trial in last:
            last[row.trial] = max(last[row.trial], row.epoch)
    return last


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands: what ``mtl-search status`` prints.

    :param path: Path of the run's folder.
    :param asked: Number of trials that were asked for.
    :param states: State -> number of the trials that ended in it.
    :param under_way: Number of each trial that began and has not ended, and the epochs that it trained.
    :param running: Whether a process works on the run now.
    :param seconds_left: Seconds until it ends; ``None`` where it does not run, or before there is anything to go by.
    :param ended_because: Why it ended before its last trial; empty where that is for no good reason.
    :param ended_early: Whether it stopped short of what was asked for.
    :param front: The trials of the front, cheapest first: scores, costs, and what is believed of their means.
    :param means: The quality that ``mean`` and ``error`` are of, and where they come from.
    :param confirmations: Trainings that confirm trials: how many were asked for, and how many were trained.
    :param remarks: What of the folder was left out or mended when it was read, a sentence each.
    :param knee: Number of the trial at the knee of the front; ``None`` where the front does not bend.
    :param pick: The trial that is taken where none is named, as :meth:`~mtl_search.runs.picks.Pick.to_dict` has it.
    :param keep_quality_constraints: Number of complete trials that keep the limits on qualities; ``None`` without any.
    :param started: Time at which the search began, in ISO 8601.
    :param finished: Time at which it ended, in ISO 8601; ``None`` before.
    """

    path: str
    asked: int
    states: Mapping[str, int]
    under_way: Sequence[Mapping[str, int]]
    running: bool
    seconds_left: float | None
    ended_because: str
    ended_early: bool
    front: Sequence[Mapping[str, Any]]
    means: Mapping[str, str]
    confirmations: Mapping[str, int]
    remarks: Sequence[str]
    knee: int | None
    pick: Mapping[str, Any] | None
    keep_quality_constraints: int | None
    started: str | None
    finished: str | None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as plain data for JSON."""
        return asdict(self)


def status(run: Run | str | Path) -> RunStatus:
    """Where a run stands: trials by state, its front, and of a live search the time left.

    :param run: A run, or its folder; another process may be working on it.
    :raises RunFolderError: If the folder holds no run.
    """
    run = run if isinstance(run, Run) else load_run(run)
    running = run.is_running
    because = "" if running else ended_because(run)
    believed = run.beliefs.of(run.qualities[0])
    return RunStatus(
        path=str(run.path),
        asked=run.experiment.search.trials,
        states=dict(Counter(trial.state.value for trial in run.trials)),
        under_way=[{"trial": number, "epochs": epochs} for number, epochs in epochs_under_way(run).items()],
        running=running,
        seconds_left=seconds_left(run),
        ended_because=because,
        ended_early=not running and not because and trained(run) < run.experiment.search.trials,
        front=[_front_row(trial, believed.estimates[trial.number]) for trial in run.front],
        means={"quality": run.qualities[0], "of": believed.source, "reason": believed.reason},
        confirmations={"asked": confirmations_asked(run), "trained": len(run.confirmations)},
        remarks=list(run.remarks),
        knee=run.knee.number if run.knee else None,
        pick=pick(run).to_dict() if run.front else None,
        keep_quality_constraints=len(run.keeping) if run.experiment.constraints.qualities() else None,
        started=run.environment.get("started"),
        finished=run.environment.get("finished"),
    )


def _front_row(trial: Trial, estimate: Estimate) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "accuracy": trial.accuracy,
        "mean": estimate.mean,
        "error": estimate.error,
        "learnable_parameters": trial.learnable_parameters,
        "macs": trial.macs,
    }


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
