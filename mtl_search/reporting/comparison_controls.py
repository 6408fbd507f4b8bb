"""What the page of a comparison says of its controls: what primitives bring, what routing, what searching."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.comparison.results import HARD_SHARING_CONTROL, ROUTING_CONTROL, Comparison
from mtl_search.comparison.summary import HARD_SHARING, EntrantSummary, by_key, difference
from mtl_search.reporting.comparison_answer import percent, short_verdict
from mtl_search.reporting.figures import interval_data

BEST, MATCHED = "best", "matched"


def controls_data(comparison: Comparison, entrants: Sequence[EntrantSummary]) -> dict[str, Any] | None:
    """What the controls tell.

    :param entrants: Everybody in the comparison but twins.
    :returns: ``rows``: ``question``, ``own`` and ``other`` (label, ``parameters``, ``accuracy``), ``points``; their
        ``sentences``; and ``searches``: what each control trained. ``None`` where there are no controls.
    """
    told = comparison.request.get("control")
    if not told:
        return None
    rows = [(question, own, other) for question, own, other in _pairs(entrants) if own and other]
    return {
        "sentences": [_sentence(*row) for row in rows],
        "rows": [_row(*row) for row in rows],
        "searches": [{"label": name.replace("_", " "), **about} for name, about in told.items()],
    }


def _pairs(entrants: Sequence[EntrantSummary]) -> list[tuple[str, EntrantSummary | None, EntrantSummary | None]]:
    """What each question compares: own minus other answers it."""
    best = next((one for one in entrants if one.is_pick and BEST in one.about["picks"] and one.outcomes), None)
    routing, widths = _found(entrants, ROUTING_CONTROL, MATCHED), _found(entrants, HARD_SHARING_CONTROL, MATCHED)
    without = routing or best  # a space without primitives is its own control
    return [
        ("primitives", best, routing),
        ("routing", without, widths),
        ("searching", _found(entrants, HARD_SHARING_CONTROL, BEST), by_key(entrants, HARD_SHARING)),
    ]


def _found(entrants: Sequence[EntrantSummary], control: str, picked: str) -> EntrantSummary | None:
    """What a control found, as that pick; its best where it found none with as few parameters."""
    own = [one for one in entrants if one.about.get("control") == control and one.outcomes]
    named = [one for name in (picked, BEST) for one in own if name in one.about["picks"]]
    return named[0] if named else None


BRING: Mapping[str, tuple[str, str]] = {
    "primitives": (
        "Primitives bring",
        "the best of as many trainings in the same space without primitives",
    ),
    "routing": ("Routing brings", "the best of as many trainings of hard sharing, over widths and rates"),
    "searching": ("Searching widths and rates of hard sharing brings", "as it stands"),
}
"""What is asked -> how its answer begins, and what the other one is."""


def _sentence(question: str, own: EntrantSummary, other: EntrantSummary) -> str:
    begins, other_is = BRING[question]
    return (
        f"{begins} {short_verdict(difference(own, other).points)}: {own.label} reaches {_told(own)}, {other.label},"
        f" {other_is}, {_told(other)}."
    )


def _told(entrant: EntrantSummary) -> str:
    return f"{percent(entrant)} with {entrant.mean('learnable_parameters'):,.0f} parameters"


def _row(question: str, own: EntrantSummary, other: EntrantSummary) -> dict[str, Any]:
    points = difference(own, other).points
    return {"question": question, "own": _side(own), "other": _side(other), "points": interval_data(points)}


def _side(entrant: EntrantSummary) -> dict[str, Any]:
    return {
        "entrant": entrant.key,
        "label": entrant.label,
        "parameters": entrant.mean("learnable_parameters"),
        "accuracy": interval_data(entrant.accuracy),
    }
