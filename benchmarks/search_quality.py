"""How much training a search needs to find the front: every sampler, with and without early stopping.

A space of 360 small architectures on Multi-Fashion (``search_quality/space.yaml``) was trained whole, each architecture
once for 9 epochs, and its validation metrics after every epoch are kept in ``search_quality/epochs.parquet``. So the
true front is known, and a search can be replayed from the table in seconds: through the real campaign, samplers and
scheduler, with simulated workers, on which an epoch takes as long as it has multiply-accumulates.

    mtl-search search benchmarks/search_quality/space.yaml --out results/search-quality   # 2 to 3 hours on two cores
    python benchmarks/search_quality.py table results/search-quality                       # writes epochs.parquet
    python benchmarks/search_quality.py [--seeds 20] [--figure FILE.png]                   # replays, a few minutes

The unit of compute is that of training one mean architecture for all of its epochs. The hypervolume is that of the
complete trials in accuracy and learnable parameters, in percent of the true front's; its reference point is the worst
of both in the table. A search ends when every architecture was proposed.
"""

import argparse
import heapq
import itertools
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from mtl_search import cost
from mtl_search.campaign import Campaign
from mtl_search.datasets import Dataset, Split
from mtl_search.engine import Job
from mtl_search.environment import describe_environment
from mtl_search.evaluation import Report
from mtl_search.experiment import Experiment, load_experiment
from mtl_search.pareto import direction_of, front_mask, hypervolume
from mtl_search.progress import Progress
from mtl_search.run_folder import load_run
from mtl_search.run_writer import RunWriter
from mtl_search.samplers import Proposals, Told
from mtl_search.statistics import Interval, interval
from mtl_search.tasks import Classification

HERE = Path(__file__).parent / "search_quality"
TABLE = HERE / "epochs.parquet"
WORKERS = 4
COLOURS = ("#7f7f7f", "#8c564b", "#1f77b4", "#2ca02c", "#9467bd", "#d62728")
SHARES = (0.90, 0.95, 0.99)
"""Of the true front's hypervolume."""


@dataclass(frozen=True)
class Setting:
    """A way to search: what is compared."""

    sampler: str
    early_stopping: str = ""
    told: Told = "extrapolated"

    @property
    def name(self) -> str:
        stopping = f", {self.early_stopping}" if self.early_stopping else ""
        return f"{self.sampler}{stopping}" + (f", {self.told}" if self.early_stopping else "")


STOPPING = "{grace: 1, factor: 3}"
SETTINGS = (
    *(Setting(sampler) for sampler in ("random", "qmc", "tpe", "nsga2", "nsga3", "evolution")),
    *(Setting(sampler, STOPPING) for sampler in ("random", "qmc", "tpe", "nsga2", "nsga3", "evolution")),
)
CHOICES = (
    *(Setting(s, STOPPING, told) for s in ("tpe", "evolution") for told in ("extrapolated", "infeasible", "nothing")),
    *(
        Setting("evolution", f"{{grace: {grace}, factor: {factor}}}")
        for grace, factor in ((1, 2), (1, 4), (2, 2), (3, 3))
    ),
)
"""What was weighed against each other for the defaults."""


class World:
    """The trained space: what every architecture costs and reaches."""

    def __init__(self) -> None:
        self.experiment = load_experiment(HERE / "space.yaml")
        rows = pd.read_parquet(TABLE)
        self.scores: dict[str, list[dict[str, float]]] = {}
        names = [name for name in rows.columns if "/" in name]
        for identity, group in rows.sort_values("epoch").groupby("architecture"):
            self.scores[str(identity)] = group[names].to_dict("records")
        self.dataset = _dataset(names)
        self.costs = {
            architecture.id: cost.estimate(architecture, self.dataset.tasks, self.dataset.input_shape)
            for architecture in self.experiment.search_space.architectures()
            if architecture.id in self.scores
        }
        self.points = {identity: self._point(identity) for identity in self.scores}
        self.directions = [direction_of(name) for name in self.experiment.objectives]
        values = list(self.points.values())
        self.reference = [min(accuracy for accuracy, _ in values), max(parameters for _, parameters in values)]
        self.front = [point for point, on in zip(values, front_mask(values, self.directions), strict=True) if on]
        self.whole = hypervolume(self.front, self.reference, self.directions)
        self.unit = self.experiment.training.epochs * statistics.fmean(found.macs for found in self.costs.values())

    def accuracy(self, identity: str, epoch: int) -> float:
        scores = self.scores[identity][epoch - 1]
        return statistics.fmean(value for name, value in scores.items() if name.endswith("/accuracy"))

    def train(self, campaign: Campaign, job: Job, epoch: int) -> bool:
        """Report what the table has for an epoch, as a worker would; whether the trial goes on."""
        scores = self.scores[job.what.id][epoch - 1]
        asked = scores if epoch in job.course.scored_after else {}
        goes_on = campaign.report(job.number, Report(epoch, 0.0, 0.0, scores=asked))
        if goes_on and epoch == self.experiment.training.epochs:
            return campaign.report(job.number, Report(epoch, 0.0, 0.0, scores=scores, done=True))
        return goes_on

    def share(self, found: Sequence[Sequence[float]]) -> float:
        return hypervolume(found, self.reference, self.directions) / self.whole

    def _point(self, identity: str) -> list[float]:
        accuracy = self.accuracy(identity, self.experiment.training.epochs)
        return [accuracy, float(self.costs[identity].learnable_parameters)]


def _dataset(names: Sequence[str]) -> Dataset:
    """Its tasks and shape, without its pictures, which a replay does not need."""
    tasks = tuple(Classification(task, 10) for task in dict.fromkeys(name.partition("/")[0] for name in names))
    empty = Split(np.zeros((1, 1, 36, 36), np.uint8), {task.name: np.zeros(1, np.int64) for task in tasks})
    return Dataset("multi_fashion", tasks, {"train": empty, "val": empty}, np.zeros(1), np.ones(1))


def replay(setting: Setting, seed: int, world: World) -> list[tuple[float, float]]:
    """A search in simulated time: (compute spent, share of the true hypervolume) whenever a trial is complete."""
    experiment = _experiment(setting, seed, world)
    space, epochs = experiment.search_space, experiment.training.epochs
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        writer = RunWriter(Path(folder) / "run", describe_environment(seed), world.dataset.score_names)
        writer.begin(experiment)
        proposals = Proposals(space, experiment.objectives, setting.sampler, seed, None, stopped=setting.told)
        progress = Progress(space.size, epochs, None)
        campaign = Campaign(experiment, world.dataset, writer, proposals, progress)
        found: list[list[float]] = []
        points, spent = [(0.0, 0.0)], 0.0
        order, under_way = itertools.count(), []

        def start(now: float) -> None:
            while len(under_way) < WORKERS and (job := campaign.ask()) is not None:
                heapq.heappush(under_way, (now + world.costs[job.what.id].macs, next(order), job, 1))

        start(0.0)
        while under_way:
            now, _, job, epoch = heapq.heappop(under_way)
            macs = world.costs[job.what.id].macs
            spent += macs / world.unit
            if world.train(campaign, job, epoch):
                heapq.heappush(under_way, (now + macs, next(order), job, epoch + 1))
            elif campaign.complete and campaign.complete[-1].number == job.number:
                found.append(world.points[job.what.id])
                points.append((spent, world.share(found)))
            start(now)
    return points


def _experiment(setting: Setting, seed: int, world: World) -> Experiment:
    search = {"sampler": setting.sampler, "seed": seed, "trials": len(world.scores), "learning_curves": False}
    if setting.early_stopping:
        search["early_stopping"] = yaml_value(setting.early_stopping)
    return world.experiment.changed({"search": search})


def yaml_value(text: str) -> dict[str, float]:
    """``{grace: 1, factor: 3}`` as a mapping."""
    pairs = (pair.split(":") for pair in text.strip("{}").split(","))
    return {key.strip(): float(value) if "." in value else int(value) for key, value in pairs}


def _memory() -> str | None:
    """A folder in memory, where there is one: a replay writes the files of a real search."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


# Many replays


@dataclass(frozen=True)
class Result:
    """The replays of a setting over seeds.

    :param curve: ``[grid]``: mean share of the true hypervolume, and half of its 95 % interval, at each compute of
        :data:`GRID`.
    :param needed: Share -> compute that each seed needed for it.
    """

    setting: Setting
    curve: list[Interval]
    needed: dict[float, list[float]]


GRID = tuple(float(step) for step in range(2, 122, 2))

_world: World | None = None


def _begin() -> None:
    global _world
    _world = World()


def _replay(task: tuple[Setting, int]) -> list[tuple[float, float]]:
    assert _world is not None
    return replay(*task, _world)


def replays(settings: Sequence[Setting], seeds: int, processes: int) -> Iterator[Result]:
    """The results of all settings, one by one."""
    with Pool(processes, initializer=_begin) as pool:
        for setting in settings:
            curves = pool.map(_replay, [(setting, seed) for seed in range(seeds)], chunksize=1)
            at = [[_share_at(curve, spent) for curve in curves] for spent in GRID]
            needed = {share: [_compute_for(curve, share) for curve in curves] for share in SHARES}
            yield Result(setting, [interval(values) for values in at], needed)


def _share_at(curve: Sequence[tuple[float, float]], spent: float) -> float:
    return max(share for when, share in curve if when <= spent)


def _compute_for(curve: Sequence[tuple[float, float]], wanted: float) -> float:
    """Compute until a share was reached; infinite where it never was."""
    return next((spent for spent, share in curve if share >= wanted), math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", default="replay", choices=["replay", "choices", "table"])
    parser.add_argument("run", nargs="?", type=Path, help="table: the folder of the search of the whole space")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--figure", type=Path, help="write the curves as a page")
    arguments = parser.parse_args()
    if arguments.action == "table":
        write_table(arguments.run)
        return
    settings = CHOICES if arguments.action == "choices" else SETTINGS
    world = World()
    print(f"{len(world.scores)} architectures, {len(world.front)} on the true front")
    print(f"{'':44} share of the true hypervolume after        compute needed for")
    print(f"{'':44} {'10':>12} {'20':>12} {'40':>12}   {'90 %':>6} {'95 %':>12} {'99 %':>6}")
    results = []
    for result in replays(settings, arguments.seeds, arguments.processes):
        results.append(result)
        print(_line(result), flush=True)
    if arguments.figure is not None:
        draw(results, arguments.figure)


def _line(result: Result) -> str:
    shares = " ".join(_share(result.curve[GRID.index(spent)]) for spent in (10.0, 20.0, 40.0))
    middle = statistics.median(result.needed[0.95])
    low, high = np.quantile(result.needed[0.95], [0.1, 0.9], method="nearest")
    needed = f"{statistics.median(result.needed[0.90]):6.1f} {middle:5.1f} ({low:.0f}-{high:.0f})"
    return f"{result.setting.name:44} {shares}   {needed:19} {statistics.median(result.needed[0.99]):6.1f}"


def _share(found: Interval) -> str:
    return f"{100 * found.mean:6.1f} ±{100 * (found.high - found.mean):4.1f}"


def write_table(folder: Path) -> None:
    """Keep what a search of the whole space measured after every epoch."""
    run = load_run(folder)
    identities = {trial.number: trial.architecture.id for trial in run.complete}
    rows = [
        {"architecture": identities[row.trial], "epoch": row.epoch, "loss": row.loss, **row.scores}
        for row in run.epochs
        if row.trial in identities
    ]
    table = pd.DataFrame(rows).sort_values(["architecture", "epoch"])
    table.astype({name: "float32" for name in table.columns if table[name].dtype == float}).to_parquet(
        TABLE, index=False, compression="zstd"
    )
    size = run.experiment.search_space.size
    print(f"{TABLE}: {len(identities)} of {size} architectures, {TABLE.stat().st_size:,} bytes")


def draw(results: Sequence[Result], path: Path) -> None:
    """The curves with their intervals: hypervolume over compute."""
    figure = go.Figure()
    for number, result in enumerate(results):
        colour = COLOURS[number % len(COLOURS)]
        dash = "solid" if result.setting.early_stopping else "dot"
        means = [100 * found.mean for found in result.curve]
        figure.add_scatter(x=GRID, y=means, name=result.setting.name, line={"color": colour, "dash": dash})
    figure.update_xaxes(title="compute, in trainings of a mean architecture")
    figure.update_yaxes(title="hypervolume, in percent of the true front's", range=[50, 100])
    figure.write_html(path, include_plotlyjs=True)


if __name__ == "__main__":
    main()
