"""What stands on a floor above, found when it is called: for methods that users look for on an object of a lower."""

import importlib
from typing import Any


def later(module: str, name: str) -> Any:
    """A function of the package by its name, loaded now: what draws and what makes frames is heavy, and seldom used.

    :param module: Name of its module, below the package.
    :param name: Name of the function there.
    """
    return getattr(importlib.import_module(f"mtl_search.{module}"), name)
