"""The learning rate of an experiment: found on validation data, for shared networks and single ones alike.

Hard sharing, single-task networks, the fixed ETR-NLP network and picks of runs are each trained at every rate with
every seed on the training samples, and scored on the validation samples; the test split is not read. Prints their mean
qualities, the rate at which the mean over all is best, and what every other rate changes, seed by seed, with a 95 %
interval. What is done stands in a file, a line each, so that the same command goes on where it stopped.

    python benchmarks/rates.py EXPERIMENT [--out FILE] [--factors 0.5,1,2] [--seeds 3] [--pick RUN:7]
                               [--set training.epochs=3]... [--csv FOLDER]

``results/rates.csv``: Multi-Fashion at the rate that it ships with, at half and at twice that, three seeds.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from measured import Table, add_option
from mtl_search import load_experiment
from mtl_search.datasets import Dataset
from mtl_search.evaluation import Entrant, entrant_of, evaluate_by_epoch, mean_quality
from mtl_search.methods import make_method
from mtl_search.metrics.intervals import paired_difference
from mtl_search.runs.folder import load_run
from mtl_search.runs.picks import pick
from mtl_search.searching.preparation import prepare
from mtl_search.spaces.experiment import Experiment

METHODS = ("hard_sharing", "single_task", "etr_nlp")
FACTORS = "0.25,1,4,8,16"
"""Of the rate that the experiment has."""
Line = dict[str, Any]
COLUMNS = {"method": "", "rate": "", "validation quality, %": ".2f", "change to the best rate, points": ""}


class Trainings:
    """Trainings of one experiment, each done once.

    :param path: The file of what is done.
    """

    def __init__(self, experiment: Experiment, path: Path) -> None:
        self.experiment, self.path = experiment, path
        self.data: Dataset = prepare(experiment).without("test")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.done: list[Line] = [json.loads(line) for line in text.splitlines()]

    def quality(self, method: str, rate: float, seed: int) -> float:
        """Validation quality of a training, from the file or trained now; the worst where it diverged."""
        asked = {"experiment": self.experiment.name, "method": method, "rate": rate, "seed": seed}
        for line in self.done:
            if asked.items() <= line.items():
                return float(line["quality"])
        entrant = replace(self._entrant(method), training={"learning_rate": rate})
        *_, last = evaluate_by_epoch(entrant, self.data, self.experiment.training, seed)
        quality = mean_quality(self.data.tasks, last.scores, self.experiment.task_weights)
        self._add({**asked, "quality": quality, "seconds": last.seconds})
        return quality

    def _entrant(self, name: str) -> Entrant:
        """A method by its name; a pick of a run by the run's folder and what it is."""
        folder, colon, which = name.rpartition(":")
        if colon:
            return entrant_of(pick(load_run(folder), which).trial.architecture)
        return Entrant(make_method(name, {}), self.experiment.backbone.build())

    def _add(self, line: Line) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done.append(line)
        print(json.dumps(line), flush=True)


Qualities = dict[str, dict[float, list[float]]]
"""Name -> rate -> quality with each seed."""


def trained(trainings: Trainings, names: Sequence[str], rates: Sequence[float], seeds: int) -> Qualities:
    """What came out; trained seed by seed, so that a first answer comes early."""
    for seed in range(seeds):
        for name in names:
            for rate in rates:
                trainings.quality(name, rate, seed)
    return {
        name: {rate: [trainings.quality(name, rate, seed) for seed in range(seeds)] for rate in rates} for name in names
    }


def write(table: Table, found: Qualities, rates: Sequence[float]) -> None:
    """Means in percent, and what each rate changes to the best one, in points."""
    means = {name: {rate: statistics.fmean(of_rate[rate]) for rate in rates} for name, of_rate in found.items()}
    best = max(rates, key=lambda rate: statistics.fmean(of_rate[rate] for of_rate in means.values()))
    for name, qualities in found.items():
        for rate in rates:
            points = paired_difference(qualities[rate], qualities[best]).scaled(100)
            ends = "" if points.low is None else f" ({points.low:+.2f} to {points.high:+.2f})"
            change = "the best for all" if rate == best else f"{points.mean:+.2f}{ends}"
            table.add(name, f"{rate:g}", 100 * means[name][rate], change)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--out", type=Path, default=Path("rates.jsonl"))
    parser.add_argument("--factors", default=FACTORS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--pick", action="append", default=[], metavar="RUN:ID")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    add_option(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    experiment = load_experiment(asked.experiment, asked.changes)
    own = experiment.training.learning_rate
    rates = [float(f"{own * float(factor):.3g}") for factor in asked.factors.split(",")]
    names = [*asked.methods.split(","), *asked.pick]
    found = trained(Trainings(experiment, asked.out), names, rates, asked.seeds)
    write(Table(COLUMNS, asked.csv, same={"experiment": experiment.name, "seeds": asked.seeds}), found, rates)


if __name__ == "__main__":
    main()
