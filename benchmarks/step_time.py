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
                                  [--csv FOLDER]

With ``--keep-memory`` the process keeps freed memory, as the workers of a search do.

``results/step_time.csv``: bank ``linear``, torch 2.13.0, memory not kept by the C library; ``kernels``: the kernels in
C of :mod:`mtl_search.kernels`, or torch's operations alone (``MTL_SEARCH_NATIVE=0``). The neighbours of the processor
were not idle. Rows with the kernels for widths 64 and 128 have minimal filtering, on two threads those with 2 tasks
only; others are of the kernels before it.

Over widths 64 and 128, 2 and 8 tasks, one thread, the reference takes 6.2 to 11 times as long in the default layout and
3.5 to 6.3 times with channels last, in the geometric mean 8.2 and 4.6; less where networks are so wide that products
take all the time (1.9 to 3.0 times at 256, before minimal filtering). Rows depend on the day, for the reference moves
most: the system's clearing of memory is a quarter to a half of it at width 128 with eight tasks.

Three things count. A bank of five primitives needs five ninths of a convolution's multiply-accumulates, so that the
step may be faster than that of hard sharing, and more than the machine's rate; the reference needs as few, but makes
and reads every response in memory, where ours are in the cache. Layers without a stride go through minimal filtering:
in one process, both ways in turn, a step took 0.83 to 0.85 of the time without it. And features that are so large that
the system would clear them in every step use their memory again: with eight tasks and ratio 0.5 that took a third off.
Against hard sharing: with two tasks and ratio 0.5 our network has 1.5 times its features and 1.25 times its folded
multiply-accumulates. Of the step at width 64, two tasks and ratio 0.5 a half is products of small matrices, at the
machine's rate; a ninth transforms of blocks, a twelfth each filters, copies of rows, and norms with their gradients.

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

from measured import Table, add_option
from mtl_search import Architecture, build_model
from mtl_search.cost import count_macs
from mtl_search.internal.memory import keep_freed_memory
from mtl_search.networks.layer import State
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.networks.paths import PathNetwork
from mtl_search.runs.environment import kernels
from mtl_search.spaces.architecture import LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.tasks import Classification, TaskGroups

SHAPE = (1, 36, 36)
RATIOS = (0.75, 0.5)
FEATURES_IN_MEMORY = 2**28
MOST_STEPS = 5

Forward = Callable[[Tensor], dict[str, Tensor]]
KINDS = ("fused", "reference", "reference, channels last", "hard sharing")
COLUMNS = {
    **dict.fromkeys(("bank", "width", "tasks", "ratio"), ""),
    **dict.fromkeys(("batch", "ms"), ".0f"),
    **dict.fromkeys(("reference", "channels last", "its memory", "hard sharing", "per MAC"), ".2f"),
    "of rate, %": ".0f",
}


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

    def cells(self) -> tuple[float, ...]:
        """As cells of the table."""
        ratios = self.default, self.innermost, self.memory, self.hard_sharing, self.per_mac
        return self.batch, self.milliseconds, *ratios, 100 * self.of_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=20, help="about so long for a row, at least one step of each")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 40])
    parser.add_argument("--banks", nargs="+", default=["linear", "paper"])
    parser.add_argument("--keep-memory", action="store_true")
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.keep_memory:
        keep_freed_memory()
    print(f"torch {torch.__version__}, {processor()}, {arguments.threads} thread(s)")
    table = Table(COLUMNS, arguments.csv, same={"threads": arguments.threads, "kernels": kernels()})
    for bank in arguments.banks:
        rows = {}
        for setting in itertools.product(arguments.widths, arguments.tasks, RATIOS):
            rows[setting] = measured(bank, *setting, arguments)
            table.add(bank, *setting, *rows[setting].cells())
        add_means(table, bank, rows)


def add_means(table: Table, bank: str, rows: Mapping[tuple[int, int, float], Row]) -> None:
    """Geometric means over what is claimed of: widths 64 and 128, 2 and 8 tasks."""
    for tasks in (2, 8):
        found = [row for (width, count, _), row in rows.items() if width in (64, 128) and count == tasks]
        if found:
            means = {name: geometric_mean([getattr(row, name) for row in found]) for name in Row.__annotations__}
            table.add(bank, "64, 128", tasks, "mean", *Row(**means).cells())


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
