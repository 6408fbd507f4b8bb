import subprocess
import sys

import pytest

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.internal.registry import DATASETS, METHODS, PRIMITIVES, Registry
from mtl_search.primitives import Primitive

HEAVY = ("torch", "ray", "optuna", "pandas", "plotly", "mlxtend")


class Added:
    name = "my_primitive"


class Doubled(Primitive):
    name = "doubled"


@pytest.fixture
def registry() -> Registry:
    """Of its own, over the folder of the primitives."""
    return Registry("primitive", "mtl_search.primitives", "Primitive")


def assert_imports_nothing_heavy(code: str) -> None:
    """Run in an interpreter of its own, as this one has imported much already."""
    report = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    "code",
    [
        "import mtl_search, mtl_search.spaces.experiment",
        "from mtl_search import load_space; load_space('quickstart').sample(0)",
        "from mtl_search.internal.registry import *; print(end='' if DATASETS.names() and TASKS.names() else 'none')",
    ],
    ids=["experiment", "space", "names"],
)
def test_reading_experiments_and_names_imports_nothing_heavy(code: str) -> None:
    assert_imports_nothing_heavy(code)


def test_names_are_the_files_of_the_folder() -> None:
    assert DATASETS.names() == sorted(DATASETS.names())
    assert {"multi_mnist", "multi_fashion", "fashion_mnist"} <= set(DATASETS.names())
    assert {"identity", "random", "max_pool", "sobel"} <= set(PRIMITIVES.names())
    assert not [name for name in DATASETS.names() + PRIMITIVES.names() if name.startswith("_")]


@pytest.mark.parametrize("registry", [DATASETS, PRIMITIVES, METHODS], ids=["datasets", "primitives", "methods"])
def test_everything_registered_has_the_name_of_its_file(registry: Registry) -> None:
    for name in registry.names():
        registry.check(name)
        assert registry.get(name).name == name


def test_a_path_is_loaded_where_it_is_used(registry: Registry) -> None:
    assert registry.get("test_registry:Doubled") is Doubled
    registry.check("test_registry:Doubled")
    registry.check("no_such_module:Name")


@pytest.mark.parametrize(
    "path", [":Name", "types:", ".relative:Name", "a/b:Name", "a:b:c", "a:B.c", "a-b:C", "a:b()", "a..b:C", "a:1"]
)
def test_a_path_has_one_form(registry: Registry, path: str) -> None:
    for look_up in (registry.get, registry.check):
        with pytest.raises(UserError, match=r" must have the form `my_package\.module:Name`\.$"):
            look_up(path)


def test_added_is_found_by_its_name(registry: Registry) -> None:
    assert registry.add(Added) is Added
    assert registry.get("my_primitive") is Added
    assert "my_primitive" in registry.names()
    assert "my_primitive" not in PRIMITIVES.names()
    registry.check("my_primitive")


def test_a_name_is_lent_for_a_while(registry: Registry) -> None:
    before = registry.names()
    with registry.lending(Doubled) as first, registry.lending(Doubled) as second:
        assert registry.get(first) is registry.get(second) is Doubled
        assert first != second
        registry.check_use(first)
    assert registry.names() == before
    with pytest.raises(UnknownNameError):
        registry.get(first)


def test_a_name_is_given_once(registry: Registry) -> None:
    registry.add(Added)
    with pytest.raises(UserError, match="there already is a primitive `my_primitive`"):
        registry.add(Added)
    with pytest.raises(UserError, match="there already is a primitive `sobel`"):
        registry.add(type("Other", (), {"name": "sobel"}))


def test_unknown_name_names_the_nearest(registry: Registry) -> None:
    registry.add(Added)
    for look_up in (registry.get, registry.check):
        with pytest.raises(UnknownNameError, match=r"there is no primitive `sobl`\. Did you mean `sobel`\? Valid: "):
            look_up("sobl")
        with pytest.raises(UnknownNameError, match=r"Did you mean `my_primitive`\?"):
            look_up("my_primitve")
        with pytest.raises(UnknownNameError) as caught:
            look_up("qqqq")
        assert "Did you mean" not in str(caught.value)
        assert ", ".join(registry.names()) in str(caught.value)


@pytest.mark.parametrize("name", ["_pairs", "_idx", "__init__", ""])
def test_private_files_are_not_registered(name: str) -> None:
    with pytest.raises(UnknownNameError, match="there is no dataset"):
        DATASETS.get(name)
