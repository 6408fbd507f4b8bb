"""The command that shows a run live in a browser."""

import sys
from typing import Annotated

import typer

from mtl_search.cli.application import RunArgument
from mtl_search.cli.printing import say


def watch(
    run: RunArgument,
    port: Annotated[int | None, typer.Option(help="Port of the loopback; a free one if left out.")] = None,
) -> None:
    """A live page of a run, for a browser on this machine: front, learning curves, failures, time left."""
    from mtl_search.reporting.watching import watch as watch_run

    watch_run(run, port, _say_at_once)


def _say_at_once(text: str) -> None:
    """A program that started this one reads the address while it serves."""
    say(text)
    sys.stdout.flush()
