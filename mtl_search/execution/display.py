"""What searches and comparisons show while they run: on a terminal a display that is redrawn, else a line per trial."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtl_search.characters import printable
from mtl_search.comparison.results import Outcome
from mtl_search.runs.trial import State, Trial


class _Display(ABC):
    """Redrawn on a terminal as long as its context lasts; elsewhere, and with ``console=None``, nothing is drawn."""

    def __init__(self, console: Console | None) -> None:
        self.console = console
        self.live: Live | None = None

    def __enter__(self) -> Self:
        if self.console is not None and self.console.is_terminal:
            self.live = Live(get_renderable=self._draw, console=self.console, refresh_per_second=2)
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    @abstractmethod
    def _draw(self) -> RenderableType:
        """What is shown now."""


class Progress(_Display):
    """Shows a search. Used as a context; silent with ``console=None``.

    :param asked: Trials asked for.
    :param epochs: Epochs of each trial.
    """

    def __init__(self, asked: int, epochs: int, console: Console | None) -> None:
        super().__init__(console)
        self.asked, self.epochs = asked, epochs
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
        bar = "━" * round(30 * share)
        text = Text.assemble((bar, "green"), ("━" * (30 - len(bar)), "bright_black"), f" {done}/{self.asked} trials")
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
        for name in ("trial", "accuracy", "parameters"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("architecture", overflow="ellipsis", no_wrap=True)
        for trial in self.front:
            accuracy = "" if trial.accuracy is None else f"{trial.accuracy:.1%}"
            cells = (str(trial.number), accuracy, f"{trial.learnable_parameters:,}", str(trial.architecture))
            table.add_row(*(escape(cell) for cell in cells))
        return table


def duration(seconds: float | None) -> str:
    """Seconds as text, to the second, from an hour on to the minute; ``?`` for ``None``."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Trainings(_Display):
    """Shows trainings of any kind, a line each as they end; on a terminal also what is under way. Used as a context.

    :param asked: Trainings to be done.
    """

    def __init__(self, asked: int, console: Console | None = None) -> None:
        super().__init__(console)
        self.asked = asked
        self.running: dict[int, str] = {}
        self.phases: dict[int, str] = {}
        self.done = 0
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        return super().__enter__()

    def start(self, number: int, name: str) -> None:
        """A training starts."""
        self.running[number] = name

    def epoch(self, number: int, phase: str, epoch: int) -> None:
        """A training has trained an epoch more."""
        self.phases[number] = f"{phase}, epoch {epoch}"

    def end(self, number: int, outcome: Outcome) -> None:
        """A training has ended."""
        self.running.pop(number, None)
        self.phases.pop(number, None)
        self.done += 1
        if self.console is None:
            return
        found = f"FAILED: {outcome.error}" if outcome.accuracy is None else f"{outcome.accuracy:.2%}"
        text = f"[{self.done}/{self.asked}] {outcome.entrant}, seed {outcome.seed}: {found}{self._left()}"
        self.console.print(escape(printable(text)), highlight=False, soft_wrap=True)

    def _left(self) -> str:
        seconds = (time.monotonic() - self.started) / max(1, self.done) * (self.asked - self.done)
        return f"  ({duration(seconds)} left)" if seconds else ""

    def _draw(self) -> RenderableType:
        lines = [f"{self.done}/{self.asked} trainings{self._left() if self.done else ''}"]
        lines += [f"  {name}: {self.phases.get(number, 'starts')}" for number, name in self.running.items()]
        return Text("\n".join(lines))
