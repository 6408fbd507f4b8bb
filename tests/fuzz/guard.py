"""Watches what a process does beyond a folder: writes, removes, runs, connects, imports. It cannot be taken off."""

import os
import sys
from typing import Any, Self

FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pty.spawn"}
FORBIDDEN |= {"socket.connect", "socket.bind", "urllib.Request", "os.chdir", "ctypes.dlopen"}
"""Events that no reading of a file is to cause."""

CHANGES = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.chmod": 1, "os.chown": 1, "os.truncate": 1, "os.utime": 1}
CHANGES |= {"os.rename": 2, "os.link": 2, "os.symlink": 2, "shutil.rmtree": 1, "shutil.move": 2, "os.setxattr": 1}
"""Event -> how many of its arguments, from the first one on, are paths that it changes; of links the second one is."""

CANARY = "fuzz_canary"
"""Name of a module beside the input, which may not be imported where the input is foreign."""


class Escaped(BaseException):
    """Something was about to be done beyond the folder. No ``except Exception`` stops it."""


class Guard:
    """Used as a context: stops what is done beyond a folder, and keeps what that was.

    :ivar folder: The folder; everything passes where it is empty.
    :ivar foreign: Whether the input may import nothing.
    :ivar escapes: What was stopped since the context began.
    """

    def __init__(self) -> None:
        self.folder, self.foreign, self.escapes, self._on = "", True, list[str](), False
        sys.addaudithook(self._hear)

    def __enter__(self) -> Self:
        self.escapes, self._on = [], self.folder != ""
        return self

    def __exit__(self, *error: object) -> None:
        self._on = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and self._is_beyond(event, arguments):
            told = f"{event} {' '.join(str(one)[:100] for one in arguments[:2])}"
            self.escapes.append(told)
            raise Escaped(told)

    def _is_beyond(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)) and self._is_outside(path, True)
        if event == "import":
            return self.foreign and arguments[0].partition(".")[0] == CANARY
        if event in CHANGES:
            follows = event in ("os.chmod", "os.chown", "os.truncate", "os.utime")
            paths = arguments[event in ("os.link", "os.symlink") : CHANGES[event]]
            return any(self._is_outside(path, follows) for path in paths)
        return event in FORBIDDEN

    def _is_outside(self, path: Any, follows: bool) -> bool:
        """Whether a path leads out of the folder; of what is not followed the folder that it is in counts."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file
        text = os.path.abspath(os.fsdecode(path))
        real = os.path.realpath(text) if follows else os.path.join(os.path.realpath(os.path.dirname(text)), "x")
        return real != os.devnull and not f"{real}/".startswith(f"{self.folder}/")
