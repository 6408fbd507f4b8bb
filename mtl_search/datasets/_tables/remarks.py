"""What was read in columns that may not be meant, each as a sentence."""

from collections.abc import Sequence

from mtl_search.datasets._tables.columns import Column
from mtl_search.datasets._tables.notation import MISSING, yaml_text

NAMED = 5
"""Columns that a note names; of more it says how many they are."""


def notes_of(columns: Sequence[Column]) -> list[str]:
    """Which words stand for missing numbers, and which might but stand among texts."""
    found: dict[str, list[Column]] = {}
    for column in columns:
        for word in column.words:
            found.setdefault(word, []).append(column)
    return [*(_word_note(word, those) for word, those in found.items()), *map(_name_note, _names(columns))]


def named(columns: Sequence[str]) -> str:
    """The names of columns, of many the first ones."""
    more = f" and {len(columns) - NAMED:,} more" if len(columns) > NAMED else ""
    return ", ".join(columns[:NAMED]) + more


def _word_note(word: str, columns: Sequence[Column]) -> str:
    """Where a word was read as missing: how many cells, the columns, and the first row of the first of them."""
    cells = sum(len(column.words[word]) for column in columns)
    where = columns[0].place(int(columns[0].words[word][0]))
    told = "1 cell" if cells == 1 else f"{cells:,} cells"
    return (
        f"`{word}` is read as missing in {told} of {named([column.name for column in columns])}, the first in {where}"
    )


def _names(columns: Sequence[Column]) -> list[tuple[str, list[str]]]:
    """Usual words for a missing number that are texts, each with the columns that hold it."""
    found: dict[str, list[str]] = {}
    for column in columns:
        words = {text for text in set(column.present.tolist()) if text.lower() in MISSING} if column.is_text else ()
        for word in sorted(words):
            found.setdefault(word, []).append(column.name)
    return list(found.items())


def _name_note(found: tuple[str, list[str]]) -> str:
    word, columns = found
    return (
        f"`{word}` in {named(columns)} is a text like the others; say `missing: [{yaml_text(word)}]` if it stands for "
        "an empty cell"
    )
