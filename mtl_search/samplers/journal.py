"""The journal of a search: a file of JSON lines, in which what belongs together is one write.

Optuna's own backend takes a lock, waits for the disk and reads its file again for every single parameter. The file is
the same, and another process can read it at any time.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl_search.errors import StorageError, UserError
from mtl_search.internal.files import append_line, cut_torn_line, write_text
from mtl_search.internal.reading import read_text

LIMIT = 2**28
"""Bytes of a journal that are read. Ten thousand trials of fifty parameters have half of that."""


class Journal:
    """The journal at a path, for a process that is alone with its folder.

    :param path: Path of the file. One that is not there, is empty or cannot be read begins anew with the next write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """Why it cannot be read; empty if it can."""
        self.unread: list[str] = []
        self.unwritten: list[str] = []
        self.is_new = self.held = False
        try:
            text = read_text(path, LIMIT, follow=False) if path.exists() else ""
            self.unread = text[: text.rfind("\n") + 1].splitlines()
        except UserError as error:
            self.problem = str(error)
        if not self.unread:
            self.begin_anew()
        else:
            cut_torn_line(path)

    def begin_anew(self) -> None:
        """Forget what it holds; the file is replaced in one step, at the end of the next :meth:`in_one_write`."""
        self.unread, self.unwritten = [], []
        self.is_new = self.held = True

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """What the storage has not read: the file once, then what was appended since."""
        lines, self.unread = self.unread, []
        return map(json.loads, lines)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations of the storage."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self.unread += lines
        self.unwritten += lines
        if not self.held:
            self._write()

    @contextmanager
    def in_one_write(self) -> Iterator[None]:
        """What is appended in here is written at the end, if it comes to that.

        :raises StorageError: If it cannot be written.
        """
        self.held = True
        try:
            yield
        finally:
            self.held = False
        self._write()

    def _write(self) -> None:
        text, self.unwritten = "".join(f"{line}\n" for line in self.unwritten), []
        try:
            (write_text if self.is_new else append_line)(self.path, text)
        except OSError as error:
            raise StorageError(self.path.parent, error) from error
        self.is_new = False
