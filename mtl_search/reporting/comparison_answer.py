"""The question that a comparison answers, its answer in sentences, and what is missing of it."""

from collections.abc import Mapping, Sequence

from mtl_search.comparison.results import Comparison
from mtl_search.comparison.summary import HARD_SHARING, EntrantSummary, by_key, difference, nearest_in_size, single_task
from mtl_search.metrics.intervals import MOST, Interval
from mtl_search.reporting.figures import is_percent
from mtl_search.reporting.numbers import signed
from mtl_search.reporting.text import capitalised, count


def question(entrants: Sequence[EntrantSummary]) -> str:
    """What is compared, as a question."""
    if any(entrant.is_pick for entrant in entrants):
        return (
            "Does an architecture that the search found beat hard sharing with as many learnable parameters, and how"
            " near does it come to a network of its own for each task?"
        )
    return "How do these methods compare when all are trained from scratch with the same budget?"


def answer(entrants: Sequence[EntrantSummary], other: EntrantSummary | None, what: str) -> list[str]:
    """Two sentences, from the numbers alone.

    :param other: The entrant that all others are compared with; ``None`` where nothing is trained.
    :param what: Is compared, for reading: ``mean accuracy on the test split``.
    """
    if other is None:
        return ["No training is complete yet, so there is no answer."]
    if not other.is_pick:
        return _answer_without_picks(entrants, other, what)
    return [_against_hard_sharing(entrants, other, what), _against_single_task(entrants, other)]


def _against_hard_sharing(entrants: Sequence[EntrantSummary], best: EntrantSummary, what: str) -> str:
    pick, target = _even_match(entrants, best)
    if target is None:
        return f"{_reached(best, what)}. Hard sharing has no complete training here, so it is not compared with it."
    return f"{_reached(pick, what)}, {_reached_too(target)}: {verdict(difference(pick, target).points)}"


def _even_match(
    entrants: Sequence[EntrantSummary], best: EntrantSummary
) -> tuple[EntrantSummary, EntrantSummary | None]:
    """A pick and the hard sharing that it was matched to; else the best pick and the one nearest to it in size."""
    trained = [one for one in entrants if one.is_pick and one.outcomes]
    for pick in trained:
        targets = [target for key in pick.matched if (target := by_key(entrants, key))]
        for target in targets:
            if target.method == HARD_SHARING:
                return pick, target
    alike = [one for one in entrants if one.method == HARD_SHARING and one.balancing == best.balancing]
    return best, nearest_in_size(best, alike)


def _against_single_task(entrants: Sequence[EntrantSummary], best: EntrantSummary) -> str:
    reference = single_task(entrants)
    if reference is None:
        return "Networks for one task each have no complete training here, so there is no Delta_m."
    own = f"{percent(best)} with {best.mean('learnable_parameters'):,.0f}"
    return (
        f"Networks for one task each reach {percent(reference)} with {reference.mean('learnable_parameters'):,.0f}"
        f" together; against them {best.label} ({own}) is at {verdict(difference(best, reference).points)}"
    )


def _answer_without_picks(entrants: Sequence[EntrantSummary], best: EntrantSummary, what: str) -> list[str]:
    trained = [one for one in entrants if one.outcomes]
    sentences = [
        f"Of {count(len(trained), 'entrant', 'entrants')}, {_reached(best, what, lead=False)}, the highest mean and"
        " chosen by it."
    ]
    target = by_key(entrants, HARD_SHARING)
    if target and target is not best:
        points = difference(best, target).points
        reached = (
            f"{capitalised(target.label)} reaches {percent(target)} with {target.mean('learnable_parameters'):,.0f}"
        )
        sentences.append(f"{reached}: {best.label} minus {target.label} is {verdict(points)}")
    return sentences


def _reached(entrant: EntrantSummary, what: str, lead: bool = True) -> str:
    text = f"{entrant.label}{_chosen_as(entrant)} reaches {percent(entrant)} {what} with"
    return f"{capitalised(text) if lead else text} {entrant.mean('learnable_parameters'):,.0f} learnable parameters"


def _reached_too(entrant: EntrantSummary) -> str:
    return f"{entrant.label} {percent(entrant)} with {entrant.mean('learnable_parameters'):,.0f}"


def _chosen_as(entrant: EntrantSummary) -> str:
    """What a pick was picked as, in brackets."""
    names = pick_names(entrant.about.get("picks", []))
    return f" ({', '.join(names)})" if names else ""


def pick_names(picks: Sequence[str]) -> list[str]:
    """What an architecture was picked as, for reading: ``knee``, ``matched to hard sharing``."""
    names = [name.replace("matched:", "matched to ").replace("_", " ").replace("@", " ") for name in picks]
    return [name for name in names if not name.isdecimal()]


def percent(entrant: EntrantSummary) -> str:
    """Its mean quality, for reading."""
    return f"{entrant.accuracy.mean * 100:.1f}\N{NO-BREAK SPACE}%" if entrant.accuracy else "\N{EN DASH}"


def verdict(points: Interval | None) -> str:
    """A difference in points, and what can be said of it."""
    if points is None:
        return "not known, as they have no seed in common."
    if points.low is None or points.high is None:
        seeds = "one seed" if points.count == 1 else f"{points.count} seeds"
        return f"{signed(points.mean)} points in {seeds}. How much of that is chance is not known from {seeds}."
    ends = f"95\N{NO-BREAK SPACE}% interval {signed(points.low)} to {signed(points.high)}, {points.count} seeds"
    if points.excludes_zero:
        return f"{signed(points.mean)} points ({ends}), {'better' if points.mean > 0 else 'worse'} in this comparison."
    return (
        f"{signed(points.mean)} points ({ends}). The interval includes 0: which of them is better stays open"
        f"{seeds_to_decide(points)}."
    )


def own_network_sentence(entrants: Sequence[EntrantSummary], short: Mapping[str, Mapping[str, float]] | None) -> str:
    """Which entrants keep ``worst_task: single_task``, and where the others fall short most.

    :param short: Entrant -> score -> by how much it is below single-task networks; ``None`` where these lack.
    """
    asked = "No task is to be done worse than by a network of its own"
    if short is None:
        return f"{asked}; single-task networks have no complete training here, so it is not known whether one is."
    labels = {one.key: one.label for one in entrants}
    kept = [labels[key] for key, tasks in short.items() if not tasks]
    not_kept = [f"{labels[key]} ({_worst_shortfall(tasks)})" for key, tasks in short.items() if tasks]
    broken = f" Not by {', '.join(not_kept)}." if not_kept else ""
    return f"{asked}. In the mean over seeds this is kept by {', '.join(kept) or 'none'}.{broken}"


def _worst_shortfall(tasks: Mapping[str, float]) -> str:
    score = max(tasks, key=lambda name: tasks[name])
    others = f", and {len(tasks) - 1} more" if len(tasks) > 1 else ""
    below = f"{tasks[score] * 100:.2f} points" if is_percent(score) else f"{tasks[score]:.3g}"
    return f"{score}: {below} worse{others}"


def short_verdict(points: Interval | None) -> str:
    """A difference in points, and in a word what can be said of it: better, worse or open."""
    if points is None:
        return "what is not known, as they have no seed in common"
    if points.low is None or points.high is None:
        return f"{signed(points.mean)} points ({count(points.count, 'seed', 'seeds')}; open)"
    word = ("better" if points.mean > 0 else "worse") if points.excludes_zero else "open"
    ends = f"95\N{NO-BREAK SPACE}% interval {signed(points.low)} to {signed(points.high)}"
    return f"{signed(points.mean)} points ({ends}, {count(points.count, 'seed', 'seeds')}; {word})"


def seeds_to_decide(points: Interval) -> str:
    """How many seeds an open difference would need, as the end of a sentence."""
    seeds = points.count_to_decide
    many = f"more than {MOST}" if seeds is None else f"about {seeds}"
    return f"; if mean and spread stay as they are, {many} seeds would decide it"


def state(comparison: Comparison) -> str:
    """What is missing; empty if nothing is."""
    missing, asked = len(comparison.missing), sum(about["seeds"] for about in comparison.request["entrants"])
    if not missing:
        return ""
    failed = len({(one.entrant, one.seed) for one in comparison.failed} & set(comparison.missing))
    kinds = [f"{failed} failed" if failed else "", f"{missing - failed} not trained yet" if missing > failed else ""]
    return (
        f"{missing} of {count(asked, 'training is', 'trainings are')} not complete:"
        f" {', '.join(kind for kind in kinds if kind)}. Means are over the seeds that are complete."
    )
