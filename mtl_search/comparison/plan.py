"""What a comparison does from its first training to its last: tunes who takes part, where asked to, then trains all."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from mtl_search.comparison.budget import Budget, budget_of
from mtl_search.comparison.lineup import Lineup
from mtl_search.comparison.results import Comparison, load_comparison
from mtl_search.comparison.trainings import ComparisonTrainings, FinalSplit
from mtl_search.comparison.tuning import Tuned, TuningTrainings, load_tuning
from mtl_search.datasets import Dataset
from mtl_search.errors import ClusterError, RunFolderError, SearchInterruptedError
from mtl_search.evaluation import Evaluate, evaluate_by_epoch
from mtl_search.execution.engine import RunJobs, engine
from mtl_search.execution.jobs import Work
from mtl_search.internal.layout import COMPARISON, TUNING
from mtl_search.internal.signals import advise
from mtl_search.spaces.search_settings import SearchSettings


@dataclass(frozen=True)
class Plan:
    """A comparison that is to be made, or gone on with.

    :param path: Folder that the comparison is written to.
    :param data: The dataset with all its splits.
    :param seeds: Trainings of each entrant.
    :param split: What they are measured on.
    :param tune: Trainings to tune each; ``None``: as in the folder, else none.
    :param factor: Compute of every twin, in what hard sharing spends; ``None``: no entrant has a twin.
    :param first_seed: Seed of each entrant's first training; those of the others follow it.
    :param hold: Makes the folder this process's own, where it is not yet.
    :param advice: What goes on where this stops, for messages.
    :param command: The command that does, or ``None``.
    :param console: Where progress is shown.
    :raises UserError: If the folder holds a comparison that was made in another way.
    """

    path: Path
    data: Dataset
    lineup: Lineup
    seeds: int
    split: FinalSplit
    tune: int | None = None
    factor: float | None = None
    first_seed: int = 0
    hold: Callable[[], AbstractContextManager[None]] = nullcontext
    advice: str = "the same command goes on"
    command: str | None = "compare"
    console: Console | None = None

    @cached_property
    def tuned_by(self) -> int | None:
        """Trainings that each entrant has to choose its settings with.

        :raises RunFolderError: If the comparison in the folder was made with another number, or was begun with one and
            none is asked for now.
        """
        before = load_comparison(self.path)
        if before is None or not before.outcomes:
            if self.tune is None and load_tuning(self.path):
                raise RunFolderError(
                    f"{self.path / TUNING}: holds trainings of a comparison that is to be tuned: go on with `--tune` "
                    "as it was begun, or remove the file to compare without."
                )
            return self.tune
        there = (before.request.get("tuning") or {}).get("trainings")
        if self.tune not in (None, there):
            found = "without tuning" if there is None else f"tuned by {there} trainings each"
            raise RunFolderError(
                f"{self.path / COMPARISON}: holds a comparison {found}, which must be the same to go on with it, but "
                f"got `--tune {self.tune}`. Copy the run's folder to have both."
            )
        return there

    @property
    def trainings_asked(self) -> int:
        """Trainings that may be under way at the same time, those before included."""
        return max(len(self.tuning.subjects) if self.tuning else 0, len(self._trainings().pending))

    @cached_property
    def tuning(self) -> TuningTrainings | None:
        """The trainings that tune; ``None`` where nothing is tuned."""
        if self.tuned_by is None:
            return None
        lineup, experiment = self.lineup, self.lineup.experiment
        seed, weights = experiment.search.seed, experiment.task_weights
        return TuningTrainings(self.path, self.data, lineup.subjects(), lineup.entrant_of, self.tuned_by, seed, weights)

    def check(self) -> None:
        """Look at all of it once, before anything is written.

        :raises UserError: If something is wrong with it.
        """
        self._trainings()

    def carry_out(
        self,
        settings: SearchSettings,
        workers: int | None,
        address: str | None = None,
        evaluate: Evaluate | None = None,
    ) -> Comparison:
        """Do the trainings that are missing, in a folder that this process is alone in.

        :param settings: Processors and GPUs of each training.
        :param workers: Trainings at the same time; as many as the cluster has room for with ``None``.
        :param evaluate: Function that does one training and scores it; ``None``: that of the package.
        :raises SearchInterruptedError: On SIGINT or SIGTERM.
        """
        first = self._trainings()  # what is wrong with it is said before anything is written, as check() does
        final = evaluate or functools.partial(evaluate_by_epoch, split=self.split, simulated=True)
        work = Work(final, first.data, first.training, settings.cpus)
        with engine(work, settings, workers, address) as run_jobs, self.hold():
            advise(self.advice)
            self._train(self._tuned(run_jobs, evaluate, settings), run_jobs)
        found = load_comparison(self.path)
        assert found is not None
        return found

    def _tuned(self, run_jobs: RunJobs, evaluate: Evaluate | None, settings: SearchSettings) -> Tuned | None:
        tuning = self.tuning
        if tuning is None:
            return None
        training = self.lineup.experiment.training
        work = Work(evaluate or evaluate_by_epoch, tuning.data, training, settings.cpus)
        tuning.progress.console = self.console
        tuning.begin()
        try:
            with tuning.progress:
                run_jobs(tuning, work)
        except KeyboardInterrupt as error:
            left = f"{tuning.missing} of the trainings that tune are left"
            raise SearchInterruptedError(f"interrupted: {left}; {self.advice}.") from error
        except ClusterError as error:
            raise ClusterError(f"{error}; {self.advice}") from error
        return tuning.found()

    def _train(self, tuned: Tuned | None, run_jobs: RunJobs) -> None:
        trainings = self._trainings(tuned)
        trainings.progress.console = self.console
        for text in self.lineup.picks.texts():
            trainings.progress.say(text)
        trainings.begin()
        try:
            with trainings.progress:
                run_jobs(trainings)
        except KeyboardInterrupt as error:
            left = len(trainings.missing)
            raise SearchInterruptedError(f"interrupted: {left} trainings are left; {self.advice}.") from error
        except ClusterError as error:
            raise ClusterError(f"{error}; {self.advice}") from error
        finally:
            trainings.finish()

    def _trainings(self, tuned: Tuned | None = None) -> ComparisonTrainings:
        """
        :param tuned: What was chosen; what is known of that so far if left out.
        """
        if tuned is None and self.tuning is not None:
            tuned = self.tuning.found()
        first, budget, command = self.first_seed, self.budget, self.command
        return ComparisonTrainings(
            self.path, self.data, self.lineup, self.seeds, self.split, tuned, first, budget, command
        )

    @cached_property
    def budget(self) -> Budget | None:
        """What twins spend."""
        if self.factor is None:
            return None
        data = self.data.merged() if self.split == "test" else self.data
        return budget_of(self.factor, self.lineup.experiment, data)
