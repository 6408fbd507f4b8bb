"""What the pages are made with: their templates, and how numbers and names are written in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mtl_search.metrics.scores import is_share
from mtl_search.reporting.drawing_svg import svg_drawing
from mtl_search.reporting.figures import short_number
from mtl_search.reporting.numbers import exact, signed, written
from mtl_search.reporting.text import score_text, score_title
from mtl_search.spaces.architecture import Architecture


def rendered(template: str, /, **values: Any) -> str:
    """A page as HTML; every text in it is escaped.

    :param template: Name of its template.
    :param values: What the template shows.
    """
    return _environment().get_template(template).render(**values)


def drawing(architecture: Mapping[str, Any], tasks: Sequence[str]) -> Markup:
    """An architecture as SVG for a page, its texts escaped."""
    return Markup(svg_drawing(Architecture.from_dict(architecture), tasks))


def _environment() -> Environment:
    templates = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        score=score_text,
        title_of=score_title,
        thousands=lambda number: f"{number:,.0f}",
        signed=signed,
        short=short_number,
        written=written,
        exact=exact,
    )
    environment.tests["share"] = is_share
    return environment
