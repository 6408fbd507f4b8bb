"""Names for the things that users choose by name: primitives, datasets, kinds of tasks, methods.

A file in the folder of its kind is registered by being there, under its own file name. Something kept elsewhere is
named ``my_package.module:Name``, or announced by an installed distribution through an entry point. Listing and checking
names imports nothing: what a file names is loaded where it is used.
"""

import functools
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.internal import own_code

_NUMBERS = itertools.count()
"""Of names that are given for a while."""


class Registry:
    """Finds what is registered under a name.

    :param kind: What the names stand for, as used in messages: ``"primitive"``.
    :param package: The package whose modules are registered. Each module holds one class whose ``name`` is the module's
        own; a module that starts with an underscore is not registered.
    :param base: Name of the class in ``package`` that all of them are derived from.
    :param attribute: What the ``name`` of such a class is called, where that is something else.
    :param functions: Whether a function that is marked as a dataset may stand in place of such a class.
    """

    def __init__(self, kind: str, package: str, base: str, attribute: str = "name", functions: bool = False) -> None:
        self.kind = kind
        self.package = package
        self.base = base
        self.attribute = attribute
        self.functions = functions
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

    @contextmanager
    def lending(self, thing: Any) -> Iterator[str]:
        """While this holds a class has a name here, which it gives, and that no other class ever has."""
        name = f"lent.{next(_NUMBERS)}"
        self._added[name] = thing
        try:
            yield name
        finally:
            del self._added[name]

    def get(self, name: str) -> Any:
        """The class registered under ``name``, or the one at ``my_package.module:Name``, whose module is then run.

        :raises UnknownNameError: If there is none; the message holds the nearest name.
        :raises UserError: If what is found elsewhere is not meant for this, or cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if ":" in name:
            return self._meant(name, own_code.load(self.kind, name))
        announced = _announced(self.package)
        if name in announced:
            return self._meant(name, own_code.imported(f"{self.kind} `{name}`", announced[name].load))
        if name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())
        module = importlib.import_module(f"{self.package}.{name}")
        own = (thing for thing in vars(module).values() if getattr(thing, "__module__", None) == module.__name__)
        return next(thing for thing in own if getattr(thing, self.attribute, None) == name)

    def check(self, name: str) -> None:
        """Check a name and import nothing: that it is registered, or of the form ``my_package.module:Name``.

        :raises UserError: If it is not; the message holds the nearest name.
        """
        if ":" in name:
            own_code.check_form(self.kind, name)
        elif name not in self.names():
            raise UnknownNameError(self.kind, name, self.names())

    def check_use(self, name: str) -> None:
        """Check a name that is about to be used, and still import nothing: that own code may be loaded for it.

        :raises UserError: As :meth:`check`, or if :meth:`get` would refuse the name.
        """
        self.check(name)
        if ":" in name and name not in self._added:
            own_code.check_use(self.kind, name)

    def _meant(self, name: str, thing: Any) -> Any:
        """What stands under a name elsewhere, if it is meant for this; it is not called to find out."""
        if self.functions and own_code.is_dataset_function(thing):
            return thing
        base = getattr(importlib.import_module(self.package), self.base)
        if isinstance(thing, type) and issubclass(thing, base):
            if not inspect.isabstract(thing):
                return thing
            lacks = ", ".join(f"`{method}`" for method in sorted(vars(thing)["__abstractmethods__"]))
            raise UserError(f"{self.kind} `{name}` is a {self.base} that lacks {lacks}.")
        if self.functions and inspect.isroutine(thing):
            raise UserError(
                f"{self.kind} `{name}` is a function that is not marked as a dataset: if it makes one, write "
                "`@dataset_function` above it (from mtl_search import dataset_function)."
            )
        also = ", or a function marked with `@dataset_function`" if self.functions else ""
        raise UserError(f"{self.kind} `{name}` must be a class derived from {self.base}{also}, but it is not.")


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
    """What installed distributions announce for a package, through entry points of its name.

    What lies in the current folder was not installed, even where Python looks there first.
    """
    found: dict[str, EntryPoint] = {}
    here = Path.cwd()
    for distribution in distributions():
        if Path(str(distribution.locate_file(""))).resolve() != here:
            for point in distribution.entry_points:
                if point.group == package:
                    found.setdefault(point.name, point)
    return found


PRIMITIVES = Registry("primitive", "mtl_search.primitives", "Primitive")
DATASETS = Registry("dataset", "mtl_search.datasets", "DatasetSource", functions=True)
TASKS = Registry("task kind", "mtl_search.tasks", "Task", "kind")
METHODS = Registry("method", "mtl_search.methods", "Method")
BALANCINGS = Registry("balancing", "mtl_search.balancing", "Balancing")
