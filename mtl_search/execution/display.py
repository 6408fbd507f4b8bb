"""What is shown while trainings run: on a terminal a display that is redrawn, elsewhere nothing of it."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class Display(ABC):
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


def duration(seconds: float | None) -> str:
    """Seconds as text, to the second, from an hour on to the minute; ``?`` for ``None``."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
