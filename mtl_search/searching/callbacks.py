"""What others do while a search runs: callbacks, called in the process that conducts it."""

import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl_search.errors import FieldError, reason_of
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import Trial
from mtl_search.spaces.experiment import Experiment

logger = logging.getLogger("mtl_search")


class Callback:
    """Is told how a search goes. Every method does nothing: override those that you want.

    The methods are called in the process that called :func:`~mtl_search.search`, one at a time, whether trainings run
    in it or on workers; Ctrl+C waits for them, and so do the workers, so they should be quick. What is told is already
    written to the run's folder. An error in one does not end the search: it is logged in one sentence, to standard
    error if logging is not configured, and the callback is not called again.
    """

    def on_begin(self, experiment: Experiment, folder: Path) -> None:
        """A search begins, or goes on.

        :param experiment: What is searched, every default filled in.
        :param folder: The folder of the run, as an absolute path.
        """

    def on_epoch(self, trial: Trial, row: EpochRow) -> None:
        """A trial has trained an epoch more.

        An epoch that is trained again after the death of a worker is told again.

        :param trial: The trial, under way: its number, architecture, training values and costs.
        :param row: What was noted: ``epoch``, from 1, the training ``loss`` and ``seconds``; ``accuracy`` and
            ``scores`` where the epoch was scored: the last one, those at which trials are stopped early, and with
            ``search.learning_curves`` all.
        """

    def on_trial(self, trial: Trial) -> None:
        """A trial has ended.

        :param trial: The trial, whose ``state`` says how: complete, stopped early, failed with an ``error``, or
            infeasible, which was not trained.
        """

    def on_end(self, run: Run) -> None:
        """The search has ended: with its last trial, by a signal or by an error, which is raised after this.

        :param run: The run, as its folder holds it now, with the trainings that confirm what was found.
        """


class Callbacks:
    """The callbacks of one search, called one after the other.

    :param callbacks: Those of the user; what raises an error is dropped.
    :raises FieldError: If one is no :class:`Callback`.
    """

    def __init__(self, callbacks: Iterable[Callback] = ()) -> None:
        self.callbacks = list(callbacks)
        for one in self.callbacks:
            if not isinstance(one, Callback):
                rule = "must be objects of classes that are made from `mtl_search.Callback`"
                raise FieldError("callbacks", rule, one)

    def call(self, method: str, *told: Any) -> None:
        """Call a method of each.

        :param method: Name of the method of :class:`Callback`.
        :param told: What the method is given.
        """
        for one in tuple(self.callbacks):
            try:
                getattr(one, method)(*told)
            except Exception as error:
                self.callbacks.remove(one)
                logger.warning("%s", _sentence(one, method, error))

    @contextmanager
    def telling(self, experiment: Experiment, folder: Path) -> Iterator[None]:
        """Tell them of the begin of a search, and of its end whatever that is.

        :param experiment: What is searched, every default filled in.
        :param folder: The folder of the run.
        """
        self.call("on_begin", experiment, folder.absolute())
        try:
            yield
        finally:
            if self.callbacks:
                self.call("on_end", load_run(folder))


def _sentence(callback: Callback, method: str, error: Exception) -> str:
    """What failed and where: the line of the callback itself, not that of a library which it called."""
    frames = traceback.extract_tb(error.__traceback__)[1:2]
    place = "".join(f" ({Path(frame.filename).name}, line {frame.lineno})" for frame in frames)
    name = type(callback).__name__
    return f"callback {name}: {method} raised {reason_of(error)}{place}; it is dropped, and the search goes on."
