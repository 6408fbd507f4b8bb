"""What to know to read the table of a comparison."""

from collections.abc import Sequence
from statistics import fmean

from mtl_search.comparison.summary import HARD_SHARING, EntrantSummary, by_key, single_task
from mtl_search.metrics.scores import headline_word, headlines, is_error
from mtl_search.reporting.text import quality_text, share_text

WORTH_TELLING = 0.1
"""Points of Delta_m: a fifth of what single trainings of one network differ by."""


def table_notes(entrants: Sequence[EntrantSummary], scores: Sequence[str]) -> list[str]:
    """What to know about the table of all entrants, a sentence or two each.

    :param scores: Names of the scores that the page shows, ``<task>/<metric>``.
    """
    notes = [
        "Below each mean stands its 95 % interval over seeds (Student's t), where it has three or more, cut off where a"
        " score cannot be. It tells how the mean would move with other seeds, on the same data.",
        *_delta_m_notes(entrants),
        "Fixed parameters are frozen values, such as the kernels of primitives. MACs are multiply-accumulates for one"
        " sample; for one task, the mean over tasks.",
    ]
    quality = quality_text(scores)
    if quality:
        notes.append(f"Mean {headline_word(scores)} is {quality}")
    errors = [name for name in scores if is_error(name)]
    if errors:
        notes.append(f"Lower is better in {', '.join(errors)}.")
    if by_key(entrants, HARD_SHARING):
        notes.append(
            "The cost of training is told in multiples of hard sharing's, every phase counted. Seconds depend on what"
            " else the machine did."
        )
    return notes + [_ties(entrant) for entrant in entrants if any(details.get("ties") for details in entrant.details)]


def _ties(entrant: EntrantSummary) -> str:
    """Of a method that chooses between parents, which of its choices were none."""
    told = [", ".join(details["ties"]) for details in entrant.details if details.get("ties")]
    return (
        f"{entrant.label} chose on ties, with less than 10 points between the likeliest two, in {len(told)} of"
        f" {len(entrant.details)} trainings: {'; '.join(told)}. Another seed may choose otherwise there."
    )


def _delta_m_notes(entrants: Sequence[EntrantSummary]) -> list[str]:
    """How Delta_m was computed, and of whom it lacks seeds."""
    gains = [(entrant, entrant.delta_m) for entrant in entrants if entrant.outcomes]
    if all(gain is None for _, gain in gains):
        return ["There is no Delta_m: it is over single-task networks that are trained and above 0 in every task."]
    notes = [
        "Delta_m is the mean relative gain over tasks against the single-task networks of the same seed, averaged over"
        " seeds, so that their spread is in its interval; they themselves are at 0 by definition."
    ]
    short = [one.label for one, gain in gains if gain is None or gain.count < len(one.outcomes)]
    if short:
        notes.append(
            f"Single-task networks were not trained with all seeds of {', '.join(short)}: Delta_m is over the others."
        )
    reference = single_task(entrants)
    return [*notes, *(_uneven_reference(reference) if reference else [])]


def _uneven_reference(reference: EntrantSummary) -> list[str]:
    """A warning where the headlines of single task vary so much over seeds that gains over them are off.

    The mean of a quotient exceeds the quotient of the means by about the squared relative spread of what is below,
    where the two have nothing in common: 0.01 points at a spread of 1 % of the mean, 1 point at 10 %; measured in
    ``benchmarks/delta_m_coverage.py``.
    """
    scores = [reference.score(name) for name in headlines(reference.outcomes[0].scores)]
    parts = [score.spread / score.mean for score in scores if score is not None and score.spread is not None]
    points = 100 * fmean(part**2 for part in parts) if parts else 0.0
    if points < WORTH_TELLING:
        return []
    return [
        f"The headlines of single task vary by up to {share_text(max(parts))} of their mean over seeds. Gains over such"
        f" a reference are off by about {points:.1f} points on average: too high where higher scores are better, too"
        " low of errors."
    ]
