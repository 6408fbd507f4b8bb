"""The entry point of the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mtl_search

HELP = Path(mtl_search.__file__).with_name("cli") / "help.txt"


def output(module: str, *arguments: str, **environment: str) -> str:
    code = (
        f"import sys; sys.argv = ['mtl-search', *{list(arguments)}]; from mtl_search.cli.{module} import main; main()"
    )
    command = [sys.executable, "-X", "utf8", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return done.stdout


def test_the_kept_help_is_that_of_the_commands() -> None:
    """`make help` writes it again."""
    assert HELP.read_text(encoding="utf-8") == output("commands", "--help", COLUMNS="80")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_printed_without_loading_what_renders_it(option: str) -> None:
    assert output("launch", option) == HELP.read_text(encoding="utf-8")
    code = f"import sys; sys.argv = ['mtl-search', '{option}']; from mtl_search.cli.launch import main; main()"
    code += "; heavy = {'typer', 'rich', 'torch', 'typing'} & set(sys.modules); assert not heavy, heavy"
    subprocess.run(
        [sys.executable, "-S", "-X", "utf8", "-c", code], check=True, capture_output=True, cwd=HELP.parents[2]
    )


def test_other_commands_are_handed_on() -> None:
    assert mtl_search.__version__ in output("launch", "--version")
    assert "What can be used by name" in output("launch", "list", "--help")
