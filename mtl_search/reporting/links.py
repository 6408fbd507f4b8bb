"""The other pages that a page leads to, by addresses that hold wherever the folder is moved."""

import os
from dataclasses import dataclass
from urllib.parse import quote

from mtl_search.internal.characters import printable
from mtl_search.internal.layout import CONTROL
from mtl_search.runs.folder import Run

PAGE = "pareto.html"
COMPARISON_PAGE = "report.html"


@dataclass(frozen=True)
class Link:
    """Another page.

    :param text: What it is, for reading.
    :param address: Relative to the page; empty for the page itself.
    """

    text: str
    address: str


def links_of(run: Run, page: str, compared: bool) -> list[Link]:
    """The pages of a run, of its control searches, and of the run that it controls, as far as they are there.

    :param page: Name of the page that they stand on.
    :param compared: Whether the run has a page of a comparison.
    """
    own = [Link("Search", PAGE)] + [Link("Comparison", COMPARISON_PAGE)] * compared
    found = [Link(link.text, "" if link.address == page else link.address) for link in own]
    found += [
        Link(
            f"Control {printable(folder.name.replace('_', ' '))}", f"{CONTROL}/{quote(os.fsencode(folder.name))}/{PAGE}"
        )
        for folder in sorted((run.path / CONTROL).glob("*"))
        if (folder / PAGE).is_file()
    ]
    above = run.path.absolute().parent
    if above.name == CONTROL:
        names = {PAGE: "The search that this one controls", COMPARISON_PAGE: "Its comparison"}
        found += [Link(text, f"../../{name}") for name, text in names.items() if (above.parent / name).is_file()]
    return found if len(found) > 1 else []
