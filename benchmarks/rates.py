"""The learning rate of an experiment: found on validation data, for shared networks and single ones alike.

Hard sharing, single-task networks and the fixed ETR-NLP network are each trained at every rate with every seed on the
training samples, and scored on the validation samples; the test split is not read. Prints their mean qualities, and the
rate at which the mean over the three is best. What is done stands in a file, a line each, so that the same command goes
on where it stopped.

    python benchmarks/rates.py EXPERIMENT [--out FILE] [--factors 1,4,8] [--seeds 2] [--set training.epochs=3]...
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mtl_search import load_experiment
from mtl_search.datasets import Dataset
from mtl_search.evaluation import Entrant, evaluate_by_epoch, mean_quality
from mtl_search.methods import make_method
from mtl_search.searching.run import prepare
from mtl_search.spaces.experiment import Experiment

METHODS = ("hard_sharing", "single_task", "etr_nlp")
FACTORS = "0.25,1,4,8,16"
"""Of the rate that the experiment has."""
Line = dict[str, Any]


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
        entrant = Entrant(make_method(method, {}), self.experiment.backbone.build(), training={"learning_rate": rate})
        *_, last = evaluate_by_epoch(entrant, self.data, self.experiment.training, seed)
        quality = mean_quality(self.data.tasks, last.scores, self.experiment.task_weights)
        self._add({**asked, "quality": quality, "seconds": last.seconds})
        return quality

    def _add(self, line: Line) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done.append(line)
        print(json.dumps(line), flush=True)


def table(trainings: Trainings, rates: Sequence[float], seeds: int) -> dict[str, list[float]]:
    """Method -> its mean quality at each rate; trained seed by seed, so that a first answer comes early."""
    for seed in range(seeds):
        for method in METHODS:
            for rate in rates:
                trainings.quality(method, rate, seed)
    return {
        method: [statistics.fmean(trainings.quality(method, rate, seed) for seed in range(seeds)) for rate in rates]
        for method in METHODS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("--out", type=Path, default=Path("rates.jsonl"))
    parser.add_argument("--factors", default=FACTORS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    experiment = load_experiment(asked.experiment, asked.changes)
    own = experiment.training.learning_rate
    rates = [float(f"{own * float(factor):.3g}") for factor in asked.factors.split(",")]
    found = table(Trainings(experiment, asked.out), rates, asked.seeds)
    print(f"\n{experiment.name}, validation quality in percent, mean of {asked.seeds} seeds")
    print(f"{'rate':16}" + "".join(f"{rate:>10g}" for rate in rates))
    for method, qualities in found.items():
        print(f"{method:16}" + "".join(f"{100 * quality:10.2f}" for quality in qualities))
    means = [statistics.fmean(column) for column in zip(*found.values(), strict=True)]
    print(f"best for the mean of the three: {rates[means.index(max(means))]:g}")


if __name__ == "__main__":
    main()
