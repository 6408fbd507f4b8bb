"""``python -m mtl_search.cli`` is ``mtl-search``."""

from mtl_search.cli.commands import program

program()
