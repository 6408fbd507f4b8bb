"""A hook of mkdocs: the pages that no file in docs/ holds."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from reference import PAGES

ROOT = Path(__file__).parents[2]
TAKEN = {"contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
"""Name of a page -> the file in the root that is shown."""


def taken(name: str) -> str:
    """A file of the root, whose links to other files of the repository are their names: the site does not hold them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)", r"\1", text)


def on_files(files: Files, config: Any) -> Files:
    """Adds what is written from the code, and what stands in the root."""
    for name, write in PAGES.items():
        files.append(File.generated(config, name, content=write()))
    for name, source in TAKEN.items():
        files.append(File.generated(config, name, content=taken(source)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Keeps a number in a table on one line with its unit."""
    return re.sub(r"(<td>[^<]*\d) (?=[M%])", r"\1&nbsp;", html)
