"""What it brings to judge trials by means: those of a model, and of further trainings of the promising ones.

Fifty made problems on the space of ``search_quality/space.yaml``, its 360 architectures with their real costs. In each
the mean quality of every architecture is drawn: it saturates with size, every choice and some pairs of choices have an
effect, and 0.1 points are an architecture's own. A training is a draw around that mean, with a standard deviation of
0.5 points, which is that of the trainings on Multi-Fashion. Each problem is searched once with the real search, its
default sampler and no workers. Then what is picked from it is looked up: how good it truly is.

    python benchmarks/confirm.py [--replays 50] [--noise 0.005] [--csv FOLDER]

Ways to judge, all for the compute of a whole search: by single trainings; by the means of the model; and by these where
the last of the compute went to training the promising trials again (``confirm``), in multiply-accumulates, so that the
search itself is shorter by what they took. ``best``: the true mean quality of the pick ``best``, in points. ``knee``:
by how much the pick without a name is below the best architecture of its cost or less. ``front``: hypervolume of the
told front at its true means, in percent of the true front's. ``flattered``: by how much the quality that is told of
``best`` is above the truth. ``held``: how often the told bar, 95 %, holds the truth of ``best``. Differences are
paired, with 95 % intervals. ``results/confirm.csv`` has 50 replays of 24 and of 48 trainings.

So means of the model pay: in the long search their pick is better by 0.09 points, and their front by 0.6 percent, for
no training at all. Confirming does not, at equal compute: what it takes from the search costs more than it brings, 0.3
points and more of a short search; of a long one, nothing is certain or it loses. What it brings is an honest number:
the told quality of the pick is 0.4 to 0.5 points too good by single trainings, 0.1 to 0.2 with confirmations. So the
default share of ``confirm`` is nothing.
"""

import argparse
import functools
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from measured import Table, add_option
from mtl_search import cost
from mtl_search.cost import Cost
from mtl_search.datasets import Dataset, Split
from mtl_search.evaluation import Entrant, EvaluationOptions, Report
from mtl_search.metrics.intervals import interval
from mtl_search.metrics.pareto import axis_value, hypervolume
from mtl_search.runs.belief import Beliefs
from mtl_search.runs.chances import promising
from mtl_search.runs.confirmations import Confirmation
from mtl_search.runs.folder import Run
from mtl_search.runs.front import best_of, front_of, knee_of
from mtl_search.runs.trial import Trial
from mtl_search.searching.run import search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, load_experiment
from mtl_search.spaces.proposal import Proposal
from mtl_search.spaces.settings import Training
from mtl_search.tasks import Classification

SPACE = Path(__file__).parent / "search_quality" / "space.yaml"
NOISE = 0.005
"""Standard deviation of a training."""
OWN = 0.001
"""Of what choices and costs do not tell of an architecture."""
EFFECT, PAIR = 0.006, 0.003
"""Of what a choice brings, and a pair of choices."""
BUDGETS = (24, 48)
"""Trainings of a search: the default, and a long one, after which there is little left to find."""


@dataclass(frozen=True)
class Way:
    """A way to judge the trials of a search.

    :param means: By means, not by single trainings.
    :param top: Trials that are trained again.
    :param seeds: How often each.
    """

    means: bool
    top: int = 0
    seeds: int = 0

    @property
    def name(self) -> str:
        if not self.means:
            return "single trainings"
        return f"confirm {{top: {self.top}, seeds: {self.seeds}}}" if self.top else "means of the model"


SINGLE, MODEL = Way(False), Way(True)
WAYS = (SINGLE, MODEL, *(Way(True, *of) for of in ((2, 1), (3, 1), (3, 2), (5, 2), (3, 4))))
MOST_SHARE = 0.4
"""Of a budget that goes to confirmations in what is looked at."""


class Problem:
    """A made space: the mean quality of every architecture is known, and a training is one draw around it.

    :param seed: Of the means, and of the trainings.
    :param noise: Standard deviation of a training.
    """

    def __init__(self, seed: int, noise: float = NOISE) -> None:
        self.seed, self.noise = seed, noise
        self.experiment, self.dataset, self.costs = _experiment(), _dataset(), _costs()
        space, rng = self.experiment.proposal_space, np.random.default_rng(seed)
        architectures = list(space.space.architectures())
        choices = _standard([list(space.features(Proposal(one))) for one in architectures])
        size = _standard([axis_value("learnable_parameters", self._parameters(one.id)) for one in architectures])
        mean = 0.80 - 0.03 * np.exp(-rng.uniform(0.6, 1.2) * size)
        mean += EFFECT * choices @ rng.standard_normal(choices.shape[1])
        for _ in range(choices.shape[1]):
            first, second = rng.choice(choices.shape[1], 2, replace=False)
            mean += PAIR * rng.standard_normal() * choices[:, first] * choices[:, second]
        mean += OWN * rng.standard_normal(len(mean))
        self.means = {one.id: float(value) for one, value in zip(architectures, mean, strict=True)}
        points = [(quality, self._parameters(identity)) for identity, quality in self.means.items()]
        self.reference = (min(quality for quality, _ in points), max(parameters for _, parameters in points))
        self.points, self.volume = points, self._volume(points)

    def evaluate(
        self, what: Architecture | Entrant, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
    ) -> Iterator[Report]:
        """A training: its quality is a draw."""
        assert isinstance(what, Architecture)
        yield Report(1, 0.0, 0.0)
        yield Report(1, 0.0, 0.0, scores={"left/accuracy": self.drawn(what.id, seed), "left/loss": 0.0}, done=True)

    def drawn(self, identity: str, seed: int) -> float:
        """The quality of a training with a seed."""
        return self.means[identity] + random.Random(f"{self.seed} {identity} {seed}").gauss(0, self.noise)

    def truth(self, trial: Trial) -> float:
        """The mean quality of a trial."""
        return self.means[trial.architecture.id]

    def gap(self, trial: Trial) -> float:
        """By how much it is below the best one of its cost or less."""
        return max(one for one, parameters in self.points if parameters <= trial.learnable_parameters) - self.truth(
            trial
        )

    def share(self, front: Sequence[Trial]) -> float:
        """Of the true front's hypervolume that a front dominates."""
        return self._volume([(self.truth(trial), trial.learnable_parameters) for trial in front]) / self.volume

    def _parameters(self, identity: str) -> int:
        return self.costs[identity].learnable_parameters

    def _volume(self, points: Sequence[tuple[float, float]]) -> float:
        scaled = [
            (one, axis_value("learnable_parameters", parameters)) for one, parameters in (*points, self.reference)
        ]
        return hypervolume(scaled[:-1], scaled[-1], ["maximize", "minimize"])


def _standard(values: Sequence[object]) -> np.ndarray:
    found = np.array(values, dtype=float)
    return (found - found.mean(axis=0)) / found.std(axis=0)


@functools.cache
def _experiment() -> Experiment:
    changes = {"training": {"epochs": 1, "batch_size": 2}, "search": {"learning_curves": False, "sampler": "bayesian"}}
    return load_experiment(SPACE).changed(changes)


@functools.cache
def _dataset() -> Dataset:
    """A task and the shape of the inputs; there is nothing to learn."""
    split = Split(np.zeros((4, 1, 36, 36), np.uint8), {"left": np.arange(4) % 2})
    splits = {"train": split, "val": split}
    return Dataset("multi_fashion", (Classification("left", 10),), splits, np.zeros(1), np.ones(1), loadable=True)


@functools.cache
def _costs() -> Mapping[str, Cost]:
    dataset, space = _dataset(), _experiment().search_space
    return {one.id: cost.estimate(one, dataset.tasks, dataset.input_shape) for one in space.architectures()}


def searched(problem: Problem, trials: int) -> Run:
    """A real search of a problem, in the order in which its trials ended; a shorter one is the beginning of it."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        return search(
            problem.experiment,
            problem.dataset,
            trials=trials,
            workers=0,
            seed=problem.seed,
            out=Path(folder) / "run",
            evaluate=problem.evaluate,
        )


class Judge:
    """Judges one search in several ways.

    :param trials: Of a search without confirmations; its compute is what there is to spend.
    """

    def __init__(self, problem: Problem, trials: Sequence[Trial]) -> None:
        self.problem, self.trials, self.experiment = problem, trials, problem.experiment
        self.macs = {trial.number: problem.costs[trial.architecture.id].macs for trial in trials}
        self._orders: dict[int, list[int]] = {}

    def judged(self, way: Way) -> dict[str, float]:
        """What a way to judge makes of it."""
        problem, objectives = self.problem, self.experiment.objectives
        kept, again = self._divided(way)
        beliefs = Beliefs(self.experiment, kept, again)
        value = beliefs.value if way.means else Trial.value
        front = front_of(kept, objectives, value=value)
        best = best_of(front, objectives, value)
        told = value(best, "accuracy")
        error = beliefs.of("accuracy").estimates[best.number].error if way.means else None
        assert told is not None
        off = told - problem.truth(best)
        return {
            "best": 100 * problem.truth(best),
            "knee": 100 * problem.gap(knee_of(front, objectives, value) or best),
            "front": 100 * problem.share(front),
            "flattered": 100 * off,
            "held": float("nan") if error is None else float(abs(off) <= 1.96 * error),
        }

    def _divided(self, way: Way) -> tuple[Sequence[Trial], list[Confirmation]]:
        """The longest beginning of the search that leaves enough for its confirmations, and these."""
        if not way.top:
            return self.trials, []
        count = len(self.trials) - way.top * way.seeds
        while self._spent(count, way) > sum(self.macs.values()):
            count -= 1
        pairs = [(one, 1000 + number) for one in self._order(count)[: way.top] for number in range(way.seeds)]
        identities = {trial.number: trial.architecture.id for trial in self.trials}
        drawn = [(*pair, self.problem.drawn(identities[pair[0]], pair[1])) for pair in pairs]
        return self.trials[:count], [Confirmation(one, seed, accuracy=value) for one, seed, value in drawn]

    def _spent(self, count: int, way: Way) -> int:
        again = sum(self.macs[number] for number in self._order(count)[: way.top])
        return sum(self.macs[trial.number] for trial in self.trials[:count]) + way.seeds * again

    def _order(self, count: int) -> list[int]:
        """The promising trials of the beginning of the search."""
        if count not in self._orders:
            self._orders[count] = promising(Beliefs(self.experiment, self.trials[:count]), max(one.top for one in WAYS))
        return self._orders[count]


def replay(seed: int, noise: float) -> dict[str, dict[str, float]]:
    """A problem searched once, judged in all ways: budget and way -> what comes of it."""
    problem = Problem(seed, noise)
    run = searched(problem, max(BUDGETS))
    trials = [run.trial(number) for number in run.ended]
    judges = {budget: Judge(problem, trials[:budget]) for budget in BUDGETS}
    return {
        f"{budget} {way.name}": judges[budget].judged(way)
        for budget in BUDGETS
        for way in WAYS
        if way.top * way.seeds <= MOST_SHARE * budget
    }


def replays(count: int, noise: float, kept: Path | None) -> list[dict[str, dict[str, float]]]:
    """Many, those that a file keeps already, and the others, which go there.

    :param kept: A line of JSON for each.
    """
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    for seed in range(len(found), count):
        found.append(replay(seed, noise))
        if kept:
            with kept.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
    return found[:count]


COLUMNS = {
    "trainings": "",
    "judged by": "",
    "best": ".2f",
    "over single": "",
    "over model": "",
    "knee": ".2f",
    "front, %": ".1f",
    "flattered": "+.2f",
    "held, %": "",
}


def print_table(found: Sequence[Mapping[str, Mapping[str, float]]], folder: Path | None) -> None:
    """A row for each budget and way."""
    table = Table(COLUMNS, folder)
    for budget in BUDGETS:
        single, model = ([one[f"{budget} {way.name}"] for one in found] for way in (SINGLE, MODEL))
        for way in WAYS:
            if f"{budget} {way.name}" in found[0]:
                rows = [one[f"{budget} {way.name}"] for one in found]
                best, knee, front, off, held = (
                    float(np.mean([row[name] for row in rows]))
                    for name in ("best", "knee", "front", "flattered", "held")
                )
                over = (_difference(rows, others, "best") for others in (single, model))
                table.add(
                    budget, way.name, best, *over, knee, front, off, "" if np.isnan(held) else f"{100 * held:.0f}"
                )


def _difference(rows: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]], name: str) -> str:
    if rows == others:
        return ""
    found = interval([row[name] - other[name] for row, other in zip(rows, others, strict=True)])
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=50)
    parser.add_argument("--noise", type=float, default=NOISE, help="standard deviation of a training")
    parser.add_argument("--kept", type=Path, help="a file for what is done, to go on from")
    add_option(parser)
    arguments = parser.parse_args()
    print_table(replays(arguments.replays, arguments.noise, arguments.kept), arguments.csv)


if __name__ == "__main__":
    main()
