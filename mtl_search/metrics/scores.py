"""Scores by their names: which way is better, which are shares of 1, which one stands for its task. Needs no torch.

A score is named ``<task>/<metric>``. The end of the metric's name says what it is, and of a task's scores the headline
stands first. So a table is read right wherever it was written, by kinds of tasks that are not installed here, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mtl_search.errors import FieldError

ERRORS = ("loss", "error", "rmse", "mae", "angle")
"""Ends of the names of metrics of which lower is better."""
SIMULATED = ("success_rate",)
"""Ends of the names of what a trained network is measured by in a simulation, which samples cannot tell."""
SHARES = ("accuracy", "f_score", "iou", *SIMULATED)
"""Ends of the names of metrics that are shares of 1, shown in percent."""
OPTIONAL = ("r2", *SIMULATED)
"""Ends of the names of metrics that may not be there, so that their cells stay empty: undefined ones, of targets that
are all the same, and those of a simulation, in which not every network acts. A headline is always there."""
WORST_TASK = "worst_task"
"""Name of the quality of the task that is done worst: a share of 1, as the mean quality ``accuracy`` is."""
MEANS = ("accuracy", WORST_TASK)
"""Names of qualities that are of all tasks together: the mean over tasks, and the worst."""
WITHIN = "within_"
"""So begin others that are: the share of errors below a limit."""


@dataclass(frozen=True)
class Metric:
    """Something that is measured of a task.

    :param name: Name of the metric in results: that of an error ends as one of ``ERRORS`` does, any other does not.
    :param higher_is_better: Whether more of it is better.
    """

    name: str
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "," in self.name:
            raise FieldError("name", "must be a word without `/` and `,`", self.name)
        if self.higher_is_better == is_error(self.name):
            rule = f"must be False for a name that ends in {', '.join(ERRORS)}, as `off_error` does, and else True"
            raise FieldError("higher_is_better", rule, (self.name, self.higher_is_better))


def is_error(score: str) -> bool:
    """Whether lower is better."""
    return score.endswith(ERRORS)


def is_optional(score: str) -> bool:
    """Whether it may not be there; a task's headline must be, whatever its name."""
    return score.rpartition("/")[2].endswith(OPTIONAL)


def is_share(score: str) -> bool:
    """Whether its values are shares of 1; ``accuracy`` and ``worst_task``, of tasks of any kind, count as such."""
    metric = score.rpartition("/")[2]
    return score == WORST_TASK or metric.endswith(SHARES) or metric.startswith(WITHIN)


def bounds(score: str) -> tuple[float | None, float | None]:
    """The least and the most that a score can be; ``None`` where its name does not tell.

    A share lies from 0 to 1, an error is at least 0 (a loss may be below it), R squared at most 1.
    """
    if is_share(score):
        return 0.0, 1.0
    if is_error(score):
        return (None if score.endswith("loss") else 0.0), None
    return None, (1.0 if score.endswith("r2") else None)


def quality_bounds(score_names: Iterable[str]) -> tuple[float | None, float | None]:
    """The same of the mean quality over tasks: 1 is perfect, and where all headlines are shares it is at least 0.

    :param score_names: ``<task>/<metric>``, a task's headline first.
    """
    return (0.0 if all(map(is_share, headlines(score_names))) else None), 1.0


def headlines(scores: Iterable[str]) -> list[str]:
    """Of names in the order of a table the first of each task."""
    first: dict[str, str] = {}
    for score in scores:
        first.setdefault(score.partition("/")[0], score)
    return list(first.values())


def headline_word(score_names: Iterable[str]) -> Literal["accuracy", "quality"]:
    """What the mean over tasks is called in text: ``accuracy`` where every task's headline is one, else ``quality``.

    :param score_names: ``<task>/<metric>``, a task's headline first: all columns of a table, or the headlines alone.
    """
    return "accuracy" if all(name.endswith("/accuracy") for name in headlines(score_names)) else "quality"


def shown(scores: Iterable[str]) -> list[str]:
    """Of names in the order of a table those that a comparison shows: headlines, then what simulations measured."""
    names = list(dict.fromkeys(scores))
    chosen = headlines(names)
    return chosen + [name for name in names if name.endswith(SIMULATED) and name not in chosen]
