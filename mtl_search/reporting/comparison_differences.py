"""The differences of all entrants to one of them, and what to know to read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.comparison.summary import EntrantSummary, difference
from mtl_search.metrics.intervals import FEWEST, MOST, deviations_to_each_side
from mtl_search.reporting.figures import differences_data
from mtl_search.reporting.text import count


def differences_with_notes(
    entrants: Sequence[EntrantSummary], other: EntrantSummary | None, word: str
) -> dict[str, Any] | None:
    """The data of the plot of differences, with ``notes`` and ``most``, the seeds that were counted to.

    :param other: The entrant that all others are compared with.
    :param word: What the mean over tasks is called.
    :returns: As :func:`~mtl_search.reporting.figures.standings.differences_data`; ``None`` where there is nothing to
        compare.
    """
    if other is None:
        return None
    found = [difference(one, other) for one in entrants if one.outcomes and one is not other]
    data = differences_data(found, other, word)
    if not data["rows"]:
        return None
    return {**data, "most": MOST, "notes": [*_what_rows_are(data, other), *_what_follows(data["rows"])]}


def _what_rows_are(data: Mapping[str, Any], other: EntrantSummary) -> list[str]:
    chosen = (
        f"It is the pick with the best validation {data['word']} in the search: nothing was chosen by the numbers shown"
        " here."
        if other.is_pick
        else "It was chosen by these same numbers, so that the others look a little worse beside it than they are."
    )
    widths = [
        f"with {number} seeds it reaches {deviations_to_each_side(number):.1f} standard deviations to each side"
        for number in sorted({row["points"]["count"] for row in data["rows"]})
        if number >= FEWEST
    ]
    return [
        f"Each row is an entrant minus {other.label}, on the same seed, averaged over seeds. {chosen}",
        "Below the points stands the 95 % interval of Student's t distribution for the mean of these differences."
        + (f" It is wide: {'; '.join(widths)}." if widths else " With fewer than three seeds there is none."),
    ]


def _what_follows(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many differences are decided, by themselves and as one of many, and what the others would need."""
    tested = [row for row in rows if row["p"] is not None]
    if not tested:
        return []
    plain, corrected = (sum(row[name] != "open" for row in tested) for name in ("verdict", "verdict_holm"))
    notes = [
        f"By itself {plain} of {count(len(tested), 'difference is', 'differences are')} decided: the interval excludes"
        " 0, p of the paired t test is below 0.05. Where nothing differs, about one in twenty would still be."
        f" After Holm's correction for their number it is {corrected}: at most one table in twenty then has a mistake."
    ]
    if plain < len(tested):
        notes.append(
            "Seeds to decide: with so many the interval would exclude 0, if mean and spread stayed as they are. A rough"
            " figure: both are known from few seeds, and even if they are right, about every second repetition with"
            " just so many would end open."
        )
    return notes
