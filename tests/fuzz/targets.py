"""What is fuzzed: valid inputs of every kind, and what a user calls with them.

To add one, write a function that makes a folder with valid files, and append a :class:`Target` to :data:`TARGETS`:
which of its files are changed, what is called, and how often it is drawn. The folder is made once; every mutation gets
a copy of it, changed. What is called gets that copy and returns what it shows to the user; it may raise any error of
the package. Nothing in it may train for long.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from watch import Refused, command, start_clock

from made_comparisons import made_comparison
from made_images import write_folder
from made_runs import made_run
from mtl_search.cli.checking import check_text
from mtl_search.comparison.recipes import load_baselines
from mtl_search.errors import MTLSearchError
from mtl_search.internal.characters import printable
from mtl_search.searching.check import check
from mtl_search.spaces.experiment import experiment_names, load_experiment, parse_experiment
from mtl_search.spaces.yaml_files import yaml_files

ROWS = 40
"""Of the tables: enough for three splits."""
SMALL = {
    "backbone": {"kind": "plain", "stem": 4, "stages": [{"width": 8}]},
    "space": {"shared_ratio": [1.0, 0.5]},
    "training": {"epochs": 1, "batch_size": 4},
    "search": {"trials": 1, "workers": 0},
}
"""An experiment in which data is the largest part."""
OF_ROWS = {**SMALL, "backbone": {"kind": "vector", "stages": [{"width": 8}]}}


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    :param name: For messages.
    :param write: Makes a folder with valid files.
    :param changed: Patterns of the files that are changed.
    :param call: What is called with the folder, returning what it shows.
    :param weight: How often it is drawn, beside the others.
    :param foreign: Whether nothing may be imported that the files name.
    :param folders: Share of mutations that change what lies in the folder, not in a file.
    :param guarded: Whether it is watched for what it does beyond its folder; a process of its own cannot be.
    :param valid: Whether what :attr:`write` made is taken; other formats may be refused by name.
    """

    name: str
    write: Callable[[Path], None]
    changed: Sequence[str]
    call: Callable[[Path], str]
    weight: float = 1
    foreign: bool = True
    folders: float = 0.03
    guarded: bool = True
    valid: bool = True


def _checked(data: Mapping[str, Any]) -> str:
    """What ``check`` says of an experiment, given as plain data."""
    return check_text(check(parse_experiment(data, "my.yaml")))


# Experiments and recipes


def write_experiments(folder: Path) -> None:
    """One on a table with most keys; and for grafts those that come with the package."""
    write_table(folder)
    (folder / "my.yaml").write_text(EXPERIMENT)
    (folder / "images.yaml").write_text(EXPERIMENT_ON_IMAGES)
    write_folder(folder / "pictures", 12)
    for name, path in experiment_names().items():
        (folder / f"shipped-{name}.yaml").write_text(path.read_text(encoding="utf-8"))


EXPERIMENT = """\
description: Made up.
dataset:
  name: table
  file: data.csv
  tasks:
    good: binary
    kind: {kind: classification, column: kind, classes: [a, b, c]}
    price: {kind: regression}
  inputs: [width, height, colour]
  split: {val: 0.2, test: 0.2, seed: 1, stratify: good}
  missing: [none]
  missing_inputs: mean
backbone: {kind: vector, stages: [{width: 8}, {width: 12}]}
space:
  bank: [vector, vector_random]
  shared_ratio: [1.0, 0.5]
  branch_depth: [1, 2]
  width_multiplier: [0.5, 1.0]
  layers: {1: {shared_ratio: [0.75]}}
training: {epochs: 2, batch_size: 8, learning_rate: 0.01, weight_decay: 0.001, balancing: {name: uncertainty}}
objectives: [accuracy, learnable_parameters]
constraints: {learnable_parameters: 1000000}
search: {trials: 3, workers: 0, sampler: random, seed: 3, hours: 1}
"""
EXPERIMENT_ON_IMAGES = """\
dataset:
  name: images
  root: pictures
  tasks: {shape: classification, mask: segmentation}
  split: split
  size: [12, 12]
backbone: {kind: plain, stem: 4, stem_stride: 1, stages: [{width: 8, stride: 2}, {width: 12, dilation: 2}]}
space: {bank: paper, shared_ratio: [1.0, 0.5]}
training: {epochs: 1, batch_size: 4, augmentation: {flip: true}}
search: {trials: 1, workers: 0}
"""


def check_experiment(name: str) -> Callable[[Path], str]:
    return lambda folder: command("check", folder / name) + command("check", folder / name, "--json")


def read_experiments(folder: Path) -> str:
    """Of those that come with the package, whose data is large."""
    return "\n".join(load_experiment(path).to_yaml() for path in sorted(folder.glob("shipped-*.yaml")))


def write_recipes(folder: Path) -> None:
    for name, path in yaml_files("baselines").items():
        (folder / f"my_{name}.yaml").write_text(path.read_text(encoding="utf-8"))


def read_recipes(folder: Path) -> str:
    found = load_baselines([str(path) for path in sorted(folder.glob("*.yaml"))])
    return "\n".join(f"{one.key}: {printable(one.description)}" for one in found)


# Runs


def write_architectures(folder: Path) -> None:
    made_run(folder / "run", 4)


def show_architectures(folder: Path) -> str:
    paths = sorted((folder / "run" / "architectures").glob("*.json"))
    return "".join(command("show", path, "--svg", folder / "drawn.svg") for path in paths)


def write_run(folder: Path) -> None:
    """A run with a comparison, its journal and its checkpoints; nothing in it ran."""
    import torch
    from safetensors.torch import save_file

    run = made_run(folder / "run", 4)
    made_comparison(run, 2, ["single_task", "hard_sharing", "interrogate@0.2", "conal"])
    journal = [{"op_code": 0, "worker_id": "a", "study_name": "search", "directions": [2, 1]}]
    journal += [{"op_code": 4, "worker_id": "a", "study_id": 0, "datetime_start": "2026-01-02T10:00:00"}] * 4
    (run.path / "journal.log").write_text("".join(json.dumps(line) + "\n" for line in journal))
    for trial in run.front:
        run.checkpoint(trial.number).mkdir(parents=True)
        weights = {"stem.weight": torch.zeros(4, 1, 3, 3), "heads.left.bias": torch.zeros(10)}
        save_file(weights, run.checkpoint(trial.number) / "weights.safetensors", metadata={"trial": str(trial.number)})
    (run.path / "splits.csv").write_text("row,split\n0,train\n1,val\n2,test\n")
    epochs = "".join(f"{trial},{epoch},{epoch}.5,0.5,,\n" for trial in range(4) for epoch in (1, 2))
    (run.path / "epochs.csv").write_text(f"trial,epoch,seconds,loss,accuracy,left/accuracy\n{epochs}")


def look_at_run(folder: Path) -> str:
    run = folder / "run"
    commands = (("status", run), ("status", run, "--json"), ("show", run), ("show", f"{run}:1", "--json"))
    return _all_of([partial(command, *one) for one in commands])


def report_run(folder: Path) -> str:
    return command("report", folder / "run")


def _all_of(calls: Sequence[Callable[[], str]]) -> str:
    """Make all calls, and refuse if one refuses: each for itself has to end well."""
    shown, refused = [], None
    for call in calls:
        start_clock()
        try:
            shown.append(call())
        except (Refused, MTLSearchError) as error:
            refused = error
    if refused is not None:
        raise refused
    return "".join(shown)


# Data


def write_table(folder: Path) -> None:
    """The same table in every format."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "width": random.normal(size=ROWS).round(3),
            "height": random.integers(0, 1000, ROWS),
            "colour": random.choice(["red", "green", "blue"], ROWS),
            "good": random.integers(0, 2, ROWS),
            "kind": random.choice(["a", "b", "c"], ROWS),
            "price": random.normal(100, 20, ROWS).round(2),
        }
    )
    table.to_csv(folder / "data.csv", index=False)
    table.to_parquet(folder / "data.parquet", index=False)
    table.to_json(folder / "data.jsonl", orient="records", lines=True)
    (folder / "data.csv.gz").write_bytes(gzip.compress((folder / "data.csv").read_bytes(), mtime=0))


def _check_table(name: str) -> Callable[[Path], str]:
    def called(folder: Path) -> str:
        """With kinds that are said, and with kinds that are found."""
        said = {"good": "binary", "kind": "classification", "price": "regression"}
        on = {"name": "table", "file": str(folder / name), "missing_inputs": "mean"}
        tables = [{**OF_ROWS, "dataset": {**on, "tasks": tasks}} for tasks in (list(said), said)]
        return _all_of([partial(_checked, experiment) for experiment in tables])

    return called


def write_pictures(folder: Path) -> None:
    """Images as PNG and JPEG, and maps of every pixel."""
    write_folder(folder, 12)
    for number in range(0, 12, 3):
        place = folder / f"pictures/{number}.png"
        Image.open(place).save(place.with_suffix(".jpg"), quality=95)
        place.unlink()
    labels = folder / "labels.csv"
    text = labels.read_text()
    for number in range(0, 12, 3):
        text = text.replace(f"pictures/{number}.png", f"pictures/{number}.jpg")
    labels.write_text(text)


def check_pictures(folder: Path) -> str:
    tasks = {
        "shape": "classification",
        "dark": "binary",
        "mask": "segmentation",
        "depth": {"kind": "depth", "scale": 0.001},
        "normals": "normals",
        "edges": "edges",
    }
    data = {"name": "images", "root": str(folder), "tasks": tasks, "split": "split"}
    return _checked({**SMALL, "dataset": data})


def write_arrays(folder: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (24, 12, 12, 3)).astype(np.uint8)
    depth = random.random((24, 12, 12)).astype(np.float32)
    targets = {"good": np.arange(24) % 2, "kind": np.arange(24) % 3, "size": random.normal(size=24), "depth": depth}
    np.savez(folder / "data.npz", inputs=inputs, **targets)
    np.savez_compressed(folder / "rows.npz", inputs=random.normal(size=(24, 5)).astype(np.float32), **targets)


def check_arrays(folder: Path) -> str:
    tasks = {"good": "binary", "kind": "classification", "size": "regression"}
    images = {
        "name": "arrays",
        "file": str(folder / "data.npz"),
        "inputs": "inputs",
        "tasks": {**tasks, "depth": "depth"},
    }
    rows = {"name": "arrays", "file": str(folder / "rows.npz"), "inputs": "inputs", "tasks": list(tasks)}
    return _all_of([partial(_checked, {**SMALL, "dataset": images}), partial(_checked, {**OF_ROWS, "dataset": rows})])


# The whole command line, in a process of its own

PROGRAM = "import sys; sys.argv[0] = 'mtl-search'; from mtl_search.cli.launch import main; main()"


def _in_a_process(*arguments: str) -> Callable[[Path], str]:
    """The command line as it is typed."""

    def called(folder: Path) -> str:
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, capture_output=True)
        shown, told = (stream.decode(errors="surrogateescape") for stream in (done.stdout, done.stderr))
        if "Traceback" in told:
            raise AssertionError(told.strip().splitlines()[-1])
        if done.returncode != 0:
            raise Refused(done.returncode, told)
        return shown + told

    return called


RUN = ("run/*", "run/architectures/*", "run/comparison/*/*/*", "run/checkpoints/*/*")
TARGETS = (
    Target("experiment on a table", write_experiments, ("my.yaml",), check_experiment("my.yaml"), 4, foreign=False),
    Target(
        "experiment on images", write_experiments, ("images.yaml",), check_experiment("images.yaml"), 2, foreign=False
    ),
    Target("experiment of the package", write_experiments, ("shipped-*",), read_experiments, 2, foreign=False),
    Target("recipe", write_recipes, ("*.yaml",), read_recipes, 3, foreign=False),
    Target("architecture", write_architectures, ("run/architectures/*",), show_architectures, 3),
    Target("run", write_run, RUN, look_at_run, 6, folders=0.3),
    Target("report", write_run, RUN, report_run, 3, folders=0.2),
    Target("csv", write_table, ("data.csv",), _check_table("data.csv"), 5),
    Target("parquet", write_table, ("data.parquet",), _check_table("data.parquet"), 2),
    Target("jsonl", write_table, ("data.jsonl",), _check_table("data.jsonl"), 1, valid=False),
    Target("gz", write_table, ("data.csv.gz",), _check_table("data.csv.gz"), 0.5, valid=False),
    Target("images", write_pictures, ("labels.csv", "pictures/*", "maps/*"), check_pictures, 6, folders=0.1),
    Target("arrays", write_arrays, ("*.npz",), check_arrays, 3),
    Target("command check", write_experiments, ("my.yaml",), _in_a_process("check", "my.yaml"), 0.15, guarded=False),
    Target("command status", write_run, RUN, _in_a_process("status", "run"), 0.15, guarded=False),
)
