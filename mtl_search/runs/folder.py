"""A run's folder: plain files, written so that a reader never sees half of one.

::

    experiment.yaml      resolved: every default written out
    environment.json     versions, hardware, seed, source revision, started, finished
    trials.csv           a row per trial that has ended
    epochs.csv           a row per epoch of every trial: the loss, and the scores where they were taken
    confirmations.csv    a row per training of a promising trial with another seed, where the experiment wants these
    splits.csv           the split of every row, of data in a file of the user's own
    journal.log          Optuna's journal
    architectures/<trial>.json
    architectures/<trial>.training.json          the training values of the trial, where the search chooses some
    checkpoints/<trial>/weights.safetensors      of the trials on the front
    checkpoints/<trial>/training.safetensors     of the trials under way: what they go on from
    tensorboard/trial-<number>/                  events for TensorBoard, where the experiment wants these
    dataset/<digest>.npz, .json                  the data, where they were in memory
    .lock                while a process works in it

Everything that is shown of a run is computed from these files, and so is the search that goes on after it was cut off.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mtl_search.errors import RunFolderError, existing_folder, reason_of, shown_path
from mtl_search.internal.characters import printable
from mtl_search.internal.files import is_worked_in
from mtl_search.internal.later import later
from mtl_search.internal.layout import (
    CHECKPOINTS,
    CONFIRMATIONS,
    ENVIRONMENT,
    EPOCHS,
    EXPERIMENT,
    LOCK,
    TRIALS,
    check_inside,
)
from mtl_search.metrics.pareto import COSTS
from mtl_search.metrics.scores import headline_word
from mtl_search.runs.belief import Beliefs
from mtl_search.runs.chances import Chances, chances
from mtl_search.runs.confirmations import Confirmation, read_confirmations
from mtl_search.runs.epochs import EpochRow, read_epochs
from mtl_search.runs.front import best_of, front_of, keeps, knee_of
from mtl_search.runs.records import Environment, read_record
from mtl_search.runs.rows import read_table
from mtl_search.runs.trial import State, Trial
from mtl_search.runs.trial_rows import COLUMNS, read_trials, read_under_way
from mtl_search.spaces.experiment import Experiment, read_experiment
from mtl_search.spaces.proposal import Proposal


@dataclass(frozen=True)
class Run:
    """A run, finished or not, as its folder tells it.

    :param path: Path of the run's folder.
    :param experiment: What was asked for.
    :param environment: Versions, hardware, seed, times.
    :param trials: Every trial that ended, in the order of their numbers.
    :param ended: Numbers of the trials in the order in which they ended.
    :param under_way: What the trials train that began and have not ended, by their numbers.
    :param again: Rows of ``confirmations.csv``, also of trials that are not there.
    """

    path: Path
    experiment: Experiment
    environment: Mapping[str, Any]
    trials: tuple[Trial, ...]
    ended: tuple[int, ...] = ()
    under_way: Mapping[int, Proposal] = field(default_factory=dict)
    again: tuple[Confirmation, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether a process works on it now."""
        return is_worked_in(self.path)

    @cached_property
    def epochs(self) -> tuple[EpochRow, ...]:
        """What was noted after every epoch, in that order; of an epoch that was trained twice the last.

        :raises RunFolderError: If ``epochs.csv`` cannot be read.
        """
        known = {*self.ended, *self.under_way}
        rows = {(row.trial, row.epoch): row for row in read_epochs(self.path, self.qualities) if row.trial in known}
        return tuple(rows.values())

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What of its tables does not count, a sentence each; a search that goes on takes it out.

        :raises RunFolderError: If a table cannot be read.
        """
        twice = len(read_table(self.path / TRIALS, COLUMNS).rows) - len(self.trials)
        known = {*self.ended, *self.under_way}
        stray = sorted({row.trial for row in read_epochs(self.path, self.qualities)} - known)
        said = []
        strange = sorted({one.trial for one in self.again} - {one.trial for one in self.confirmations})
        if strange:
            numbers = ", ".join(map(str, strange))
            said.append(f"{CONFIRMATIONS}: rows of trial {numbers} do not count: there is no such complete trial.")
        if twice:
            said.append(f"{TRIALS}: {twice} of its rows stand there again; a trial counts once.")
        if stray:
            said.append(
                f"{EPOCHS}: rows of trial {', '.join(map(str, stray))} do not count: nothing else is there of it."
            )
        if "experiment" in self.environment and not (self.path / EPOCHS).exists():
            said.append(f"{EPOCHS}: is not there; what was noted after each epoch is lost.")
        return tuple(said)

    def checkpoint(self, number: int) -> Path:
        """The folder for the weights of a trial."""
        return self.path / CHECKPOINTS / str(number)

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """The trials that were trained for their whole budget."""
        return tuple(trial for trial in self.trials if trial.state is State.COMPLETE)

    @cached_property
    def confirmations(self) -> tuple[Confirmation, ...]:
        """The further trainings of complete trials, in the order in which they ended, those that failed too."""
        numbers = {trial.number for trial in self.complete}
        return tuple(one for one in self.again if one.trial in numbers)

    @cached_property
    def beliefs(self) -> Beliefs:
        """What is believed of the means of the complete trials; front and picks go by it."""
        return Beliefs(self.experiment, self.complete, self.confirmations)

    @property
    def beliefs_of_search(self) -> Beliefs:
        """What was believed of them before any was trained again."""
        return Beliefs(self.experiment, self.complete)

    @cached_property
    def chances(self) -> Chances | None:
        """How likely each complete trial is truly the best, the knee, of the front; ``None`` where nothing is known."""
        return chances(self.beliefs)

    @cached_property
    def front(self) -> tuple[Trial, ...]:
        """The complete trials that no other one dominates in the experiment's objectives, cheapest first.

        By the means over seeds, as far as something is known of them. Of those that keep the constraints on qualities;
        of all where none does.
        """
        limits = self.experiment.constraints.qualities()
        return front_of(self.complete, self.experiment.objectives, limits, self.beliefs.value)

    @cached_property
    def keeping(self) -> tuple[Trial, ...]:
        """The complete trials that keep the constraints on qualities; all where there are no such constraints."""
        limits = self.experiment.constraints.qualities()
        return tuple(trial for trial in self.complete if keeps(trial, limits, self.beliefs.value))

    @cached_property
    def knee(self) -> Trial | None:
        """The trial of the front after which more cost stops to pay: where it bends, on the axes of the plots.

        ``None`` without complete trials, and where the front has no knee: it has fewer than three trials, or is
        straight, or bends the other way. See :func:`~mtl_search.runs.front.knee_of`.
        """
        return knee_of(self.front, self.experiment.objectives, self.beliefs.value) if self.front else None

    @cached_property
    def best(self) -> Trial | None:
        """The trial of the front with the best first quality; ``None`` without complete trials."""
        return best_of(self.front, self.experiment.objectives, self.beliefs.value) if self.front else None

    @property
    def pick(self) -> Trial | None:
        """The trial that is taken where none is named: the knee, or the best where the front has none."""
        return self.knee or self.best

    @property
    def task_names(self) -> list[str]:
        """As the run says; if it does not, those that have scores; empty before a trial of such a run is complete."""
        told = [printable(task["name"]) for task in self.environment.get("tasks", [])]
        return told or list(dict.fromkeys(name.partition("/")[0] for trial in self.complete for name in trial.scores))

    @cached_property
    def mean_name(self) -> str:
        """What ``accuracy`` is called in text: ``mean accuracy``, ``weighted mean quality``."""
        weighted = "weighted " if self.experiment.task_weights else ""
        return f"{weighted}mean {headline_word(name for trial in self.trials for name in trial.scores)}"

    @property
    def wanted(self) -> list[str]:
        """The qualities that are an objective or have a limit."""
        return list(dict.fromkeys([*self.qualities, *self.experiment.constraints.qualities()]))

    @property
    def qualities(self) -> list[str]:
        """The objectives that are no costs; at least one."""
        return _qualities(self.experiment)

    def trials_dataframe(self) -> Any:
        """The trials that ended as a frame of pandas, a row each, by their numbers.

        Columns are the state, whether it is on the front, accuracy, costs, epochs, seconds, what the search chose of
        the training, every score ``<task>/<metric>``, and the architecture.
        """
        return later("runs.frames", "trials_frame")(self)

    def figure(self, name: str = "pareto") -> Any:
        """A figure of plotly, as the pages have it.

        :param name: ``pareto``, ``hypervolume``, ``importance``, ``loss`` or ``accuracy``: the last two over epochs.
        :raises UnknownNameError: If there is no figure of that name.
        :raises UserError: If there is nothing to draw yet.
        """
        return later("reporting.notebook", "figure_of")(self, name)

    def _repr_html_(self) -> str:
        """How a notebook shows it: the front as a picture and a table."""
        return str(later("reporting.notebook", "run_html")(self))

    def trial(self, number: int) -> Trial:
        """The trial of that number.

        :raises RunFolderError: If the run has none.
        """
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise RunFolderError(f"{self.path}: there is no trial {number} among its {len(self.trials)} trials.")


def load_run(path: str | Path) -> Run:
    """Read a run's folder.

    :raises RunFolderError: If there is no such folder, or it is not a run's; the message names the file.
    """
    folder = existing_folder(path)
    check_inside(folder)
    if not (folder / EXPERIMENT).is_file():
        raise RunFolderError(f"{path}: is not the folder of a run: it has no {EXPERIMENT}.")
    experiment = read_experiment(folder / EXPERIMENT)
    environment = read_record(folder / ENVIRONMENT, Environment)
    trials = read_trials(folder, experiment)
    ended = tuple(trial.number for trial in trials)
    return Run(
        folder,
        experiment,
        environment,
        tuple(sorted(trials, key=lambda trial: trial.number)),
        ended,
        read_under_way(folder, set(ended), experiment),
        tuple(read_confirmations(folder, ["accuracy", *_qualities(experiment)])),
    )


def _qualities(experiment: Experiment) -> list[str]:
    return [name for name in experiment.objectives if name not in COSTS]


def check_free(path: str | Path) -> None:
    """Refuse a folder that holds something already.

    :raises RunFolderError: If it does, is a file, or no folder at all.
    """
    folder = Path(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise RunFolderError(
            f"{path}: must be a folder, not an address. Mount the storage, and name the folder where it is mounted."
        )
    try:
        folder.stat()
    except (OSError, ValueError) as error:  # a name that is too long; one that no file can have
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise RunFolderError(f"{shown_path(path)}: cannot be a folder for a run: {reason_of(error)}.") from error
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{path}: is a file, not a folder for a run.")
    if folder.is_dir() and any(inside.name != LOCK for inside in folder.iterdir()):
        what = "a run" if (folder / EXPERIMENT).exists() else "files"
        raise RunFolderError(f"{path}: the output folder must be new or empty, but it holds {what} already.")
    if folder.is_dir():
        check_inside(folder)
