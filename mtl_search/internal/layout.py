"""What lies where in a run's folder, and that it lies inside of it.

A folder may come from anywhere. A file of it that is a link, a pipe or a device would lead what is read, written or
removed out of the folder, so it is refused by its name first. What has no name of ours is the user's and left alone.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl_search.errors import RunFolderError
from mtl_search.internal.characters import printable

LOCK = ".lock"
EXPERIMENT = "experiment.yaml"
ENVIRONMENT = "environment.json"
TRIALS = "trials.csv"
EPOCHS = "epochs.csv"
CONFIRMATIONS = "confirmations.csv"
SPLITS = "splits.csv"
JOURNAL = "journal.log"
ARCHITECTURES = "architectures"
VALUES = ".training.json"
"""End of the name of the file beside an architecture that holds the training values of the trial."""
CHECKPOINTS = "checkpoints"
WEIGHTS = "weights.safetensors"
CHECKPOINT = "training.safetensors"
COMPARISON = "comparison.json"
OUTCOMES = "baselines.csv"
TUNING = "tuning.csv"
CONTROL = "control"
TRAININGS = "comparison"
DETAILS = "details.json"
EXPORTS = "exports"
TENSORBOARD = "tensorboard"
DATA, SAVED = "dataset", "saved"
"""Folder for a dataset that was in memory, and the name by which it is loaded from there."""
MODELS: Mapping[str, str] = {"onnx": "model.onnx", "torch": "model.pt2"}
"""Format -> file of an exported model."""
CARD = "model_card.json"
CARD_PAGE = "MODEL_CARD.md"
PAGES = ("pareto.html", "report.html", "report.json")

FORMAT = 1
"""Of a run's folder and of a comparison; what has no number is from before there was one, and read alike."""

CHANGED_IN_PLACE = (LOCK, TRIALS, EPOCHS, CONFIRMATIONS, JOURNAL)
"""Files that are appended to or cut: another name of theirs outside of the folder would change, too."""

NUMBER = "0|[1-9][0-9]*"
HALF_WRITTEN = re.compile(r"\.(.+)\.([0-9]+)\.tmp")
"""Where a file is before it is renamed: its name, and the process that writes it."""


@dataclass(frozen=True)
class Layout:
    """The names that are ours in a folder, as regular expressions. Everything else in it is not looked at.

    :param files: Patterns of the names of files.
    :param folders: Pattern of the name of a folder -> the layout of what is in it.
    :param beside: Whether plain files may lie where these folders are: their names can be any.
    """

    files: str = ""
    folders: Mapping[str, "Layout"] = field(default_factory=dict)
    beside: bool = False


def _any_of(*names: str) -> str:
    return "|".join(map(re.escape, names))


EXPORT = Layout(_any_of(LOCK, *MODELS.values(), *(f".writing-{name}" for name in MODELS.values()), CARD, CARD_PAGE))
TRAINING = Layout(_any_of(WEIGHTS, DETAILS))
ANY_NAME = r"[^.].*"
RUN = Layout(
    _any_of(
        LOCK,
        EXPERIMENT,
        ENVIRONMENT,
        TRIALS,
        EPOCHS,
        CONFIRMATIONS,
        SPLITS,
        JOURNAL,
        COMPARISON,
        OUTCOMES,
        TUNING,
        *PAGES,
    ),
    {
        ARCHITECTURES: Layout(rf"({NUMBER})(\.training)?\.json"),
        TENSORBOARD: Layout(folders={rf"trial-({NUMBER})": Layout(r"events\.out\.tfevents\..*")}),
        DATA: Layout(r"[0-9a-f]{16}\.(npz|json)"),
        CHECKPOINTS: Layout(folders={NUMBER: Layout(_any_of(WEIGHTS, CHECKPOINT))}),
        TRAININGS: Layout(folders={ANY_NAME: Layout(folders={f"seed({NUMBER})": TRAINING})}, beside=True),
        EXPORTS: Layout(folders={ANY_NAME: EXPORT}, beside=True),
        CONTROL: Layout(folders={ANY_NAME: Layout()}, beside=True),  # runs of their own, looked at when they are read
    },
)


def check_inside(folder: Path, layout: Layout = RUN) -> None:
    """Refuse a folder in which a name of ours is not what it must be. Nothing is opened, links are not followed.

    :raises RunFolderError: For the first one: a link, a pipe, a socket, a device, a folder for a file, a file for a
        folder, or a file that is changed in place and has a second name.
    """
    for path, status, is_file in _ours(folder, layout):
        wrong = _wrong(path, status, is_file)
        if wrong:
            raise RunFolderError(
                f"{printable(str(path))}: is {wrong}. The files of a run must be plain files inside of its folder; "
                "nothing was read, written or removed. Put a copy of what is meant in its place, or remove it."
            )


def half_written(folder: Path, layout: Layout = RUN) -> Iterator[Path]:
    """The files that a process which ended had begun to write.

    Pages are written without the folder's lock: where the process that writes one still lives, it is not among them.
    """
    for path, status, is_file in _ours(folder, layout):
        found = HALF_WRITTEN.fullmatch(path.name)
        if found and is_file and stat.S_ISREG(status.st_mode) and not (found[1] in PAGES and _lives(int(found[2]))):
            yield path


def _ours(folder: Path, layout: Layout) -> Iterator[tuple[Path, os.stat_result, bool]]:
    """Every path with a name of ours, folders before what is in them: what it is, and whether it must be a file."""
    for path, status in _inside(folder):
        half = HALF_WRITTEN.fullmatch(path.name)
        if re.fullmatch(layout.files, half[1] if half else path.name):
            yield path, status, True
        for pattern, inside in layout.folders.items():
            loose = layout.beside and stat.S_ISREG(status.st_mode)
            if re.fullmatch(pattern, path.name, re.DOTALL) and not loose:
                yield path, status, False
                if stat.S_ISDIR(status.st_mode):
                    yield from _ours(path, inside)


def _inside(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What lies in a folder, by name, links as they are; without what another process removes meanwhile."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise RunFolderError(f"{printable(str(folder))}: cannot be read: {error.strerror}.") from error
    for name in names:
        try:
            yield folder / name, (folder / name).lstat()
        except FileNotFoundError:
            continue


def _wrong(path: Path, status: os.stat_result, is_file: bool) -> str:
    """What a path is instead of a plain file or a folder; empty where it is right."""
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder, not a file" if is_file else "",
        stat.S_IFREG: "" if is_file else "a file, not a folder",
    }
    wrong = kinds[stat.S_IFMT(status.st_mode)]
    if not wrong and path.name in CHANGED_IN_PLACE and status.st_nlink > 1:
        return "a hard link: another file would change with it"
    return wrong


def _lives(process: int) -> bool:
    """Whether another process of that number runs on this machine."""
    return process != os.getpid() and Path(f"/proc/{process}").exists()


def dataset_title(name: str, options: Mapping[str, Any]) -> str:
    """What a dataset is called in reports: its name, or what it was called when it was in memory.

    :param name: The name that it is loaded by.
    :param options: What it is loaded with.
    """
    return str(options.get("title", name)) if name == SAVED else name
