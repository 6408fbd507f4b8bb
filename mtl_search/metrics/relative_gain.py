"""Scores over tasks."""

import math
from collections.abc import Sequence
from itertools import chain

from mtl_search.errors import FieldError
from mtl_search.metrics.scores import bounds, is_error


def delta_m(scores: Sequence[float], reference: Sequence[float], higher_is_better: Sequence[bool]) -> float:
    """Mean relative gain over single-task networks, in percent (Maninis et al., CVPR 2019).

    ``100 / T * sum_t s_t (M_t - B_t) / B_t`` with ``s_t = -1`` where lower is better.

    Of the variants in circulation this is the one with a single headline metric for each task.

    :param scores: ``M``, one per task.
    :param reference: ``B``, the same metric of a single-task network on the same backbone; none of them 0.
    :param higher_is_better: Whether more is better, one per task.
    :raises FieldError: If the three differ in length, are empty, hold what is not finite, or a reference of 0.
    """
    if not len(scores) == len(reference) == len(higher_is_better) or not scores:
        lengths = (len(scores), len(reference), len(higher_is_better))
        raise FieldError("scores", "must have a reference and a direction for every task", lengths)
    for name, values in (("scores", scores), ("reference", reference)):
        if not all(math.isfinite(value) for value in values):
            raise FieldError(name, "must be finite", list(values))
    if 0 in reference:
        raise FieldError("reference", "must not hold 0, the gain over which has no meaning", list(reference))
    gains = [
        (score - base) / base * (1 if higher else -1)
        for score, base, higher in zip(scores, reference, higher_is_better, strict=True)
    ]
    return 100 * sum(gains) / len(gains)


def delta_m_bounds(names: Sequence[str], reference: Sequence[float]) -> tuple[float | None, float | None]:
    """The least and the most that :func:`delta_m` can be, in percent: that of the worst and of the best scores.

    :param names: ``<task>/<metric>``, one per task.
    :param reference: ``B``, likewise; above 0.
    :returns: ``None`` where the name of a score does not bound it.
    """
    ends = [bounds(name)[::-1] if is_error(name) else bounds(name) for name in names]
    worst, best = zip(*ends, strict=True)
    higher = [not is_error(name) for name in names]
    return _delta_m_or_none(worst, reference, higher), _delta_m_or_none(best, reference, higher)


def _delta_m_or_none(
    scores: Sequence[float | None], reference: Sequence[float], higher_is_better: Sequence[bool]
) -> float | None:
    known = [score for score in scores if score is not None]
    return delta_m(known, reference, higher_is_better) if len(known) == len(scores) else None


def delta_m_by_task(
    scores: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], higher_is_better: Sequence[Sequence[bool]]
) -> float:
    """As :func:`delta_m`, of tasks with several metrics: the gain is averaged within each task first, then over tasks.

    :param scores: ``scores[task][metric]``; the others likewise.
    :raises FieldError: As :func:`delta_m`.
    """
    _check_tasks(scores, reference, higher_is_better)
    gains = [delta_m(*of_task) for of_task in zip(scores, reference, higher_is_better, strict=True)]
    return sum(gains) / len(gains)


def delta_m_flat(
    scores: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], higher_is_better: Sequence[Sequence[bool]]
) -> float:
    """As :func:`delta_m`, of tasks with several metrics: the gain is averaged over all metrics of all tasks alike.

    :param scores: ``scores[task][metric]``; the others likewise.
    :raises FieldError: As :func:`delta_m`.
    """
    _check_tasks(scores, reference, higher_is_better)
    every = chain.from_iterable
    return delta_m(list(every(scores)), list(every(reference)), list(every(higher_is_better)))


def _check_tasks(*columns: Sequence[Sequence[float]]) -> None:
    """Each has the same metrics in the same tasks, at least one."""
    counts = [[len(of_task) for of_task in column] for column in columns]
    if not counts[0] or any(found != counts[0] for found in counts):
        raise FieldError("scores", "must have a reference and a direction for every metric of every task", counts)
