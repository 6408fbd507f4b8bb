"""Training steps of the fused network against the layer written as the paper writes it.

Both networks are whole (stem, four layers, heads), hold the same weights, and are given the same batches; steps of the
two alternate, so that a machine whose speed drifts slows both. A step is forward, backward and AdamW. What counts is
the ratio: the reference's median over the fused one's.

    python benchmarks/step_time.py [--threads N] [--batch N] [--steps N]

TABLE
"""

import argparse
import itertools
import math
import platform
import statistics
import time

import torch

from mtl_search import Architecture, build_model
from mtl_search.architecture import Backbone, LayerChoice, Stage
from mtl_search.networks.network import MultiTaskNetwork
from mtl_search.tasks import Classification

SHAPE = (1, 36, 36)
WIDTHS = (32, 64, 128)
TASKS = (2, 8)
RATIOS = (0.75, 0.5)
BANKS = ("paper", "linear")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {arguments.threads} thread(s), batch {arguments.batch}\n")
    print("| bank | width | tasks | ratio | reference ms | fused ms | reference / fused |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    for bank, width, tasks, ratio in itertools.product(BANKS, WIDTHS, TASKS, RATIOS):
        slow, fast = compare(network(bank, width, ratio), tasks, arguments.batch, arguments.steps)
        ratios.append(slow / fast)
        print(f"| {bank} | {width} | {tasks} | {ratio} | {slow:.0f} | {fast:.0f} | {slow / fast:.2f} |", flush=True)
    mean = math.exp(statistics.mean(math.log(ratio) for ratio in ratios))
    print(f"\ngeometric mean {mean:.2f}, least {min(ratios):.2f}, most {max(ratios):.2f}")


def network(bank: str, width: int, ratio: float) -> Architecture:
    """Four layers of the same shared ratio, the second and the fourth with stride 2."""
    backbone = Backbone((Stage(width), Stage(width, 2, 2), Stage(2 * width, 1, 2)), stem=16)
    return Architecture(backbone, (LayerChoice(bank, ratio),) * 4)


def compare(architecture: Architecture, tasks: int, batch: int, steps: int) -> tuple[float, float]:
    """Median milliseconds of a training step, (reference, fused)."""
    kinds = [Classification(f"task{number}") for number in range(tasks)]
    models = [build_model(architecture, kinds, SHAPE, 0, form) for form in ("reference", "fused")]
    optimisers = [torch.optim.AdamW(model.parameters(), fused=True) for model in models]
    inputs, target = torch.randn(batch, *SHAPE), torch.randint(0, 10, (batch,))
    times: list[list[float]] = [[], []]
    for number in range(steps + 1):
        for place, (model, optimiser) in enumerate(zip(models, optimisers, strict=True)):
            start = time.perf_counter()
            step(model, optimiser, inputs, target)
            if number:
                times[place].append(1000 * (time.perf_counter() - start))
    slow, fast = (statistics.median(values) for values in times)
    return slow, fast


def step(model: MultiTaskNetwork, optimiser: torch.optim.Optimizer, inputs: torch.Tensor, target: torch.Tensor) -> None:
    """One training step."""
    optimiser.zero_grad()
    outputs = model(inputs)
    loss = torch.stack([task.loss(outputs[task.name], target) for task in model.tasks]).sum()
    loss.backward()
    optimiser.step()


if __name__ == "__main__":
    main()
