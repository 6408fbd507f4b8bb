"""Code of the user's own, named ``my_package.module:Name`` in a file: the only place that imports what a file names.

A name in a file is data until it is used; then the module that it names is run, and nothing in it but what is meant for
that place. Python's own modules and those of our dependencies are refused by name, before anything is imported.
"""

import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, TypeVar

from mtl_search.errors import UserError
from mtl_search.internal.characters import LONG, cut, printable

FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
TOOLS = frozenset({"pip", "setuptools", "pkg_resources", "distutils", "wheel", "ensurepip", "venv"})
"""What comes with an installation of Python, beside the standard library."""
IMPORTING = (__file__, importlib.__file__, "<frozen")
"""Files of a traceback that lead to the code that is imported."""
MARK = "__makes_a_dataset__"

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class _Rules:
    """What holds in this process.

    :param allowed: Whether own code is loaded at all.
    :param here: Whether it is looked for in the current folder, too, after all other places.
    """

    allowed: bool = True
    here: bool = False


_rules = _Rules()


@contextmanager
def own_code_allowed(allowed: bool = True, here: bool = False) -> Iterator[None]:
    """While this holds, code of the user's own is loaded or refused.

    :param allowed: Whether files may name own code: with ``False`` all of it is refused, and a file is data alone.
    :param here: Whether it is looked for in the current folder, too, after all other places.
    """
    before = _rules.allowed, _rules.here
    _rules.allowed, _rules.here = allowed, here
    try:
        yield
    finally:
        _rules.allowed, _rules.here = before


def dataset_function(function: Function) -> Function:
    """Mark a function as one that makes a dataset, so that an experiment may name it as ``my_module:function``.

    Its parameters are the options; it returns the tasks and the splits, or a whole ``Dataset``. No other function is
    ever called for a file that names it.
    """
    setattr(function, MARK, True)
    return function


def is_dataset_function(thing: Any) -> bool:
    """Whether something is a function that :func:`dataset_function` marked."""
    return inspect.isfunction(thing) and vars(thing).get(MARK) is True


def check_form(kind: str, path: str) -> None:
    """Check that a name of own code is one, and import nothing.

    :param kind: Kind of thing that is named, for messages: ``dataset``, say.
    :raises UserError: If it has another form than ``my_package.module:Name``.
    """
    if not FORM.fullmatch(path):
        raise UserError(f"{_named(kind, path)} must have the form `my_package.module:Name`.")


def check_use(kind: str, path: str) -> None:
    """Check that own code may be loaded, and import nothing.

    :raises UserError: If its name has another form, own code is not allowed, or it is one of Python's own modules or of
        our dependencies.
    """
    check_form(kind, path)
    if not _rules.allowed:
        raise UserError(f"{_named(kind, path)} is code of your own, which --no-code refuses.")
    _check_not_foreign(kind, path, path.partition(":")[0])


def load(kind: str, path: str) -> Any:
    """What stands at ``my_package.module:Name``. Running that module is said beforehand on standard error.

    :param kind: Kind of thing that is named, for messages: ``dataset``, say.
    :raises UserError: As :func:`check_use`, or if the module cannot be imported, or there is no such name in it.
    """
    check_use(kind, path)
    module, _, name = path.partition(":")
    if module not in sys.modules:
        _announce(kind, path, module)
    found = vars(imported(_named(kind, path), lambda: importlib.import_module(module)))
    if name not in found:
        raise UserError(f"{_named(kind, path)} cannot be imported: the module `{module}` has no `{name}`.")
    return found[name]


def imported(what: str, run: Callable[[], Any]) -> Any:
    """What an import gives.

    :param what: What it is for, as the beginning of a message.
    :raises UserError: If the code that it runs fails, or ends the process; the message says where.
    """
    try:
        return run()
    except (Exception, SystemExit) as error:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(IMPORTING)]
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UserError(f"{what} cannot be imported: {cut(printable(reason), LONG)}{printable(place)}.") from error


def _named(kind: str, path: str) -> str:
    return f"{kind} `{cut(printable(path))}`"


def _check_not_foreign(kind: str, path: str, module: str) -> None:
    """Refuse what was written for something else than this, whatever a file wants with it."""
    top = module.partition(".")[0]
    whose = ""
    if top in sys.stdlib_module_names or top in TOOLS or any(part.startswith("__") for part in module.split(".")):
        whose = "Python itself"
    elif top in _required_modules():
        whose = "a library that mtl_search needs"
    elif _is_in_standard_library(_spec(top)):
        whose = "Python itself"
    if whose:
        raise UserError(f"{_named(kind, path)} must be code of your own, but `{top}` belongs to {whose}.")


def _announce(kind: str, path: str, module: str) -> None:
    """Say which module is about to be run, and where it was found; nothing of it is run for that."""
    if _rules.here and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    top, *rest = module.split(".")
    found, name = _spec(top), top
    for part in rest:
        places = found.submodule_search_locations if found else None
        deeper = PathFinder.find_spec(name := f"{name}.{part}", places) if places else None
        found = deeper or found
    if found is None:
        raise UserError(f"{_named(kind, path)} cannot be imported: there is no module `{top}`.")
    place = found.origin or next(iter(found.submodule_search_locations or [""]))
    print(f"running your code: {module} ({printable(place)}), for {_named(kind, path)}", file=sys.stderr)


def _spec(top: str) -> ModuleSpec | None:
    """Where a module outside of any package is, without importing it."""
    if top in sys.modules:
        return sys.modules[top].__spec__
    return importlib.util.find_spec(top)


def _is_in_standard_library(spec: ModuleSpec | None) -> bool:
    """Whether a module is of Python's own that has no documented name: its tests."""
    if spec is None or not spec.origin:
        return False
    paths = sysconfig.get_paths()
    origin = Path(spec.origin)
    is_installed = any(origin.is_relative_to(paths[name]) for name in ("purelib", "platlib"))
    return not is_installed and origin.is_relative_to(paths["stdlib"])


@cache
def _required_modules() -> frozenset[str]:
    """The modules outside of any package that come with what we require, and with what that requires."""
    needed: set[str] = set()
    left = [_canonical(one) for one in _requirements()]
    while left:
        name = left.pop()
        if name not in needed:
            needed.add(name)
            left += [_canonical(one) for one in _requirements_of(name) if "extra ==" not in one]
    modules = metadata.packages_distributions().items()
    return frozenset(module for module, owners in modules if not needed.isdisjoint(map(_canonical, owners)))


def _requirements() -> list[str]:
    """What we require, with what our extras require."""
    if found := _requirements_of("mtl_search"):
        return found
    checkout = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]


def _requirements_of(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []


def _canonical(requirement: str) -> str:
    """The name of a distribution, without versions and extras, as indexes compare it."""
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""
