"""Folders of runs that are damaged: mended from their other files the first time, or refused each time alike."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from made_faults import assert_whole, timeless
from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import RunFolderError
from mtl_search.evaluation import EvaluationOptions, Report
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.status import status
from mtl_search.searching.run import resume, search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.settings import Training
from mtl_search.training.checkpoint import Checkpoint

TRIALS, EPOCHS = 5, 4
SETTINGS = [
    "dataset.train=100",
    "dataset.val=50",
    "dataset.test=50",
    "training.batch_size=50",
    f"training.epochs={EPOCHS}",
    f"search.trials={TRIALS}",
    "search.sampler=random",
]


class CutError(BaseException):
    """Stands for the end of the process: nothing catches it."""


def train(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """A training that takes no time; what it ends with depends on the architecture alone."""
    first = (options.start.epoch if options.start else 0) + 1
    best = 0.4 + 0.1 * architecture.width_multiplier - 0.05 * architecture.layers[0].shared_ratio
    for epoch in range(first, EPOCHS + 1):
        checkpoint = Checkpoint({"weights": torch.full((3,), float(epoch))}, {"epoch": epoch})
        yield Report(epoch, float(epoch), 1.0, checkpoint=checkpoint)
    scores = dict.fromkeys(dataset.score_names, best)
    yield Report(EPOCHS, EPOCHS + 1.0, 1.0, scores=scores, weights={"w": torch.ones(2)}, done=True)


def cut_off_in_the_fourth(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    begun.append(architecture)
    for report in train(architecture, dataset, training, seed, options):
        if len(begun) == 4 and report.epoch == 3:
            raise CutError
        yield report


begun: list[Architecture] = []


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=100, val=50, test=50)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return made_experiment(SETTINGS)


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(experiment, dataset, workers=0, out=tmp_path_factory.mktemp("whole") / "run", evaluate=train)


@pytest.fixture(scope="module")
def cut_off(dataset: Dataset, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials have ended, the fourth has trained two epochs."""
    folder = tmp_path_factory.mktemp("cut") / "run"
    with pytest.raises(CutError):
        search(experiment, dataset, workers=0, out=folder, evaluate=cut_off_in_the_fourth)
    assert [len(load_run(folder).trials), *load_run(folder).under_way] == [3, 3]
    return folder


@pytest.fixture
def folder(cut_off: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cut_off, tmp_path / "run"))


def remove(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return damage


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def append(name: str, text: str) -> Callable[[Path], None]:
    return write_changed(name, lambda before: before + text)


def write_changed(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        before = (folder / name).read_text()
        (folder / name).write_text(change(before))
        assert (folder / name).read_text() != before

    return damage


def write_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return write_changed(name, lambda before: json.dumps(change(json.loads(before))))


def without_last_line(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def line(text: str, number: int) -> str:
    return text.splitlines(keepends=True)[number]


def write_checkpoint(values: dict[str, str] | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        save_file({"weights": torch.ones(3)}, folder / "checkpoints/3/training.safetensors", metadata=values)

    return damage


def put_foreign_things(folder: Path) -> None:
    (folder / "checkpoints" / ".DS_Store").write_bytes(b"\0\1")
    (folder / "checkpoints" / "007").mkdir()
    (folder / "checkpoints" / "007" / "weights.safetensors").write_text("mine")
    (folder / "checkpoints" / "99").mkdir()
    (folder / "checkpoints" / "99" / "weights.safetensors").write_text("mine")
    (folder / "checkpoints" / "best of all").mkdir()
    (folder / "architectures" / "Thumbs.db").write_bytes(b"\0\1")
    (folder / "architectures" / "mine.json").write_text("{}")


AGAIN = "checkpoints/3/training.safetensors: is lost, damaged or of another training; trial 3 begins again."
JOURNAL = "it was made again from trials.csv and architectures."
MENDED: dict[str, tuple[Callable[[Path], None], str]] = {
    "journal missing": (remove("journal.log"), JOURNAL),
    "journal empty": (write("journal.log", b""), JOURNAL),
    "journal binary": (write("journal.log", bytes(range(256))), JOURNAL),
    "journal cut": (write_changed("journal.log", lambda text: text[: len(text) // 2]), JOURNAL),
    "journal of unknown operations": (append("journal.log", '{"op_code": 77}\n'), JOURNAL),
    "journal with half of a line": (append("journal.log", '{"op_code": 5, "wor'), ""),
    "last row lost": (write_changed("trials.csv", without_last_line), JOURNAL),
    "row twice": (
        write_changed("trials.csv", lambda text: text + line(text, 2)),
        "trials.csv: 1 of its rows stand there again",
    ),
    "epochs of no trial": (append("epochs.csv", "4,2,1.0,1.0,,,,,\n"), "epochs.csv: rows of trial 4 do not count"),
    "no epochs": (remove("epochs.csv"), "epochs.csv: is not there"),
    "foreign names": (put_foreign_things, ""),
    "no checkpoints": (remove("checkpoints"), AGAIN),
    "checkpoint missing": (remove("checkpoints/3/training.safetensors"), AGAIN),
    "checkpoint empty": (write("checkpoints/3/training.safetensors", b""), AGAIN),
    "checkpoint binary": (write("checkpoints/3/training.safetensors", bytes(range(256))), AGAIN),
    "checkpoint without metadata": (write_checkpoint(None), AGAIN),
    "checkpoint of other metadata": (write_checkpoint({"format": "pt"}), AGAIN),
    "checkpoint with a list": (write_checkpoint({"values": "[1, 2]"}), AGAIN),
    "checkpoint that is deep": (write_checkpoint({"values": "[" * 10_000}), AGAIN),
    "checkpoint after the end": (write_checkpoint({"values": '{"epoch": 99}'}), AGAIN),
    "checkpoint before the beginning": (write_checkpoint({"values": '{"epoch": -1}'}), AGAIN),
}


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_mended_is_mended_the_first_time(
    name: str, folder: Path, dataset: Dataset, undisturbed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, said = MENDED[name]
    damage(folder)
    resume(folder, dataset, workers=0, evaluate=train, show_progress=True)
    shown = capsys.readouterr().err
    assert said in shown
    assert bool(said) == any(
        word in shown for word in ("made again", "begins again", "not count", "is not there", "once")
    )
    run = load_run(folder)
    assert timeless(run) == timeless(undisturbed)
    assert status(run).remarks == []
    if name == "foreign names":
        for mine in ("007", "99"):
            assert (folder / "checkpoints" / mine / "weights.safetensors").read_text() == "mine"
            shutil.rmtree(folder / "checkpoints" / mine)
        (folder / "checkpoints" / "best of all").rmdir()
        (folder / "checkpoints" / ".DS_Store").unlink()
    if name not in ("no epochs", "no checkpoints"):
        assert_whole(run)


def other_architecture(folder: Path, space_changes: list[str]) -> str:
    return made_experiment(space_changes).search_space.sample(5).to_json()


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def with_value(number: int, column: str, value: str) -> Callable[[Path], None]:
    """Another value in a column of a row of ``trials.csv``, counted from 1."""

    def change(text: str) -> str:
        lines = text.splitlines()
        cells, place = lines[number].split(","), lines[0].split(",").index(column)
        cells[place] = value
        return "\n".join([*lines[:number], ",".join(cells), *lines[number + 1 :], ""])

    return write_changed("trials.csv", change)


ENVIRONMENT = r"environment\.json: "
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "environment missing": (remove("environment.json"), ENVIRONMENT + "cannot be read: No such file"),
    "environment empty": (write("environment.json", b""), ENVIRONMENT + "not a JSON document"),
    "environment binary": (write("environment.json", bytes(range(256))), ENVIRONMENT + "must be in UTF-8"),
    "environment a list": (write("environment.json", b"[]"), ENVIRONMENT),
    "environment null": (write("environment.json", b"null"), ENVIRONMENT),
    "environment deep": (write("environment.json", nested(10_000)), ENVIRONMENT + "must hold at most 40 maps or lists"),
    "sessions 5": (
        write_json("environment.json", lambda data: {**data, "sessions": 5}),
        ENVIRONMENT + "`sessions` must be a list, but got 5",
    ),
    "a session without a beginning": (
        write_json("environment.json", lambda data: {**data, "sessions": [{}]}),
        ENVIRONMENT + r"`sessions\.0\.started` is missing",
    ),
    "a session that began at no time": (
        write_json("environment.json", lambda data: {**data, "sessions": [{"started": "yesterday"}]}),
        ENVIRONMENT + r"`sessions\.0\.started` ",
    ),
    "tasks x": (
        write_json("environment.json", lambda data: {**data, "tasks": "x"}),
        ENVIRONMENT + "`tasks` must be a list, but got 'x'",
    ),
    "versions of numbers": (
        write_json("environment.json", lambda data: {**data, "versions": {"torch": 2.1}}),
        ENVIRONMENT + r"`versions\.torch` must be a text, but got 2\.1",
    ),
    "a newer format": (
        write_json("environment.json", lambda data: {**data, "format": 2}),
        ENVIRONMENT + r"`format` must be 1, that of this version, but got 2\. It is of a newer mtl_search: upgrade",
    ),
    "architecture missing": (
        remove("architectures/1.json"),
        r"trials\.csv: line 3: .*architectures/1\.json: cannot be read: No such file.*Put it back from a copy",
    ),
    "architecture damaged": (write("architectures/1.json", b"{"), r"architectures/1\.json: not a JSON document"),
    "architecture under way damaged": (
        write("architectures/3.json", b"[]"),
        r"architectures/3\.json: .*or remove it: the search then goes on without this trial",
    ),
    "architecture of another space": (
        lambda folder: (
            (folder / "architectures/1.json").write_text(other_architecture(folder, ["backbone.stem=9"])) and None
        ),
        r"architectures/1\.json: is not of the space in experiment\.yaml",
    ),
    "architecture twice": (
        lambda folder: shutil.copy(folder / "architectures/0.json", folder / "architectures/1.json") and None,
        r"architectures/1\.json: is the same as 0\.json",
    ),
    "trials empty": (write("trials.csv", b""), r"trials\.csv: holds no table: it is empty"),
    "trials missing": (remove("trials.csv"), r"trials\.csv: cannot be read: No such file"),
    "trials binary": (write("trials.csv", bytes(range(256))), r"trials\.csv: must be in UTF-8"),
    "rows that contradict": (
        write_changed("trials.csv", lambda text: text + line(text, 2).replace("COMPLETE", "FAILED")),
        r"trials\.csv: line 5: holds trial 1 again, with other values than line 3",
    ),
    "a row with a value too many": (
        write_changed("trials.csv", lambda text: text + line(text, 1).replace("0,", "9,9,", 1)),
        r"trials\.csv: line 5: has \d+ values, but there are \d+ columns",
    ),
    "a number below 0": (with_value(2, "epochs", "-4"), r"line 3: `epochs` must be a whole number from 0 on"),
    "a number that is none": (with_value(2, "macs", "many"), r"line 3: `macs` must be a whole number from 0 on"),
    "a number of 6,000 digits": (with_value(2, "macs", "9" * 6000), r"line 3: `macs` must be a whole number"),
    "a score that is not finite": (with_value(2, "accuracy", "nan"), "line 3: `accuracy` must be a finite number"),
    "a path for a number": (with_value(2, "trial", "../../1"), "line 3: `trial` must be a whole number from 0 on"),
    "an unknown state": (with_value(2, "state", "DONE"), "line 3: `state` must be one of COMPLETE, STOPPED"),
    "no accuracy": (with_value(2, "accuracy", ""), "COMPLETE trial must have a value in column `accuracy`"),
    "an epoch of no number": (append("epochs.csv", "3,x,1.0,1.0,,,,,\n"), r"epochs\.csv: line \d+: `epoch` must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mended_is_refused_each_time_alike(name: str, folder: Path, dataset: Dataset) -> None:
    damage, message = REFUSED[name]
    damage(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    said = []
    for _ in range(2):
        with pytest.raises(RunFolderError, match=message) as refused:
            resume(folder, dataset, workers=0, evaluate=train)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert len(said[0]) < 500
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_an_architecture_under_way_can_be_removed(
    folder: Path, dataset: Dataset, undisturbed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "architectures" / "3.json").unlink()
    resume(folder, dataset, workers=0, evaluate=train, show_progress=True)
    assert "epochs.csv: rows of trial 3 do not count" in capsys.readouterr().err
    run = load_run(folder)
    assert [one.architecture for one in run.trials] == [one.architecture for one in undisturbed.trials]
    assert_whole(run)


def test_a_checkpoint_of_another_network_begins_its_trial_again(
    dataset: Dataset, experiment: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With real trainings: its shapes are others than the network's."""
    folder = tmp_path / "run"
    small = experiment.changed({"search": {"trials": 1}, "training": {"epochs": 2}})
    whole = search(small, dataset, workers=0, out=tmp_path / "whole")
    writer_of = {"epoch": 1, "phases": {}, "scoring_seconds": 0.0, "groups": [], "schedule": {}}
    with pytest.raises(CutError):
        search(small, dataset, workers=0, out=folder, evaluate=cut_off_at_once)
    (folder / "checkpoints" / "0").mkdir()
    tensors = {"model.stem.weight": torch.ones(3), "order": torch.ones(2)}
    save_file(tensors, folder / "checkpoints/0/training.safetensors", metadata={"values": json.dumps(writer_of)})
    resume(folder, dataset, workers=0, show_progress=True)
    assert "checkpoints/0/training.safetensors: is lost, damaged or of another training; trial 0 begins again." in (
        capsys.readouterr().err
    )
    assert timeless(load_run(folder)) == timeless(whole)


def cut_off_at_once(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    raise CutError
    yield
