"""What the experiment says of the user's own tables: their tasks, and how numbers are written.

A task is declared by its name alone, by its kind, or by a mapping of ``kind``, ``column`` or ``columns``, and options
of the kind.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl_search.datasets._tables import Notation
from mtl_search.errors import DatasetError, FieldError, UserError, suggestion
from mtl_search.internal.registry import TASKS
from mtl_search.tasks import Task, make_task

FOLLOW = ("name", "names", "labels", "size", "mean", "deviation", "weights")
"""Fields of tasks that are no options, for they follow from the columns."""


@dataclass(frozen=True)
class Declared:
    """A task as the experiment declares it.

    :param name: Name of the task.
    :param columns: Where its targets stand: the column of its own name, if nothing is said.
    :param kind: ``None`` to find it from the data.
    :param options: Options of the kind of task, as in the YAML.
    """

    name: str
    columns: tuple[str, ...]
    kind: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where it stands in the experiment, for messages."""
        return f"dataset.tasks.{self.name}"

    def make(self, kind: str, options: Mapping[str, Any]) -> Task:
        """The task.

        :raises UserError: If there is no such kind, or an option breaks a rule; the message names the key.
        """
        try:
            return make_task(kind, self.name, **options)
        except UserError as error:
            raise UserError(f"`{self.key}`: {error}") from error


def declared_tasks(tasks: Sequence[Any] | Mapping[Any, Any], word: str = "column") -> tuple[Declared, ...]:
    """The tasks that ``dataset.tasks`` declares: a list of names, or a mapping from each to what it is.

    :param word: What their targets stand in, as a key: ``column``, and ``columns`` for several.
    :raises FieldError: If there is none, one stands twice, or one is declared in another form.
    """
    if not tasks:
        raise FieldError("dataset.tasks", "must name at least one task", tasks)
    names = list(tasks)
    for name in names:
        if not isinstance(name, str):
            raise FieldError("dataset.tasks", "must have names that are words", name)
        if names.count(name) > 1:
            raise FieldError("dataset.tasks", "must name each task once", name)
    given = tasks if isinstance(tasks, Mapping) else dict.fromkeys(names)
    return tuple(_declared(name, given[name], word) for name in names)


def expanded(tasks: Any, columns: Sequence[str], source: object) -> list[Any] | Mapping[Any, Any]:
    """Tasks of which patterns are replaced by the columns that they stand for: ``label_*`` by all that begin so.

    :param tasks: A pattern, a list of names and patterns, or a mapping, which is left as it is.
    :param columns: Names of the columns, one of which a pattern is not looked at for.
    :param source: What has the columns, for messages.
    :raises UserError: If a pattern fits no column.
    """
    if isinstance(tasks, Mapping):
        return tasks
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    found = [matching(name, columns, "dataset.tasks", source) if isinstance(name, str) else [name] for name in names]
    return list(dict.fromkeys(one for those in found for one in those)) if _has_patterns(names, columns) else names


def matching(name: str, columns: Sequence[str], key: str, source: object) -> list[str]:
    """The columns that a name or a pattern of ``*`` and ``?`` stands for; a name as it is.

    :raises DatasetError: If a pattern fits no column.
    """
    if not _is_pattern(name, columns):
        return [name]
    found = [column for column in columns if fnmatch.fnmatchcase(column, name)]
    if not found:
        raise DatasetError(f"{source}: has no column that `{name}` of `{key}` fits.{suggestion(name, columns)}")
    return found


def _has_patterns(names: Sequence[Any], columns: Sequence[str]) -> bool:
    return any(isinstance(name, str) and _is_pattern(name, columns) for name in names)


def _is_pattern(name: str, columns: Sequence[str]) -> bool:
    return ("*" in name or "?" in name) and name not in columns


def _declared(name: str, given: Any, word: str) -> Declared:
    key, several = f"dataset.tasks.{name}", f"{word}s"
    if given is None or isinstance(given, str):
        return Declared(name, (name,), _kind(given, key))
    if not isinstance(given, Mapping):
        raise FieldError(key, f"must be a kind, or a mapping of `kind`, `{word}` and options", given)
    if word in given and several in given:
        raise FieldError(key, f"must have `{word}` or `{several}`, not both", dict(given))
    columns = given.get(several, [given.get(word, name)])
    if not isinstance(columns, list | tuple) or not columns or not all(isinstance(one, str) for one in columns):
        raise FieldError(f"{key}.{several}", "must be a list of names", columns)
    if len(set(columns)) < len(columns):
        raise FieldError(f"{key}.{several}", "must name none twice", columns)
    options = {option: value for option, value in given.items() if option not in ("kind", word, several)}
    for option in FOLLOW:
        if option in options:
            raise FieldError(f"{key}.{option}", "follows from the data and must be left out", options[option])
    return Declared(name, tuple(columns), _kind(given.get("kind"), f"{key}.kind"), options)


def _kind(given: Any, key: str) -> str | None:
    if given is not None and not isinstance(given, str):
        raise FieldError(key, "must be a kind of task", given)
    try:
        if given is not None:
            TASKS.check(given)
    except UserError as error:
        raise UserError(f"`{key}`: {error}") from error
    return given


def notation_of(separator: str | None, decimal: str, thousands: str | None) -> Notation:
    """How cells and the numbers in them are written.

    :raises FieldError: If one of the three is no single character, or two are the same that must differ.
    """
    for key, given in (("separator", separator), ("decimal", decimal), ("thousands", thousands)):
        if given is not None and len(given) != 1:
            raise FieldError(f"dataset.{key}", "must be one character", given)
    for key, given in (("decimal", decimal), ("thousands", thousands)):
        if given is not None and (given.isalnum() or given in "+-"):
            raise FieldError(f"dataset.{key}", "must be a character that no digits and signs are", given)
    if decimal == thousands:
        raise FieldError("dataset.thousands", "must be another character than `decimal`", thousands)
    return Notation(decimal, thousands)
