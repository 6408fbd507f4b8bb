"""Columns of the user's own tables as inputs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl_search.datasets._input_columns import InputColumn
from mtl_search.datasets._inputs import centre_of, centred, loss_note
from mtl_search.datasets._tables import FEW, LARGEST_LABEL, Column, named, shown, yaml_text
from mtl_search.errors import DatasetError

LONGEST = 1000
"""Characters of a category, which is part of the name of a feature."""
FEWEST_ROWS = 3
"""Rows from which on a column can be said to count them."""
SPLIT_WORDS = frozenset(
    ("train", "training", "trn", "val", "valid", "validation", "dev", "test", "testing", "tst", "eval", "holdout")
)
"""Texts of a column that divides the rows, in small letters."""
SPLIT_NAMES = re.compile(
    r"(split|fold|partition|subset|set|phase|usage)(s|_?id|_?no|_?[0-9]+)?|k_?fold|is_?(train|test|val|valid|holdout)",
    re.IGNORECASE,
)
"""How columns are often named that divide the rows."""
INDEX = re.compile(r"Unnamed: [0-9]+(\.[0-9]+)?")
"""How pandas names columns without a name, as that of an index in CSV is."""


@dataclass(frozen=True)
class Inputs:
    """Columns as inputs.

    :param values: ``[rows, features]``, float32, less the centre.
    :param features: Names of the features, ``<column>`` or ``<column>=<category>``.
    :param centre: ``[features]``, what was subtracted before they became float32; ``None`` if that is 0 for all.
    :param filled: Column -> the number that stood for empty cells.
    :param unknown: Column -> rows with a category that no training row has.
    :param notes: What may not be meant, each as a sentence.
    :param columns: How the columns became features, for tables that are read later.
    """

    values: NDArray[np.float32]
    features: tuple[str, ...]
    centre: NDArray[np.float64] | None
    filled: Mapping[str, float]
    unknown: Mapping[str, int]
    notes: Sequence[str]
    columns: tuple[InputColumn, ...]

    @property
    def found(self) -> dict[str, Any]:
        """What is worth telling besides the notes, as plain data."""
        told = {"filled": dict(self.filled), "unknown_categories": dict(self.unknown)}
        return {"features": list(self.features), **{name: what for name, what in told.items() if what}}


def table_inputs(
    columns: Sequence[Column], training: NDArray[np.int64], missing: str | None, categories: Sequence[str] = ()
) -> Inputs:
    """Inputs of columns: a feature for each of numbers, and one for each category of those of texts (one-hot).

    Categories are those of the training rows, sorted; another one has zeros in all of them.

    :param training: Numbers of the training rows.
    :param missing: What stands for empty cells: the training ``mean``, ``zero``, or ``None`` to refuse them; for texts
        an empty cell has zeros in all categories.
    :param categories: Names of columns of numbers that are taken as texts.
    :raises DatasetError: For an empty cell where they are refused, one that is no finite number, texts among what are
        nearly all numbers, or a column with nearly as many texts as rows.
    """
    made = _Making(training, missing)
    for column in columns:
        if missing is None and column.missing.any():
            raise _empty(column, int(np.argmax(column.missing)))
        if column.name in categories:
            made.add_categories(column)
            continue
        column.check_categories(f"If it is a category, say `categories: [{yaml_text(column.name)}]`.")
        if column.is_text:
            made.add_categories(column)
        else:
            made.add_numbers(column)
    return made.inputs([*_hints(columns)])


class _Making:
    """The features of columns, added one after the other."""

    def __init__(self, training: NDArray[np.int64], missing: str | None) -> None:
        self.training, self.missing = training, missing
        self.parts: list[NDArray[np.float32]] = []
        self.columns: list[InputColumn] = []
        self.centres: list[float] = []
        self.filled: dict[str, float] = {}
        self.unknown: dict[str, int] = {}
        self.notes: list[str] = []

    def add_categories(self, column: Column) -> None:
        """A feature for each text of the training rows, sorted."""
        categories = tuple(_categories(column, self.training))
        others = ~column.missing & ~np.isin(column.texts.astype(str), categories)
        self.unknown |= {column.name: int(others.sum())} if others.any() else {}
        fills = None if self.missing is None else 0.0
        self.columns.append(InputColumn(column.name, categories, column.is_text, filled=fills))
        self.parts += [(column.texts == text).astype(np.float32) for text in categories]
        self.centres += [0.0] * len(categories)
        if column.odd is not None:
            row = int(column.odd.rows[0])
            found = f"`{shown(str(column.values[row]))}` ({column.place(row)}) is no number"
            self.notes.append(f"{column.name} is read as categories, one for each text, for {found}")

    def add_numbers(self, column: Column) -> None:
        """One feature, of which missing cells are filled."""
        told = InputColumn(column.name, flags=column.flags, filled=self._filling(column))
        values = told.values(column)[:, 0]
        self.columns.append(told)
        if column.missing.any() and told.filled is not None:
            self.filled[column.name] = told.filled
        centre = centre_of(values, values[self.training])
        self.parts.append(centred(values, centre))
        self.centres.append(centre)
        is_large = bool(centre) or np.abs(values).max() >= LARGEST_LABEL
        if is_large and (note := loss_note(column.name, column.different, self.parts[-1][~column.missing])):
            self.notes.append(note)

    def _filling(self, column: Column) -> float | None:
        """What stands for empty cells of a column of numbers; ``None`` where they are refused."""
        if self.missing is None:
            return None
        known = column.numbers()[self.training][~column.missing[self.training]]
        return float(known.mean()) if self.missing == "mean" and len(known) else 0.0

    def inputs(self, hints: Sequence[str]) -> Inputs:
        """All of them.

        :raises DatasetError: If there are none.
        """
        if not self.parts:
            raise DatasetError("`dataset.inputs` has no column that is left as an input.")
        centre = np.array(self.centres) if any(self.centres) else None
        notes = [*self.notes, *hints]
        features = tuple(name for column in self.columns for name in column.features)
        values = np.stack(self.parts, axis=1)
        return Inputs(values, features, centre, self.filled, self.unknown, notes, tuple(self.columns))


def _empty(column: Column, row: int) -> DatasetError:
    word = next((word for word, rows in column.words.items() if row in rows), None)
    read = "" if word is None else f" (`{word}` is read so)"
    return DatasetError(
        f"{column.place(row)}: is empty{read}; say `missing_inputs: mean` or `zero` to fill the empty inputs."
    )


def _categories(column: Column, training: NDArray[np.int64]) -> list[str]:
    """The texts of the training rows, sorted."""
    found = [str(text) for text in np.unique(column.texts[training].astype(str)) if text]
    if len(found) > FEW and 2 * len(found) > len(training):
        raise DatasetError(
            f"{column.title}: holds {len(found):,} different texts in {len(training):,} training rows, too many to be "
            f"categories, such as '{shown(found[0])}': leave it out of `dataset.inputs`."
        )
    longest = max(map(len, found), default=0)
    if longest > LONGEST:
        raise DatasetError(
            f"{column.title}: holds a text of {longest:,} characters, too long for a category: leave it out of "
            "`dataset.inputs`."
        )
    return found


def _hints(columns: Sequence[Column]) -> Iterator[str]:
    """Columns that are hardly meant as inputs, each as a sentence."""
    for chosen, what in ((counts_rows, "only counts the rows"), (_is_index, "is named as pandas names an index")):
        if found := [column.name for column in columns if chosen(column)]:
            yield f"{named(found)} {what}: if it is no input, name the `inputs` without it"
    for column in columns:
        if column.is_text and {text.lower() for text in column.present} <= SPLIT_WORDS:
            yield (
                f"{column.name} holds only names of splits and is an input: if it divides the rows, say "
                f"`split: {column.name}`"
            )
        elif SPLIT_NAMES.fullmatch(column.name) and len(np.unique(column.present.astype(str))) <= FEW:
            yield (
                f"{column.name} is an input and named as what divides the rows: if it does, name the `inputs` without "
                "it; `split` takes a column of `train`, `val` and `test`"
            )


def counts_rows(column: Column) -> bool:
    """Whether the cells are whole numbers in a row, such as 0, 1, 2, ..., one for each row in any order."""
    if column.is_text or column.flags or len(column) < FEWEST_ROWS or column.missing.any():
        return False
    ordered = np.sort(column.values)
    return np.array_equal(ordered, np.floor(ordered)) and bool((np.diff(ordered) == 1).all())


def _is_index(column: Column) -> bool:
    return INDEX.fullmatch(column.name) is not None and not counts_rows(column)
