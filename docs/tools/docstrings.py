"""An extension of griffe, which reads the docstrings for mkdocs."""

from typing import Any

import griffe

from roles import shown


class Roles(griffe.Extension):
    """Changes every docstring before it is parsed: roles are shown as names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = shown(obj.docstring.value)
