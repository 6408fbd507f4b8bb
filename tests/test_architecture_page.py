"""What the page about the architecture names exists, and its drawing has every room."""

import importlib
import re
from pathlib import Path

import pytest

from test_layers import GROUND, ROOMS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(mtl_search(?:\.\w+)+)`", PAGE + CONTRIBUTING)))
PATHS = sorted(set(re.findall(r"`((?:mtl_search|tests|docs)/[\w./]+)`", PAGE + CONTRIBUTING)))


def found(name: str) -> object:
    """The module, or what stands in one, of a dotted name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(f"there is no {name}")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves(name: str) -> None:
    assert found(name) is not None


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_a_name_that_is_not_there_is_found_out() -> None:
    with pytest.raises(AttributeError):
        found("mtl_search.cost.no_such_function")


def test_both_pages_know_every_room() -> None:
    drawing = PAGE.partition("```mermaid")[2].partition("```")[0]
    table = CONTRIBUTING.partition("## The rooms")[2].partition("## Adding")[0]
    rooms = set().union(*ROOMS) - {GROUND}
    assert rooms <= set(re.findall(r"\w+", drawing))
    assert rooms <= set(re.findall(r"`(\w+)`", table))
