"""What the arguments of commands name: runs, trials, architectures, experiments."""

import os
import sys
from typing import TYPE_CHECKING

from mtl_search.cli.printing import say
from mtl_search.errors import UserError, existing_folder

if TYPE_CHECKING:
    from mtl_search.runs.folder import Run
    from mtl_search.runs.picks import Pick


def divided(target: str) -> tuple[str, str | None]:
    """``RUN:ID`` as folder and name; a RUN alone has no name."""
    path, colon, name = target.rpartition(":")
    if os.path.isdir(target) and not (colon and os.path.isdir(path)):
        return target, None
    existing_folder(path or target)
    return path, name


def loaded(target: str) -> "tuple[Run | str, str | None]":
    """A run and the name of the trial of it that is meant, which is said, too; else the target as it is."""
    from mtl_search.runs.folder import load_run
    from mtl_search.runs.picks import pick

    if not is_of_run(target):
        return target, None
    path, name = divided(target)
    run = load_run(path)
    say_pick(run, pick(run, name))
    return run, name


def is_of_run(target: str) -> bool:
    """Whether a target is a folder, or a name in one."""
    path, colon, _ = target.rpartition(":")
    return os.path.isdir(target) or (bool(colon) and os.path.isdir(path))


def say_pick(run: "Run", found: "Pick") -> None:
    """Which trial is taken, why, and its scores: on standard error, so that what is printed stays as it is."""
    from mtl_search.runs.picks import pick_text

    say(pick_text(run, found), sys.stderr)


def say_entrant(run: "Run", key: str, seed: int | None) -> None:
    """Which training of a comparison is taken, and its scores: on standard error, too."""
    from mtl_search.exporting.trained import entrant_text

    say(entrant_text(run, key, seed), sys.stderr)


def names_in(text: str) -> list[str]:
    """Names with commas between them; ``none`` is no name.

    :raises UserError: If there is nothing else in it.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UserError("`--baselines` and `--pick` must hold names with commas between them, or `none`, but got none.")
    return [] if names == ["none"] else names
