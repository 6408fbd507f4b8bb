"""How the time of a training step grows with tasks, with resolution and with width.

The networks are those of ``step_time.py``, fused: a stem, four layers of the same shared ratio, heads. A step is
forward, backward and AdamW on a whole batch. Three series, in each of which one thing grows:

- *tasks*, 1 to 64, at a fixed number of learnable parameters: the width multiplier is found by bisection;
- *resolution*, 18 to 72 pixels a side, at one width;
- *width*, 16 to 256 channels of the first stage, at one resolution.

    python benchmarks/scaling.py [--threads N] [--batch N] [--steps N] [--rounds N] [--series tasks,resolution,width]
                                [--csv FOLDER]

In a round every point of a series takes its steps, one point after the other; a point's time is its median over all
rounds, so that a machine whose speed drifts slows all points. The last column, the middle half of its steps' times
over their median, says how much it drifted.

An exponent is the slope of log(time) over log(what grows), by least squares, with its standard error. Beside it stand
the exponents of what a step has to do, over the same points: multiply-accumulates, and activations, the numbers that
all layers put out for one sample. Convolutions take time as their multiply-accumulates, as far as the machine is kept
busy by each; normalisation, ReLU and all that is read and written take time as the activations.

``results/scaling.csv`` and ``scaling-exponents.csv``: torch 2.13.0, ``--rounds 3``, with the kernels in C, neighbours
not idle. Time grows with the tasks to the power of 0.20, with the pixels a side to 1.73, with the width to 1.41.

With more tasks at equal parameters a network has as many MACs, in more and narrower layers of the tasks' own: time
follows the activations, and 64 tasks take twice as long as one. A primitive's responses are made for each of them, and
count the more the fewer outputs read them. Time grows a little slower than the pixels: borders of images, and weights
that are transformed once per step, count more where images are small. Over width it lies between both: narrow networks
are bound by filters and memory, wide ones by products.
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, replace

import torch

from measured import Table, add_option
from mtl_search import Architecture, build_model
from mtl_search.cost import estimate
from mtl_search.networks.geometry import Geometry, geometry
from mtl_search.runs.environment import describe_environment
from step_time import made_tasks, network, step

BANK, RATIO = "linear", 0.5
WIDTH, TASKS, SIDE = 64, 4, 36
"""What does not grow in a series."""
TASK_COUNTS = (1, 2, 4, 8, 16, 32, 64)
SIDES = (18, 27, 36, 54, 72)
WIDTHS = (16, 32, 64, 128, 256)
COLUMNS = {
    "series": "",
    "grows to": "",
    "channels": "",
    "parameters": "",
    "M MACs": ".1f",
    "k activations": ".0f",
    "ms a step": ".1f",
    "spread, %": ".0f",
}
EXPONENTS = {"series": "", "of": "", "exponent": ".2f", "standard error": ".2f", "R²": ".3f"}
CLOSE = 0.03
"""How far the parameters of a point may be from those that are asked for."""


@dataclass
class Point:
    """One network of a series.

    :param x: What grows.
    :param architecture: With its width multiplier.
    :param tasks: Number of tasks.
    :param side: Pixels a side.
    :param milliseconds: Of every step that was timed.
    """

    x: int
    architecture: Architecture
    tasks: int = TASKS
    side: int = SIDE
    milliseconds: list[float] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an input."""
        return 1, self.side, self.side

    @property
    def median(self) -> float:
        """Milliseconds of a step."""
        return statistics.median(self.milliseconds)

    @property
    def activations(self) -> int:
        """Numbers that the stem and all layers put out for one sample."""
        return activations_of(geometry(self.architecture, self.tasks, self.shape), self.tasks)

    def cells(self) -> tuple[float, ...]:
        """As a row of the table."""
        cost = estimate(self.architecture, made_tasks(self.tasks), self.shape)
        width = self.architecture.width(self.architecture.backbone.stages[0])
        low, _, high = statistics.quantiles(self.milliseconds, n=4)
        spread = 100 * (high - low) / self.median
        of_network = cost.learnable_parameters, cost.macs / 1e6, self.activations / 1e3
        return self.x, width, *of_network, self.median, spread


@dataclass(frozen=True)
class Exponent:
    """A power law that was fitted.

    :param value: The exponent.
    :param error: Its standard error.
    :param r_squared: The part of the variance of the logarithms that it explains.
    """

    value: float
    error: float
    r_squared: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2, help="of a point in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--series", default="tasks,resolution,width")
    parser.add_argument("--tasks", type=int, nargs="+", default=TASK_COUNTS)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    processor = describe_environment(0)["hardware"]["processor"]
    print(f"torch {torch.__version__}, {processor}, {arguments.threads} thread(s), batch {arguments.batch}")
    architecture = network(BANK, WIDTH, RATIO)
    made: dict[str, Callable[[], list[Point]]] = {
        "tasks": lambda: equal_parameters(architecture, arguments.tasks),
        "resolution": lambda: [Point(side, architecture, side=side) for side in arguments.sides],
        "width": lambda: [Point(width, network(BANK, width, RATIO)) for width in arguments.widths],
    }
    measured: dict[str, list[Point]] = {}
    same = {"threads": arguments.threads, "batch": arguments.batch}
    table = Table(COLUMNS, arguments.csv, same=same)
    for name in arguments.series.split(","):
        measured[name] = made[name]()
        take_times(measured[name], arguments.batch, arguments.steps, arguments.rounds)
        for point in measured[name]:
            table.add(name, *point.cells())
    exponents = Table(EXPONENTS, arguments.csv, "exponents", same)
    for name, points in measured.items():
        for of, values in grown(points).items():
            exponents.add(name, of, *astuple(fitted([point.x for point in points], values)))


def equal_parameters(architecture: Architecture, counts: Sequence[int]) -> list[Point]:
    """Networks for more and more tasks, with the parameters of the given one for ``TASKS`` tasks."""
    target = parameters_of(architecture, TASKS)
    points = [Point(count, scaled_to(target, architecture, count), tasks=count) for count in counts]
    for point in points:
        found = parameters_of(point.architecture, point.tasks)
        assert abs(found / target - 1) <= CLOSE, f"{point.tasks} tasks: {found:,} parameters for {target:,}"
    return points


def scaled_to(parameters: int, architecture: Architecture, tasks: int) -> Architecture:
    """The architecture with the width multiplier whose learnable parameters are closest to those asked for."""
    low, high = 1 / WIDTH, 4.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if parameters_of(replace(architecture, width_multiplier=middle), tasks) < parameters:
            low = middle
        else:
            high = middle
    ends = (replace(architecture, width_multiplier=end) for end in (low, high))
    return min(ends, key=lambda end: abs(parameters_of(end, tasks) - parameters))


def parameters_of(architecture: Architecture, tasks: int) -> int:
    return estimate(architecture, made_tasks(tasks), (1, SIDE, SIDE)).learnable_parameters


def activations_of(network: Geometry, tasks: int) -> int:
    """Numbers that the stem and all layers put out for one sample; each sub-layer of a branch puts out its own."""
    first = network.blocks[0].before
    total = network.stem * first.height * first.width
    for layer in itertools.chain.from_iterable(block.layers for block in network.blocks):
        after = layer.after
        shared = after.shared * after.streams if layer.makes_shared else 0
        own = tasks * after.specific * layer.choice.branch_depth if layer.makes_specific else 0
        total += (shared + own) * after.height * after.width
    return total


def take_times(points: Sequence[Point], batch: int, steps: int, rounds: int) -> None:
    """Time the steps of all points, round by round; those of a first round do not count."""
    stepped = [step_of(point, batch) for point in points]
    for number in range(rounds + 1):
        for point, take in zip(points, stepped, strict=True):
            for _ in range(steps if number else 1):
                start = time.perf_counter()
                take()
                if number:
                    point.milliseconds.append(1000 * (time.perf_counter() - start))


def step_of(point: Point, batch: int) -> Callable[[], None]:
    """A training step of a point's network, ready to be taken again and again."""
    tasks = made_tasks(point.tasks)
    model = build_model(point.architecture, tasks, point.shape)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    inputs, target = torch.randn(batch, *point.shape), torch.randint(0, 10, (batch,))
    return lambda: step(model, tasks, optimiser, inputs, target)


def grown(points: Sequence[Point]) -> dict[str, list[float]]:
    """The time of a step, and what explains it."""
    macs = [estimate(point.architecture, made_tasks(point.tasks), point.shape).macs for point in points]
    activations = [point.activations for point in points]
    return {"time": [point.median for point in points], "MACs": macs, "activations": activations}


def fitted(x: Sequence[float], y: Sequence[float]) -> Exponent:
    """The exponent of a power law, by least squares on logarithms; at least three points."""
    log_x, log_y = [math.log(value) for value in x], [math.log(value) for value in y]
    slope, intercept = statistics.linear_regression(log_x, log_y)
    residual = sum((b - slope * a - intercept) ** 2 for a, b in zip(log_x, log_y, strict=True))
    spread_x, spread_y = (statistics.pvariance(values) * len(x) for values in (log_x, log_y))
    return Exponent(slope, math.sqrt(residual / (len(x) - 2) / spread_x), 1 - residual / spread_y)


if __name__ == "__main__":
    main()
