"""What becomes of the keys of an experiment before they are checked: paths are made whole, ``--set`` changes values."""

import os
import re
from pathlib import Path
from typing import Any

from mtl_search.errors import ExperimentError, FieldError, UserError
from mtl_search.internal.characters import cut, printable
from mtl_search.internal.reading import DEPTH
from mtl_search.internal.yaml_text import parse_yaml

LONGEST_INDEX = 9
"""Digits of the number of an item or a layer in a dotted key."""
PATHS = ("file", "root", "cache")
"""Keys of a dataset, or of a part of one, that name a file or a folder."""

ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]*://"
"""How the address of a file on the web, in a store of a cloud (``s3://``), or of this machine (``file://``) begins."""


def anchor(dataset: Any, folder: Path, place: str = "dataset") -> None:
    """Write the paths of a dataset in full, so that a run can go on from wherever it is called.

    :param place: Dotted key under which it stands, for messages.
    :raises FieldError: For an address, from which nothing is fetched.
    """
    if not isinstance(dataset, dict):
        return
    for key, value in dataset.items():
        if key in PATHS and isinstance(value, str) and value:
            if re.match(ADDRESS, value):
                rule = "must be a path on this machine: fetch what lies elsewhere first, and give the path of it here"
                raise FieldError(f"{place}.{key}", rule, value)
            dataset[key] = os.path.normpath(Path.cwd() / folder / Path(value).expanduser())
        else:
            anchor(value, folder, f"{place}.{key}")


def detached(dataset: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same dataset with paths inside of a folder relative to it, so that the folder can be moved."""
    return {key: _detached(key, value, folder) for key, value in dataset.items()}


def _detached(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return detached(value, folder)
    inside = key in PATHS and isinstance(value, str) and Path(value).is_relative_to(folder)
    return str(Path(value).relative_to(folder)) if inside else value


def apply(data: dict[str, Any], change: str) -> None:
    """Set one value: ``dotted.key=value``."""
    key, equals, text = change.partition("=")
    parts, shown = key.strip().split("."), printable(cut(change))
    names: list[Any] = [int(name) if name.isdecimal() and len(name) <= LONGEST_INDEX else name for name in parts]
    if not equals or "" in names or len(names) > DEPTH:
        raise ExperimentError(f"--set {shown}: must be `dotted.key=value`.")
    try:
        value = parse_yaml(text)
    except UserError as error:
        raise ExperimentError(f"--set {shown}: the value: {error}") from error
    place: Any = data
    try:
        for name in names[:-1]:
            place = place[name] if isinstance(place, list) else place.setdefault(name, {})
        place[names[-1]] = value
    except (IndexError, TypeError, KeyError, AttributeError) as error:
        raise ExperimentError(f"--set {shown}: there is no such key in the experiment.") from error
