"""What the docstrings of the package say of parameters, a newcomer understands without the line before it."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mtl_search"
FRAGMENT = re.compile(r"(?:Of|Its|Their|Likewise|As)\b")
"""How a description begins that leans on the name of the parameter, or on what stands above it."""
LEAST_WORDS = 4
"""A description with fewer words says no more than the name."""

FILES = [
    str(path.relative_to(PACKAGE))
    for path in sorted(PACKAGE.rglob("*.py"))
    if ":param" in path.read_text(encoding="utf-8")
]


def descriptions(text: str) -> list[tuple[str, str]]:
    """Name of each parameter that a file describes, and its description on one line."""
    found = re.findall(r":param (\w+): *((?:.|\n)*?)(?=\n\s*:|\n\s*\n|\"\"\")", text)
    return [(name, " ".join(about.split())) for name, about in found]


def test_descriptions_go_on_over_lines() -> None:
    text = '"""What.\n\n    :param one: Of a\n        kind.\n    :param two: Second.\n    """'
    assert descriptions(text) == [("one", "Of a kind."), ("two", "Second.")]


@pytest.mark.parametrize("file", FILES)
def test_parameters_are_described_in_words_of_their_own(file: str) -> None:
    for name, about in descriptions((PACKAGE / file).read_text(encoding="utf-8")):
        assert not FRAGMENT.match(about), f"`{name}` leans on its name: {about}"
        assert len(about.split()) >= LEAST_WORDS, f"`{name}` is hardly described: {about}"
