"""The roles of docstrings, as in ``:func:`~mtl_search.search```, and what is shown in their place."""

import re

ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|exc):`(~?)([\w.]+)`")


def shown(text: str) -> str:
    """A docstring whose roles are names in backticks; of those with ``~`` the last part."""
    return ROLE.sub(lambda found: f"`{found[2].rpartition('.')[2] if found[1] else found[2]}`", text)
