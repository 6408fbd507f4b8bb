"""YAML files by path, or by the name of one that comes with the package."""

import os
from pathlib import Path
from typing import Any

from mtl_search.errors import ExperimentError, UserError, no_such_file, shown_path, suggestion
from mtl_search.internal.characters import printable
from mtl_search.internal.messages import short
from mtl_search.internal.reading import read_text
from mtl_search.internal.yaml_text import parse_yaml

PACKAGE = Path(__file__).parents[1]


def yaml_files(folder: str) -> dict[str, Path]:
    """The YAML files of a folder that comes with the package: inside it when installed, beside it in a checkout."""
    place = PACKAGE / folder if (PACKAGE / folder).is_dir() else PACKAGE.parent / folder
    return {path.stem: path for path in sorted(place.glob("*.yaml"))}


def find_yaml(folder: str, kind: str, name: str | Path) -> Path:
    """The file at a path, or the one of that name in ``folder``.

    :raises ExperimentError: If there is neither.
    """
    known = yaml_files(folder)
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    if os.path.exists(path):  # of a name that is too long, Path.exists raises an error
        return path
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise ExperimentError(f"{shown_path(name)}: {no_such_file(path)}")
    raise ExperimentError(
        f"there is no {kind} `{shown_path(name)}`, and no file of that name.{suggestion(name, known)}"
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    :raises ExperimentError: If it cannot be read, is no YAML, has a key twice, or is not a mapping.
    """
    shown = printable(str(path))
    try:
        text = read_text(path)
    except UserError as error:
        raise ExperimentError(str(error)) from error
    try:
        data = parse_yaml(text)
    except UserError as error:
        raise ExperimentError(f"{shown}: {error}") from error
    if not isinstance(data, dict):
        raise ExperimentError(f"{shown}: must be a mapping with keys, but got {short(data)}.")
    return data
