"""What the page of a comparison says of equal budgets."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtl_search.comparison.equal_budgets import Standing, equal_budgets, hard_sharing_curve
from mtl_search.comparison.results import Comparison
from mtl_search.comparison.summary import HARD_SHARING, EntrantSummary, by_key
from mtl_search.reporting.comparison_answer import verdict
from mtl_search.reporting.figures import interval_data

NAMES = {
    "learnable_parameters": "learnable parameters",
    "macs": "multiply-accumulates of a forward pass",
    "training_macs": "training compute",
}


def budgets_data(
    comparison: Comparison,
    entrants: Sequence[EntrantSummary],
    twins: Mapping[str, EntrantSummary],
    other: EntrantSummary | None,
) -> dict[str, Any] | None:
    """How entrants stand against hard sharing at equal budgets.

    :param entrants: Everybody in the comparison but twins.
    :param twins: Entrant -> its twin.
    :param other: The entrant that is answered for.
    :returns: ``sentences``, ``notes``, ``factor`` (of the compute of twins, or ``None``) and ``rows``: ``label``,
        ``kind``, ``points`` (budget -> interval or ``None``), ``quality`` and ``compute`` of the twin (in training MACs
        of hard sharing at equal epochs) or ``None``. ``None`` where hard sharing was not trained, or nothing is known.
    """
    base = by_key(entrants, HARD_SHARING)
    standings = equal_budgets(entrants, twins)
    if base is None or not any(points for one in standings for points in one.points.values()):
        return None
    budget = comparison.request.get("budget")
    return {
        "sentences": _sentences(next((one for one in standings if one.entrant is other), None)),
        "factor": budget["factor"] if budget else None,
        "rows": [_row(one, base) for one in standings],
        "notes": _notes(hard_sharing_curve(entrants), budget),
    }


def _sentences(standing: Standing | None) -> list[str]:
    """What comes out for the entrant that is answered for."""
    if standing is None:
        return []
    return [
        f"At equal {NAMES[budget]} {standing.entrant.label} minus hard sharing is {verdict(points)}"
        for budget, points in standing.points.items()
        if points is not None
    ]


def _row(one: Standing, base: EntrantSummary) -> dict[str, Any]:
    twin = one.twin
    return {
        "label": one.entrant.label,
        "kind": one.entrant.about["kind"],
        "points": {name: interval_data(points) for name, points in one.points.items()},
        "quality": interval_data(twin.accuracy) if twin else None,
        "compute": twin.mean("training_macs") / base.mean("training_macs") if twin else None,
    }


def _notes(curve: Sequence[EntrantSummary], budget: Mapping[str, Any] | None) -> list[str]:
    widths = ", ".join(f"{one.mean('learnable_parameters'):,.0f}" for one in curve)
    if len(curve) > 1:
        curve_note = (
            f"Parameters and MACs: against the curve of hard sharing over {len(curve)} widths ({widths} parameters),"
            " between two of them straight over the logarithm of the cost, seed by seed. What it does not reach has no"
            " number."
        )
    else:
        curve_note = (
            "Parameters and MACs: hard sharing was trained at one width, so that only what is within a tenth of it has"
            " a number: compare with --baselines hard_sharing,hard_sharing_widths for a curve."
        )
    if budget is None:
        return [curve_note, "Training compute: not compared; --budget macs trains each once more at equal compute."]
    times = "" if budget["factor"] == 1 else f"{budget['factor']:g} times "
    return [
        curve_note,
        f"Training compute: each was trained once more for every seed, with {times}what hard sharing spends in the"
        f" epochs of the experiment, {budget['macs']:.3g} multiply-accumulates forward and backward: its epochs, of all"
        " of its phases, are as much shorter or longer as its training at equal epochs took more or less.",
    ]
