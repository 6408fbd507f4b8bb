"""How the settings of each entrant were chosen: what was tried, in what range, what came out, and what it cost."""

from collections.abc import Mapping
from typing import Any

from mtl_search.comparison.results import Comparison
from mtl_search.reporting.text import count
from mtl_search.spaces.ranges import Range, offer_text

UNTUNED = (
    "Nothing was tuned: every entrant was trained at the learning rate and with the options that the experiment and the"
    " recipes give. Methods differ in the rate that suits them, by more than they differ from each other at one rate:"
    " --tune 8 gives each the same number of trainings to choose its own."
)


def tuning_data(comparison: Comparison) -> dict[str, Any]:
    """What the page says of tuning.

    :returns: ``note``; ``rows``, one for each setting of what was tuned: ``label``, ``setting``, ``usual``, ``range``,
        ``grown``, ``chosen``, ``at_end``; and ``costs``, for each: ``label``, ``trained``, ``trainings``, ``failed``,
        ``seconds``, ``macs``.
    """
    told = comparison.request.get("tuning")
    if told is None:
        return {"note": UNTUNED, "rows": [], "costs": []}
    rows = [row for about in told["subjects"] for row in _rows(about)]
    return {"note": _note(told, rows), "rows": rows, "costs": [_cost(about) for about in told["subjects"]]}


def _note(told: Mapping[str, Any], rows: list[dict[str, Any]]) -> str:
    trainings = count(told["trainings"], "training", "trainings")
    text = (
        f"Each had {trainings} on the training samples, scored on the validation samples, all with one seed that no"
        " training of the comparison has; variants of a recipe share what was found for one of them. The test split was"
        " not read."
    )
    ends = sum(bool(row["at_end"]) for row in rows)
    if not ends:
        return text
    values = count(ends, "chosen value lies at the end of its range", "chosen values lie at the end of their range")
    return f"{text} {values}: a better one may lie beyond."


def _rows(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "label": _label(about["key"]),
            "setting": name.partition(".")[2].replace("_", " "),
            "usual": _shown(about["usual"][name]),
            "range": offer_text(_offer(offer)),
            "grown": name in about["grown"],
            "chosen": _shown(about["chosen"][name]),
            "at_end": about["at_end"].get(name, ""),
        }
        for name, offer in about["offers"].items()
    ]


def _cost(about: Mapping[str, Any]) -> dict[str, Any]:
    costs = {name: about[name] for name in ("trainings", "failed", "seconds")}
    return {"label": _label(about["key"]), "trained": _label(about["trained"]), **costs, "macs": about["training_macs"]}


def _offer(offer: Any) -> Any:
    return Range(**offer) if isinstance(offer, Mapping) else offer


def _label(key: str) -> str:
    return key.replace("_", " ").replace("@", " ").replace("trial-", "trial ")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
