"""Makes a table of trained architectures: every architecture of a space, trained with every seed.

    python benchmarks/tables/make.py NAME [--out FOLDER] [--hours H]   # trains; goes on where it stopped
    python benchmarks/tables/make.py NAME --latency                    # later, with nothing else on the machine
    python benchmarks/tables/make.py NAME --pack [FILE]                # writes mtl_search/tables/data/NAME.parquet
    python benchmarks/tables/make.py NAME --again 5                    # trains five again that it ships, and compares

``NAME.yaml`` beside this file is an ordinary experiment: a search with ``workers: 0`` on it gives the same trainings,
bit for bit. They are done in this process with one thread, so that a table for each core can be made at a time. All
architectures are trained with seed 0, in an order drawn by lot, then all with seed 1, and so on, so that a table that
is cut off is even. Each is a line of ``FOLDER/NAME/trainings.jsonl`` when it is done; kill -9 loses the one under way.
"""

import argparse
import fcntl
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_search import cost
from mtl_search.errors import DivergedError, UserError
from mtl_search.evaluation import EvaluationOptions, Report, evaluate_by_epoch, mean_quality
from mtl_search.internal.files import append_line, cut_torn_line
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.networks.network import build_model
from mtl_search.runs.environment import describe_environment
from mtl_search.searching.preparation import prepare
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, load_experiment
from mtl_search.tables.files import write_table
from mtl_search.tables.table import DATA, load_table
from mtl_search.tables.trainings import MEASURED, Array, TaskFacts, Trainings
from mtl_search.tasks import Task
from mtl_search.training.cosines import pair_cosines
from mtl_search.training.scoring import scores_on

HERE = Path(__file__).parent
SEEDS = 3
"""Trainings of every architecture; the variance of one training is then told by two degrees of freedom for each."""
FEWER_SEEDS = {"fashion_scenes_small": 2}
"""Where a training takes longer, for what it tells."""
ORDER = 0
"""Seed of the orders in which architectures are trained."""
ROUNDS, PASSES = 9, 20
"""Of measuring latencies: rounds over all architectures, and passes of each in a round."""
TRAININGS = "trainings.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Training:
    """One training of a table: an architecture with a seed."""

    architecture: Architecture
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        return self.architecture.id, self.seed


def trainings(experiment: Experiment, seeds: int) -> list[Training]:
    """All trainings of a table, in their order: seed by seed, the architectures of each drawn by lot."""
    every, planned = list(experiment.search_space.architectures()), []
    for seed in range(seeds):
        lot = random.Random(f"{ORDER} {seed}")
        planned += [Training(architecture, seed) for architecture in lot.sample(every, len(every))]
    return planned


def kept_names(task: Task) -> list[str]:
    """The scores that a table has of a task: its headline, and its loss. That of a depth is its headline, in metres."""
    return [name for name in task.score_names if name == task.score_names[0] or name.endswith("/loss")]


class RawTable:
    """The files that a table grows in: a line with what made it, then one for each training.

    :param folder: Where they are, locked by :func:`alone`.
    :raises UserError: If what is there was made by another experiment.
    """

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.path = folder / TRAININGS
        self.latency_path = folder / "latency.json"
        before = self.path.stat().st_size
        cut_torn_line(self.path)
        if (size := self.path.stat().st_size) < before:
            print(f"{self.path}: the last line was cut off, its {before - size:,} bytes are dropped.", flush=True)
        made_by = {"experiment": experiment.to_dict(), "environment": describe_environment(ORDER)}
        if not size:
            append_line(self.path, json.dumps(made_by) + "\n")
        lines = self.path.read_text(encoding="utf-8").splitlines()
        self.made_by: Row = json.loads(lines[0])
        self.rows: list[Row] = [json.loads(line) for line in lines[1:]]
        if self.made_by["experiment"] != made_by["experiment"]:
            raise UserError(f"{self.path}: was made by another experiment: give another folder by `--out`.")

    @property
    def done(self) -> set[tuple[str, int]]:
        """Architecture and seed of what was trained, also of what failed."""
        return {(row["architecture"], row["seed"]) for row in self.rows}

    def add(self, row: Row) -> None:
        """Append a training, and wait until it is on the disk."""
        append_line(self.path, json.dumps(row, allow_nan=False) + "\n")
        self.rows.append(row)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second process from making the same table; its folder is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / TRAININGS).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process makes this table.") from error
        yield


class Trainer:
    """Trains architectures as a search of the experiment would, and looks at more than a search does."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment, self.dataset = experiment, prepare(experiment)
        self.device = torch.device("cpu")
        self.options = EvaluationOptions(tuple(range(1, experiment.training.epochs)))
        torch.set_num_threads(1)
        keep_freed_memory()

    def train(self, training: Training) -> Row:
        """What a table has of a training; ``error`` in place of the measurements where the loss became infinite."""
        architecture, seed, settings = training.architecture, training.seed, self.experiment.training
        row: Row = {"architecture": architecture.id, "seed": seed, "choices": architecture.to_dict()}
        data = self.dataset.without("test")
        try:
            *epochs, last = evaluate_by_epoch(architecture, data, settings, seed, self.options)
        except DivergedError as error:
            return {**row, "error": str(error)}
        assert last.cost is not None
        model = build_model(architecture, self.dataset.tasks, self.dataset.input_shape, seed)
        model.load_state_dict(dict(last.weights))
        return {
            **row,
            "epochs": [self._epoch(report) for report in (*epochs[:-1], last)],
            "test": self._kept(scores_on(model, self.dataset.tasks, self.dataset, "test", self.device)),
            "learnable_parameters": last.cost.learnable_parameters,
            "fixed_parameters": last.cost.fixed_parameters,
            "macs": last.cost.macs,
            "seconds": round(last.seconds, 3),
            "cosines": pair_cosines(model, self.dataset, settings),
        }

    def _epoch(self, report: Report) -> Row:
        quality = mean_quality(self.dataset.tasks, report.scores)
        return {"training_loss": report.loss, "quality": quality, "validation": self._kept(report.scores)}

    def _kept(self, scores: Mapping[str, float]) -> dict[str, float]:
        """The headline and the loss of every task."""
        return {name: scores[name] for task in self.dataset.tasks for name in kept_names(task)}


def make(experiment: Experiment, table: RawTable, seeds: int, hours: float | None) -> bool:
    """Do the trainings that are missing; whether none is left.

    :param hours: No training is begun after them.
    """
    planned = trainings(experiment, seeds)
    done = table.done
    left = [training for training in planned if training.key not in done]
    print(f"{experiment.name}: {len(planned)} trainings, {len(left)} of them left", flush=True)
    if not left:
        return True
    trainer, begun, took = Trainer(experiment), time.monotonic(), []
    for number, training in enumerate(left, start=1):
        if hours is not None and time.monotonic() - begun > 3600 * hours:
            return False
        start = time.monotonic()
        row = trainer.train(training)
        table.add(row)
        took.append(time.monotonic() - start)
        print(_line(row, len(planned) - len(left) + number, len(planned), took), flush=True)
    return True


def _line(row: Row, number: int, of: int, took: Sequence[float]) -> str:
    """What is shown of a training, with an estimate of what is left by the mean of those before."""
    if "error" in row:
        found = row["error"]
    else:
        found = f"{row['learnable_parameters']:>8,} parameters  {100 * row['epochs'][-1]['quality']:5.2f} %"
    mean = statistics.fmean(took)
    left = f"mean {mean:.1f} s, {mean * (of - number) / 3600:.2f} h left"
    return f"{number:>5}/{of}  {row['architecture']} seed {row['seed']}  {found}  {took[-1]:6.1f} s  ({left})"


def measure_latencies(experiment: Experiment, table: RawTable) -> None:
    """Measure every architecture in its deployed form, one thread, one sample: medians of medians, in turn."""
    torch.set_num_threads(1)
    dataset, found = prepare(experiment), {}
    shape = dataset.input_shape
    models = {
        one.id: build_model(one, dataset.tasks, shape, implementation="deploy")
        for one in experiment.search_space.architectures()
    }
    for number in range(ROUNDS):
        for identity, model in models.items():
            found.setdefault(identity, []).append(cost.latency_ms(model, shape, PASSES))
        print(f"round {number + 1} of {ROUNDS}; the first one makes the deployed forms", flush=True)
    medians = {identity: round(statistics.median(of_rounds), 5) for identity, of_rounds in found.items()}
    measured = {"environment": describe_environment(ORDER), "latency_ms": medians}
    table.latency_path.write_text(json.dumps(measured) + "\n", encoding="utf-8")


def pack(experiment: Experiment, table: RawTable, seeds: int, path: Path) -> None:
    """Write the table as it is shipped.

    :raises UserError: If a training is missing, or failed.
    """
    rows = {(row["architecture"], row["seed"]): row for row in table.rows if "error" not in row}
    planned = trainings(experiment, seeds)
    missing = [training.key for training in planned if training.key not in rows]
    if missing:
        raise UserError(
            f"{table.path}: {len(missing)} of {len(planned)} trainings are missing or failed: {missing[:3]}"
        )
    every = list(experiment.search_space.architectures())
    packed = _packed(experiment, table, every, [[rows[one.id, seed] for seed in range(seeds)] for one in every])
    told = np.array([[[e["quality"] for e in rows[one.id, seed]["epochs"]] for seed in range(seeds)] for one in every])
    assert np.allclose(packed.quality, told, atol=1e-6), "the table tells the qualities that a search has"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, packed)
    print(f"{path}: {len(every)} architectures, {seeds} seeds, {path.stat().st_size:,} bytes")


def train_again(experiment: Experiment, count: int) -> None:
    """Do some trainings of the shipped table again, drawn by lot; processors of other kinds round in other ways."""
    shipped, trainer = load_table(experiment.name), Trainer(experiment)
    print(f"{shipped!r}: one training is off its mean by {100 * shipped.noise:.2f} points")
    planned = trainings(experiment, len(shipped.seeds))
    for training in random.Random(f"again {ORDER}").sample(planned, count):
        found = trainer.train(training)["epochs"][-1]["quality"]
        told = shipped.query(*training.key).quality
        print(f"{training.key}: told {told:.4%}, found {found:.4%}, {100 * (found - told):+.4f} points", flush=True)


def _packed(
    experiment: Experiment, table: RawTable, every: Sequence[Architecture], rows: Sequence[Sequence[Row]]
) -> Trainings:
    """Rows ``[architectures][seeds]`` as arrays."""

    def collected(value: Callable[[Row], Any]) -> Array:
        return np.array([[value(row) for row in of_seeds] for of_seeds in rows], dtype=np.float64)

    def after_epochs(name: str) -> Array:
        return collected(lambda row: [epoch["validation"][name] for epoch in row["epochs"]])

    names, pairs = list(rows[0][0]["test"]), list(rows[0][0]["cosines"])
    measured = {name: collected(lambda row, name=name: row[name]) for name in MEASURED if name != "latency_ms"}
    if table.latency_path.exists():
        latencies = json.loads(table.latency_path.read_text(encoding="utf-8"))["latency_ms"]
        measured["latency_ms"] = collected(lambda row: latencies[row["architecture"]])
    return Trainings(
        tuple(_facts(task) for task in prepare(experiment).tasks),
        tuple(architecture.id for architecture in every),
        tuple(json.dumps(architecture.to_dict()) for architecture in every),
        tuple(range(len(rows[0]))),
        {name: after_epochs(name) for name in names},
        collected(lambda row: [epoch["training_loss"] for epoch in row["epochs"]]),
        {name: collected(lambda row, name=name: row["test"][name]) for name in names},
        {_pair(pair): collected(lambda row, pair=pair: row["cosines"].get(pair, math.nan)) for pair in pairs},
        measured,
        table.made_by,
    )


def _pair(name: str) -> tuple[str, str]:
    first, second = name.split(" / ")
    return first, second


def _facts(task: Task) -> TaskFacts:
    headline = task.headline
    return TaskFacts(task.name, headline.name, None if headline.higher_is_better else task.constant_error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a YAML file beside this one, or the path of another")
    parser.add_argument("--out", type=Path, default=Path("results/tables"), help="where the table's folder is made")
    parser.add_argument("--hours", type=float, help="no training is begun after so many")
    parser.add_argument("--seeds", type=int, help=f"trainings of every architecture; {SEEDS} or less if left out")
    parser.add_argument("--latency", action="store_true", help="measure latencies; needs a quiet machine")
    parser.add_argument("--again", type=int, metavar="N", help="train so many of the shipped table again, and compare")
    packed = DATA / "NAME.parquet"
    parser.add_argument("--pack", nargs="?", type=Path, const=packed, metavar="FILE", help=f"write {packed.name}")
    given = parser.parse_args(arguments)
    beside = HERE / f"{given.name}.yaml"
    try:
        experiment = load_experiment(beside if beside.exists() else given.name)
        if given.again:
            train_again(experiment, given.again)
            return 0
        folder = given.out / experiment.name
        with alone(folder):
            table = RawTable(folder, experiment)
            if given.latency:
                measure_latencies(experiment, table)
                return 0
            seeds = given.seeds or FEWER_SEEDS.get(experiment.name, SEEDS)
            if given.pack:
                path = given.pack.with_stem(experiment.name) if given.pack == packed else given.pack
                pack(experiment, table, seeds, path)
                return 0
            return 0 if make(experiment, table, seeds, given.hours) else 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
