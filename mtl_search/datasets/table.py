"""A table of the user's own: CSV or Parquet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._columns import Declared, declared_tasks, label, table_inputs
from mtl_search.datasets._own import own_dataset
from mtl_search.datasets._splits import split_columns, split_rows
from mtl_search.datasets._tables import Table, read_table
from mtl_search.errors import DatasetError, FieldError


@dataclass(frozen=True)
class TableFile(DatasetSource):
    """The user's own table, CSV or Parquet: columns are inputs and tasks.

    Inputs are a feature for each column of numbers, and one for each category of a column of texts (one-hot, of the
    categories of the training rows; another one has zeros in all of them).

    :param file: The file: ``.parquet``, or CSV in UTF-8 with a header.
    :param tasks: A list of columns, whose kinds are then found from the data; or a mapping from the name of a task to
        its kind, or to a mapping of ``kind``, ``column`` or ``columns``, and options of the kind. ``classes`` may be a
        list of texts. Empty cells are missing labels.
    :param inputs: Columns; all that are no task and no split if left out.
    :param split: Name of a column of ``train``, ``val`` and ``test``; ``{file: splits.csv}``; ``{train: [0, 1], ...}``;
        or ``{val: 0.15, test: 0.15, seed: 0, stratify: task, group: column}`` to draw them.
    :param missing: Texts that stand for an empty cell.
    :param missing_inputs: What fills empty inputs: the training ``mean``, or ``zero``; refused if left out.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in ``.tsv``.
    """

    name = "table"
    file: str
    tasks: list[Any] | dict[Any, Any]
    inputs: list[str] | None = None
    split: Any = None
    missing: tuple[str, ...] = ()
    missing_inputs: Literal["mean", "zero"] | None = None
    separator: str | None = None

    def load(self) -> Dataset:
        declared = declared_tasks(self.tasks)
        if self.separator is not None and len(self.separator) != 1:
            raise FieldError("dataset.separator", "must be one character", self.separator)
        table = read_table(Path(self.file), self.missing, self.separator)
        names = self._input_columns(table, declared)
        labelled = [label(one, [table.column(name, one.key) for name in one.columns]) for one in declared]
        rows = split_rows(self.split, table, labelled)
        columns = [table.column(name, "dataset.inputs") for name in names]
        inputs = table_inputs(columns, rows["train"], self.missing_inputs)
        return own_dataset(self.name, table.path, inputs.values, labelled, rows, inputs.found)

    def _input_columns(self, table: Table, declared: tuple[Declared, ...]) -> list[str]:
        """The columns that are inputs."""
        of_task = {name: one.name for one in declared for name in one.columns}
        of_split = split_columns(self.split, table.columns)
        if self.inputs is None:
            left = [name for name in table.columns if name not in of_task and name not in of_split]
            if "" in left:
                number = table.columns.index("")
                raise DatasetError(f"{table.path}: column {number} has no name: give it one, or name the `inputs`.")
            return left
        for name in self.inputs:
            if self.inputs.count(name) > 1:
                raise FieldError("dataset.inputs", "must name each column once", name)
            if name in of_task:
                rule = f"must not name a column that task `{of_task[name]}` is to predict"
                raise FieldError("dataset.inputs", rule, name)
            if name in of_split:
                raise FieldError("dataset.inputs", "must not name the column that `dataset.split` names", name)
        return self.inputs
