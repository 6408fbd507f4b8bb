"""What the README and the pages of docs/ show, followed as a newcomer would: files, Python, then commands."""

import re
import runpy
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mtl_search.cli.commands import main

ROOT = Path(__file__).parents[1]
Block = tuple[str, str]
"""The language of a block, empty for commands, and its text."""


def page(name: str) -> str:
    """The text of a page, by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, languages: str = "python|yaml|") -> list[Block]:
    """The blocks of a text, in their order."""
    return re.findall(rf"^```({languages})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def sections(text: str) -> dict[str, list[Block]]:
    """Title of each section of the second level -> its blocks."""
    return {part.partition("\n")[0]: blocks(part) for part in text.split("\n## ")[1:]}


def commands(text: str) -> list[str]:
    """The lines of a block of commands, without what is remarked at their ends."""
    return [line for line in (re.sub(r"\s+# .*", "", line).strip() for line in text.splitlines()) if line]


def follow(found: Iterable[Block], patched: pytest.MonkeyPatch, more: dict[str, str] | None = None) -> None:
    """Do what blocks say, in the current folder.

    A block whose first line is ``# name.yaml`` or ``# name.py`` is written into that file; other Python is run.

    :param more: What a command begins with -> options that are added to make it short.
    """
    patched.setattr(sys, "path", list(sys.path))
    for language, block in found:
        name = re.match(r"# ([\w-]+\.(py|yaml))\n", block)
        if name is not None:
            Path(name[1]).write_text(block, encoding="utf-8")
            patched.setitem(sys.modules, name[1].removesuffix(".py"), None)  # forgotten again after the test
            del sys.modules[name[1].removesuffix(".py")]
        elif language == "python":
            exec(compile(block, "block of a page", "exec"), {"__name__": "__main__"})
        else:
            assert not language, f"a block of {language} has no name: {block}"
            for line in commands(block):
                added = [options for start, options in (more or {}).items() if line.startswith(start)]
                assert_succeeds(" ".join([line, *added]), patched)


def assert_succeeds(line: str, patched: pytest.MonkeyPatch) -> None:
    """A command line ends with status 0, run in this process."""
    program, *arguments = shlex.split(line)
    if program == "python":
        with patched.context() as within:
            within.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
        return
    assert program == "mtl-search"
    assert status(patched, *arguments) in (0, None), line


def status(patched: pytest.MonkeyPatch, *arguments: str) -> Any:
    """The exit status of a command, run in this process."""
    patched.setattr(sys, "argv", ["mtl-search", *arguments])
    patched.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code
