"""Folders of runs that lead out of themselves: every command refuses them, and nothing outside changes."""

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from made_comparisons import made_comparison
from made_runs import made_experiment, made_run
from mtl_search.cli.commands import main
from mtl_search.comparison.compare import compare, train_alone
from mtl_search.comparison.results import load_comparison
from mtl_search.errors import RunFolderError
from mtl_search.exporting.export import export
from mtl_search.internal.files import alone_in
from mtl_search.internal.layout import CHANGED_IN_PLACE, check_inside
from mtl_search.reporting.search_page import write_report
from mtl_search.runs.folder import load_run
from mtl_search.runs.status import status
from mtl_search.searching.run import resume, search

FILES = (
    ".lock",
    "experiment.yaml",
    "environment.json",
    "trials.csv",
    "epochs.csv",
    "confirmations.csv",
    "splits.csv",
    "journal.log",
    "comparison.json",
    "baselines.csv",
    "pareto.html",
    "report.html",
    "report.json",
    ".trials.csv.7.tmp",
    ".report.json.1.tmp",
    "architectures/0.json",
    "architectures/.0.json.7.tmp",
    "checkpoints/0/weights.safetensors",
    "checkpoints/0/training.safetensors",
    "checkpoints/0/.training.safetensors.7.tmp",
    "dataset/0123456789abcdef.npz",
    "dataset/0123456789abcdef.json",
    "comparison/conal/seed0/details.json",
    "comparison/conal/seed0/weights.safetensors",
    "exports/0/model.onnx",
    "exports/0/.writing-model.onnx",
    "exports/0/model_card.json",
    "exports/0/MODEL_CARD.md",
)
FOLDERS = (
    "architectures",
    "checkpoints",
    "checkpoints/0",
    "dataset",
    "comparison",
    "comparison/conal",
    "comparison/conal/seed0",
    "exports",
    "exports/0",
)


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "precious.txt")


def relative_link(place: Path, outside: Path) -> None:
    place.symlink_to(os.path.relpath(outside / "precious.txt", place.parent))


def link_to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "folder", target_is_directory=True)


def dangling_link(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "not there")


def link_to_itself(place: Path, outside: Path) -> None:
    place.symlink_to(place)


def link_to_device(place: Path, outside: Path) -> None:
    place.symlink_to("/dev/zero")


def hard_link(place: Path, outside: Path) -> None:
    os.link(outside / "precious.txt", place)


def pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def a_socket(place: Path, outside: Path) -> None:
    os.mknod(place, 0o140600)


def character_device(place: Path, outside: Path) -> None:
    _device(place, 0o020600, os.makedev(1, 5))


def block_device(place: Path, outside: Path) -> None:
    _device(place, 0o060600, os.makedev(7, 200))


def _device(place: Path, mode: int, number: int) -> None:
    try:
        os.mknod(place, mode, number)
    except PermissionError:
        pytest.skip("may not make a device here")


def the_other_kind(place: Path, outside: Path) -> None:
    """A folder for a file, a file for a folder."""
    if place.name in {Path(name).name for name in FOLDERS}:
        place.write_text("no folder")
    else:
        place.mkdir()


KINDS: dict[str, Callable[[Path, Path], None]] = {
    made.__name__: made
    for made in (
        link_to_file,
        relative_link,
        link_to_folder,
        dangling_link,
        link_to_itself,
        link_to_device,
        hard_link,
        pipe,
        a_socket,
        character_device,
        block_device,
        the_other_kind,
    )
}
"""The twelve kinds of what is no plain file inside of its folder."""

COMMANDS: dict[str, Callable[[Path], object]] = {
    "status": lambda folder: status(load_run(folder)),
    "report": write_report,
    "show": lambda folder: load_run(folder).trial(0),
    "resume": lambda folder: resume(folder, workers=0),
    "compare": lambda folder: compare(folder, baselines=["hard_sharing"], picks=[], seeds=1, workers=0),
    "train": lambda folder: train_alone(load_run(folder).trial(0).architecture, made_experiment()),
    "export": lambda folder: export(folder, "0", format="torch"),
    "search into it": lambda folder: search(made_experiment(), workers=0, out=folder),
    "lock": lambda folder: alone_in(folder).__enter__(),
    "comparison": load_comparison,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    made_comparison(made_run(folder, complete=3), seeds=1)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_report(folder)
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What nobody may touch: a file, and a folder with names that a run has, too."""
    place = tmp_path / "outside"
    (place / "folder" / "0").mkdir(parents=True)
    (place / "precious.txt").write_text("precious\nnot whole")
    for name in ("0.json", "weights.safetensors", "0/training.safetensors", ".x.7.tmp", ".0.json.7.tmp"):
        (place / "folder" / name).write_text("precious, too")
    return place


def state_of(outside: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in [outside, *sorted(outside.rglob("*"))]:
        known = path.lstat()
        found[str(path)] = (known.st_mtime_ns, known.st_mode, path.read_bytes() if path.is_file() else b"")
    return found


def put(folder: Path, name: str, kind: str, outside: Path) -> None:
    """Something of that kind in the place of a file or folder of a run."""
    place = folder / name
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    KINDS[kind](place, outside)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.thin(4)
def test_what_leads_out_of_a_folder_is_refused_by_every_command(
    kind: str, whole: Path, outside: Path, tmp_path: Path
) -> None:
    before = state_of(outside)
    places = CHANGED_IN_PLACE if kind == "hard_link" else (*FILES, *FOLDERS)
    for number, name in enumerate(places):
        if kind == "the_other_kind" and name in ("comparison/conal", "exports/0"):
            continue  # where names can be any, a file may lie beside the folders
        folder = Path(shutil.copytree(whole, tmp_path / f"run-{number}"))
        put(folder, name, kind, outside)
        inside = sorted(folder.rglob("*"))
        for command, act in COMMANDS.items():
            expected = r"must be new or empty" if command == "search into it" else rf"/{name}: is a"
            with pytest.raises(RunFolderError, match=expected):
                act(folder)
        assert sorted(folder.rglob("*")) == inside, name
    assert state_of(outside) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_that_leads_out_of_an_empty_folder_is_refused(kind: str, outside: Path, tmp_path: Path) -> None:
    before = state_of(outside)
    (tmp_path / "new").mkdir()
    KINDS[kind](tmp_path / "new" / ".lock", outside)
    for act in (COMMANDS["search into it"], COMMANDS["lock"]):
        with pytest.raises(RunFolderError, match=r"/\.lock: is a"):
            act(tmp_path / "new")
    assert state_of(outside) == before


ON_THE_COMMAND_LINE = {
    "status": (".lock", "pipe", ["status", "{run}"]),
    "report": (".report.json.1.tmp", "link_to_file", ["report", "{run}"]),
    "show": ("architectures", "link_to_folder", ["show", "{run}:0"]),
    "resume": ("journal.log", "hard_link", ["resume", "{run}"]),
    "compare": ("comparison/conal", "link_to_folder", ["compare", "{run}", "--baselines", "conal"]),
    "train": ("trials.csv", "link_to_device", ["train", "{run}:0"]),
    "export": ("checkpoints/0", "link_to_folder", ["export", "{run}:0", "--format", "torch"]),
}


@pytest.mark.parametrize("command", ON_THE_COMMAND_LINE)
def test_the_command_line_says_what_leads_out_of_a_folder(
    command: str,
    whole: Path,
    outside: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, kind, arguments = ON_THE_COMMAND_LINE[command]
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    before = state_of(outside)
    put(folder, name, kind, outside)
    monkeypatch.setattr(sys, "argv", ["mtl-search", *(one.format(run=folder) for one in arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2, shown
    assert shown.startswith(f"error: {folder / name}: is a")
    assert len(shown.splitlines()) == 1
    assert state_of(outside) == before


def test_a_run_may_be_reached_through_a_link(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(whole, target_is_directory=True)
    assert len(load_run(tmp_path / "latest").trials) == 3


def test_what_is_the_users_own_is_left_alone(whole: Path, outside: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    (folder / "notes.txt").symlink_to(outside / "precious.txt")
    (folder / "checkpoints" / "best").symlink_to(outside / "folder", target_is_directory=True)
    (folder / "checkpoints" / ".DS_Store").write_bytes(b"\0\1")
    (folder / "comparison" / "Thumbs.db").write_bytes(b"\0\1")
    os.mkfifo(folder / "architectures" / "pipe")
    check_inside(folder)
    assert len(load_run(folder).trials) == 3
    write_report(folder)
    assert (folder / "notes.txt").is_symlink()


def test_a_socket_that_is_listened_on_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "r"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / ".lock"))
        with pytest.raises(RunFolderError, match=r"/\.lock: is a socket\. The files of a run must be plain files"):
            load_run(folder)
