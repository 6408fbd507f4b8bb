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
SHARES = ("accuracy", "f_score", "iou")
"""Ends of the names of metrics that are shares of 1, shown in percent."""
OPTIONAL = ("r2",)
"""Ends of the names of metrics that may be undefined, of targets that are all the same: their cells stay empty then."""
WORST_TASK = "worst_task"
"""Name of the quality of the task that is done worst: a share of 1, as the mean quality ``accuracy`` is."""
MEANS = ("accuracy", WORST_TASK)
"""Names of qualities that are of all tasks together: the mean over tasks, and the worst."""
WITHIN = "within_"
"""So begin others that are: the share of errors below a limit."""


@dataclass(frozen=True)
class Metric:
    """Something that is measured of a task.

    :param name: Its name in results: that of an error ends as one of ``ERRORS`` does, any other does not.
    :param higher_is_better: Whether more of it is better.
    """

    name: str
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "," in self.name:
            raise FieldError("name", "must be a word without `/` and `,`", self.name)
        if self.higher_is_better == is_error(self.name):
            rule = f"must be False for a name that ends in {', '.join(ERRORS)}, by which tables are read, else True"
            raise FieldError("higher_is_better", rule, (self.name, self.higher_is_better))


def is_error(score: str) -> bool:
    """Whether lower is better."""
    return score.endswith(ERRORS)


def is_optional(score: str) -> bool:
    """Whether it may be undefined, so that it is not there."""
    return score.rpartition("/")[2].endswith(OPTIONAL)


def is_share(score: str) -> bool:
    """Whether its values are shares of 1; ``accuracy`` and ``worst_task``, of tasks of any kind, count as such."""
    metric = score.rpartition("/")[2]
    return score == WORST_TASK or metric.endswith(SHARES) or metric.startswith(WITHIN)


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
