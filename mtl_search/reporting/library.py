"""plotly.js in a file of its own, which several pages share."""

import os
from pathlib import Path
from urllib.parse import quote

from mtl_search.errors import UserError, shown_path
from mtl_search.internal.files import write_text
from mtl_search.reporting.figures import plotly_js


def shared_library(path: Path, folder: Path) -> str:
    """The address of plotly.js, as a page in a folder has it; the file is written if it is not there.

    :param path: Path of the file, whose name ends in ``.js``.
    :param folder: Folder of the page, from which the address is relative.
    :raises UserError: If the file holds something else, or cannot be written.
    """
    text = plotly_js()
    if path.suffix != ".js":
        raise UserError(f"{shown_path(path)}: the name of a file for plotly.js must end in `.js`.")
    try:
        if not path.exists():
            write_text(path, text)
        elif path.read_bytes() != text.encode():
            raise UserError(
                f"{shown_path(path)}: holds something else than this version of plotly.js; remove it first."
            )
    except OSError as error:
        raise UserError(f"{shown_path(path)}: cannot be written: {error.strerror}.") from error
    return quote(Path(os.path.relpath(path, folder)).as_posix())
