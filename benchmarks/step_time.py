"""Training steps of the fused network, against the layer written as the paper writes it and against hard sharing.

All networks are whole (stem, four layers, heads), and are given the same batches; their steps alternate, so that a
machine whose speed drifts slows all. A step is forward, losses, backward and AdamW. What counts are the ratios:

- ``reference``: how many times longer the layer as the paper writes it takes, with the same weights, in torch's default
  memory layout, as one would write it; ``channels last``: the same with channels innermost, as the fused network has;
- ``its memory``: how many times more memory a step of the reference takes (default layout), beyond the network's own;
- ``hard sharing``: how many times longer the fused step takes than that of the ordinary network of 3x3 convolutions of
  the same widths, which shares everything; ``per MAC``: the same, per multiply-accumulate of the (folded) network;
- ``of rate``: multiply-accumulates of the folded network in a second, three forward passes for a step, in those of the
  fastest of a matrix product and a 1x1 convolution on the same machine. Forms that need fewer may take it over 100 %.

On one thread, times are of the process: other work on the machine counts little.

    python benchmarks/step_time.py [--threads N] [--batch N] [--seconds N] [--banks linear paper] [--keep-memory]

With ``--keep-memory`` the process keeps freed memory, as the workers of a search do.

Bank ``linear``, torch 2.13.0, memory not kept. One thread of an AMD EPYC with AVX2, with the kernels in C of
:mod:`mtl_search.native`, while tests ran on the second core (other widths were not measured with them yet):

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 64 | 2 | 0.75 | 128 | 691 | 8.78x | 3.51x | 4.93x | 0.78x | 0.70x | 87 % |
| 64 | 2 | 0.5 | 128 | 709 | 6.68x | 3.84x | 4.77x | 0.86x | 0.66x | 100 % |
| 64 | 8 | 0.75 | 128 | 1361 | 12.46x | 7.73x | 6.28x | 1.84x | 0.71x | 110 % |
| 64 | 8 | 0.5 | 128 | 2484 | 7.77x | 4.68x | 4.38x | 2.43x | 0.56x | 72 % |

All that follows is without them, in torch's operations alone (``MTL_SEARCH_NATIVE=0``). The same machine, whose
neighbours are not idle (rows of 40 tasks: while other work ran on the second core). Over widths 64 and 128, tasks 2 and
8 the reference takes 4.2 times as long in the default layout and 2.4 times with channels last:

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 32 | 2 | 0.75 | 128 | 491 | 6.19x | 3.25x | 4.66x | 1.73x | 1.51x | 44 % |
| 32 | 2 | 0.5 | 128 | 446 | 6.32x | 3.49x | 3.57x | 1.77x | 1.31x | 45 % |
| 32 | 8 | 0.75 | 128 | 982 | 7.75x | 4.01x | 5.05x | 4.16x | 1.59x | 48 % |
| 32 | 8 | 0.5 | 128 | 1921 | 4.04x | 2.31x | 3.73x | 5.19x | 1.20x | 40 % |
| 32 | 40 | 0.75 | 128 | 4562 | 9.35x | 5.84x | 6.48x | 19.26x | 1.84x | 39 % |
| 32 | 40 | 0.5 | 128 | 8805 | 5.22x | 3.78x | 4.45x | 24.22x | 1.21x | 32 % |
| 64 | 2 | 0.75 | 128 | 1049 | 4.95x | 2.49x | 4.16x | 1.27x | 1.14x | 46 % |
| 64 | 2 | 0.5 | 128 | 1075 | 3.96x | 2.49x | 3.51x | 1.44x | 1.09x | 65 % |
| 64 | 8 | 0.75 | 128 | 1976 | 6.55x | 3.02x | 4.55x | 3.27x | 1.25x | 54 % |
| 64 | 8 | 0.5 | 128 | 4553 | 3.53x | 2.11x | 3.52x | 5.49x | 1.28x | 39 % |
| 128 | 2 | 0.75 | 128 | 3303 | 3.73x | 1.81x | 4.09x | 1.17x | 1.07x | 60 % |
| 128 | 2 | 0.5 | 128 | 3115 | 3.60x | 2.28x | 3.32x | 1.12x | 0.87x | 62 % |
| 128 | 8 | 0.75 | 128 | 7337 | 3.95x | 2.62x | 4.71x | 3.16x | 1.22x | 62 % |
| 128 | 8 | 0.5 | 128 | 11386 | 3.67x | 2.25x | 3.62x | 5.08x | 1.19x | 58 % |
| 256 | 2 | 0.75 | 128 | 9266 | 2.85x | 1.67x | 3.78x | 0.99x | 0.92x | 81 % |
| 256 | 2 | 0.5 | 128 | 9721 | 2.38x | 1.70x | 3.50x | 1.23x | 0.96x | 89 % |
| 64, 128 | 2 | mean | 128 | 1846 | 4.03x | 2.25x | 3.75x | 1.24x | 1.03x | 58 % |
| 64, 128 | 8 | mean | 128 | 5236 | 4.28x | 2.48x | 4.07x | 4.12x | 1.23x | 53 % |

Two threads of it, times of the clock; 4.0 and 2.4 times:

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 64 | 2 | 0.75 | 128 | 816 | 4.39x | 2.40x | 3.86x | 1.59x | 1.43x | 39 % |
| 64 | 2 | 0.5 | 128 | 801 | 4.10x | 2.49x | 3.50x | 1.66x | 1.26x | 43 % |
| 64 | 8 | 0.75 | 128 | 1690 | 4.58x | 3.03x | 4.95x | 3.54x | 1.36x | 37 % |
| 64 | 8 | 0.5 | 128 | 2800 | 3.37x | 2.16x | 3.55x | 6.30x | 1.46x | 41 % |
| 128 | 2 | 0.75 | 128 | 1969 | 3.77x | 1.87x | 3.92x | 1.33x | 1.21x | 50 % |
| 128 | 2 | 0.5 | 128 | 2058 | 3.26x | 2.16x | 3.04x | 1.11x | 0.86x | 49 % |
| 128 | 8 | 0.75 | 128 | 4011 | 4.84x | 2.51x | 4.80x | 2.27x | 0.88x | 55 % |
| 128 | 8 | 0.5 | 128 | 6837 | 4.26x | 2.66x | 3.60x | 4.61x | 1.08x | 55 % |
| 64, 128 | 2 | mean | 128 | 1276 | 3.86x | 2.22x | 3.56x | 1.40x | 1.17x | 45 % |
| 64, 128 | 8 | mean | 128 | 3376 | 4.22x | 2.57x | 4.18x | 3.91x | 1.17x | 46 % |

One thread of an AMD EPYC with AVX-512, with an earlier choice of forms; 6.0 and 3.1 times:

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 64 | 2 | 0.75 | 128 | 270 | 7.57x | 3.38x | 4.03x | 1.14x | 1.02x | 62 % |
| 64 | 2 | 0.5 | 128 | 368 | 4.42x | 2.66x | 3.34x | 1.64x | 1.24x | 50 % |
| 64 | 8 | 0.75 | 128 | 703 | 8.75x | 3.72x | 5.13x | 3.37x | 1.29x | 49 % |
| 64 | 8 | 0.5 | 128 | 1305 | 4.35x | 2.47x | 3.63x | 6.34x | 1.47x | 45 % |
| 128 | 2 | 0.75 | 128 | 729 | 5.52x | 2.34x | 3.86x | 1.27x | 1.16x | 70 % |
| 128 | 2 | 0.5 | 128 | 844 | 4.73x | 2.59x | 2.99x | 1.34x | 1.04x | 70 % |
| 128 | 8 | 0.75 | 128 | 1904 | 9.62x | 5.97x | 4.99x | 3.28x | 1.27x | 63 % |
| 128 | 8 | 0.5 | 128 | 3411 | 5.44x | 3.18x | 3.52x | 5.79x | 1.35x | 60 % |
| 64, 128 | 2 | mean | 128 | 497 | 5.43x | 2.72x | 3.53x | 1.34x | 1.11x | 62 % |
| 64, 128 | 8 | mean | 128 | 1562 | 6.68x | 3.63x | 4.25x | 4.49x | 1.34x | 54 % |

Not reached: 4 times the reference with channels last, 1.2 times hard sharing at a ratio of 0.5, and, but for some rows,
1.1 times its time per MAC. With channels last the reference's products run as fast as ours, and it needs five ninths of
the folded ones; what it loses is memory traffic, which counts for less where products are slow (AVX2). A ratio of 0.5
with two tasks has 1.5 times the features of hard sharing and 1.25 times its MACs. Of the fused step at width 64, two
tasks and ratio 0.5 two thirds are convolutions, a quarter norms and ReLUs, the rest sums and copies (AVX2, profiled).

Tried on AVX2 and not faster: the tasks' own features filtered, too, with products task by task (half as fast as the
grouped convolution: to make one depth-wise response takes as long as about 40 products); a convolution for each task
(0.8 to 1.2 times as fast); the gradient of the weights by matrix products over gathered or shifted pixels (0.8 to 1.15
times); compiling (``benchmarks/compiled.py``). Not measured: 40 tasks at more than width 32, 8 tasks at width 256, and
a GPU.
"""

import argparse
import functools
import itertools
import math
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mtl_search import Architecture, build_model
from mtl_search.architecture import Backbone, LayerChoice, Stage
from mtl_search.cost import count_macs
from mtl_search.memory import keep_freed_memory
from mtl_search.networks.layer import State
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.networks.paths import PathNetwork
from mtl_search.tasks import Classification, TaskGroups

SHAPE = (1, 36, 36)
RATIOS = (0.75, 0.5)
FEATURES_IN_MEMORY = 2**28
MOST_STEPS = 5

Forward = Callable[[Tensor], dict[str, Tensor]]
KINDS = ("fused", "reference", "reference, channels last", "hard sharing")


@dataclass(frozen=True)
class Row:
    """One setting: every figure is that of the fused network, or a ratio to it."""

    batch: float
    milliseconds: float
    default: float
    innermost: float
    hard_sharing: float
    per_mac: float
    of_machine: float
    memory: float

    def cells(self) -> str:
        """As cells of a table."""
        return (
            f"{self.batch:.0f} | {self.milliseconds:.0f} | {self.default:.2f}x | {self.innermost:.2f}x "
            f"| {self.memory:.2f}x | {self.hard_sharing:.2f}x | {self.per_mac:.2f}x | {100 * self.of_machine:.0f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=20, help="about so long for a row, at least one step of each")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 40])
    parser.add_argument("--banks", nargs="+", default=["linear", "paper"])
    parser.add_argument("--keep-memory", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.keep_memory:
        keep_freed_memory()
    print(f"torch {torch.__version__}, {processor()}, {arguments.threads} thread(s)")
    for bank in arguments.banks:
        print(f"\nBank {bank}\n")
        print(
            "| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC "
            "| of rate |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        rows = {}
        for setting in itertools.product(arguments.widths, arguments.tasks, RATIOS):
            rows[setting] = measured(bank, *setting, arguments)
            print(f"| {' | '.join(map(str, setting))} | {rows[setting].cells()} |", flush=True)
        print_means(rows)


def print_means(rows: Mapping[tuple[int, int, float], Row]) -> None:
    """Geometric means over what is claimed of: widths 64 and 128, 2 and 8 tasks."""
    for tasks in (2, 8):
        found = [row for (width, count, _), row in rows.items() if width in (64, 128) and count == tasks]
        if found:
            means = {name: geometric_mean([getattr(row, name) for row in found]) for name in Row.__annotations__}
            print(f"| 64, 128 | {tasks} | mean | {Row(**means).cells()} |", flush=True)


def measured(bank: str, width: int, tasks: int, ratio: float, arguments: argparse.Namespace) -> Row:
    """Measure one setting."""
    architecture = network(bank, width, ratio)
    rate = macs_per_second()
    batch = batch_of(width, tasks, arguments.batch)
    times = step_times(architecture, tasks, batch, arguments.seconds)
    fused, default, innermost, hard = (times[kind] for kind in KINDS)
    kinds = made_tasks(tasks)
    macs = count_macs(made_model("fused", architecture, kinds), SHAPE)
    hard_macs = count_macs(made_model("hard sharing", architecture, kinds), SHAPE)
    memory = [peak_memory(kind, architecture, tasks, batch) for kind in KINDS[:2]]
    return Row(
        batch,
        fused,
        default / fused,
        innermost / fused,
        fused / hard,
        (fused / macs) / (hard / hard_macs),
        3 * macs * batch / (fused / 1000) / rate,
        memory[1] / memory[0],
    )


def batch_of(width: int, tasks: int, largest: int) -> int:
    """The batch, halved until the reference has memory enough: it keeps every primitive's response for every task."""
    batch = largest
    while batch * width * tasks * SHAPE[1] * SHAPE[2] > FEATURES_IN_MEMORY:
        batch //= 2
    return batch


def macs_per_second(size: int = 1024) -> float:
    """What the machine reaches on a product of matrices, with the threads that are set.

    The best of several, and of two ways: torch hands its matrix product and its 1x1 convolution to different libraries.
    """
    first, second = torch.randn(size, size), torch.randn(size, size)
    image, kernel = first.view(16, 8, 8, size).permute(0, 3, 1, 2), second[:, :, None, None]
    best = math.inf
    for _ in range(8):
        for way in (lambda: first @ second, lambda: nn.functional.conv2d(image, kernel)):
            start = now()
            way()
            best = min(best, now() - start)
    return size**3 / best


def now() -> float:
    """Seconds: of the process on one thread, else of the clock."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def peak_memory(kind: str, architecture: Architecture, tasks: int, batch: int) -> float:
    """Bytes that a training step takes beyond those of the network, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory_of_step, kind, architecture, tasks, batch).result()


def _memory_of_step(kind: str, architecture: Architecture, tasks: int, batch: int) -> float:
    torch.set_num_threads(1)
    made = made_tasks(tasks)
    model = made_model(kind, architecture, made)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    target = torch.randint(0, 10, (batch,))
    step(forward_of(kind, model), made, optimiser, torch.randn(2, *SHAPE), target[:2])
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    step(forward_of(kind, model), made, optimiser, torch.randn(batch, *SHAPE), target)
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    return float(peak - pages * resource.getpagesize())


def made_tasks(count: int) -> list[Classification]:
    return [Classification(f"task{number}") for number in range(count)]


def made_model(kind: str, architecture: Architecture, tasks: Sequence[Classification]) -> nn.Module:
    """The network of an architecture, or the ordinary one of the same stage widths that shares everything."""
    if kind == "hard sharing":
        backbone = architecture.backbone
        path = (0,) * (backbone.layers + bool(backbone.stem))
        return PathNetwork(backbone, [path] * len(tasks), tasks, SHAPE)
    return build_model(architecture, tasks, SHAPE, 0, "fused" if kind == "fused" else "reference")


def forward_of(kind: str, model: nn.Module) -> Forward:
    """Its forward pass; of the reference in torch's default layout without asking for channels innermost."""
    if kind == "reference":
        assert isinstance(model, MultiTaskNetwork)
        return functools.partial(in_default_layout, model)
    return model


def processor() -> str:
    """Its name, as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def network(bank: str, width: int, ratio: float) -> Architecture:
    """Four layers of the same shared ratio, the second and the fourth with stride 2."""
    backbone = Backbone((Stage(width), Stage(width, 2, 2), Stage(2 * width, 1, 2)), stem=16)
    return Architecture(backbone, (LayerChoice(bank, ratio),) * 4)


def step_times(architecture: Architecture, tasks: int, batch: int, seconds: float) -> dict[str, float]:
    """Median milliseconds of a training step of each kind; their steps alternate."""
    made = made_tasks(tasks)
    models = {kind: made_model(kind, architecture, made) for kind in KINDS}
    optimisers = {kind: torch.optim.AdamW(model.parameters(), fused=True) for kind, model in models.items()}
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, model in models.items():
        step(forward_of(kind, model), made, optimisers[kind], inputs[:8], target[:8])
    while len(times[KINDS[0]]) < MOST_STEPS and sum(map(sum, times.values())) < seconds:
        for kind, model in models.items():
            start = now()
            step(forward_of(kind, model), made, optimisers[kind], inputs, target)
            times[kind].append(now() - start)
    return {kind: 1000 * statistics.median(values) for kind, values in times.items()}


def in_default_layout(model: MultiTaskNetwork, x: Tensor) -> dict[str, Tensor]:
    """The reference's forward pass without asking for channels innermost."""
    assert model.stem is not None
    state: State = (model.stem(x), None)
    for block in model.blocks:
        state = block(state, "reference")
    return dict(model.heads(state))


def step(
    forward: Forward,
    tasks: Sequence[Classification],
    optimiser: torch.optim.Optimizer,
    inputs: Tensor,
    target: Tensor,
) -> None:
    """One training step."""
    optimiser.zero_grad()
    loss(forward, tasks, inputs, target).backward()
    optimiser.step()


def loss(forward: Forward, tasks: Sequence[Classification], inputs: Tensor, target: Tensor) -> Tensor:
    """The sum of all losses, with its graph."""
    groups = TaskGroups(tasks, target.device)
    return groups.losses(forward(inputs), groups.targets({task.name: target for task in tasks})).sum()


def geometric_mean(values: Sequence[float]) -> float:
    """Their product's root."""
    return math.exp(statistics.mean(math.log(value) for value in values))


if __name__ == "__main__":
    main()
