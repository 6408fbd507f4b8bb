"""What a search shows while it runs: on a terminal its front, redrawn; elsewhere a line per trial."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtl_search.execution.display import Display, duration
from mtl_search.internal.characters import printable
from mtl_search.metrics.scores import headlines, is_share
from mtl_search.runs.epochs import EpochRow
from mtl_search.runs.trial import State, Trial

BAR = 30
"""Characters of the bar: the counts and the time left stand beside it in a terminal of 80."""
ROWS = 8
"""Trials under way that have a line of their own: with the front they fit a terminal of 24 lines. More are counted."""


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
        """Trial under way -> epochs that it has trained here."""
        self.latest: dict[int, EpochRow] = {}
        """Trial under way -> what was noted after its last epoch."""
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

    def epoch(self, row: EpochRow) -> None:
        """A trial has trained an epoch more."""
        self.running[row.trial] = row.epoch
        self.latest[row.trial] = row
        self.epochs_done += 1

    def end(self, trial: Trial, front: Sequence[Trial], shown: bool = True) -> None:
        """A trial has ended; ``front`` is the front now.

        :param shown: Whether it gets a line; one that ended in an earlier call does not.
        """
        self.running.pop(trial.number, None)
        self.latest.pop(trial.number, None)
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
        if counts := self._counts():
            parts.append(Text(counts))
        if self.running:
            parts.append(self._under_way_table())
        if len(self.running) > ROWS:
            parts.append(Text(f"and {len(self.running) - ROWS} more under way"))
        if self.front:
            parts.append(self._front_table())
        return Group(*parts)

    def _summary(self) -> Text:
        done = self.done
        share = min(1.0, (done * self.epochs + sum(self.running.values())) / (self.asked * self.epochs))
        bar = "━" * round(BAR * share)
        text = Text.assemble((bar, "green"), ("━" * (BAR - len(bar)), "bright_black"), f" {done}/{self.asked} trials")
        if self.seconds_left is not None:
            text.append(f", {duration(self.seconds_left)} left")
        elif not done:
            text.append(", workers are starting" if not self.running else "")
        return text

    def _counts(self) -> str:
        """How many trials run, and ended in another way than complete."""
        found = {"running": len(self.running)}
        found |= {state.value.lower(): self.counts[state] for state in (State.STOPPED, State.FAILED, State.INFEASIBLE)}
        return ", ".join(f"{count:,} {name}" for name, count in found.items() if count)

    def _under_way_table(self) -> Table:
        """The trials that have come farthest: epoch, loss, and each task's score where the epoch was scored."""
        table = Table(title="under way", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for name in ("trial", "epoch", "loss"):
            table.add_column(name, justify="right", no_wrap=True)
        scored = any(row.scores for row in self.latest.values())
        table.add_column("scores" if scored else "", overflow="ellipsis", no_wrap=True)
        for number, epochs in sorted(self.running.items(), key=lambda item: (-item[1], item[0]))[:ROWS]:
            row = self.latest.get(number)
            cells = ("", "") if row is None else (f"{row.loss:.4g}", _scores_text(row.scores))
            table.add_row(str(number), f"{epochs}/{self.epochs}", *(escape(cell) for cell in cells))
        return table

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


def _scores_text(scores: Mapping[str, float]) -> str:
    """The headline of each task: ``left 91.2%  right 90.4%``."""
    found = {name.partition("/")[0]: (scores[name], is_share(name)) for name in headlines(scores)}
    shown = (f"{task} {value:.1%}" if share else f"{task} {value:.4g}" for task, (value, share) in found.items())
    return printable("  ".join(shown))
