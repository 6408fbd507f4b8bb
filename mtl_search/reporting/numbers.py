"""Numbers as both pages write them: one minus sign in what is read, none of it in what a program reads."""

import json
from collections.abc import Iterable
from typing import Any

EXACT = 9
"""Significant digits of a value that a table is sorted by and that a download holds, as in the page's data."""


def readable(text: str) -> str:
    """The text of a number with a minus sign in place of each hyphen, also of an exponent."""
    return text.replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int = 2) -> str:
    """A difference for reading, with its sign: ``+1.20``, ``−0.30``."""
    return readable(f"{round(value, digits) + 0.0:+.{digits}f}")


def written(value: float, form: str = "#.4g") -> str:
    """A number for reading, by default with four significant digits, zeros too: ``−5.200e−05``, ``0.09140``, ``1638``.

    :param form: A format of the kind that :func:`format` takes.
    """
    return readable(f"{value:{form}}".removesuffix("."))


def exact(values: Iterable[Any], factor: float = 1) -> str:
    """What a cell stands for, as JSON: numbers with :data:`EXACT` digits, texts and ``null`` as they are.

    :param factor: What every number is multiplied with, as those that are shown are: 100 for percent.
    """
    return json.dumps([_exact(value, factor) for value in values], separators=(",", ":"))


def _exact(value: Any, factor: float) -> Any:
    if isinstance(value, float) or (isinstance(value, int) and factor != 1):
        number = float(f"{value * factor:.{EXACT}g}")
        return int(number) if number.is_integer() else number
    return value
