"""What a comparison shows while it runs: a line per training, and on a terminal what is under way."""

import time
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from mtl_search.execution.display import Display, duration
from mtl_search.internal.characters import printable


class ComparisonProgress(Display):
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

    def say(self, remark: str) -> None:
        """Show a sentence."""
        if self.console is not None:
            self.console.print(escape(printable(remark)), highlight=False, soft_wrap=True)

    def epoch(self, number: int, phase: str, epoch: int) -> None:
        """A training has trained an epoch more."""
        self.phases[number] = f"{phase}, epoch {epoch}"

    def end(self, number: int, name: str, accuracy: float | None, error: str) -> None:
        """A training has ended.

        :param name: Name of the training, as it is shown.
        :param accuracy: Mean quality over tasks, 1 is perfect; ``None`` if the training failed.
        :param error: Why the training failed; empty otherwise.
        """
        self.running.pop(number, None)
        self.phases.pop(number, None)
        self.done += 1
        if self.console is None:
            return
        found = f"FAILED: {error}" if accuracy is None else f"{accuracy:.2%}"
        text = f"[{self.done}/{self.asked}] {name}: {found}{self._left()}"
        self.console.print(escape(printable(text)), highlight=False, soft_wrap=True)

    def _left(self) -> str:
        seconds = (time.monotonic() - self.started) / max(1, self.done) * (self.asked - self.done)
        return f"  ({duration(seconds)} left)" if seconds else ""

    def _draw(self) -> RenderableType:
        lines = [f"{self.done}/{self.asked} trainings{self._left() if self.done else ''}"]
        lines += [f"  {name}: {self.phases.get(number, 'starts')}" for number, name in self.running.items()]
        return Text("\n".join(lines))
