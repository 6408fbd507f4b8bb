"""Numbers and facts as words: what both pages of a report have in common."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mtl_search.metrics.scores import headline_word
from mtl_search.reporting.figures import is_percent
from mtl_search.reporting.numbers import written

DIGITS = 9
"""Significant digits of a number in a page: what runs on two processors differ by is cut off, what is read is not."""


def score_text(value: float | None, name: str) -> str:
    """The value of a score for reading: accuracies in percent, a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    return f"{written(value * 100, '.1f')}\N{NO-BREAK SPACE}%" if is_percent(name) else written(value)


def score_title(name: str) -> str:
    """The head of a column of scores, with its unit: ``left accuracy in %``."""
    task, _, metric = name.partition("/")
    return f"{task} {metric.replace('_', ' ')}" + (" in %" if is_percent(name) else "")


def quality_text(scores: Iterable[str]) -> str:
    """What the mean quality is, where these scores that stand for the tasks are not all accuracies; else empty."""
    if headline_word(scores) == "accuracy":
        return ""
    return (
        "the mean over tasks: of a task whose headline is a share of 1 that share; of one whose headline is an"
        " error 1 - error / error of the best constant prediction on the training targets."
    )


def cost_text(value: float, name: str) -> str:
    """The value of a cost for reading: counts whole, milliseconds to three digits."""
    return f"{value:.3g}" if name == "latency_ms" else f"{value:,.0f}"


def share_text(share: float) -> str:
    """A part of a whole for reading: ``38 %``."""
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def capitalised(sentence: str) -> str:
    """A sentence with its first letter capital, the others as they are."""
    return sentence[:1].upper() + sentence[1:]


def count(number: int, one: str, several: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number:,} {one if number == 1 else several}"


def augmentation_text(augmentation: Mapping[str, Any] | None) -> str:
    """The moves of the training samples as a further part of a sentence; empty where there are none."""
    if augmentation is None:
        return ""
    pixels = count(augmentation["shift"], "pixel", "pixels")
    moved = [f"shifted by up to {pixels}"] * bool(augmentation["shift"]) + ["mirrored at random"] * augmentation["flip"]
    return f", samples {' and '.join(moved)}"


def made_by_machine(environment: Mapping[str, Any]) -> dict[str, str]:
    """What the run wrote down about itself; whatever of it is there."""
    names = {
        "command": "Command",
        "source_revision": "Source revision",
        "started": "Started",
        "finished": "Finished",
        "python": "Python",
        "versions": "Versions",
        "kernels": "Kernels",
        "hardware": "Hardware",
    }
    return {label: _as_text(environment.get(name)) for name, label in names.items()}


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(as_pairs(value))
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def as_pairs(values: Mapping[str, Any]) -> list[str]:
    """``name value`` of each that has one."""
    return [f"{name} {_as_text(value)}" for name, value in values.items() if value is not None]


def without_machine_paths(data: Any) -> Any:
    """The same data with each absolute path in its texts cut to its last part: ``/home/me/x.csv`` to ``…/x.csv``."""
    if isinstance(data, str):
        return re.sub(r"(?<![\w.:/…])/(?:[^\s/'\"]+/)+(?=[^\s/'\"])", "…/", data)
    if isinstance(data, Mapping):
        return {key: without_machine_paths(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_machine_paths(value) for value in data]
    return data


def rounded(data: Any, digits: int = DIGITS) -> Any:
    """The same data with its floats cut to so many significant digits."""
    if isinstance(data, float):
        return float(f"{data:.{digits}g}")
    if isinstance(data, Mapping):
        return {key: rounded(value, digits) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [rounded(value, digits) for value in data]
    return data
