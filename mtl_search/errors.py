"""The errors of the package.

::

    MTLSearchError
    ├── UserError (also a ValueError)   what the user gave is wrong; the command line ends with status 2
    │   ├── FieldError                  one field of one object breaks a rule
    │   ├── UnknownNameError            a name that nothing is registered under
    │   ├── ExperimentError             an experiment file: file, dotted key, rule, what was found
    │   ├── DatasetError                a dataset that cannot be read or found
    │   ├── RunFolderError              a run's folder that cannot be used or read
    │   └── ChangedError                a run that is to go on with something else than it began with
    ├── CheckpointError                 a checkpoint that is not one of the training that is to go on from it
    ├── DivergedError                   a training whose loss is no longer finite
    ├── StorageError                    a run's folder can no longer be written: a full disk
    ├── StreamError                     standard output cannot be written: a full disk
    ├── ClusterError                    the Ray cluster that does the trainings did not start, or is lost
    ├── AllFailedError                  a search given up because all of its trials failed alike
    └── SearchInterruptedError          a search stopped by a signal before its last trial
"""

import difflib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from mtl_search.internal.characters import LONG, cut, printable

MOST = 200
"""Characters of a name or a value in a message; of a longer one only the beginning helps."""
LONGEST_REASON = 500
"""Characters of why a trial failed, as its table has it: the first sentences of an exception, in one cell."""
ALIKE = 0.5
"""How like an unknown name a valid one must be to be offered: half of the letters. Less is another name."""
LISTED = 50
"""Valid names in a message: all that come with the package, and of the columns of a wide table the first ones."""


class MTLSearchError(Exception):
    """Whatever this package raises on purpose. Its message can be shown anywhere, whatever files it quotes."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class UserError(MTLSearchError, ValueError):
    """The input breaks a rule. The message names it, the rule, and what was found."""


class FieldError(UserError):
    """One field breaks a rule.

    :param field: Name of the field, as it stands in YAML and JSON.
    :param rule: What must hold, as the rest of the sentence "`field` ...".
    :param found: The value that breaks the rule.
    """

    def __init__(self, field: str, rule: str, found: object) -> None:
        super().__init__(f"`{printable(field)}` {rule}, but got {cut(repr(found), MOST)}.")
        self.field = field
        self.rule = rule
        self.found = found


class UnknownNameError(UserError):
    """A name that nothing is registered under; the message says which valid name is nearest."""

    def __init__(self, kind: str, name: object, valid: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.valid = sorted(valid)
        shown = cut(printable(str(name)), MOST)
        super().__init__(f"there is no {kind} `{shown}`.{suggestion(name, self.valid)}")


class ExperimentError(UserError):
    """An experiment that cannot be run as it is written."""


class DatasetError(UserError):
    """A dataset that cannot be found or read."""


class RunFolderError(UserError):
    """A run's folder that cannot be used or read."""


class ChangedError(UserError):
    """A run is to go on, and what its trials depend on is not what it was.

    :param path: Path of the run's folder.
    :param differences: What has changed, each as ``what: before -> now``.
    """

    def __init__(self, path: object, differences: Iterable[str]) -> None:
        listed = "".join(f"\n  {one}" for one in differences)
        super().__init__(
            f"{path}: cannot go on, for it would mix trials that were made differently:{listed}\n"
            "Restore what has changed, or say --allow-changes to go on in spite of it; it is then noted in "
            "environment.json."
        )


class CheckpointError(MTLSearchError):
    """A checkpoint is damaged, or of another training than the one that is to go on from it."""


class DivergedError(MTLSearchError):
    """The loss of a training is no longer finite.

    :param step: The first step (counted from 1) whose loss was not finite.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"training diverged: the loss was not finite at step {step}")
        self.step = step


class StorageError(MTLSearchError):
    """A run's folder can no longer be written. What was written before is whole.

    :param path: Path of the folder that can no longer be written.
    :param cause: What the system says.
    :param command: What goes on with it; ``None`` if nothing does.
    """

    def __init__(self, path: object, cause: OSError, command: str | None = "resume") -> None:
        what = f" ({cause.filename})" if cause.filename else ""
        when = "there is room" if cause.errno in (errno.ENOSPC, errno.EDQUOT) else "it can be"
        goes_on = f"; once {when}, go on with: mtl-search {command} {path}" if command else "."
        super().__init__(
            f"{path}: can no longer be written: {cause.strerror}{what}. What was written before is whole{goes_on}"
        )


class StreamError(MTLSearchError):
    """Standard output cannot be written."""


class ClusterError(MTLSearchError):
    """The Ray cluster that does the trainings did not start, or is lost."""


class AllFailedError(MTLSearchError):
    """A search given up because all of its trials failed alike.

    :param count: Number of trials that failed.
    :param reason: The reason that all of them failed for.
    """

    def __init__(self, count: int, reason: str) -> None:
        super().__init__(f"given up: all of the first {count} trials failed alike: {reason}")


class SearchInterruptedError(MTLSearchError):
    """A search was stopped by a signal before its last trial."""


def reason_of(error: BaseException) -> str:
    """An exception as one line, as it stands in the table of trials."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return printable(f"{name}: {text[:LONGEST_REASON]}" if text else name)


def suggestion(name: object, valid: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest valid one, and all of them, of many the first."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(str(name)[:MOST], names, n=1, cutoff=ALIKE)
    hint = f" Did you mean `{cut(printable(nearest[0]), MOST)}`?" if nearest else ""
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f"{hint} Valid: {', '.join(cut(printable(one)) for one in names[:LISTED])}{more}."


def no_such_file(path: Path) -> str:
    """A sentence about a file that is not there: the nearest one beside it, or that its folder is missing, too;
    or about something else that is there in its place.
    """
    if os.path.exists(path):
        return "it is no ordinary file."
    return _not_there("file", path, lambda beside: beside.name)


def shown_path(path: object) -> str:
    """A path in a message: on one line, and of a very long one the beginning."""
    return cut(printable(str(path)), LONG)


def existing_folder(path: str | Path) -> Path:
    """A folder that a user named.

    :raises RunFolderError: If it is not there, or no folder.
    """
    if not os.path.isdir(path):  # of a name that is too long, Path.is_dir raises an error
        raise RunFolderError(f"{shown_path(path)}: {no_such_folder(Path(path))}")
    return Path(path)


def existing_file(path: str | Path) -> Path:
    """A file that a user named.

    :raises UserError: If it is not there, or no file.
    """
    if not os.path.isfile(path):  # of a name that is too long, Path.is_file raises an error
        what = "it is a folder, not a file." if os.path.isdir(path) else no_such_file(Path(path))
        raise UserError(f"{shown_path(path)}: {what}")
    return Path(path)


def no_such_folder(path: Path) -> str:
    """The same about a folder, or that it is a file."""
    if os.path.exists(path):
        return "it is a file, not a folder."
    return _not_there("folder", path, str, Path.is_dir)


def _not_there(kind: str, path: Path, shown: Callable[[Path], str], fits: Callable[[Path], bool] = Path.exists) -> str:
    """:param fits: Whether what lies beside it can have been meant."""
    if not os.path.isdir(path.parent):  # of a name that is too long, Path.is_dir raises an error
        return f"there is no such {kind}, and no folder {shown_path(path.parent)}."
    beside = [one.name for one in path.parent.iterdir() if fits(one)]
    nearest = difflib.get_close_matches(path.name, beside, n=1, cutoff=ALIKE)
    near = f" Did you mean `{printable(shown(path.parent / nearest[0]))}`?" if nearest else ""
    return f"there is no such {kind}.{near}"
