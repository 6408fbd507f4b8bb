"""A search as event files for TensorBoard: a folder per trial, with its curves, its choices and its costs."""

from collections.abc import Sequence
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from mtl_search.internal.layout import TENSORBOARD
from mtl_search.metrics.pareto import COSTS
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run
from mtl_search.runs.trial import State, Trial
from mtl_search.searching.callbacks import Callback, Callbacks
from mtl_search.spaces.experiment import Experiment


class TensorBoard(Callback):
    """Writes ``RUN/tensorboard/trial-<number>``, for ``tensorboard --logdir RUN/tensorboard``.

    Scalars over epochs are ``loss``, ``accuracy``, ``worst_task`` and every ``<task>/<metric>``; of a complete trial
    the costs, too. What the search chose for a trial stands in the tab HPARAMS.

    ``search: {track: tensorboard}`` in an experiment does the same.
    """

    def on_begin(self, experiment: Experiment, folder: Path) -> None:
        self.space, self.folder = experiment.proposal_space, folder / TENSORBOARD
        self.writers: dict[int, SummaryWriter] = {}

    def on_epoch(self, trial: Trial, row: EpochRow) -> None:
        writer = self._writer(trial)
        values = {"loss": row.loss, "accuracy": row.accuracy, "worst_task": row.worst_task, **row.scores}
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, row.epoch)
        writer.flush()

    def on_trial(self, trial: Trial) -> None:
        if trial.state is State.INFEASIBLE:
            return
        writer = self._writer(trial)
        if trial.state is State.COMPLETE:
            self._add_choices(trial, writer)
        writer.close()
        del self.writers[trial.number]

    def on_end(self, run: Run) -> None:
        for writer in self.writers.values():
            writer.close()

    def _writer(self, trial: Trial) -> SummaryWriter:
        if trial.number not in self.writers:
            self.writers[trial.number] = SummaryWriter(str(self.folder / f"trial-{trial.number}"))
        return self.writers[trial.number]

    def _add_choices(self, trial: Trial, writer: SummaryWriter) -> None:
        """The answers of a trial and what came out of it, as the tab HPARAMS wants them."""
        costs = {name: value for name in COSTS if (value := trial.value(name)) is not None}
        for name, value in costs.items():
            writer.add_scalar(name, value, trial.epochs)
        found = {"accuracy": trial.accuracy, **costs}
        for summary in hparams(self.space.answers(trial.proposal), found):
            writer.file_writer.add_summary(summary)


def callbacks_of(experiment: Experiment, given: Sequence[Callback]) -> Callbacks:
    """What is told how a search goes: what the user gave, and what the experiment asks for.

    :raises FieldError: If something given is no callback.
    """
    return Callbacks([*given, *([TensorBoard()] if experiment.search.track == "tensorboard" else [])])
