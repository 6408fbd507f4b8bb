"""Single-task networks against hard sharing on ten manipulation tasks: R2 of the actions, and success in simulation.

Both are trained at every rate with every seed on the training episodes. The rate of each is chosen by the mean R2 on
validation episodes; only then each is trained on training and validation episodes, measured on the test episodes, and
acts in the simulator. What is done stands in a file, a line each, so that the same command goes on where it stopped.

    python benchmarks/mt10.py [--out FILE] [--rates 0.01,0.03,0.1] [--seeds 3] [--set dataset.cache=FOLDER]
                             [--csv FOLDER]

``results/mt10-rates.csv`` and ``mt10-test.csv``: torch 2.13.0, metaworld 3.1.1, one thread; a training of 1,136 steps
takes 11 (hard sharing) or 28 seconds (single task) of the processor. Means and deviations of three seeds.

R2, single task less hard sharing: +0.012, 95 % interval +0.006 to +0.019; success: +0.028, -0.029 to +0.086. The rate
of hard sharing is the largest that was tried.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from measured import Table, add_option
from mtl_search import load_experiment
from mtl_search.evaluation import Entrant, evaluate_by_epoch, mean_quality
from mtl_search.methods import make_method
from mtl_search.metrics.intervals import paired_difference
from mtl_search.searching.preparation import prepare
from mtl_search.spaces.experiment import Experiment

METHODS = ("single_task", "hard_sharing")
RATES = "0.01,0.03,0.1"
Line = dict[str, Any]


class Trainings:
    """Trainings of one experiment, each done once.

    :param path: The file of what is done.
    """

    def __init__(self, experiment: Experiment, path: Path) -> None:
        self.experiment, self.path, self.data = experiment, path, prepare(experiment)
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.done: list[Line] = [json.loads(line) for line in text.splitlines()]

    def get(self, method: str, rate: float, seed: int, split: str) -> Line:
        """A training: what is in the file, or is trained and put there."""
        asked = {"method": method, "rate": rate, "seed": seed, "split": split}
        for line in self.done:
            if asked.items() <= line.items():
                return line
        data = self.data.merged() if split == "test" else self.data.without("test")
        entrant = Entrant(make_method(method, {}), self.experiment.search_space.backbone)
        training = self.experiment.training.model_copy(update={"learning_rate": rate})
        *_, last = evaluate_by_epoch(entrant, data, training, seed, split=split, simulated=split == "test")
        assert last.cost is not None
        parameters, r2 = last.cost.learnable_parameters, mean_quality(data.tasks, last.scores)
        line = {**asked, "r2": r2, "parameters": parameters, "seconds": last.seconds, "scores": dict(last.scores)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done.append(line)
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("mt10.jsonl"))
    parser.add_argument("--rates", default=RATES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rates, seeds = [float(rate) for rate in arguments.rates.split(",")], range(arguments.seeds)
    trainings = Trainings(load_experiment("mt10", arguments.changes), arguments.out)
    chosen: dict[str, list[Line]] = {}
    table = Table({"method": "", "parameters": "", "rate": "g", "validation R2": ""}, arguments.csv, "rates")
    for method in METHODS:
        found = {rate: [trainings.get(method, rate, seed, "val") for seed in seeds] for rate in rates}
        for rate, lines in found.items():
            table.add(method, lines[0]["parameters"], rate, told(lines, r2_of))
        best = max(rates, key=lambda rate: statistics.mean(map(r2_of, found[rate])))
        chosen[method] = [trainings.get(method, best, seed, "test") for seed in seeds]
    _print_results(chosen, [task.name for task in trainings.data.tasks], arguments.csv)


def _print_results(chosen: dict[str, list[Line]], tasks: Sequence[str], folder: Path | None) -> None:
    """The table of the test split and the simulation, at the chosen rates."""
    first, second = (chosen[method] for method in METHODS)
    columns = {f"{method}, {measure}": "" for measure in ("R2", "success") for method in METHODS}
    table = Table({"task": "", **columns}, folder, "test")
    for task in tasks:
        values = [of_score(f"{task}/{score}") for score in ("r2", "success_rate")]
        table.add(task, *(told(lines, value) for value in values for lines in (first, second)))
    success = success_of(tasks)
    table.add("mean", *(told(lines, value) for value in (r2_of, success) for lines in (first, second)))
    for name, value in (("R2", r2_of), ("success", success)):
        found = paired_difference([value(line) for line in first], [value(line) for line in second])
        ends = "" if found.low is None else f", 95 % interval {found.low:+.3f} to {found.high:+.3f}"
        print(f"\n{name}, {METHODS[0]} less {METHODS[1]}: {found.mean:+.3f}{ends}")


def r2_of(line: Line) -> float:
    """Mean over tasks."""
    return float(line["r2"])


def of_score(name: str) -> Callable[[Line], float]:
    return lambda line: float(line["scores"][name])


def success_of(tasks: Sequence[str]) -> Callable[[Line], float]:
    """Mean success rate over tasks."""
    return lambda line: statistics.mean(line["scores"][f"{task}/success_rate"] for task in tasks)


def told(lines: Sequence[Line], value: Callable[[Line], float]) -> str:
    """Mean over seeds and standard deviation."""
    values = [value(line) for line in lines]
    return f"{statistics.mean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
