"""What can be used by name, with a line about each."""

from mtl_search.errors import UnknownNameError
from mtl_search.internal.registry import BALANCINGS, DATASETS, METHODS, PRIMITIVES, TASKS, Registry
from mtl_search.spaces.banks import BANKS, CONVOLUTION
from mtl_search.spaces.yaml_files import read_yaml, yaml_files

KINDS = ("spaces", "baselines", "datasets", "tasks", "primitives", "methods", "balancings")


def listing(what: str) -> dict[str, str]:
    """Name -> a line about it.

    :param what: Kind of thing to list, one of :data:`KINDS`.
    :raises UnknownNameError: If it is none of them.
    """
    if what not in KINDS:
        raise UnknownNameError("list of", what, KINDS)
    if what == "spaces":
        return _yaml_folder("search_spaces")
    if what == "baselines":
        return _yaml_folder("baselines")
    if what == "datasets":
        return _registered(DATASETS)
    if what == "tasks":
        return _registered(TASKS)
    if what == "methods":
        return _registered(METHODS)
    if what == "balancings":
        return _registered(BALANCINGS)
    banks = {name: f"bank: {members}" for name, members in BANKS.items()}
    return {**_registered(PRIMITIVES), **banks, CONVOLUTION: "no primitives: an ordinary learned 3x3 convolution"}


def _yaml_folder(folder: str) -> dict[str, str]:
    return {name: str(read_yaml(path).get("description", "")) for name, path in yaml_files(folder).items()}


def _registered(registry: Registry) -> dict[str, str]:
    documents = {name: registry.get(name).__doc__ or "" for name in registry.names()}
    return {name: text.strip().partition("\n")[0].replace("``", "") for name, text in documents.items()}
