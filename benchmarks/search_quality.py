"""How much training a search needs to find the front: every sampler, with and without early stopping.

A space of 360 small architectures on Multi-Fashion (``search_quality/space.yaml``) was trained whole, each architecture
once for 9 epochs, and its validation metrics after every epoch are kept in ``search_quality/epochs.parquet``. So the
true front is known, and a search can be replayed from the table in seconds: through the real loop, samplers and
scheduler, with simulated workers, on which an epoch takes as long as it has multiply-accumulates.

    mtl-search search benchmarks/search_quality/space.yaml --out results/search-quality   # 2 to 3 hours on two cores
    python benchmarks/search_quality.py table results/search-quality                       # writes epochs.parquet
    python benchmarks/search_quality.py [--seeds 20] [--figure FILE.html] [--csv FOLDER]   # replays, minutes

The unit of compute is that of training one mean architecture for all of its epochs. The hypervolume is that of the
complete trials in accuracy and learnable parameters, in percent of the true front's; its reference point is the worst
of both in the table, on the logarithmic axis of the costs that the plots have; the last column is that on a linear
axis. A search ends when every architecture was proposed.

``results/search_quality.csv``: 20 seeds, 4 simulated workers; means with 95 % intervals, then medians with the 10th and
90th percentile. The bayesian sampler needs 26.5 units for 95 %, TPE 57, NSGA-II 78, random search 101.

Stopping gains little: of candidates near the front, the accuracy after a third of the epochs says little about the last
one, for single trainings differ by as much as these candidates do.
"""

import argparse
import heapq
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from plotly.subplots import make_subplots

from measured import Table, add_option
from mtl_search import cost
from mtl_search.datasets import Dataset, Split
from mtl_search.evaluation import Report
from mtl_search.execution.jobs import Job
from mtl_search.metrics.intervals import Interval, interval
from mtl_search.metrics.pareto import axis_value, direction_of, front_mask, hypervolume
from mtl_search.runs.environment import describe_environment
from mtl_search.runs.folder import load_run
from mtl_search.runs.writer import RunWriter
from mtl_search.samplers.study import Study, Told
from mtl_search.searching.loop import SearchLoop
from mtl_search.searching.progress import Progress
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment, load_experiment
from mtl_search.tasks import Classification

HERE = Path(__file__).parent / "search_quality"
TABLE = HERE / "epochs.parquet"
WORKERS = 4
COLOURS = ("#7f7f7f", "#8c564b", "#1f77b4", "#2ca02c", "#9467bd", "#e377c2", "#d62728")
SHARES = (0.90, 0.95, 0.99)
"""Of the true front's hypervolume."""


@dataclass(frozen=True)
class Setting:
    """A way to search: what is compared."""

    sampler: str
    early_stopping: str = ""
    told: Told = "nothing"


COLUMNS = (
    *("sampler", "early stopping", "stopped told", "% after 10", "% after 20", "% after 40"),
    *("to 90 %", "to 95 %", "to 99 %", "to 95 %, linear"),
)
SAMPLERS = ("random", "qmc", "tpe", "nsga2", "nsga3", "evolution", "bayesian")
STOPPING = "{grace: 3, factor: 3}"
SETTINGS = tuple(Setting(sampler, stopping) for stopping in ("", STOPPING) for sampler in SAMPLERS)
CHOICES = (
    *(
        Setting(sampler, f"{{grace: {grace}, factor: {factor}}}")
        for sampler in ("random", "bayesian")
        for grace, factor in ((1, 3), (2, 2), (3, 2), (3, 3), (6, 2), (6, 3))
    ),
    *(
        Setting(sampler, STOPPING, told)
        for sampler in ("tpe", "nsga2", "evolution", "bayesian")
        for told in ("infeasible", "extrapolated")
    ),
)
"""What was weighed against each other for the defaults."""
LONGEST = 200.0
"""Compute after which a replay ends."""


class Point(NamedTuple):
    """Where a replay stands when a trial is complete.

    :param spent: Compute.
    :param share: Of the true front's hypervolume, with the cost on a logarithmic axis.
    :param linear: Likewise, on a linear axis.
    """

    spent: float
    share: float
    linear: float


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
        self.unit = self.experiment.training.epochs * statistics.fmean(found.macs for found in self.costs.values())

    def cost_of(self, architecture: Architecture) -> cost.Cost:
        """What an architecture costs, as a search computes it."""
        return self.costs[architecture.id]

    def accuracy(self, identity: str, epoch: int) -> float:
        scores = self.scores[identity][epoch - 1]
        return statistics.fmean(value for name, value in scores.items() if name.endswith("/accuracy"))

    def train(self, loop: SearchLoop, job: Job, epoch: int) -> bool:
        """Report what the table has for an epoch, as a worker would; whether the trial goes on."""
        scores = self.scores[job.what.id][epoch - 1]
        asked = scores if epoch in job.options.scored_after else {}
        goes_on = loop.report(job.number, Report(epoch, 0.0, 0.0, scores=asked))
        if goes_on and epoch == self.experiment.training.epochs:
            return loop.report(job.number, Report(epoch, 0.0, 0.0, scores=scores, done=True))
        return goes_on

    def point(self, spent: float, found: Sequence[Sequence[float]]) -> Point:
        """Where a search stands that has found these points for this compute."""
        shares = [self._volume(found, scale) / self._volume(self.front, scale) for scale in (axis_value, _linear)]
        return Point(spent, *shares)

    def _volume(self, points: Sequence[Sequence[float]], scale: Callable[[str, float], float]) -> float:
        names = self.experiment.objectives
        scaled = [[scale(*pair) for pair in zip(names, point, strict=True)] for point in (*points, self.reference)]
        return hypervolume(scaled[:-1], scaled[-1], self.directions)

    def _point(self, identity: str) -> list[float]:
        accuracy = self.accuracy(identity, self.experiment.training.epochs)
        return [accuracy, float(self.costs[identity].learnable_parameters)]


def _linear(objective: str, value: float) -> float:
    return value


def _dataset(names: Sequence[str]) -> Dataset:
    """Its tasks and shape, without its pictures, which a replay does not need."""
    tasks = tuple(Classification(task, 10) for task in dict.fromkeys(name.partition("/")[0] for name in names))
    empty = Split(np.zeros((1, 1, 36, 36), np.uint8), {task.name: np.zeros(1, np.int64) for task in tasks})
    return Dataset("multi_fashion", tasks, {"train": empty, "val": empty}, np.zeros(1), np.ones(1))


def replay(setting: Setting, seed: int, world: World) -> list[Point]:
    """A search in simulated time: where it stands whenever a trial is complete."""
    experiment = _experiment(setting, seed, world)
    space, epochs = experiment.proposal_space, experiment.training.epochs
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        writer = RunWriter(Path(folder) / "run", describe_environment(seed), world.dataset.score_names)
        writer.begin(experiment)
        study = Study(space, experiment.objectives, world.cost_of, setting.sampler, seed, None, stopped=setting.told)
        progress = Progress(len(world.scores), epochs, None)
        loop = SearchLoop(experiment, world.dataset, writer, study, progress)
        found: list[list[float]] = []
        points, spent = [Point(0.0, 0.0, 0.0)], 0.0
        order, under_way = itertools.count(), []

        def start(now: float) -> None:
            while len(under_way) < WORKERS and (job := loop.ask()) is not None:
                heapq.heappush(under_way, (now + world.costs[job.what.id].macs, next(order), job, 1))

        start(0.0)
        while under_way and spent < LONGEST:
            now, _, job, epoch = heapq.heappop(under_way)
            macs = world.costs[job.what.id].macs
            spent += macs / world.unit
            if world.train(loop, job, epoch):
                heapq.heappush(under_way, (now + macs, next(order), job, epoch + 1))
            elif (complete := loop.ended_trials.complete) and complete[-1].number == job.number:
                found.append(world.points[job.what.id])
                points.append(world.point(spent, found))
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

    :param curve: Mean share of the true hypervolume and its 95 % interval, after each compute of :data:`GRID`.
    :param needed: Share -> compute that each seed needed for it; infinite where it never got there.
    :param linear: Compute that each seed needed for 95 % with the cost on a linear axis.
    """

    setting: Setting
    curve: list[Interval]
    needed: dict[float, list[float]]
    linear: list[float]


GRID = tuple(float(step) for step in range(1, 121))

_world: World | None = None


def _begin() -> None:
    global _world
    _world = World()


def _replay(task: tuple[Setting, int]) -> list[Point]:
    assert _world is not None
    return replay(*task, _world)


def replays(settings: Sequence[Setting], seeds: int, processes: int) -> Iterator[Result]:
    """The results of all settings, one by one."""
    with Pool(processes, initializer=_begin) as pool:
        for setting in settings:
            curves = pool.map(_replay, [(setting, seed) for seed in range(seeds)], chunksize=1)
            at = [[max(point.share for point in curve if point.spent <= spent) for curve in curves] for spent in GRID]
            needed = {
                share: [_first(point.spent for point in curve if point.share >= share) for curve in curves]
                for share in SHARES
            }
            linear = [_first(point.spent for point in curve if point.linear >= 0.95) for curve in curves]
            yield Result(setting, [interval(values) for values in at], needed, linear)


def _first(spent: Iterator[float]) -> float:
    return next(spent, math.inf)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", default="replay", choices=["replay", "choices", "table"])
    parser.add_argument("run", nargs="?", type=Path, help="table: the folder of the search of the whole space")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=SAMPLERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--figure", type=Path, help="write the curves as a page")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.action == "table":
        write_table(arguments.run)
        return
    those = CHOICES if arguments.action == "choices" else SETTINGS
    settings = [setting for setting in those if setting.sampler in arguments.samplers]
    world = World()
    print(f"{len(world.scores)} architectures, {len(world.front)} on the true front, {arguments.seeds} seeds")
    table, results = Table(dict.fromkeys(COLUMNS, ""), arguments.csv), []
    for result in replays(settings, arguments.seeds, arguments.processes):
        results.append(result)
        table.add(*_cells(result))
    if arguments.figure is not None:
        draw(results, arguments.figure)


def _cells(result: Result) -> tuple[str, ...]:
    """As a row of the table."""
    setting, never = result.setting, statistics.median(result.needed[0.99])
    shares = (_share(result.curve[GRID.index(spent)]) for spent in (10.0, 20.0, 40.0))
    needed = (
        _middle(result.needed[0.90]),
        _middle(result.needed[0.95]),
        "never" if never == math.inf else f"{never:.0f}",
    )
    return setting.sampler, setting.early_stopping, setting.told, *shares, *needed, _middle(result.linear)


def _share(found: Interval) -> str:
    return f"{100 * found.mean:.1f}" + ("" if found.high is None else f" ±{100 * (found.high - found.mean):.1f}")


def _middle(needed: Sequence[float]) -> str:
    """The median, and what four seeds in five lie between."""
    low, high = np.quantile(needed, [0.1, 0.9], method="nearest")
    return f"{statistics.median(needed):.1f} ({low:.0f}-{high:.0f})"


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
    """The curves with their 95 % intervals: hypervolume over compute, without and with early stopping."""
    titles = ("without early stopping", f"with early stopping {STOPPING}")
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    for result in results:
        column = 2 if result.setting.early_stopping else 1
        colour = COLOURS[SAMPLERS.index(result.setting.sampler)]
        low, high = ([100 * bound for bound in bounds] for bounds in _bounds(result.curve))
        mean = [100 * found.mean for found in result.curve]
        shared = {"legendgroup": result.setting.sampler, "mode": "lines", "hoverinfo": "skip"}
        band = {"fill": "toself", "fillcolor": colour, "opacity": 0.15, "line_width": 0, "showlegend": False}
        figure.add_scatter(x=[*GRID, *GRID[::-1]], y=[*low, *high[::-1]], row=1, col=column, **shared, **band)
        name = {"name": result.setting.sampler, "showlegend": column == 1, "line_color": colour}
        figure.add_scatter(x=GRID, y=mean, row=1, col=column, **shared, **name)
    figure.add_hline(y=95, line_dash="dot", line_color="#444444", line_width=1)
    figure.update_xaxes(title="compute, in trainings of a mean architecture", range=[0, GRID[-1]])
    figure.update_yaxes(range=[55, 100])
    figure.update_yaxes(title="hypervolume, in percent of the true front's", col=1)
    figure.update_layout(template="plotly_white", width=1200, height=520, margin={"t": 40, "r": 20})
    figure.write_html(path, include_plotlyjs=True)


def _bounds(curve: Sequence[Interval]) -> tuple[list[float], list[float]]:
    """The lower and the upper ends; where there is one seed, its value."""
    low = [found.mean if found.low is None else found.low for found in curve]
    return low, [found.mean if found.high is None else found.high for found in curve]


if __name__ == "__main__":
    main()
