"""A dataset that was in memory is in the folder of its run, and whatever follows takes it from there."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_search import compare, dataset_from, export, load_dataset, load_run, make_dataset, resume, search
from mtl_search.cli.commands import main
from mtl_search.datasets import Dataset, Split
from mtl_search.datasets._saving import digest_of, saving
from mtl_search.errors import ChangedError, DatasetError, FieldError, RunFolderError
from mtl_search.evaluation import EvaluationOptions, Report, evaluate_by_epoch
from mtl_search.internal.arrays import FileArray
from mtl_search.runs.folder import Run
from mtl_search.runs.provenance import data_digest
from mtl_search.runs.trial import Trial
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import parse_experiment
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Binary, Task

EXPERIMENT = parse_experiment(
    {
        "dataset": {"name": "multi_mnist"},
        "backbone": {"kind": "vector", "stages": [{"width": 8}]},
        "space": {"shared_ratio": [1.0, 0.5, 0.0]},
        "training": {"epochs": 1, "batch_size": 32},
        "search": {"trials": 3, "workers": 0},
    },
    "made",
)


SMALL = Training(batch_size=32)


class CutError(BaseException):
    """What ends a search as a lost machine does."""


@dataclass(frozen=True)
class Own(Binary):
    """A kind of the user's own, in a module of its own."""

    kind = "own"


def large() -> Dataset:
    """Numbers around 1e9, and targets of 1e11: neither fits float32, or the limits of options, as it is."""
    x = np.random.default_rng(0).normal(size=(120, 3))
    return dataset_from(x + 1e9, {"up": x[:, 0] > 0, "sum": x.sum(axis=1) * 1e11}, name="waves")


def split_of(lot: np.random.Generator, count: int) -> Split:
    inputs = lot.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)
    targets = {"own": (inputs.mean(axis=(1, 2, 3)) > 127).astype(np.int8)}
    return Split(inputs, targets, np.arange(count, dtype=np.int64) % 2)


def pictures() -> Dataset:
    """Pictures of two parts, with a task of an own kind."""
    lot = np.random.default_rng(1)
    return make_dataset("pictures", (Own("own"),), {name: split_of(lot, 20) for name in ("train", "val", "test")})


def timeless(run: Run) -> list[Trial]:
    return [replace(trial, seconds=0) for trial in run.trials]


def assert_same(found: Dataset, wanted: Dataset) -> None:
    assert found.tasks == wanted.tasks
    assert found.found == wanted.found
    for name in ("mean", "std", "centre"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    for split, samples in wanted.splits.items():
        again = found.splits[split]
        assert [again.inputs.dtype, again.inputs.shape] == [samples.inputs.dtype, samples.inputs.shape]
        assert np.array_equal(again.inputs, samples.inputs)
        assert np.array_equal(again.parts, samples.parts)
        assert again.targets.keys() == samples.targets.keys()
        for task, targets in samples.targets.items():
            assert again.targets[task].dtype == targets.dtype
            assert np.array_equal(again.targets[task], targets)
        assert np.array_equal(found.rows.get(split, ()), wanted.rows.get(split, ()))


@pytest.mark.parametrize("made", [large, pictures])
def test_it_is_read_as_it_was(made: Callable[[], Dataset], tmp_path: Path) -> None:
    wanted = made()
    saved = saving(wanted, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists(), "nothing is written yet"
    saved.write()
    found = load_dataset(saved.dataset.name, **saved.dataset.options)
    assert_same(found, wanted)
    assert data_digest(found) == data_digest(wanted)
    assert (found.title, found.loadable) == (wanted.name, True)
    assert {path.name for path in saved.path.parent.iterdir()} == {saved.path.name, f"{saved.path.stem}.json"}


def test_arrays_in_files_are_written_as_those_in_memory(tmp_path: Path) -> None:
    plain = pictures()
    np.save(tmp_path / "inputs.npy", plain.splits["train"].inputs)
    train = replace(plain.splits["train"], inputs=FileArray(tmp_path / "inputs.npy"))
    filed = replace(plain, splits={**plain.splits, "train": train})
    assert saving(filed, tmp_path).path == saving(plain, tmp_path).path
    saving(filed, tmp_path / "dataset").write()
    (path,) = (tmp_path / "dataset").glob("*.npz")
    assert_same(load_dataset("saved", file=str(path)), plain)


def cut_off_in_the_third(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    begun.append(architecture)
    if len(begun) == 3:
        raise CutError
    yield from evaluate_by_epoch(architecture, dataset, training, seed, options)


begun: list[Architecture] = []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of a bare space that nothing disturbed."""
    return search(EXPERIMENT, large(), out=tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was cut off in its third trial, in a folder that was moved since."""
    folder = tmp_path_factory.mktemp("cut")
    begun.clear()
    with pytest.raises(CutError):
        search(EXPERIMENT, large(), out=folder / "run", evaluate=cut_off_in_the_third)
    return (folder / "run").rename(folder / "moved")


def test_the_folder_says_where_its_data_are(whole: Run) -> None:
    (path,) = (whole.path / "dataset").glob("*.npz")
    text = (whole.path / "experiment.yaml").read_text(encoding="utf-8")
    assert f"dataset: {{name: saved, file: dataset/{path.name}, title: waves}}\n" in text
    assert whole.experiment.dataset.options["file"] == str(path)
    assert (whole.path / "splits.csv").read_text(encoding="utf-8").count("\n") == 121


def test_what_follows_does_without_the_object(whole: Run, moved: Path) -> None:
    """The search goes on as if it had not been cut off; networks are compared, and one is exported."""
    again = resume(moved)
    assert timeless(again) == timeless(whole)
    found = compare(again, baselines=["hard_sharing"], picks=["smallest"], seeds=1, workers=0)
    assert {one.split for one in found.outcomes} == {"test"}
    model = export(again, "smallest", format="torch")
    card = json.loads((model.parent / "model_card.json").read_text(encoding="utf-8"))
    assert card["dataset"]["name"] == "waves"
    assert card["input"]["normalisation_inside"]["centre"] == pytest.approx([1e9] * 3, rel=1e-6)


@pytest.mark.slow
def test_a_fresh_process_goes_on(whole: Run, tmp_path: Path) -> None:
    begun.clear()
    with pytest.raises(CutError):
        search(EXPERIMENT, large(), out=tmp_path / "run", evaluate=cut_off_in_the_third)
    command = [sys.executable, "-m", "mtl_search.cli", "resume", str(tmp_path / "run")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert timeless(load_run(tmp_path / "run")) == timeless(whole)


@pytest.mark.slow
def test_workers_of_ray_train_on_it(whole: Run, tmp_path: Path) -> None:
    run = search(EXPERIMENT, large(), workers=1, out=tmp_path / "run")
    assert timeless(run) == timeless(whole)


def test_a_bare_space_is_called_as_its_data(tmp_path: Path) -> None:
    run = search(EXPERIMENT.search_space, large(), trials=1, epochs=1, workers=0, out=tmp_path / "run", training=SMALL)
    assert (run.experiment.name, run.experiment.dataset.title) == ("waves", "waves")


def test_the_experiment_of_a_run_is_one_for_others(whole: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths are relative to it, as those of every experiment are."""
    monkeypatch.setattr(sys, "argv", ["mtl-search", "check", str(whole.path / "experiment.yaml")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)


def test_what_is_loaded_by_name_is_not_written(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", x=np.random.default_rng(0).normal(size=(120, 3)), up=np.arange(120) % 2)
    loaded = load_dataset("arrays", file=str(tmp_path / "rows.npz"), inputs="x", tasks=["up"])
    run = search(EXPERIMENT, loaded, trials=1, out=tmp_path / "run")
    assert not (run.path / "dataset").exists()
    assert run.experiment.dataset.name == "arrays"


def test_other_data_are_a_change(whole: Run) -> None:
    targets = {"up": np.arange(120) % 2, "sum": np.arange(120.0)}
    other = dataset_from(np.random.default_rng(9).normal(size=(120, 3)), targets)
    with pytest.raises(ChangedError, match="the samples of dataset saved"):
        resume(whole.path, other, trials=4)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def damage_numbers(folder: Path) -> None:
    flipped(next(folder.glob("*.npz")))


def damage_json(folder: Path) -> None:
    path = next(folder.glob("*.json"))
    path.write_text(path.read_text(encoding="utf-8").replace("waves", "tides"), encoding="utf-8")


def lose_json(folder: Path) -> None:
    next(folder.glob("*.json")).unlink()


def lose_arrays(folder: Path) -> None:
    next(folder.glob("*.npz")).unlink()


def empty_arrays(folder: Path) -> None:
    next(folder.glob("*.npz")).write_bytes(b"")


def forged(folder: Path, change: Callable[[dict[str, Any]], None], **arrays: Any) -> None:
    """Other contents, under the digest of those."""
    path = next(folder.glob("*.npz"))
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    change(about)
    with np.load(path) as held:
        kept = {**held, **arrays}
    text = json.dumps(about)
    name = digest_of(text, kept)
    np.savez(folder / f"{name}.npz", **kept)
    path.with_suffix(".json").unlink()
    path.unlink()
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def pickled(folder: Path) -> None:
    forged(folder, lambda about: None)
    path = next(folder.glob("*.npz"))
    with np.load(path) as held:
        kept = dict(held)
    np.savez(path, **{**kept, "mean": np.array([{}, {}, {}], object)})


def no_such_kind(about: dict[str, Any]) -> None:
    about["tasks"][0]["kind"] = "os:system"


def no_such_option(about: dict[str, Any]) -> None:
    about["tasks"][0]["colour"] = 1


def no_tasks(about: dict[str, Any]) -> None:
    about["tasks"] = []


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit of the arrays": (damage_numbers, "npz"),
    "a word of the JSON": (damage_json, "the digest of both is not its name. Put both back from a copy."),
    "no JSON": (lose_json, "json: cannot be read: No such file or directory."),
    "no arrays": (lose_arrays, "npz: there is no such file"),
    "empty arrays": (empty_arrays, "npz: is no npz file that can be read"),
    "pickled": (pickled, "must hold numbers or texts, but got Python objects, which are not unpickled"),
    "kind": (lambda folder: forged(folder, no_such_kind), "but `os` belongs to Python itself"),
    "option": (lambda folder: forged(folder, no_such_option), "`tasks.0.colour`: Unexpected keyword argument."),
    "no tasks": (lambda folder: forged(folder, no_tasks), "`tasks`"),
    "mean": (
        lambda folder: forged(folder, lambda about: None, mean=np.zeros(2, np.float32)),
        "array `mean`: must be of the types 'f' of numpy and have 3 rows, but got float32 [2].",
    ),
    "classes": (
        lambda folder: forged(folder, lambda about: None, **{"val.targets.0": np.full(18, 7)}),
        "task `up`, split `val`, row 0: targets must be 0 or 1",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_damaged_or_forged_is_refused(case: str, tmp_path: Path) -> None:
    damage, message = BROKEN[case]
    saving(large(), tmp_path / "dataset").write()
    damage(tmp_path / "dataset")
    stem = next(path for path in (tmp_path / "dataset").iterdir()).stem
    with pytest.raises(DatasetError, match=re.escape(message)) as caught:
        load_dataset("saved", file=str(tmp_path / "dataset" / f"{stem}.npz"))
    assert "\n" not in str(caught.value)


def test_no_link_of_a_folder_is_followed(whole: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("experiment.yaml", "environment.json", "trials.csv", "epochs.csv"):
        (folder / name).write_bytes((whole.path / name).read_bytes())
    (folder / "dataset").symlink_to(whole.path / "dataset", target_is_directory=True)
    with pytest.raises(RunFolderError, match="dataset: is a symbolic link"):
        resume(folder)


def in_a_function() -> type[Binary]:
    class Hidden(Binary):
        kind = "hidden"

    return Hidden


def with_task(task: Task) -> Dataset:
    return replace(pictures(), tasks=(task,))


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no test": (lambda: pictures().without("test"), DatasetError, "but this one has no `test`"),
    "kind": (lambda: with_task(in_a_function()("own")), DatasetError, "must stand in a module of its own"),
    "found": (lambda: replace(pictures(), found={"a": {1, 2}}), DatasetError, "must be plain data that JSON holds"),
    "a frame": (lambda: [1, 2, 3], FieldError, "`dataset_from` makes one of a frame"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_written_is_refused_before_anything_is(case: str, tmp_path: Path) -> None:
    made, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        search(EXPERIMENT, made(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
