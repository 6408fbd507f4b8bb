"""What the text of a cell means: a number in a notation, a usual word for a missing one, yes or no, something else.

What a column holds is decided over all of its different texts, each with the number of cells that hold it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

WORDS = ("na", "n/a", "n.a.", "nan", "-nan", "nat", "<na>", "null", "(null)", "none", "nil", "missing", "empty")
SIGNS = ("#n/a", "#na", "1.#qnan", "-1.#ind", "\\n", "-", "--", "?", ".")
MISSING = frozenset((*WORDS, *SIGNS))
"""Usual words for a missing number, in small letters. Among texts they are texts like others."""
FLAGS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
"""Words for 0 and 1, in small letters. A column holds those of one pair: letters of several are names of something."""
SHOWN = 60
"""Characters of a cell in a message, which also names the file, the row and the column, in two lines of a terminal."""
FEW = 20
"""So many different numbers at most are levels of a category, as in `1`, `2`, `A`; or classes, where all are whole."""
HALF = 0.5
"""Where at least so many cells are numbers of many different sizes, the others are wrong: as categories, each number
would be a category of its own."""
MOST, NEARLY_ALL = 0.9, 0.95
"""Of a few different numbers, which may be levels: where more than `NEARLY_ALL` of the cells are numbers, or at least
`MOST` and a text stands there once, that text is wrong and no level. (Of 20 cells, one; of 10, one that is alone.)"""

ALIKE = {" ": " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "'": "'\N{RIGHT SINGLE QUOTATION MARK}"}
"""A separator of thousands -> the characters that are taken for it."""
ENDLESS = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
WHOLE = re.compile(r"(0|-?[1-9][0-9]*)(\.0)?")
"""A whole number as programs write it; with `.0` where another cell of the column was empty, as pandas does."""
DATE = re.compile(
    r"([12][0-9]{3}([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12][0-9]|3[01])|[0-3]?[0-9]([-/.])[0-3]?[0-9]\5([12][0-9])?[0-9]{2})"
    r"([T ]+[0-9]{1,2}:[0-9]{2}.*)?|[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
)
"""A date, with or without the time of day, or a time of day."""
UNIT = re.compile(
    r"\(?[+-]?([$€£¥]|eur|usd|gbp|chf)\s?[+-]?[0-9][0-9.,']*\)?|[+-]?[0-9][0-9.,]*(e[+-]?[0-9]+)?\s?"
    r"(%|‰|[$€£¥]|kg|mg|[µμ]g|g|cm|mm|[µμ]m|nm|km|k|m|bn|ms|[µμ]s|ns|s|h|min|ml|l|°c|°f|hz|khz|mhz|ghz|kb|mb|gb|kwh|"
    r"eur|usd|gbp|chf|lbs?|oz|ft|years?|yrs?|days?|hours?)",
    re.IGNORECASE,
)
"""A number with its unit, of those that are hardly ever part of a name; ``k``, ``m`` and ``bn`` may be thousands and
more of something."""
MINUS = "\N{MINUS SIGN}"
"""What some programs write for the hyphen before a negative number."""
OTHERS = (
    ("decimal", re.compile(r"[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?|[+-]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+", re.IGNORECASE)),
    (
        "thousands",
        re.compile(r"[+-]?[1-9][0-9]{0,2}(([,.' \u00a0\u202f\u2009\u2019])[0-9]{3})(\2[0-9]{3})*(\.[0-9]+)?"),
    ),
)
POINT = re.compile(r"[+-]?[0-9]*\.[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    :param decimal: What stands before the decimals, one character.
    :param thousands: What stands between groups of three digits, one character; nothing if ``None``.
    """

    decimal: str = "."
    thousands: str | None = None

    def number(self, text: str) -> float | None:
        """The number that a text is, ``None`` if it is none."""
        text = text.replace(MINUS, "-")
        if ENDLESS.fullmatch(text):
            return float(text)
        if self._plain.fullmatch(text):
            return float(text.replace(self.decimal, "."))
        if self.thousands is not None and self._grouped.fullmatch(text):
            return float(re.sub(self._between, "", text).replace(self.decimal, "."))
        return None

    @cached_property
    def _plain(self) -> re.Pattern[str]:
        point = re.escape(self.decimal)
        return re.compile(rf"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?")

    @cached_property
    def _grouped(self) -> re.Pattern[str]:
        return re.compile(rf"[+-]?[1-9][0-9]{{0,2}}(?:{self._between}[0-9]{{3}})+(?:{re.escape(self.decimal)}[0-9]*)?")

    @property
    def _between(self) -> str:
        assert self.thousands is not None
        return f"[{re.escape(ALIKE.get(self.thousands, self.thousands))}]"


@dataclass(frozen=True)
class Meaning:
    """What the different texts of a column mean.

    :param numbers: The number that each text stands for; NaN where it is missing. ``None`` if the column holds texts.
    :param missing: Whether the cells that hold a text are missing, one for each text.
    :param flags: Whether the numbers are 0 and 1 for words such as no and yes.
    :param odd: Numbers of the texts that are no numbers, where others of the column are.
    :param is_wrong: Whether these are wrong, for nearly all are numbers; else they are categories as the numbers are.
    """

    numbers: list[float] | None
    missing: list[bool]
    flags: bool = False
    odd: tuple[int, ...] = ()
    is_wrong: bool = False


def meaning(texts: Sequence[str], counts: Sequence[int], missing: Sequence[str], notation: Notation) -> Meaning:
    """What the different texts of a column mean.

    :param texts: The different texts of the column, each once.
    :param counts: Number of cells that hold each text.
    :param missing: Texts that stand for an empty cell, besides the empty one.
    """
    empty = [text == "" or text in missing for text in texts]
    words = [gone or text.lower() in MISSING for text, gone in zip(texts, empty, strict=True)]
    filled = [place for place, is_word in enumerate(words) if not is_word]
    if flags := _flags([texts[place] for place in filled]):
        return Meaning([flags.get(text.lower(), math.nan) for text in texts], words, flags=True)
    numbers = [None if is_word else notation.number(text) for text, is_word in zip(texts, words, strict=True)]
    odd = tuple(place for place in filled if numbers[place] is None)
    if not odd and (filled or all(empty)):
        stand_ins = {notation.number(text) for text in missing} - {None}
        meant = [math.nan if number is None or number in stand_ins else number for number in numbers]
        return Meaning(meant, [math.isnan(number) for number in meant])
    found = [place for place in filled if numbers[place] is not None]
    is_wrong = bool(odd) and _is_wrong(texts, counts, found, odd)
    like_numbers = found or any(looks_like(texts[place]) for place in odd)
    return Meaning(None, empty, odd=odd if like_numbers else (), is_wrong=is_wrong)


def _flags(filled: Sequence[str]) -> dict[str, float]:
    """Word -> 0 or 1, where all texts are of one pair; nothing else."""
    found = {text.lower() for text in filled}
    pair = next((pair for pair in FLAGS if found and found <= set(pair)), ())
    return {word: float(value) for value, word in enumerate(pair)}


def flag(text: str) -> int | None:
    """What a word says, 0 or 1; ``None`` if it is no such word."""
    return next((pair.index(text.lower()) for pair in FLAGS if text.lower() in pair), None)


def _is_wrong(texts: Sequence[str], counts: Sequence[int], found: Sequence[int], odd: Sequence[int]) -> bool:
    """Whether what is no number is wrong, and no category."""
    written = [place for place in odd if looks_like(texts[place])]
    others = [place for place in odd if not looks_like(texts[place])]
    numbers = sum(counts[place] for place in (*found, *written))
    share = numbers / (numbers + sum(counts[place] for place in others))
    if len(found) + len(written) > min(FEW, numbers / 2):
        return share >= HALF
    units = all(looks_like(texts[place]) == "unit" for place in written) and bool(written)
    alone = share >= MOST and any(counts[place] == 1 for place in others)
    return (share > NEARLY_ALL or alone) and not (units and not found)


def looks_like(text: str) -> str:
    """What a text that is no number looks like; nothing if like none of these.

    ``date``, ``decimal`` for a decimal comma, ``point`` for a decimal point where another character is said, ``unit``,
    or ``thousands`` with something between them.
    """
    if DATE.fullmatch(text):
        return "date"
    if thousands := OTHERS[1][1].fullmatch(text):
        return "thousands" if thousands[2] else ""
    if OTHERS[0][1].fullmatch(text):
        return "decimal"
    if POINT.fullmatch(text):
        return "point"
    return "unit" if UNIT.fullmatch(text) else ""


def advice(text: str, alone_on_top: bool) -> str:
    """What may help where a text should be a number, as a sentence.

    :param alone_on_top: Whether it stands in the first row, and all others are numbers.
    """
    kind = looks_like(text)
    if kind == "date":
        return "It looks like a date: make it a number, such as the days since one day, or leave the column out."
    if kind == "decimal":
        return _with_decimal_comma(text)
    if kind == "thousands":
        between = next(character for character in text.lstrip("+-") if not character.isdigit())
        option = next((one for one, others in ALIKE.items() if between in others), between)
        more = (
            ' (`decimal: ","` if the comma stands before decimals)' if between == "," and text.count(",") == 1 else ""
        )
        return f'It looks like a number with thousands apart: say `thousands: "{option}"`{more}.'
    if kind == "point":
        return "It looks like a number with a decimal point, but `decimal` says that another character stands there."
    if kind == "unit":
        return "It looks like a number with its unit: leave the number alone in the cell."
    if alone_on_top:
        return "It looks like a line of units under the header: take that line out of the file."
    return f"Say `missing: [{yaml_text(text)}]` if it stands for an empty cell."


def _with_decimal_comma(text: str) -> str:
    more = ' and `thousands: "."`' if "." in text else ""
    return f'It looks like a number with a decimal comma: say `decimal: ","`{more}.'


def yaml_text(text: str) -> str:
    """A text as an entry of a list in YAML, cut where it is long."""
    cut = shown(text)
    return cut if re.fullmatch(r"[A-Za-z][A-Za-z0-9_./ ]*", cut) else f'"{cut}"'


def shown(text: str, most: int = SHOWN) -> str:
    """A text for a message: in one line and not too long."""
    line = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[: most + 1])
    return line if len(line) <= most else f"{line[:most]}..."
