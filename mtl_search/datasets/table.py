"""A table of the user's own: CSV, JSON lines, Parquet or Feather."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mtl_search.datasets import Dataset, DatasetSource
from mtl_search.datasets._columns import label
from mtl_search.datasets._declared import Declared, declared_tasks, expanded, matching, notation_of
from mtl_search.datasets._features import table_inputs
from mtl_search.datasets._own import own_dataset
from mtl_search.datasets._splits import split_columns, split_rows
from mtl_search.datasets._tables import Table, notes_of, read_table
from mtl_search.errors import DatasetError, FieldError, suggestion


@dataclass(frozen=True)
class TableFile(DatasetSource):
    """The user's own table: columns are inputs and tasks.

    Inputs are a feature for each column of numbers or of words for yes and no, and one for each category of a column of
    texts (one-hot, of the categories of the training rows; another one has zeros in all of them).

    :param file: The file: CSV in UTF-8 or UTF-16 with a header, JSON lines (``.jsonl``), either of them compressed or
        not (gz, bz2, xz, zip); Parquet or a folder of it, or Feather.
    :param tasks: A list of columns, whose kinds are then found from the data, and of patterns of columns,
        ``label_*``; or a mapping from the name of a task to its kind, or to a mapping of ``kind``, ``column`` or
        ``columns``, and options of the kind. ``classes`` may be a list of texts. Empty cells are missing labels.
    :param inputs: Columns; all that are no task, no split and not excluded if left out.
    :param exclude: Columns, or patterns of columns, that are no inputs: numbers of customers, remarks.
    :param split: Name of a column of ``train``, ``val`` and ``test``; ``{file: splits.csv}``; ``{train: [0, 1], ...}``;
        or ``{val: 0.15, test: 0.15, seed: 0, stratify: task, group: column}`` to draw them.
    :param missing: Texts that stand for an empty cell.
    :param missing_inputs: What fills empty inputs: the training ``mean``, or ``zero``; refused if left out.
    :param separator: Between the cells of a CSV file; a comma if left out, a tabulator in ``.tsv``.
    :param decimal: What stands before the decimals of numbers: ``","`` in most of Europe.
    :param thousands: What stands between groups of three digits.
    :param categories: Columns of inputs whose numbers are names: a category each.
    """

    name = "table"
    file: str
    tasks: list[Any] | dict[Any, Any] | str
    inputs: list[str] | None = None
    exclude: tuple[str, ...] = ()
    split: Any = None
    missing: tuple[str, ...] = ()
    missing_inputs: Literal["mean", "zero"] | None = None
    separator: str | None = None
    decimal: str = "."
    thousands: str | None = None
    categories: tuple[str, ...] = ()

    def load(self) -> Dataset:
        if not isinstance(self.tasks, str):
            declared_tasks(self.tasks)  # what is wrong without the table is told before it is read
        notation = notation_of(self.separator, self.decimal, self.thousands)
        return self.of(read_table(Path(self.file), self.missing, self.separator, notation))

    def of(self, table: Table) -> Dataset:
        """The dataset of a table that was read."""
        declared = declared_tasks(expanded(self.tasks, table.columns, table.path))
        names = self._input_columns(table, declared)
        of_tasks = {one.name: [table.column(name, one.key) for name in one.columns] for one in declared}
        labelled = [label(one, of_tasks[one.name]) for one in declared]
        rows = split_rows(self.split, table, labelled)
        columns = [table.column(name, "dataset.inputs") for name in names]
        inputs = table_inputs(columns, rows["train"], self.missing_inputs, self.categories)
        read = [*columns, *(column for those in of_tasks.values() for column in those)]
        used = {*(column.name for column in read), *split_columns(self.split, table.columns)}
        notes = [*notes_of(read), *inputs.notes, *_index_notes(table, used)]
        found = {**inputs.found, **({"notes": notes} if notes else {})}
        made = own_dataset(self.name, table.path, inputs.values, labelled, rows, found, inputs.centre)
        return replace(made, columns=[asdict(column) for column in inputs.columns])

    def _input_columns(self, table: Table, declared: tuple[Declared, ...]) -> list[str]:
        """The columns that are inputs."""
        of_task = {name: one.name for one in declared for name in one.columns}
        of_split = split_columns(self.split, table.columns)
        excluded = self._excluded(table)
        if self.inputs is None:
            others = {*of_task, *of_split, *table.index, *excluded}
            left = [name for name in table.columns if name not in others]
            if "" in left:
                number = table.columns.index("")
                raise DatasetError(
                    f"{table.path}: column {number} has no name, as an index that pandas writes has none: give it one, "
                    "or name the `inputs`."
                )
            if not left:
                raise DatasetError(f"{table.path}: has no column that is left as an input, besides tasks and splits.")
            return self._with_categories(left)
        seen: set[str] = set()
        for name in self.inputs:
            if name in seen:
                raise FieldError("dataset.inputs", "must name each column once", name)
            seen.add(name)
            if name in of_task:
                rule = f"must not name a column that task `{of_task[name]}` is to predict"
                raise FieldError("dataset.inputs", rule, name)
            if name in of_split:
                raise FieldError("dataset.inputs", "must not name the column that `dataset.split` names", name)
        return self._with_categories(self.inputs)

    def _excluded(self, table: Table) -> list[str]:
        """The columns that `exclude` names."""
        if self.exclude and self.inputs is not None:
            raise FieldError("dataset.exclude", "must be left out where `inputs` names the columns", list(self.exclude))
        found = [
            name for given in self.exclude for name in matching(given, table.columns, "dataset.exclude", table.path)
        ]
        for name in found:
            if name not in table.columns:
                raise DatasetError(
                    f"{table.path}: has no column `{name}` for `dataset.exclude`.{suggestion(name, table.columns)}"
                )
        return found

    def _with_categories(self, inputs: list[str]) -> list[str]:
        """The inputs, where all that are said to be categories are some."""
        names = set(inputs)
        for name in self.categories:
            if name not in names:
                raise FieldError("dataset.categories", "must name columns that are inputs", name)
        return inputs


def _index_notes(table: Table, used: set[str]) -> list[str]:
    """Which columns are left out for they hold an index of pandas.

    :param used: Columns that are not left out.
    """
    return [
        f"{name} holds an index of pandas and is no input; name it in `inputs` if it is one"
        for name in table.index
        if name not in used
    ]
