"""Training steps of networks for the rows of a table: the folded layer against its definition and an ordinary network.

All networks are whole (three layers, heads) and are given the same batches of 64 features; their steps alternate. A
step is forward, losses, backward and AdamW, on one thread, timed by the process: other work on the machine counts
little.

- ``ms``: of a step of the folded network, the median;
- ``reference``: how many times longer the layer written by its definition takes, each primitive in turn, group after
  group, task after task;
- ``hard sharing``: how many times longer the folded step takes than that of an ordinary network of linear layers of the
  same widths, which shares everything;
- ``parameters``: learnable ones, in those of that network.

    python benchmarks/vectors.py [--batch N] [--steps N] [--csv FOLDER]

``results/vectors.csv``: torch 2.13.0, half of the channels shared, while other work kept the machine busy.

Layers this small are a matter of how many operations there are, not of how large: folding adds some to each.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from measured import Table, add_option
from mtl_search import Architecture, build_model
from mtl_search.networks.paths import PathNetwork
from mtl_search.spaces.architecture import LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.tasks import Classification, TaskGroups

FEATURES = 64
WIDTHS, TASKS, BANKS = (64, 256), (2, 14), ("vector", "vector_nonlinear")
RATIO = 0.5
KINDS = ("folded", "reference", "hard sharing")
COLUMNS = {
    "bank": "",
    "width": "",
    "tasks": "",
    "ms": ".1f",
    "reference": ".1f",
    "hard sharing": ".1f",
    "parameters": ".2f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(COLUMNS, arguments.csv, same={"batch": arguments.batch})
    for bank, width, count in itertools.product(BANKS, WIDTHS, TASKS):
        tasks = [Classification(f"task{number}") for number in range(count)]
        models = made_models(bank, width, tasks)
        folded, reference, hard = (
            1000 * found for found in step_times(models, tasks, torch.randn(arguments.batch, FEATURES), arguments.steps)
        )
        learnable = [sum(parameter.numel() for parameter in models[kind].parameters()) for kind in KINDS]
        table.add(bank, width, count, folded, reference / folded, folded / hard, learnable[0] / learnable[2])


def made_models(bank: str, width: int, tasks: Sequence[Classification]) -> dict[str, nn.Module]:
    """The networks by their kinds."""
    backbone = Backbone((Stage(width, 3),), "vector")
    architecture = Architecture(backbone, (LayerChoice(bank, RATIO),) * backbone.layers)
    return {
        "folded": build_model(architecture, tasks, (FEATURES,)),
        "reference": build_model(architecture, tasks, (FEATURES,), implementation="reference"),
        "hard sharing": PathNetwork(backbone, [(0,) * backbone.layers] * len(tasks), tasks, (FEATURES,)),
    }


def step_times(
    models: dict[str, nn.Module], tasks: Sequence[Classification], inputs: Tensor, steps: int
) -> list[float]:
    """Median seconds of a training step of each model, in turn; the first steps do not count."""
    optimisers = {kind: torch.optim.AdamW(model.parameters(), fused=True) for kind, model in models.items()}
    target = torch.randint(0, 10, (len(inputs),))
    times: dict[str, list[float]] = {kind: [] for kind in models}
    for _ in range(steps + 3):
        for kind in models:
            start = time.process_time()
            step(models[kind], tasks, optimisers[kind], inputs, target)
            times[kind].append(time.process_time() - start)
    return [statistics.median(found[3:]) for found in times.values()]


def step(
    model: nn.Module,
    tasks: Sequence[Classification],
    optimiser: torch.optim.Optimizer,
    inputs: Tensor,
    target: Tensor,
) -> None:
    """One training step."""
    groups = TaskGroups(tasks, target.device)
    optimiser.zero_grad()
    groups.losses(model(inputs), groups.targets({task.name: target for task in tasks})).sum().backward()
    optimiser.step()


if __name__ == "__main__":
    main()
