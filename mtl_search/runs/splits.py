"""``splits.csv``: the split of every row, of data in a file of the user's own."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtl_search.internal.layout import (
    SPLITS,
)
from mtl_search.runs.rows import read_table

SPLITS_LIMIT = 2**30
"""Bytes of ``splits.csv``: sixty million rows."""


def splits_text(rows: Mapping[str, Collection[Any]]) -> str:
    """``splits.csv``: a line per row, with its split.

    :param rows: Split -> its rows.
    """
    filled = {split: np.asarray(chosen) for split, chosen in rows.items() if len(chosen)}
    row = np.concatenate(list(filled.values()))
    split = np.repeat(list(filled), [len(chosen) for chosen in filled.values()])
    return pd.DataFrame({"row": row, "split": split}).sort_values("row").to_csv(index=False, lineterminator="\n")


def changed_splits(path: Path, rows: Mapping[str, Collection[Any]]) -> list[str]:
    """In what the splits of a dataset are not those of a run's folder, each as ``what: before -> now``; the first one.

    :param rows: Split -> its rows, of the dataset.
    """
    file = path / SPLITS
    if not file.exists() or (rows and splits_text(rows).encode() == file.read_bytes()):
        return []
    before = {row["row"]: row["split"] for _, row in read_table(file, ["row", "split"], SPLITS_LIMIT).rows}
    now = {str(row): split for split, chosen in rows.items() for row in chosen}
    rows_of_both = list(dict.fromkeys([*before, *now]))
    changed = [row for row in rows_of_both if before.get(row) != now.get(row)]
    if not changed:
        return []
    first = changed[0]
    more = f", and of {len(changed) - 1:,} more" if len(changed) > 1 else ""
    return [f"the split of row {first}: {before.get(first, 'none')} -> {now.get(first, 'none')}{more}"]
