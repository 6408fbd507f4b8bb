"""A search goes on with what it began with, or says what has changed."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import made_processes
from made_faults import SEARCH, assert_whole, wait_until_noted
from made_processes import driver
from made_runs import made_experiment, write_run
from mtl_search.runs.folder import load_run

PACKAGE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that was killed."""
    folder = tmp_path_factory.mktemp("cut") / "run"
    with driver([*SEARCH, "--workers", "0", "--out", str(folder)]) as search:
        wait_until_noted(search, folder, 5)
        search.signal(signal.SIGKILL)
        search.end()
    return folder


@pytest.fixture
def folder(cut_off: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut_off, tmp_path / "run"))


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


CHANGES = {
    "experiment": (
        edit("experiment.yaml", "learning_rate: 0.003", "learning_rate: 0.004"),
        "experiment.yaml: training.learning_rate: 0.003 -> 0.004",
    ),
    "data": (
        edit("environment.json", '"data_digest": "', '"data_digest": "0'),
        "the samples of dataset multi_mnist: 0",
    ),
    "library": (edit("environment.json", '"optuna": "', '"optuna": "0'), "the version of optuna: 0"),
    "kernels": (edit("environment.json", '"kernels": "', '"kernels": "other than '), "the kernels: other than "),
}


def files_of(folder: Path) -> dict[Path, bytes]:
    """All files but the lock, which the killed process left behind."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused_and_shown(name: str, folder: Path) -> None:
    change, shown_as = CHANGES[name]
    change(folder)
    before = files_of(folder)
    status, shown = made_processes.run(["resume", str(folder), "--workers", "0"])
    assert status == 2
    assert shown_as in shown
    assert "--allow-changes" in shown
    assert files_of(folder) == before


@pytest.mark.slow
def test_a_changed_source_is_refused_and_can_be_allowed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE / "mtl_search", tmp_path / "mtl_search", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE / "search_spaces", tmp_path / "search_spaces")
    with (tmp_path / "mtl_search" / "seeds.py").open("a") as file:
        file.write("\n# a change\n")
    status, shown = made_processes.run(["resume", str(folder), "--workers", "0"], tmp_path)
    assert status == 2
    assert "the source of mtl_search: " in shown
    status, shown = made_processes.run(["resume", str(folder), "--workers", "0", "--allow-changes"], tmp_path)
    assert status == 0, shown
    assert "made differently than those before (noted in environment.json):\n  the source of mtl_search: " in shown
    run = load_run(folder)
    assert_whole(run)
    noted = run.environment["sessions"][-1]["changes"]
    assert [change.partition(":")[0] for change in noted] == ["the source of mtl_search"]


@pytest.mark.slow
def test_a_comparison_alone_is_no_search(tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_experiment(), [])
    status, shown = made_processes.run(["resume", str(tmp_path / "run")])
    assert status == 2
    assert "holds no search that can go on" in shown


@pytest.mark.parametrize(
    ("what", "message"), [("nothing", "there is no such folder"), ("empty", "it has no experiment")]
)
@pytest.mark.slow
def test_what_is_no_run_cannot_go_on(what: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    if what == "empty":
        folder.mkdir()
    status, shown = made_processes.run(["resume", str(folder)])
    assert status == 2
    assert message in shown
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.slow
def test_another_space_is_refused_even_if_changes_are_allowed(folder: Path) -> None:
    edit("experiment.yaml", "width_multiplier: [0.5, 1.0, 1.5]", "width_multiplier: [0.5]")(folder)
    before = files_of(folder)
    status, shown = made_processes.run(["resume", str(folder), "--workers", "0", "--allow-changes"])
    assert status == 2
    assert "experiment.yaml: space.width_multiplier: " in shown
    assert "not with `--allow-changes` either" in shown
    assert files_of(folder) == before
