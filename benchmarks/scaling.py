"""How the time of a training step grows with tasks, with resolution and with width.

The networks are those of ``step_time.py``, fused: a stem, four layers of the same shared ratio, heads. A step is
forward, backward and AdamW on a whole batch. Three series, in each of which one thing grows:

- *tasks*, 1 to 64, at a fixed number of learnable parameters: the width multiplier is found by bisection;
- *resolution*, 18 to 72 pixels a side, at one width;
- *width*, 16 to 256 channels of the first stage, at one resolution.

    python benchmarks/scaling.py [--threads N] [--batch N] [--steps N] [--rounds N] [--series tasks,resolution,width]

In a round every point of a series takes its steps, one point after the other; a point's time is its median over all
rounds, so that a machine whose speed drifts slows all points. The last column, the middle half of its steps' times
over their median, says how much it drifted.

An exponent is the slope of log(time) over log(what grows), by least squares, with its standard error. Beside it stand
the exponents of what a step has to do, over the same points: multiply-accumulates, and activations, the numbers that
all layers put out for one sample. Convolutions take time as their multiply-accumulates, as far as the machine is kept
busy by each; normalisation, ReLU and all that is read and written take time as the activations.

One thread of an AMD EPYC with AVX2, torch 2.13.0, batch 64, ``--rounds 3``, with the kernels in C of
:mod:`mtl_search.kernels`, neighbours not idle:

| | exponent of time | of MACs | of activations |
|---|---|---|---|
| tasks | 0.20 ± 0.04 | -0.04 ± 0.01 | 0.35 ± 0.02 |
| resolution | 1.73 ± 0.06 | 1.97 ± 0.02 | 1.98 ± 0.01 |
| width | 1.41 ± 0.11 | 1.67 ± 0.05 | 0.93 ± 0.01 |

With more tasks at equal parameters a network has as many MACs, in more and narrower layers of the tasks' own: time
follows the activations, and 64 tasks take twice as long as one. A primitive's responses are made for each of them, and
count the more the fewer outputs read them. Time grows a little slower than the pixels: borders of images, and weights
that are transformed once per step, count more where images are small. Over width it lies between both: narrow networks
are bound by filters and memory, wide ones by products.

| tasks | channels | parameters | M MACs | k activations | ms a step | spread |
|---|---|---|---|---|---|---|
| 1 | 111 | 204,295 | 104.0 | 270 | 356.3 | 16% |
| 2 | 86 | 204,082 | 100.8 | 300 | 417.7 | 10% |
| 4 | 64 | 204,056 | 97.2 | 358 | 355.2 | 19% |
| 8 | 46 | 203,858 | 94.9 | 452 | 596.5 | 45% |
| 16 | 33 | 207,016 | 93.9 | 616 | 589.5 | 14% |
| 32 | 23 | 205,902 | 92.5 | 837 | 806.5 | 18% |
| 64 | 16 | 201,884 | 84.5 | 1100 | 697.5 | 14% |

| pixels a side | channels | parameters | M MACs | k activations | ms a step | spread |
|---|---|---|---|---|---|---|
| 18 | 64 | 204,056 | 25.1 | 91 | 130.6 | 23% |
| 27 | 64 | 204,056 | 57.5 | 207 | 257.9 | 14% |
| 36 | 64 | 204,056 | 97.2 | 358 | 387.8 | 16% |
| 54 | 64 | 204,056 | 221.1 | 809 | 818.9 | 21% |
| 72 | 64 | 204,056 | 388.9 | 1431 | 1477.7 | 18% |

| width | channels | parameters | M MACs | k activations | ms a step | spread |
|---|---|---|---|---|---|---|
| 16 | 16 | 16,616 | 11.9 | 105 | 74.8 | 16% |
| 32 | 32 | 56,056 | 31.9 | 189 | 170.2 | 28% |
| 64 | 64 | 204,056 | 97.2 | 358 | 339.1 | 8% |
| 128 | 128 | 776,536 | 328.7 | 695 | 1045.3 | 19% |
| 256 | 256 | 3,027,416 | 1194.6 | 1369 | 4009.7 | 8% |
"""

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

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

    def row(self) -> str:
        """As a row of a table."""
        cost = estimate(self.architecture, made_tasks(self.tasks), self.shape)
        width = self.architecture.width(self.architecture.backbone.stages[0])
        low, _, high = statistics.quantiles(self.milliseconds, n=4)
        spread = (high - low) / self.median
        return (
            f"| {self.x} | {width} | {cost.learnable_parameters:,} | {cost.macs / 1e6:.1f} "
            f"| {self.activations / 1e3:.0f} | {self.median:.1f} | {spread:.0%} |"
        )


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

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.error:.2f} (R² {self.r_squared:.3f})"


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
    for name in arguments.series.split(","):
        points = made[name]()
        take_times(points, arguments.batch, arguments.steps, arguments.rounds)
        print_series(name, points)


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
        own = tasks * after.own * layer.choice.branch_depth if layer.makes_own else 0
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


def print_series(name: str, points: Sequence[Point]) -> None:
    """The points, and the exponents of their time and of what explains it."""
    shown = "pixels a side" if name == "resolution" else name
    print(f"\n| {shown} | channels | parameters | M MACs | k activations | ms a step | spread |")
    print("|---|---|---|---|---|---|---|")
    for point in points:
        print(point.row(), flush=True)
    macs = [estimate(point.architecture, made_tasks(point.tasks), point.shape).macs for point in points]
    for what, values in (
        ("time", [point.median for point in points]),
        ("MACs", macs),
        ("activations", [point.activations for point in points]),
    ):
        print(f"\nexponent of {what} over {name}: {fitted([point.x for point in points], values)}")


def fitted(x: Sequence[float], y: Sequence[float]) -> Exponent:
    """The exponent of a power law, by least squares on logarithms; at least three points."""
    log_x, log_y = [math.log(value) for value in x], [math.log(value) for value in y]
    slope, intercept = statistics.linear_regression(log_x, log_y)
    residual = sum((b - slope * a - intercept) ** 2 for a, b in zip(log_x, log_y, strict=True))
    spread_x, spread_y = (statistics.pvariance(values) * len(x) for values in (log_x, log_y))
    return Exponent(slope, math.sqrt(residual / (len(x) - 2) / spread_x), 1 - residual / spread_y)


if __name__ == "__main__":
    main()
