"""Cells of a column as they are read from a file, as numbers or as texts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from mtl_search.datasets._tables.columns import Column, Odd
from mtl_search.datasets._tables.notation import MISSING, Notation, meaning
from mtl_search.errors import DatasetError

PLAIN = Notation()


def column_of(
    name: str,
    cells: pa.ChunkedArray,
    title: str,
    place: Callable[[int], str],
    missing: Sequence[str] = (),
    notation: Notation = PLAIN,
) -> Column:
    """A column of cells of any type that holds numbers or texts.

    :param title: File and column, for messages.
    :param place: Says where a row is, for messages.
    :param missing: Texts that stand for an empty cell, besides the empty one.
    :param notation: How numbers are written in texts: signs for decimals and thousands.
    :raises DatasetError: If the cells are of another type; the message names it and what helps.
    """
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    kind, flags = cells.type, pa.types.is_boolean(cells.type)
    if flags:
        cells, kind = cells.cast(pa.int8()), pa.int8()
    if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = np.array(cells.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        exact = None if pa.types.is_floating(kind) else lambda: np.array(cells.to_pylist(), object)
        return _of_numbers(name, numbers, title, place, missing, flags, exact)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _of_texts(name, cells, title, place, missing, notation)
    raise DatasetError(f"{title}: must hold numbers or texts, but got {kind}{_what_helps(kind)}")


def _what_helps(kind: pa.DataType) -> str:
    if pa.types.is_temporal(kind):
        return ": make it a number, such as the seconds since one day, or leave it out."
    if pa.types.is_nested(kind):
        return ": give each of its values a column of its own, or leave it out."
    return ": leave it out."


def _of_numbers(
    name: str,
    numbers: NDArray[np.float64],
    title: str,
    place: Callable[[int], str],
    missing: Sequence[str],
    flags: bool,
    stored: Callable[[], NDArray[Any]] | None,
) -> Column:
    """Cells that are stored as numbers; missing are also those whose number is one of the texts."""
    stand_ins = [number for text in missing if (number := PLAIN.number(text)) is not None]
    gone = np.isnan(numbers) | np.isin(numbers, stand_ins) if stand_ins else np.isnan(numbers)
    return Column(name, np.where(gone, np.nan, numbers), gone, title, place, flags=flags, stored=stored)


def _of_texts(
    name: str,
    cells: pa.ChunkedArray,
    title: str,
    place: Callable[[int], str],
    missing: Sequence[str],
    notation: Notation,
) -> Column:
    def written() -> NDArray[Any]:
        return np.asarray(_trimmed(cells).to_numpy(), dtype=object)

    if notation == PLAIN and all(PLAIN.number(text) is None for text in missing):
        numbers = _plain_numbers(cells)
        if numbers is not None:
            return Column(name, numbers, np.zeros(len(numbers), np.bool_), title, place, written)
        numbers, gone, words = _numbers_with_words(cells, missing)
        if numbers is not None:
            return Column(name, numbers, gone, title, place, written, words=words)
    encoded = _trimmed(cells).dictionary_encode().combine_chunks()
    codes = np.asarray(encoded.indices.to_numpy(), dtype=np.int64)
    texts: list[str] = encoded.dictionary.to_pylist()
    meant = meaning(texts, np.bincount(codes, minlength=len(texts)).tolist(), missing, notation)
    gone = np.array(meant.missing, np.bool_)[codes]
    if meant.numbers is not None:
        words = {
            text: np.flatnonzero(codes == number)
            for number, text in enumerate(texts)
            if meant.missing[number] and text.lower() in MISSING and text not in missing
        }
        return Column(name, np.array(meant.numbers)[codes], gone, title, place, written, meant.flags, words)
    odd = Odd(np.flatnonzero(np.isin(codes, meant.odd)), meant.is_wrong) if meant.odd else None
    values = np.where(gone, "", np.array(texts, object)[codes])
    return Column(name, values, gone, title, place, written, odd=odd)


def _plain_numbers(cells: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """The numbers where every cell is one, which most are and is seen fast."""
    try:
        numbers = np.array(cells.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        return None
    return None if np.isnan(numbers).any() else numbers


def _numbers_with_words(
    cells: pa.ChunkedArray, missing: Sequence[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.bool_], dict[str, NDArray[np.int64]]]:
    """The same where cells may be missing, too: numbers, which are missing, and the words that say so."""
    texts = _trimmed(cells)
    empty = _among(texts, ["", *missing])
    gone = empty | _among(compute.utf8_lower(texts), sorted(MISSING))
    try:
        masked = compute.if_else(pa.array(gone), None, texts).cast(pa.float64())
    except pa.ArrowInvalid:
        return None, gone, {}
    rows = np.flatnonzero(gone & ~empty)
    if gone.all() and len(rows):
        return None, gone, {}
    spelled = np.asarray(texts.take(pa.array(rows)).to_numpy(), dtype=object)
    return np.array(masked.to_numpy(), np.float64), gone, {word: rows[spelled == word] for word in sorted(set(spelled))}


def _among(texts: pa.ChunkedArray, words: Sequence[str]) -> NDArray[np.bool_]:
    found = compute.is_in(texts, value_set=pa.array(words, pa.large_string()))
    return np.asarray(found.to_numpy(), dtype=np.bool_)


def _trimmed(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    return compute.utf8_trim_whitespace(cells.cast(pa.large_string()).fill_null(""))
