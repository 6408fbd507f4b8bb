"""What a search shows while it runs: on a terminal its front, redrawn; elsewhere a line per trial."""

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtl_search.execution.display import Display, duration
from mtl_search.internal.characters import printable
from mtl_search.runs.trial import State, Trial

BAR = 30
"""Characters of the bar: the counts stand beside it in a terminal of 80."""


class Progress(Display):
    """Shows a search. Used as a context; silent with ``console=None``.

    :param asked: Number of trials that are asked for.
    :param epochs: Epochs of each trial.
    :param word: What the mean over tasks is called.
    """

    def __init__(self, asked: int, epochs: int, console: Console | None, word: str = "accuracy") -> None:
        super().__init__(console)
        self.asked, self.epochs, self.word = asked, epochs, word
        self.running: dict[int, int] = {}
        self.front: Sequence[Trial] = ()
        self.counts = dict.fromkeys(State, 0)
        self.epochs_done = self.epochs_ended = self.ended_here = 0
        self.started: float | None = None

    def start(self, number: int) -> None:
        """A trial starts."""
        self.started = self.started or time.monotonic()
        self.running[number] = 0

    def say(self, remark: str) -> None:
        """Show a sentence."""
        if self.console is not None:
            self.console.print(escape(remark), highlight=False, soft_wrap=True)

    def epoch(self, number: int, epoch: int) -> None:
        """A trial has trained an epoch more."""
        self.running[number] = epoch
        self.epochs_done += 1

    def end(self, trial: Trial, front: Sequence[Trial], shown: bool = True) -> None:
        """A trial has ended; ``front`` is the front now.

        :param shown: Whether it gets a line; one that ended in an earlier call does not.
        """
        self.running.pop(trial.number, None)
        self.front = front
        self.counts[trial.state] += 1
        if shown and trial.state is not State.INFEASIBLE:
            self.epochs_ended += trial.epochs
            self.ended_here += 1
        quiet = self.live is not None and trial.state in (State.COMPLETE, State.STOPPED)
        if self.console is None or quiet or not shown:
            return
        if trial.state is not State.INFEASIBLE:
            self.console.print(self._line(trial), highlight=False, soft_wrap=True)

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the epochs so far; ``None`` before the first."""
        if self.started is None or not self.epochs_done:
            return None
        left = (self.asked - self.done) * self._epochs_of_a_trial() - sum(self.running.values())
        return (time.monotonic() - self.started) / self.epochs_done * max(0.0, left)

    @property
    def done(self) -> int:
        """Trials that were trained and have ended, however they did."""
        return sum(self.counts[state] for state in State if state is not State.INFEASIBLE)

    def _epochs_of_a_trial(self) -> float:
        """The mean over those that ended: some are stopped early."""
        return self.epochs_ended / self.ended_here if self.ended_here else self.epochs

    def _line(self, trial: Trial) -> str:
        place = f"[{self.done}/{self.asked}]"
        if trial.state is State.FAILED:
            return escape(printable(f"{place} trial {trial.number} FAILED: {trial.error}"))
        if trial.state is State.STOPPED:
            assert trial.accuracy is not None
            return escape(f"{place} trial {trial.number} stopped after epoch {trial.epochs}: {trial.accuracy:.1%}")
        star = " *" if trial in self.front else ""
        assert trial.accuracy is not None
        text = f"{place} trial {trial.number}: {trial.accuracy:.1%}, {trial.learnable_parameters:,} parameters{star}"
        left = f"  ({duration(self.seconds_left)} left)" if self.seconds_left else ""
        return escape(text + left)

    def _draw(self) -> RenderableType:
        parts: list[RenderableType] = [self._summary()]
        if self.front:
            parts.append(self._front_table())
        return Group(*parts)

    def _summary(self) -> Text:
        done = self.done
        share = min(1.0, (done * self.epochs + sum(self.running.values())) / (self.asked * self.epochs))
        bar = "━" * round(BAR * share)
        text = Text.assemble((bar, "green"), ("━" * (BAR - len(bar)), "bright_black"), f" {done}/{self.asked} trials")
        if self.running:
            text.append(f", {len(self.running)} running")
        for state in (State.STOPPED, State.FAILED, State.INFEASIBLE):
            if self.counts[state]:
                text.append(f", {self.counts[state]} {state.value.lower()}")
        if self.seconds_left is not None:
            text.append(f", {duration(self.seconds_left)} left")
        elif not done:
            text.append(", workers are starting" if not self.running else "")
        return text

    def _front_table(self) -> Table:
        table = Table(title="front so far", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name in ("trial", self.word, "parameters"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("architecture", overflow="ellipsis", no_wrap=True)
        for trial in self.front:
            accuracy = "" if trial.accuracy is None else f"{trial.accuracy:.1%}"
            cells = (str(trial.number), accuracy, f"{trial.learnable_parameters:,}", str(trial.proposal))
            table.add_row(*(escape(cell) for cell in cells))
        return table
