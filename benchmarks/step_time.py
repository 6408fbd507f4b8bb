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
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mtl_search import Architecture, build_model
from mtl_search.architecture import Backbone, LayerChoice, Stage
from mtl_search.networks.layer import State
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.tasks import Classification

SHAPE = (1, 36, 36)
WIDTHS = (32, 64, 128)
TASKS = (2, 8)
RATIOS = (0.75, 0.5)

Forward = Callable[[Tensor], dict[str, Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--banks", default="linear,paper")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {arguments.threads} thread(s), batch {arguments.batch}")
    for bank in arguments.banks.split(","):
        print(f"\nbank {bank}; milliseconds a step, and the reference's over the fused one's\n")
        print("| width | tasks | ratio | fused | reference, default layout | reference, channels last |")
        print("|---|---|---|---|---|---|")
        ratios = [row(bank, *setting, arguments) for setting in itertools.product(WIDTHS, TASKS, RATIOS)]
        default, innermost = (geometric_mean(column) for column in zip(*ratios, strict=True))
        print(f"| geometric mean | | | | {default:.2f}x | {innermost:.2f}x |", flush=True)


def row(bank: str, width: int, tasks: int, ratio: float, arguments: argparse.Namespace) -> tuple[float, float]:
    """Measure and print one setting; how many times longer the reference takes in its two layouts."""
    fused, default, innermost = step_times(network(bank, width, ratio), tasks, arguments.batch, arguments.steps)
    cells = f"{fused:.0f} | {default:.0f} ({default / fused:.2f}x) | {innermost:.0f} ({innermost / fused:.2f}x)"
    print(f"| {width} | {tasks} | {ratio} | {cells} |", flush=True)
    return default / fused, innermost / fused


def network(bank: str, width: int, ratio: float) -> Architecture:
    """Four layers of the same shared ratio, the second and the fourth with stride 2."""
    backbone = Backbone((Stage(width), Stage(width, 2, 2), Stage(2 * width, 1, 2)), stem=16)
    return Architecture(backbone, (LayerChoice(bank, ratio),) * 4)


def step_times(architecture: Architecture, tasks: int, batch: int, steps: int) -> list[float]:
    """Median milliseconds of a training step: fused, reference in the default layout, reference with channels last."""
    kinds = [Classification(f"task{number}") for number in range(tasks)]
    fused = build_model(architecture, kinds, SHAPE)
    default, innermost = (build_model(architecture, kinds, SHAPE, 0, "reference") for _ in range(2))
    models = (fused, default, innermost)
    forwards: Sequence[Forward] = (fused, lambda x: in_default_layout(default, x), innermost)
    optimisers = [torch.optim.AdamW(model.parameters(), fused=True) for model in models]
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    times: list[list[float]] = [[] for _ in models]
    for number in range(steps + 1):
        for place, (forward, optimiser) in enumerate(zip(forwards, optimisers, strict=True)):
            start = time.perf_counter()
            step(forward, kinds, optimiser, inputs, target)
            if number:
                times[place].append(1000 * (time.perf_counter() - start))
    return [statistics.median(values) for values in times]


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
