"""Names for the things that users choose by name: primitives, datasets, kinds of tasks, methods.

A file in the folder of its kind is registered by being there, under its own file name. Something kept elsewhere is
named ``my_package.module:Name``, or announced by an installed distribution through an entry point. Listing the names
imports nothing, so that checking a YAML file does not load torch.
"""

import functools
import importlib
import importlib.util
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mtl_search.errors import UnknownNameError, UserError


class Registry:
    """Finds what is registered under a name.

    :param kind: What the names stand for, as used in messages: ``"primitive"``.
    :param package: The package whose modules are registered. Each module holds one class whose ``name`` is the module's
        own; a module that starts with an underscore is not registered.
    :param attribute: What the ``name`` of such a class is called, where that is something else.
    """

    def __init__(self, kind: str, package: str, attribute: str = "name") -> None:
        self.kind = kind
        self.package = package
        self.attribute = attribute
        self._added: dict[str, Any] = {}

    def names(self) -> list[str]:
        """All names, sorted. Imports none of the modules."""
        return sorted({*_files(self.package), *_announced(self.package), *self._added})

    def add(self, thing: Any) -> Any:
        """Register a class under its ``name``. Usable as a decorator.

        :raises UserError: If something else already has that name.
        """
        name = getattr(thing, self.attribute)
        if name in self.names():
            raise UserError(f"there already is a {self.kind} `{name}`.")
        self._added[name] = thing
        return thing

    def get(self, name: str) -> Any:
        """The class registered under ``name``, or the one at ``my_package.module:Name``.

        :raises UnknownNameError: If there is none; the message holds the nearest name.
        """
        if name in self._added:
            return self._added[name]
        if ":" in name:
            return self._load(name)
        announced = _announced(self.package)
        if name in announced:
            return announced[name].load()
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        own = (thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__)
        return next(thing for thing in own if getattr(thing, self.attribute, None) == name)

    def check(self, name: str) -> None:
        """Raise what :meth:`get` would raise for an unknown name, without importing a registered one."""
        if ":" in name:
            self._load(name)
        elif name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())

    def _load(self, path: str) -> Any:
        module_name, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise UserError(f"{self.kind} `{path}` cannot be imported: {error}.") from error


@functools.cache
def _files(package: str) -> list[str]:
    """The modules of a package that register something, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    modules = pkgutil.iter_modules(spec.submodule_search_locations)
    return [module.name for module in modules if not module.name.startswith("_")]


@functools.cache
def _announced(package: str) -> dict[str, EntryPoint]:
    """What installed distributions announce for a package, through entry points of its name."""
    return {point.name: point for point in entry_points(group=package)}


PRIMITIVES = Registry("primitive", "mtl_search.primitives")
DATASETS = Registry("dataset", "mtl_search.datasets")
TASKS = Registry("task kind", "mtl_search.tasks", "kind")
METHODS = Registry("method", "mtl_search.methods")
BALANCINGS = Registry("balancing", "mtl_search.balancing")
