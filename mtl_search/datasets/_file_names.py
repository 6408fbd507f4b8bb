"""Files that a table names, found in their folder, whichever system has written their names."""

import difflib
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from mtl_search.datasets._tables import Column
from mtl_search.errors import DatasetError
from mtl_search.internal.characters import LINE

COMPARED = 2_000
"""Names of a folder that one that is not there is compared with, letter by letter: it takes up to 0.1 s."""


class NamedFiles:
    """Finds files of a folder by their names.

    A name may have backslashes for slashes, as Windows writes them, and its accents as letters of their own or not, as
    a Mac and others do (NFD, NFC). Upper and lower case have to be right.

    :param root: The folder; no file outside of it is found, wherever links lead.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.inside = root, Path(os.path.realpath(root))
        self.listings: dict[Path, dict[str, list[str]]] = {}

    def of(self, column: Column) -> list[Path | None]:
        """The files that a column names, ``None`` for an empty cell.

        :raises DatasetError: If one is not there, or not in the folder; the message names the row.
        """
        found: list[Path | None] = []
        for row, name in enumerate(column.texts):
            with of_row(column, row):
                found.append(None if column.missing[row] else self.find(name))
        return found

    def find(self, name: str) -> Path:
        """The file of that name.

        :param name: Path of the file from the folder.
        :raises DatasetError: If it is not there, or not in the folder.
        """
        try:
            for written in dict.fromkeys((name, name.replace("\\", "/"))):
                self._refuse_outside(self.root / written, name)
                if (self.root / written).is_file():
                    return self.root / written
                if (alike := self._alike(written)) is not None:
                    self._refuse_outside(alike, name)
                    return alike
            raise DatasetError(self._missing(name.replace("\\", "/") if "/" not in name else name))
        except DatasetError:
            raise
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DatasetError(f"must be the name of a file, but got {name[:LINE]!r}: {reason}.") from error

    def _refuse_outside(self, path: Path, name: str) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(self.inside):
            raise DatasetError(f"must be a file in `dataset.root`, but {name!r} is outside of it.")

    def _alike(self, written: str) -> Path | None:
        """The file whose name is the same text in another form of Unicode, folder by folder."""
        path = self.root
        for part in Path(written).parts:
            others = self._listing(path).get(unicodedata.normalize("NFC", part), [part])
            if len(others) > 1 and part not in others:
                raise DatasetError(
                    f"must be the name of one file, but {written!r} may be each of {len(others)} in {path} that differ "
                    "by their form of Unicode alone."
                )
            path /= part if part in others else others[0]
        return path if path.is_file() else None

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder, by their composed form."""
        if folder not in self.listings:
            names = self.listings[folder] = {}
            for name in os.listdir(folder) if folder.is_dir() else ():
                names.setdefault(unicodedata.normalize("NFC", name), []).append(name)
        return self.listings[folder]

    def _missing(self, name: str) -> str:
        """The message about a file that is not there."""
        path = self.root / name
        if path.exists():
            return f"there is no file {path}. {'It is a folder' if path.is_dir() else 'It is a pipe or a device'}."
        gone = path
        while not gone.parent.is_dir():
            gone = gone.parent
        names = [one for several in self._listing(gone.parent).values() for one in several]
        folder = "" if gone == path else f" There is no folder {gone}."
        return f"there is no file {path}.{folder}{_nearest(gone.name, names)}"


def _nearest(name: str, names: list[str]) -> str:
    """The end of a message about a name that is not among those that are there."""
    for other in names:
        if other.casefold() == name.casefold():
            return f" Did you mean `{other}`? Upper and lower case differ."
    nearest = difflib.get_close_matches(name, islice(names, COMPARED), n=1, cutoff=0.5)
    return f" Did you mean `{nearest[0]}`?" if nearest else ""


@contextmanager
def of_row(column: Column, row: int) -> Iterator[None]:
    """Say in errors of a file which row has named it."""
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{column.place(row)}: {error}") from error
