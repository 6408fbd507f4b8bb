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

Bank ``linear``, torch 2.13.0, memory not kept by the C library, with the kernels in C of :mod:`mtl_search.kernels`. One
thread of an AMD EPYC with AVX2, whose neighbours are not idle. The rows of widths 64 and 128 with 2 and 8 tasks are of
the code as it is; those of width 32 are without minimal filtering, and without using the memory of large features
again. The others are also of kernels that took a tenth longer (width 256, and 40 tasks at more than width 32: while
tests ran on the second core):

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 32 | 2 | 0.75 | 128 | 272 | 11.01x | 6.54x | 9.78x | 0.76x | 0.67x | 70 % |
| 32 | 2 | 0.5 | 128 | 299 | 9.95x | 5.59x | 8.97x | 0.91x | 0.67x | 68 % |
| 32 | 8 | 0.75 | 128 | 543 | 15.45x | 9.50x | 12.35x | 1.41x | 0.54x | 70 % |
| 32 | 8 | 0.5 | 128 | 830 | 8.91x | 6.32x | 8.13x | 2.23x | 0.52x | 97 % |
| 32 | 40 | 0.75 | 128 | 2961 | 19.22x | 11.29x | 11.08x | 8.55x | 0.82x | 53 % |
| 32 | 40 | 0.5 | 128 | 5612 | 9.66x | 6.32x | 7.48x | 15.14x | 0.75x | 59 % |
| 64 | 2 | 0.75 | 128 | 323 | 11.34x | 5.29x | 8.70x | 0.52x | 0.46x | 144 % |
| 64 | 2 | 0.5 | 128 | 378 | 7.02x | 4.08x | 7.09x | 0.69x | 0.53x | 158 % |
| 64 | 8 | 0.75 | 128 | 761 | 11.15x | 6.26x | 9.16x | 1.31x | 0.50x | 140 % |
| 64 | 8 | 0.5 | 128 | 1299 | 6.25x | 3.53x | 5.46x | 2.39x | 0.55x | 133 % |
| 64 | 40 | 0.75 | 64 | 3471 | 7.83x | 5.55x | 12.49x | 6.50x | 0.62x | 76 % |
| 64 | 40 | 0.5 | 64 | 5464 | 4.59x | 3.64x | 6.22x | 10.81x | 0.53x | 82 % |
| 128 | 2 | 0.75 | 128 | 941 | 8.09x | 4.44x | 7.14x | 0.47x | 0.43x | 162 % |
| 128 | 2 | 0.5 | 128 | 1091 | 7.06x | 4.15x | 6.34x | 0.60x | 0.46x | 208 % |
| 128 | 8 | 0.75 | 128 | 2227 | 7.47x | 4.48x | 6.36x | 1.43x | 0.55x | 162 % |
| 128 | 8 | 0.5 | 128 | 3477 | 9.04x | 5.52x | 4.88x | 1.69x | 0.39x | 169 % |
| 128 | 40 | 0.75 | 32 | 4175 | 5.68x | 3.17x | 8.44x | 8.18x | 0.77x | 93 % |
| 128 | 40 | 0.5 | 32 | 8545 | 2.81x | 2.28x | 5.56x | 12.47x | 0.62x | 95 % |
| 256 | 2 | 0.75 | 128 | 6450 | 4.66x | 3.01x | 7.76x | 0.66x | 0.61x | 129 % |
| 256 | 2 | 0.5 | 128 | 7098 | 4.04x | 2.37x | 6.80x | 0.72x | 0.57x | 99 % |
| 256 | 8 | 0.75 | 64 | 7220 | 4.26x | 2.37x | 8.84x | 1.65x | 0.64x | 125 % |
| 256 | 8 | 0.5 | 64 | 12175 | 3.07x | 2.05x | 5.84x | 2.34x | 0.55x | 95 % |
| 256 | 40 | 0.75 | 16 | 9284 | 3.29x | 1.89x | 5.84x | 7.75x | 0.73x | 103 % |
| 256 | 40 | 0.5 | 16 | 14266 | 2.12x | 1.86x | 4.95x | 12.11x | 0.60x | 123 % |
| 64, 128 | 2 | mean | 128 | 595 | 8.21x | 4.47x | 7.27x | 0.56x | 0.47x | 166 % |
| 64, 128 | 8 | mean | 128 | 1663 | 8.28x | 4.83x | 6.28x | 1.66x | 0.50x | 150 % |

Two threads of it, times of the clock (with smaller batches where steps take long). The rows of widths 64 and 128 with 2
tasks are of the code as it is, the others of the kernels before:

| width | tasks | ratio | batch | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |
|---|---|---|---|---|---|---|---|---|---|---|
| 32 | 2 | 0.75 | 128 | 145 | 10.27x | 6.33x | 9.17x | 0.86x | 0.75x | 74 % |
| 32 | 2 | 0.5 | 128 | 177 | 7.87x | 4.72x | 8.32x | 1.00x | 0.74x | 68 % |
| 32 | 8 | 0.75 | 128 | 309 | 16.37x | 10.27x | 10.87x | 1.72x | 0.66x | 79 % |
| 32 | 8 | 0.5 | 128 | 529 | 10.22x | 6.47x | 7.86x | 2.41x | 0.56x | 74 % |
| 32 | 40 | 0.75 | 32 | 383 | 13.83x | 8.97x | 12.05x | 4.93x | 0.47x | 93 % |
| 32 | 40 | 0.5 | 32 | 586 | 7.17x | 6.24x | 8.00x | 5.74x | 0.29x | 72 % |
| 64 | 2 | 0.75 | 128 | 212 | 10.83x | 5.07x | 8.79x | 0.58x | 0.52x | 131 % |
| 64 | 2 | 0.5 | 128 | 201 | 7.85x | 4.59x | 6.96x | 0.69x | 0.52x | 134 % |
| 64 | 8 | 0.75 | 128 | 773 | 14.41x | 9.81x | 11.56x | 1.18x | 0.45x | 115 % |
| 64 | 8 | 0.5 | 128 | 1835 | 7.58x | 4.79x | 6.52x | 3.87x | 0.90x | 69 % |
| 64 | 40 | 0.75 | 16 | 392 | 8.27x | 6.42x | 10.25x | 4.66x | 0.44x | 88 % |
| 64 | 40 | 0.5 | 16 | 806 | 4.94x | 4.62x | 4.74x | 7.15x | 0.35x | 89 % |
| 128 | 2 | 0.75 | 128 | 552 | 8.65x | 4.45x | 7.01x | 0.47x | 0.43x | 152 % |
| 128 | 2 | 0.5 | 128 | 543 | 8.79x | 4.91x | 6.38x | 0.49x | 0.38x | 197 % |
| 128 | 8 | 0.75 | 128 | 2053 | 10.12x | 6.96x | 8.85x | 1.18x | 0.46x | 123 % |
| 128 | 8 | 0.5 | 128 | 4057 | 6.84x | 4.10x | 6.65x | 2.52x | 0.59x | 106 % |
| 128 | 40 | 0.75 | 16 | 1684 | 5.09x | 3.25x | 7.70x | 6.52x | 0.62x | 82 % |
| 128 | 40 | 0.5 | 16 | 2557 | 2.99x | 2.48x | 4.24x | 12.86x | 0.63x | 101 % |
| 256 | 2 | 0.75 | 64 | 1478 | 4.98x | 2.76x | 8.21x | 0.60x | 0.56x | 126 % |
| 256 | 2 | 0.5 | 64 | 1821 | 4.68x | 2.24x | 7.15x | 0.78x | 0.61x | 122 % |
| 256 | 8 | 0.75 | 32 | 1999 | 4.31x | 2.69x | 8.42x | 1.69x | 0.66x | 121 % |
| 256 | 8 | 0.5 | 32 | 3382 | 3.21x | 2.21x | 5.36x | 2.71x | 0.64x | 106 % |
| 256 | 40 | 0.75 | 16 | 4811 | 3.77x | 2.38x | 6.17x | 7.95x | 0.75x | 108 % |
| 256 | 40 | 0.5 | 16 | 9315 | 2.36x | 1.94x | 4.44x | 14.09x | 0.70x | 168 % |
| 64, 128 | 2 | mean | 128 | 336 | 8.96x | 4.75x | 7.23x | 0.55x | 0.46x | 152 % |
| 64, 128 | 8 | mean | 128 | 1854 | 9.33x | 6.05x | 8.16x | 1.92x | 0.57x | 101 % |

In torch's operations alone (``MTL_SEARCH_NATIVE=0``), one thread:

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

What the rows say. Over widths 64 and 128, tasks 2 and 8, the reference takes 6.2 to 11 times as long in the default
layout and 3.5 to 6.3 times with channels last, in the geometric mean 8.2 and 4.6; less where networks are so wide that
products take all the time (1.9 to 3.0 times at 256, before minimal filtering). Below 4 with channels last is one of
the eight rows, width 64 with 8 tasks and ratio 0.5. Rows depend on the day, for the reference moves most: the system's
clearing of memory is much of it (a quarter to a half at width 128 with eight tasks). On the same day, without
minimal filtering, the rows with two tasks had 3.5 in the mean (4.8 on another day) and those with eight 5.0.

Three things count. A bank of five primitives needs five ninths of a convolution's multiply-accumulates, and so the step
may be faster than that of hard sharing, and more than the machine's rate; the reference needs as few, but makes and
reads every response in memory, where ours are in the cache. Layers without a stride go through minimal filtering: in
one process, both ways in turn, a step took 0.83 to 0.85 of the time without it (width 64, ratios 0.75 and 0.5 with two
tasks, 0.5 with eight; width 128, two tasks, ratio 0.75). And features that are so large that the system would clear
them in every step use their memory again: with eight tasks and ratio 0.5 that took a third off a step (6.7 to 4.4
seconds at width 128, 2.3 to 1.5 at width 64, before there was minimal filtering).
Against hard sharing: with two tasks and ratio 0.5 our network has 1.5 times its features and 1.25 times its folded
multiply-accumulates. Hard sharing is torch's convolutions and norms.

Of the step at width 64, two tasks and ratio 0.5 a half is products of small matrices, at the machine's rate; a ninth
transforms of blocks, a twelfth each filters, copies of rows, and norms with their gradients (profiled). With
``--keep-memory`` no memory is cleared for the reference either: with channels last it then took 4.0 and 4.0 times as
long (width 64, two tasks, ratios 0.75 and 0.5), 3.5 and 3.0 times (width 128), and 5.9 times with eight tasks (width
64, ratio 0.75), all before minimal filtering; others were not measured.

Tried on AVX2 and not faster, in torch's operations: the tasks' own features filtered with products task by task; a
convolution for each task; the gradient of the weights by matrix products over gathered or shifted pixels; compiling
(``benchmarks/compiled.py``). In the kernels: other sizes of tiles, sums of filters for several pixels at a time, fewer
stores of their gradients (a hundredth of a step at most). Not measured: AVX-512 with the kernels, and a GPU.
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
from mtl_search.cost import count_macs
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.networks.layer import State
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.networks.paths import PathNetwork
from mtl_search.spaces.architecture import Backbone, LayerChoice, Stage
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
    """Median milliseconds of a training step of each kind; their steps alternate. The first of each does not count."""
    made = made_tasks(tasks)
    models = {kind: made_model(kind, architecture, made) for kind in KINDS}
    optimisers = {kind: torch.optim.AdamW(model.parameters(), fused=True) for kind, model in models.items()}
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, model in models.items():
        step(forward_of(kind, model), made, optimisers[kind], inputs, target)
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
