"""Training steps of the fused network against the layer written as the paper writes it.

All networks are whole (stem, four layers, heads), hold the same weights, and are given the same batches; their steps
alternate, so that a machine whose speed drifts slows all. A step is forward, backward and AdamW. What counts is the
ratio: the reference's median over the fused one's. The reference runs twice: in torch's default memory layout, as one
would write it, and with channels innermost, as the fused network does.

    python benchmarks/step_time.py [--threads N] [--batch N] [--steps N] [--banks linear,paper]

A bank of linear primitives folds whole. Two of the five primitives of the bank ``paper`` do not: the perturbation is
not linear, and the dilated kernel would need a convolution for itself; there the fused form gains less.

Bank ``linear``, one thread of an AMD EPYC, batch 128, torch 2.13.0, milliseconds a step:

| width | tasks | ratio | fused | reference, default layout | reference, channels last |
|---|---|---|---|---|---|
| 32 | 2 | 0.75 | 138 | 1240 (8.97x) | 683 (4.94x) |
| 32 | 2 | 0.5 | 149 | 916 (6.15x) | 549 (3.69x) |
| 32 | 8 | 0.75 | 330 | 2837 (8.59x) | 1792 (5.43x) |
| 32 | 8 | 0.5 | 446 | 2293 (5.14x) | 1586 (3.56x) |
| 64 | 2 | 0.75 | 308 | 1170 (3.79x) | 728 (2.36x) |
| 64 | 2 | 0.5 | 373 | 1515 (4.06x) | 927 (2.49x) |
| 64 | 8 | 0.75 | 708 | 5896 (8.33x) | 2735 (3.86x) |
| 64 | 8 | 0.5 | 1173 | 5343 (4.55x) | 3320 (2.83x) |
| 128 | 2 | 0.75 | 791 | 3814 (4.82x) | 1868 (2.36x) |
| 128 | 2 | 0.5 | 1105 | 4671 (4.23x) | 2757 (2.49x) |
| 128 | 8 | 0.75 | 1805 | 10870 (6.02x) | 6024 (3.34x) |
| 128 | 8 | 0.5 | 2935 | 8445 (2.88x) | 5209 (1.77x) |
| geometric mean | | | | 5.31x | 3.10x |

Bank ``paper``, the same machine, batch 64, geometric means over the same rows: 2.6x and 2.0x.
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
from mtl_search.networks.layer import State
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.networks.paths import PathNetwork
from mtl_search.tasks import Classification

SHAPE = (1, 36, 36)
RATIOS = (0.75, 0.5)

Forward = Callable[[Tensor], dict[str, Tensor]]
KINDS = ("fused", "reference", "reference, channels last", "hard sharing")


@dataclass(frozen=True)
class Row:
    """One setting: every figure is that of the fused network, or a ratio to it."""

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
            f"{self.milliseconds:.0f} | {self.default:.2f}x | {self.innermost:.2f}x | {self.memory:.2f}x "
            f"| {self.hard_sharing:.2f}x | {self.per_mac:.2f}x | {100 * self.of_machine:.0f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 40])
    parser.add_argument("--banks", nargs="+", default=["linear", "paper"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {processor()}, {arguments.threads} thread(s), batch {arguments.batch}")
    for bank in arguments.banks:
        print(f"\nBank {bank}\n")
        print(
            "| width | tasks | ratio | ms | reference | channels last | its memory | hard sharing | per MAC | of rate |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
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
    times = step_times(architecture, tasks, arguments.batch, arguments.steps)
    fused, default, innermost, hard = (times[kind] for kind in KINDS)
    kinds = made_tasks(tasks)
    macs = count_macs(made_model("fused", architecture, kinds), SHAPE)
    hard_macs = count_macs(made_model("hard sharing", architecture, kinds), SHAPE)
    memory = [peak_memory(kind, architecture, tasks, arguments.batch) for kind in KINDS[:2]]
    return Row(
        fused,
        default / fused,
        innermost / fused,
        fused / hard,
        (fused / macs) / (hard / hard_macs),
        3 * macs * arguments.batch / (fused / 1000) / rate,
        memory[1] / memory[0],
    )


def macs_per_second(size: int = 1024) -> float:
    """What the machine reaches on a matrix product, with the threads that are set: the best of several."""
    first, second = torch.randn(size, size), torch.randn(size, size)
    best = math.inf
    for _ in range(8):
        start = time.perf_counter()
        first @ second
        best = min(best, time.perf_counter() - start)
    return size**3 / best


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
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
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


def step_times(architecture: Architecture, tasks: int, batch: int, steps: int) -> dict[str, float]:
    """Median milliseconds of a training step of each kind; their steps alternate."""
    made = made_tasks(tasks)
    models = {kind: made_model(kind, architecture, made) for kind in KINDS}
    optimisers = {kind: torch.optim.AdamW(model.parameters(), fused=True) for kind, model in models.items()}
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(steps + 1):
        for kind, model in models.items():
            start = time.perf_counter()
            step(forward_of(kind, model), made, optimisers[kind], inputs, target)
            if number:
                times[kind].append(1000 * (time.perf_counter() - start))
    return {kind: statistics.median(values) for kind, values in times.items()}


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
    outputs = forward(inputs)
    torch.stack([task.loss(outputs[task.name], target) for task in tasks]).sum().backward()
    optimiser.step()


def geometric_mean(values: Sequence[float]) -> float:
    """Their product's root."""
    return math.exp(statistics.mean(math.log(value) for value in values))


if __name__ == "__main__":
    main()
