"""Tables of what benchmarks measure: printed to be read, and kept as CSV with commit, processor and date.

The committed ones are in ``benchmarks/results/``: ``<script>.csv``, or ``<script>-<table>.csv`` where a script has
several. What nobody noted is empty. Of rows that were noted before there were these files the commit and the day are
those of the note, which are not before those of the measuring.
"""

import argparse
import csv
import functools
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

DIGITS = 12
"""Of a commit's 40: so many name one of a million commits."""
ORIGIN = ("commit", "processor", "date")
"""Columns of every CSV, after its own: of the source, of the machine, and of the day."""


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--csv``."""
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help="also write the tables to CSV files in this folder")


class Table:
    """A table that grows by rows, each printed at once, and written too where there is a folder.

    :param columns: Name of each column -> how its values are formatted, texts aside; a unit stands in the name.
    :param folder: Folder of the CSV file, which is written anew; ``None`` to print only.
    :param name: Name of the table, where the script has several.
    :param same: Columns that stand in the CSV file only, for all rows the same -> their values.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        folder: Path | None,
        name: str = "",
        same: Mapping[str, object] | None = None,
    ) -> None:
        self.columns, self.same = columns, dict(same or {})
        script = Path(sys.argv[0]).stem
        self.path = folder and folder / f"{f'{script}-{name}' if name else script}.csv"
        print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text("", encoding="utf-8")
            self._write([*self.same, *columns, *ORIGIN])

    def add(self, *values: object) -> None:
        """Print a row, and write it."""
        pairs = zip(values, self.columns.values(), strict=True)
        texts = [value if isinstance(value, str) else format(value, spec) for value, spec in pairs]
        print(f"| {' | '.join(texts)} |", flush=True)
        if self.path is not None:
            self._write([*map(str, self.same.values()), *texts, *origin()])

    def _write(self, cells: list[str]) -> None:
        assert self.path is not None
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(cells)


@functools.cache
def origin() -> tuple[str, str, str]:
    """Commit of the source, with ``+changes`` where files differ from it; processor; today."""
    from mtl_search.runs.environment import describe_environment, source_revision  # heavy: some scripts time imports

    revision = source_revision() or ""
    return revision[:DIGITS] + revision[40:], describe_environment(0)["hardware"]["processor"], date.today().isoformat()
