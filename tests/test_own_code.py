"""Files name code as data; what is loaded for them, what is refused, and that reading alone loads nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl_search.cli.commands import main
from mtl_search.errors import UserError
from mtl_search.internal.own_code import dataset_function, own_code_allowed
from mtl_search.internal.registry import BALANCINGS, DATASETS, METHODS, PRIMITIVES, TASKS, Registry

REGISTRIES = {"dataset": DATASETS, "task kind": TASKS, "primitive": PRIMITIVES, "method": METHODS}
REGISTRIES["balancing"] = BALANCINGS

MODULE = """
from pathlib import Path
Path("RAN").write_text("the module ran")
import os
from os import system, remove
from mtl_search import Split, dataset_function, load_dataset
from mtl_search.datasets import DatasetSource
import numpy as np
from mtl_search import make_task

def unmarked(path="CALLED"):
    Path(path).write_text("called")

class Callable:
    def __call__(self, **options):
        Path("CALLED").write_text("called")

class Anything:
    def __init__(self, **options):
        Path("CALLED").write_text("called")

    def __getattr__(self, name):
        return True

anything, called = Anything.__new__(Anything), Callable()

class Abstract(DatasetSource):
    pass

@dataset_function
def waves(samples: int = 120):
    splits = {}
    for name in ("train", "val", "test"):
        inputs = np.random.default_rng(0).normal(size=(samples, 4)).astype(np.float32)
        splits[name] = Split(inputs, {"rising": (inputs[:, 0] > 0).astype(np.int64), "height": inputs.sum(axis=1)})
    return [make_task("binary", "rising"), make_task("regression", "height")], splits
"""
EXPERIMENT = """
dataset: {{name: "{name}"}}
backbone: {{kind: vector, stages: [{{width: 8}}]}}
space: {{shared_ratio: [1.0, 0.5]}}
training: {{epochs: 1, batch_size: 32}}
search: {{trials: 1, workers: {workers}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module in it."""
    (tmp_path / "hostile_waves.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "hostile_waves", raising=False)
    return tmp_path


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        """Status, standard output, standard error."""
        monkeypatch.setattr(sys, "argv", ["mtl-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def write(folder: Path, name: str, workers: int = 0) -> str:
    (folder / "my.yaml").write_text(EXPERIMENT.format(name=name, workers=workers))
    return "my.yaml"


FOREIGN = {
    "os:system": "Python itself",
    "shutil:rmtree": "Python itself",
    "builtins:exec": "Python itself",
    "subprocess:run": "Python itself",
    "test.support:check_impl_detail": "Python itself",
    "__main__:main": "Python itself",
    "mtl_search.__main__:main": "Python itself",
    "pip:main": "Python itself",
    "setuptools:setup": "Python itself",
    "torch:load": "a library that mtl_search needs",
    "torch.hub:load": "a library that mtl_search needs",
    "numpy:load": "a library that mtl_search needs",
    "PIL.Image:open": "a library that mtl_search needs",
    "yaml:unsafe_load": "a library that mtl_search needs",
    "ray:init": "a library that mtl_search needs",
    "jsonschema:validate": "a library that mtl_search needs",  # what ray requires
    "google.protobuf:Any": "a library that mtl_search needs",
}


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
@pytest.mark.parametrize("path", FOREIGN)
def test_what_was_written_for_something_else_is_refused_by_name(registry: Registry, path: str) -> None:
    before = set(sys.modules)
    with pytest.raises(UserError) as refused:
        registry.get(path)
    top = path.partition(":")[0].partition(".")[0]
    message = f"{registry.kind} `{path}` must be code of your own, but `{top}` belongs to {FOREIGN[path]}."
    assert str(refused.value) == message
    assert not [one for one in set(sys.modules) - before if one.partition(".")[0] == top]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("system", "is a function that is not marked as a dataset"),
        (
            "remove",
            "not marked as a dataset: if it makes one, write `@dataset_function` above it",
        ),
        ("unmarked", "is a function that is not marked as a dataset"),
        ("load_dataset", "is a function that is not marked as a dataset"),
        ("Anything", "must be a class derived from DatasetSource, or a function"),
        ("anything", "must be a class derived from DatasetSource, or a function"),
        ("called", "must be a class derived from DatasetSource, or a function"),
        ("os", "must be a class derived from DatasetSource, or a function"),
        ("Abstract", "is a DatasetSource that lacks `load`."),
        ("none", "cannot be imported: the module `hostile_waves` has no `none`."),
    ],
)
def test_what_is_not_meant_for_it_is_never_called(
    name: str, message: str, folder: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = command("check", write(folder, f"hostile_waves:{name}"))
    said, error = err.splitlines()
    assert said == f"running your code: hostile_waves ({folder}/hostile_waves.py), for dataset `hostile_waves:{name}`"
    assert message in error
    assert (status, out) == (2, "")
    assert not (folder / "CALLED").exists()


@pytest.mark.parametrize("options", [("--no-code", "check"), ("check", "--no-code")])
def test_no_code_refuses_it_all(
    options: tuple[str, ...], folder: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, err = command(*options, write(folder, "hostile_waves:waves"))
    message = "dataset `hostile_waves:waves` is code of your own, which --no-code refuses."
    assert (status, out, err) == (2, "", f"error: my.yaml: {message}\n")
    assert not (folder / "RAN").exists()


def test_no_code_holds_for_one_command(folder: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    name = write(folder, "hostile_waves:waves")
    assert command("check", "--no-code", name)[0] == 2
    assert command("check", name)[0] == 0


def test_in_python_it_is_a_context(folder: Path) -> None:
    with own_code_allowed(False), pytest.raises(UserError, match="which --no-code refuses"):
        DATASETS.get("test_own_code:marked")
    assert DATASETS.get("test_own_code:marked") is marked


@dataset_function
def marked() -> None:
    pass


def test_a_search_with_own_code_can_be_looked_at_without_it(
    folder: Path, command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = command("search", write(folder, "hostile_waves:waves"), "--out", "run")
    assert status == 0, err
    assert err.startswith("running your code: hostile_waves (")
    monkeypatch.delitem(sys.modules, "hostile_waves")
    (folder / "RAN").unlink()
    for arguments in (("status", "run"), ("show", "run"), ("report", "run"), ("list", "datasets")):
        status, _, err = command(*arguments)
        assert status == 0, (arguments, err)
        assert not err or (arguments[0] == "show" and err.startswith("trial 0: the only one of the front"))
    assert command("train", "run", "--no-code")[0] == 2
    assert "hostile_waves" not in sys.modules
    assert not (folder / "RAN").exists()


@pytest.mark.slow
def test_workers_find_code_of_the_current_folder(folder: Path) -> None:
    """In a process of its own, as a user calls it."""
    code = (
        "import sys; sys.path.remove(''); sys.argv[0] = 'mtl-search'; from mtl_search.cli.commands import main; main()"
    )
    arguments = ["search", write(folder, "hostile_waves:waves", workers=1), "--out", "run"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "RAN").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nraise SystemExit(0)\n", "SystemExit: 0 ({}, line 2)."),
        ("\n\nnot_there\n", "NameError: name 'not_there' is not defined ({}, line 3)."),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module' ({}, line 1)."),
        ("raise ValueError('\\x1b[2J')\n", r"ValueError: \x1b[2J ({}, line 1)."),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(text: str, message: str, folder: Path) -> None:
    (folder / "fails.py").write_text(text)
    with own_code_allowed(here=True), pytest.raises(UserError) as refused:
        DATASETS.get("fails:Data")
    expected = message.format(folder / "fails.py")
    assert str(refused.value) == f"dataset `fails:Data` cannot be imported: {expected}"


def test_a_module_of_a_package_is_found_without_running_the_package(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "outer_code").mkdir()
    (folder / "outer_code" / "__init__.py").write_text("import sys; print('outer ran', file=sys.stderr)")
    (folder / "outer_code" / "inner.py").write_text(MODULE)
    with own_code_allowed(here=True):
        DATASETS.get("outer_code.inner:waves")
    said = f"running your code: outer_code.inner ({folder}/outer_code/inner.py), for dataset `outer_code.inner:waves`"
    assert capsys.readouterr().err.splitlines() == [said, "outer ran"]


def test_a_distribution_in_the_current_folder_announces_nothing(folder: Path) -> None:
    about = folder / "x-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: x\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mtl_search.datasets]\nannounced = hostile_waves:waves\n")
    code = "from mtl_search.internal.registry import DATASETS; print('announced' in DATASETS.names())"
    root = str(Path(__file__).parents[1])
    for place, path, is_announced in ((folder, root, "False\n"), (folder.parent, f"{folder}:{root}", "True\n")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=place,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == is_announced
