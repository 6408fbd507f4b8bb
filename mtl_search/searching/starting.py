"""A first experiment for data of the user's own: a YAML file with a comment at every choice."""

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mtl_search.datasets import Dataset, load_dataset
from mtl_search.datasets._looking import Looked, look_at
from mtl_search.datasets._looking_at_pictures import look_into
from mtl_search.errors import UserError, existing_file, shown_path
from mtl_search.internal.files import write_text
from mtl_search.internal.yaml_text import as_yaml, parse_yaml
from mtl_search.searching.preparation import check_experiment
from mtl_search.spaces.experiment import Experiment, parse_experiment
from mtl_search.tasks import Binary, Classification, Task

STEPS = 1_000
"""Optimiser steps of a training: so many bring networks of this size near their end on the shipped datasets."""
LEAST_EPOCHS, MOST_EPOCHS = 4, 60
"""With fewer the schedule has no room to fall; with more a small set is learned by heart."""
BATCHES = 16
"""Batches that an epoch has where the set is small: gradients of fewer samples are noisy, of more there are few."""
LEAST_BATCH, MOST_BATCH = 16, 128
FEW_FEATURES = 64
"""Features up to which a network of 32 is wide enough to begin with; of more it has 64."""
SHOWN = 5
"""Names of classes in a comment."""
COMMENT = 40
"""Column at which comments begin."""
BANKS = {
    1: "[vector, vector_nonlinear, conv]",
    2: "[sequence, sequence_mixing, conv]",
    3: "[nonlinear, orthonormal, conv]",
}
"""Dimensions of a sample -> the banks that are searched."""


def first_experiment(data: str | Path, tasks: Sequence[str] = (), out: str | Path | None = None) -> Path:
    """Look at a table, arrays or pictures, and write an experiment that searches on them.

    Kinds of tasks, what is left out, a backbone for the inputs, batch and epochs for the number of samples follow from
    the data; each line says why. Nothing is written before the experiment was checked on the data.

    :param data: A table (CSV, JSON lines, Parquet, Feather), or an ``.npz`` file: inputs and an array for each task. Or
        a folder of pictures: with a table that names them; one for each class; or ``images`` and a folder of maps for
        each task. Where there is no table one is written beside the experiment.
    :param tasks: Columns, arrays or folders to be predicted, or patterns of them (``label_*``); chosen by their names
        if empty.
    :param out: The YAML file; beside the data, under its name, if left out.
    :returns: The path of what was written.
    :raises UserError: If the data cannot be read or is too small to be searched on, a task is not there, or a file of
        that name is.
    """
    if not os.path.isdir(data):
        return _written(existing_file(data), tasks, out, Path(data).with_suffix(".yaml"))
    folder = Path(data) if Path(data).name not in ("", "..") else Path(data).resolve()
    return _written(folder, tasks, out, folder.with_name(f"{folder.name}.yaml"))


def _written(path: Path, tasks: Sequence[str], out: str | Path | None, beside: Path) -> Path:
    """The experiment for what is at ``path``."""
    target = Path(out) if out is not None else beside
    looked = look_into(path, tasks) if path.is_dir() else look_at(path, tasks)
    table = target.with_suffix(".csv") if looked.table else None
    for file in filter(None, (target, table)):
        if os.path.lexists(file):
            raise UserError(f"{shown_path(file)}: is there already; give another name by `--out`.")
    place = os.path.relpath(path, target.parent)
    if looked.name != "images":
        dataset = load_dataset(looked.name, file=str(path), **looked.options)
    elif table is None:
        dataset = load_dataset(looked.name, root=str(path), **looked.options)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            read = Path(scratch, table.name)
            read.write_text(looked.table, encoding="utf-8")
            dataset = load_dataset(looked.name, root=str(path), table=str(read), **looked.options)
        looked.options["table"] = os.path.relpath(table, path)
    text = "\n".join(_lines(path, place, looked, dataset)) + "\n"
    check_experiment(parse_experiment({"name": target.stem, **parse_yaml(text)}, str(target)), dataset)
    if table is not None:
        write_text(table, looked.table)
    write_text(target, text)
    return target


def experiment_for(dataset: Dataset, name: str) -> Experiment:
    """What :func:`first_experiment` says besides the dataset, for one that is in memory.

    :param dataset: The dataset that is to be searched on.
    :param name: What the experiment is called.
    """
    text = "\n".join([*_choice_lines(dataset)])
    return parse_experiment({"name": name, "dataset": {"name": dataset.name}, **parse_yaml(text)}, "a first experiment")


def _lines(path: Path, place: str, looked: Looked, dataset: Dataset) -> Iterator[str]:
    samples = {name: len(split) for name, split in dataset.splits.items()}
    shown = ", ".join(f"{count:,} {name}" for name, count in samples.items())
    yield f"# Written by `mtl-search init {path.name}` from what is in it: {shown}. Change what you know better."
    yield _flow("description", f"{path.stem}: {len(dataset.tasks)} task{'s' * (len(dataset.tasks) != 1)}.")
    yield ""
    yield from _dataset_lines(place, looked, dataset.tasks)
    yield ""
    yield from _choice_lines(dataset)


def _choice_lines(dataset: Dataset) -> Iterator[str]:
    """What is searched, and how, on such data."""
    yield from _backbone_lines(dataset)
    yield ""
    yield from _space_lines(dataset)
    yield ""
    yield from _training_lines(len(dataset.splits["train"]))
    yield ""
    yield "search:"
    yield _line("  trials: 40", "candidates to train; `mtl-search search --trials 10` for a first look")
    yield "  points:"
    yield _line("    - {bank: conv, shared_ratio: 1.0}", "tried first: hard sharing, which everything has to beat")


def _dataset_lines(place: str, looked: Looked, tasks: Sequence[Task]) -> Iterator[str]:
    yield "dataset:"
    at = "root" if looked.name == "images" else "file"
    for key, value in {"name": looked.name, at: place, **looked.options}.items():
        if key == "tasks":
            guessed = "; ".join(["guessed: say which by --tasks", *filter(None, [looked.remarks.get("tasks", "")])])
            why = guessed if looked.guessed else "kinds: `mtl-search list tasks`"
            yield _line("  tasks:", why)
            for task in tasks:
                yield _line(f"    {_flow(task.name, task.kind)}", _about(task))
        else:
            yield _line(f"  {_flow(key, value)}", looked.remarks.get(key, ""))


def _about(task: Task) -> str:
    names = list(task.names) if isinstance(task, Classification | Binary) else []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return ": ".join(filter(None, [f"{task.classes} classes" if isinstance(task, Classification) else "", shown]))


def _backbone_lines(dataset: Dataset) -> Iterator[str]:
    yield "backbone:"
    if len(dataset.input_shape) == 1:
        features = dataset.input_shape[0]
        width = 32 if features <= FEW_FEATURES else 64
        yield _line("  kind: vector", f"layers of a table with {features:,} features")
        yield _line(f"  stem: {width}", "learned features, of which the primitives make theirs")
        yield f"  stages: [{{width: {width}}}, {{width: {width}}}]"
        return
    if len(dataset.input_shape) == 2:
        yield _line("  kind: sequence", f"layers of sequences of up to {dataset.input_shape[0]:,} positions")
        entry = "embedding" if dataset.vocabulary else "stem"
        yield _line(f"  {entry}: 32", "learned features, of which the primitives make theirs")
        yield "  stages: [{width: 32}, {width: 32}]"
        return
    side = min(dataset.input_shape[1:])
    halvings = max(0, min(4, round(math.log2(side / 6))))
    yield _line("  kind: plain", f"3x3 layers, for pictures of {' x '.join(map(str, dataset.input_shape[1:]))}")
    yield _line("  stem: 16", "learned features, of which the primitives make theirs")
    if halvings > 2:
        yield "  stem_stride: 2"
    strides = [1] + [2] * max(0, halvings - (halvings > 2))
    widths = (24, 32, 48, 64)
    yield "  stages:"
    for width, stride in zip(widths, strides, strict=False):
        yield f"    - {{width: {width}{', stride: 2' if stride == 2 else ''}}}"
    yield _line("  head_pool: 2", "heads read a 2x2 grid of averages; 1 is blind to left and right")


def _space_lines(dataset: Dataset) -> Iterator[str]:
    vector = len(dataset.input_shape) == 1
    yield "space:"
    banks = BANKS[len(dataset.input_shape)]
    yield _line(f"  bank: {banks}", f"primitives; conv: an ordinary {'linear layer' if vector else 'convolution'}")
    if len(dataset.tasks) == 1:
        yield _line("  shared_ratio: 1.0", "one task has nothing to share: its size and its banks are searched")
    else:
        yield _line("  shared_ratio: [1.0, 0.75, 0.5, 0.25]", "shared channels / all channels, layer by layer")
        yield _line("  branch_depth: [1, 2]", "layers of the branch of each task")
    yield "  width_multiplier: [0.5, 1.0, 2.0]"
    yield "  training:"
    yield _line("    learning_rate: {low: 0.002, high: 0.1, log: true}", "searched, too")


def _training_lines(samples: int) -> Iterator[str]:
    batch = min(MOST_BATCH, max(LEAST_BATCH, 2 ** round(math.log2(max(1, samples / BATCHES)))), samples)
    steps = max(1, samples // batch)
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(STEPS / steps)))
    yield "training:"
    yield _line(f"  epochs: {epochs}", f"{epochs * steps:,} steps")
    yield f"  batch_size: {batch}"
    yield "  learning_rate: 0.02"


def _flow(key: str, value: Any) -> str:
    """A key and its value, or list of values, on one line."""
    text = " ".join(as_yaml({key: value}).split("\n")).strip()
    return text[1:-1] if text.startswith("{") else text


def _line(text: str, remark: str) -> str:
    return f"{text.ljust(COMMENT)} # {remark}" if remark else text
