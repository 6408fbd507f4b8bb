"""The constraint ``worst_task: single_task``: is a task done worse than by a network of its own?"""

from collections.abc import Iterable, Sequence
from statistics import fmean

from mtl_search.comparison.summary import EntrantSummary, single_task
from mtl_search.metrics.scores import headlines, is_error


def tasks_below(entrant: EntrantSummary, reference: EntrantSummary, scores: Iterable[str]) -> dict[str, float]:
    """The scores in which an entrant falls short of single-task networks, in the mean over the seeds that both have.

    :param reference: The single-task networks, one trained for each task alone.
    :param scores: Names of scores, ``<task>/<metric>``, of which the headline of each task counts.
    :returns: Score -> by how much it falls short, above 0, in the unit of the score.
    """
    own, theirs = ({outcome.seed: outcome.scores for outcome in one.outcomes} for one in (entrant, reference))
    seeds = sorted(own.keys() & theirs.keys())
    short = {}
    for score in headlines(scores) if seeds else ():
        gain = fmean(own[seed][score] - theirs[seed][score] for seed in seeds)
        short[score] = gain if is_error(score) else -gain
    return {score: points for score, points in short.items() if points > 0}


def shortfalls(entrants: Sequence[EntrantSummary], scores: Iterable[str]) -> dict[str, dict[str, float]] | None:
    """Entrant -> :func:`tasks_below`, of those with a complete training; ``None`` without single-task networks."""
    reference = single_task(entrants)
    if reference is None:
        return None
    names = headlines(scores)
    trained = [one for one in entrants if one.outcomes and one.key != reference.key]
    return {one.key: tasks_below(one, reference, names) for one in trained}
